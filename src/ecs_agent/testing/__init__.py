"""What users need to test agents: a model server on loopback, and a clock that costs no time."""

from ecs_agent.testing.server import LoopbackServer, Received, Reply, chat_reply, chunk, error_reply, json_reply
from ecs_agent.testing.virtual_clock import VirtualClockLoop, VirtualDeadlockError, run

__all__ = [
    "LoopbackServer",
    "Received",
    "Reply",
    "VirtualClockLoop",
    "VirtualDeadlockError",
    "chat_reply",
    "chunk",
    "error_reply",
    "json_reply",
    "run",
]
