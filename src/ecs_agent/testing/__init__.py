"""What users need to test agents: a model server on loopback, and a clock that costs no time."""

from ecs_agent.testing.answers import Received
from ecs_agent.testing.fault_plan import FaultPlan
from ecs_agent.testing.reply import Reply, chat_reply, chunk, error_reply, json_reply
from ecs_agent.testing.scripted_reply import scripted_reply
from ecs_agent.testing.server import LoopbackServer
from ecs_agent.testing.transport import ScriptedTransport
from ecs_agent.testing.virtual_clock import VirtualClockLoop, VirtualDeadlockError, run

__all__ = [
    "FaultPlan",
    "LoopbackServer",
    "Received",
    "Reply",
    "ScriptedTransport",
    "VirtualClockLoop",
    "VirtualDeadlockError",
    "chat_reply",
    "chunk",
    "error_reply",
    "json_reply",
    "run",
    "scripted_reply",
]
