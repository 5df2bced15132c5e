"""A whole answer as data, and back without loss."""

from __future__ import annotations

from typing import Any, Final

from ecs_agent.streaming.delta_data import DeltaReader, DeltaWriter
from ecs_agent.streaming.json_edge import is_object
from ecs_agent.streaming.message_data import message_from_data, message_to_data
from ecs_agent.streaming.record_data import NUMBER, WHOLE, Record
from ecs_agent.types import CompletionResult, JsonObject, StreamDelta, Timing

_TIMING: Final[Record[Timing]] = Record(
    Timing,
    time_to_first_delta=NUMBER,
    duration=NUMBER,
    deltas=WHOLE,
    gap_p50=NUMBER,
    gap_p99=NUMBER,
    gap_max=NUMBER,
    tokens_per_second=NUMBER,
)


def result_to_data(result: CompletionResult) -> JsonObject:
    """The data of an answer: its message, and what a final delta would tell.

    Raises:
        TypeError: it holds what it cannot; the message is a sentence.
    """
    told = StreamDelta(finish_reason=result.finish_reason, usage=result.usage, raw_finish_reason=result.raw_finish_reason, logprobs=result.logprobs)
    data = {"message": message_to_data(result.message), **DeltaWriter().write_one(told)}
    if result.timing is not None:
        data["timing"] = _TIMING.write(result.timing)
    return data


def result_from_data(data: Any) -> CompletionResult:
    """The answer of such data.

    Raises:
        ValueError: it is no such data; the message is a sentence.
    """
    if not is_object(data) or "message" not in data:
        raise ValueError("a result is no object with a message")
    told = DeltaReader().read_one({name: value for name, value in data.items() if name not in ("message", "timing")})
    timing = _TIMING.read(data["timing"]) if "timing" in data else None
    return CompletionResult(message_from_data(data["message"]), told.usage, told.finish_reason, told.raw_finish_reason, timing, told.logprobs)
