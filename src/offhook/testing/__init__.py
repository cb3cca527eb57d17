"""For testing an agent, or anything else that stands at either end of the line.

``live_server`` runs the real server on a free port, and its ``call`` a caller; ``JumpClock`` is a clock that does not
wait; ``scripted_upstream`` is a model service that says what it is told to, ``fault_upstream`` one that fails as it is
told to, and ``fault_proxy`` a TCP proxy that does. The project's own tests use the same.
"""

from offhook.testing.caller import Caller as Caller
from offhook.testing.clock import JumpClock as JumpClock
from offhook.testing.fault_server import FaultUpstream as FaultUpstream
from offhook.testing.fault_server import fault_upstream as fault_upstream
from offhook.testing.faults import DESCRIPTIONS as DESCRIPTIONS
from offhook.testing.faults import PHASES as PHASES
from offhook.testing.faults import POSSIBLE as POSSIBLE
from offhook.testing.faults import Answer as Answer
from offhook.testing.faults import Called as Called
from offhook.testing.faults import says as says
from offhook.testing.faults import with_fault as with_fault
from offhook.testing.proxy import FaultProxy as FaultProxy
from offhook.testing.proxy import fault_proxy as fault_proxy
from offhook.testing.server import LiveServer as LiveServer
from offhook.testing.server import TurnRecorder as TurnRecorder
from offhook.testing.server import live_server as live_server
from offhook.testing.upstream import ScriptedUpstream as ScriptedUpstream
from offhook.testing.upstream import scripted_upstream as scripted_upstream

__all__ = [
    "DESCRIPTIONS",
    "PHASES",
    "POSSIBLE",
    "Answer",
    "Called",
    "Caller",
    "FaultProxy",
    "FaultUpstream",
    "JumpClock",
    "LiveServer",
    "ScriptedUpstream",
    "TurnRecorder",
    "fault_proxy",
    "fault_upstream",
    "live_server",
    "says",
    "scripted_upstream",
    "with_fault",
]
