"""What users need to test agents and providers: a model server, fault plans, the laws of a stream, a stand-in lease, a clock that costs no time.

The names below are loaded when they are first used, because pytest imports this package in every run.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ecs_agent.testing.answers import Received
    from ecs_agent.testing.cassette_fixture import CassetteFixture, UnusedRecordingWarning
    from ecs_agent.testing.contract import BEHAVIOURS, assert_provider_contract
    from ecs_agent.testing.contract_subject import CANARY, Subject
    from ecs_agent.testing.fake_entity import FakeEntity
    from ecs_agent.testing.fault_laws import assert_fault_laws
    from ecs_agent.testing.fault_plan import FaultPlan
    from ecs_agent.testing.laws import BrokenLawError, Law
    from ecs_agent.testing.outcome import Outcome, expected_outcome
    from ecs_agent.testing.replay_loop import ReplayLoop
    from ecs_agent.testing.reply import Reply, chat_reply, chunk, error_reply, json_reply
    from ecs_agent.testing.request_laws import request_problems
    from ecs_agent.testing.script_draw import random_script
    from ecs_agent.testing.script_reply import scripted_reply
    from ecs_agent.testing.server import LoopbackServer
    from ecs_agent.testing.shuffling_loop import ShufflingLoop, run_shuffled
    from ecs_agent.testing.stream_laws import assert_stream_laws
    from ecs_agent.testing.transport import ScriptedTransport
    from ecs_agent.testing.virtual_clock import VirtualClockLoop, VirtualDeadlockError, run
    from ecs_agent.testing.wires import WireFamily

_HOME = {
    "BEHAVIOURS": "contract",
    "BrokenLawError": "laws",
    "CANARY": "contract_subject",
    "CassetteFixture": "cassette_fixture",
    "FakeEntity": "fake_entity",
    "FaultPlan": "fault_plan",
    "Law": "laws",
    "LoopbackServer": "server",
    "Outcome": "outcome",
    "Received": "answers",
    "ReplayLoop": "replay_loop",
    "Reply": "reply",
    "ScriptedTransport": "transport",
    "ShufflingLoop": "shuffling_loop",
    "Subject": "contract_subject",
    "UnusedRecordingWarning": "cassette_fixture",
    "VirtualClockLoop": "virtual_clock",
    "VirtualDeadlockError": "virtual_clock",
    "WireFamily": "wires",
    "assert_fault_laws": "fault_laws",
    "assert_provider_contract": "contract",
    "assert_stream_laws": "stream_laws",
    "chat_reply": "reply",
    "chunk": "reply",
    "error_reply": "reply",
    "expected_outcome": "outcome",
    "json_reply": "reply",
    "random_script": "script_draw",
    "request_problems": "request_laws",
    "run": "virtual_clock",
    "run_shuffled": "shuffling_loop",
    "scripted_reply": "script_reply",
}

__all__ = [
    "BEHAVIOURS",
    "CANARY",
    "BrokenLawError",
    "CassetteFixture",
    "FakeEntity",
    "FaultPlan",
    "Law",
    "LoopbackServer",
    "Outcome",
    "Received",
    "ReplayLoop",
    "Reply",
    "ScriptedTransport",
    "ShufflingLoop",
    "Subject",
    "UnusedRecordingWarning",
    "VirtualClockLoop",
    "VirtualDeadlockError",
    "WireFamily",
    "assert_fault_laws",
    "assert_provider_contract",
    "assert_stream_laws",
    "chat_reply",
    "chunk",
    "error_reply",
    "expected_outcome",
    "json_reply",
    "random_script",
    "request_problems",
    "run",
    "run_shuffled",
    "scripted_reply",
]


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'ecs_agent.testing' has no attribute {name!r}")
    value = getattr(import_module(f"ecs_agent.testing.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
