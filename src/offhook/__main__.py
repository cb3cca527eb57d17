"""``python -m offhook``: the same as the ``offhook`` command."""

from offhook.cli.entry import main

main()
