"""The ``offhook`` command."""
