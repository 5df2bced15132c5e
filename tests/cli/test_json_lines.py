"""Each event has one record, whose type is the event's name in snake case; nothing in it is cut or changed."""

from __future__ import annotations

import io
import json
import re
from typing import get_args

import pytest

from ecs_agent import (
    CitationReceived,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    RunCompleted,
    TextDelta,
    ToolCallCompleted,
    ToolCallDelta,
    ToolCallStarted,
    ToolExecutionCompleted,
    ToolExecutionStarted,
    TurnStarted,
    UsageReported,
)
from ecs_agent.agent import AgentEvent
from ecs_agent.cli.json_lines import error_record, event_record, write_line
from ecs_agent.errors import RateLimitError, WorldClosedError
from ecs_agent.systems import AttemptContinued, AttemptDiscarded
from ecs_agent.types import CitationPart, CompletionResult, EntityId, Message, Timing, ToolCall, Usage

ENTITY = EntityId(1)
CALL = ToolCall("call_1", "add", {"a": 2})
CALL_RECORD = {"id": "call_1", "name": "add", "arguments": {"a": 2}}
USAGE = Usage(3, 4, 7)
USAGE_RECORD = {
    "prompt_tokens": 3,
    "completion_tokens": 4,
    "total_tokens": 7,
    "cached_tokens": None,
    "reasoning_tokens": None,
    "estimated": False,
    "cache_write_tokens": None,
}

EVENTS: list[tuple[AgentEvent, dict[str, object]]] = [
    (TurnStarted(ENTITY, 1), {"turn": 1}),
    (AttemptContinued(ENTITY, Message("assistant", "half", interrupted=True)), {"text": "half"}),
    (AttemptDiscarded(ENTITY, Message("assistant", "half", interrupted=True)), {"text": "half"}),
    (TextDelta("a\x1b[1m"), {"text": "a\x1b[1m"}),
    (ReasoningDelta("b"), {"text": "b"}),
    (RefusalDelta("c"), {"text": "c"}),
    (
        CitationReceived(CitationPart("https://example.org/", "Title", start=1, end=3)),
        {"url": "https://example.org/", "title": "Title", "start": 1, "end": 3},
    ),
    (ToolCallStarted(0, "call_1", "add"), {"index": 0, "id": "call_1", "name": "add"}),
    (ToolCallDelta(0, '{"a'), {"index": 0, "arguments": '{"a'}),
    (ToolCallCompleted(0, CALL), {"index": 0, "call": CALL_RECORD}),
    (UsageReported(USAGE), {"usage": USAGE_RECORD}),
    (
        Finished(CompletionResult(Message("assistant", "abc"), USAGE, "stop", "eos")),
        {"text": "abc", "finish_reason": "stop", "raw_finish_reason": "eos", "usage": USAGE_RECORD, "timing": None},
    ),
    (ToolExecutionStarted(ENTITY, CALL), {"call": CALL_RECORD}),
    (ToolExecutionCompleted(ENTITY, CALL, "5", False, 0.5), {"call": CALL_RECORD, "text": "5", "is_error": False, "seconds": 0.5}),
    (RunCompleted("idle", None, "abc", None, 2), {"reason": "idle", "detail": None, "text": "abc", "usage": None, "turns": 2}),
]


@pytest.mark.parametrize(("event", "fields"), EVENTS, ids=lambda value: type(value).__name__)
def test_an_event_is_one_record(event: AgentEvent, fields: dict[str, object]) -> None:
    name = re.sub(r"(?<!^)([A-Z])", r"_\1", type(event).__name__).lower()
    assert event_record(event) == {"type": name, **fields}


def test_no_event_is_forgotten() -> None:
    assert {type(event) for event, _ in EVENTS} == set(get_args(AgentEvent))


def test_timing_is_in_seconds() -> None:
    record = event_record(Finished(CompletionResult(Message("assistant", "abc"), timing=Timing(0.1, 0.9, 3))))
    assert (record["timing"]["time_to_first_delta"], record["timing"]["duration"], record["timing"]["deltas"]) == (0.1, 0.9, 3)


def test_an_error_tells_what_a_program_needs_to_decide() -> None:
    partial = CompletionResult(Message("assistant", "half", interrupted=True))
    assert error_record(RateLimitError("wait", status=429, retry_after=3.0, request_id="r1", partial=partial)) == {
        "type": "error",
        "kind": "rate_limit",
        "message": "wait",
        "status": 429,
        "retryable": True,
        "retry_after": 3.0,
        "request_id": "r1",
        "text": "half",
    }
    assert error_record(WorldClosedError("closed")) == {"type": "error", "kind": "error", "message": "closed"}


def test_a_line_is_ascii_and_gives_back_exactly_what_was_written() -> None:
    record = {"type": "text_delta", "text": "é 👩‍🚀 \x1b]0;x\x07 \x9b \u202e \ud83d\nnext"}
    file = io.StringIO()
    write_line(record, file)
    line = file.getvalue()
    assert line.isascii()
    assert line.endswith("\n")
    assert line.removesuffix("\n").isprintable()
    assert json.loads(line) == record
