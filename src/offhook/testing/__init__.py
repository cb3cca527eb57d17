"""For testing an agent, or anything else that stands at either end of the line.

``live_server`` runs the real server on a free port, and its ``call`` a caller; ``JumpClock`` is a clock that does not
wait; ``scripted_upstream`` is a model service that says what it is told to. The project's own tests use the same.
"""

from offhook.testing.caller import Caller as Caller
from offhook.testing.clock import JumpClock as JumpClock
from offhook.testing.server import LiveServer as LiveServer
from offhook.testing.server import TurnRecorder as TurnRecorder
from offhook.testing.server import live_server as live_server
from offhook.testing.upstream import ScriptedUpstream as ScriptedUpstream
from offhook.testing.upstream import scripted_upstream as scripted_upstream

__all__ = ["Caller", "JumpClock", "LiveServer", "ScriptedUpstream", "TurnRecorder", "live_server", "scripted_upstream"]
