"""The built-in agent, in the tradition of a telephone test line, Chinese and English.

It says who called whom and which turn this is, reads back, tells the time, counts, waits, reports the user data, and
says goodbye and hangs up. ``words`` and ``goodbye`` say which words it understands.
"""

from offhook.agents.testline.agent import testline

__all__ = ["testline"]
