r"""A run as programs read it: `ecs-agent run --json` writes one JSON object a line, in ASCII, each at the moment it happens.

Every object has a `type`. Text is exactly the model's; nothing is taken out of it.

    turn_started              turn
    text_delta                text
    reasoning_delta           text
    refusal_delta             text
    citation_received         url, title, start, end  a source that the answer names
    tool_call_started         index, id, name
    tool_call_delta           index, arguments        the next piece of the arguments' JSON text
    tool_call_completed       index, call
    usage_reported            usage
    finished                  text, finish_reason, raw_finish_reason, usage, timing       one a turn
    attempt_continued         text                    the answer broke off and goes on behind this, which has been shown and stays
    attempt_discarded         text                    the model is asked again; this, shown since the last turn_started, does not hold
    tool_execution_started    call
    tool_execution_completed  call, text, is_error, seconds
    run_completed             reason, detail, text, usage, turns                         the last line, unless the run failed:
    error                     kind, message, status, retryable, retry_after, request_id, text       the last line then; text is the partial answer

A `call` has id, name, arguments; `usage` the fields of `Usage`, `timing` those of `Timing`; both may be null. Seconds are seconds. New types
and fields may be added; readers skip what they do not know.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TextIO

from ecs_agent import (
    CitationReceived,
    Finished,
    ProviderError,
    ReasoningDelta,
    RefusalDelta,
    RunCompleted,
    TextDelta,
    ToolCallCompleted,
    ToolCallDelta,
    ToolCallStarted,
    ToolExecutionCompleted,
    ToolExecutionStarted,
    UsageReported,
)
from ecs_agent.agent import AgentEvent
from ecs_agent.cli.failures import sentence
from ecs_agent.errors import EcsAgentError
from ecs_agent.systems.attempt import AttemptContinued, AttemptDiscarded, TurnStarted
from ecs_agent.types import CompletionResult, JsonObject, Timing, ToolCall, Usage


def write_line(record: JsonObject, file: TextIO) -> None:
    """Write one line at once; ASCII, so that no control character of a model reaches a terminal."""
    file.write(json.dumps(record, separators=(", ", ": ")) + "\n")
    file.flush()


def event_record(event: AgentEvent) -> JsonObject:
    """An event as the object of its line."""
    match event:
        case TextDelta(text=text):
            return {"type": "text_delta", "text": text}
        case ReasoningDelta(text=text):
            return {"type": "reasoning_delta", "text": text}
        case RefusalDelta(text=text):
            return {"type": "refusal_delta", "text": text}
        case CitationReceived(citation=citation):
            return {"type": "citation_received", "url": citation.url, "title": citation.title, "start": citation.start, "end": citation.end}
        case AttemptContinued() | AttemptDiscarded():
            kind = "attempt_continued" if isinstance(event, AttemptContinued) else "attempt_discarded"
            return {"type": kind, "text": event.message.content if event.message is not None else ""}
        case TurnStarted(turn=turn):
            return {"type": "turn_started", "turn": turn}
        case UsageReported(usage=usage):
            return {"type": "usage_reported", "usage": _usage(usage)}
        case Finished(result=result):
            return {"type": "finished", **_result(result)}
        case RunCompleted():
            return {
                "type": "run_completed",
                "reason": event.reason,
                "detail": event.detail,
                "text": event.text,
                "usage": _usage(event.usage),
                "turns": event.turns,
            }
        case _:
            return _tool_record(event)


def _tool_record(
    event: ToolCallStarted | ToolCallDelta | ToolCallCompleted | ToolExecutionStarted | ToolExecutionCompleted,
) -> JsonObject:
    match event:
        case ToolCallStarted(index=index, id=id_, name=name):
            return {"type": "tool_call_started", "index": index, "id": id_, "name": name}
        case ToolCallDelta(index=index, arguments=arguments):
            return {"type": "tool_call_delta", "index": index, "arguments": arguments}
        case ToolCallCompleted(index=index, call=call):
            return {"type": "tool_call_completed", "index": index, "call": _call(call)}
        case ToolExecutionStarted(call=call):
            return {"type": "tool_execution_started", "call": _call(call)}
        case ToolExecutionCompleted():
            return {
                "type": "tool_execution_completed",
                "call": _call(event.call),
                "text": event.text,
                "is_error": event.is_error,
                "seconds": event.seconds,
            }


def error_record(error: EcsAgentError) -> JsonObject:
    """A failure as the object of its line."""
    record: JsonObject = {"type": "error", "kind": "error", "message": sentence(error)}
    if isinstance(error, ProviderError):
        record |= {
            "kind": str(error.kind),
            "status": error.status,
            "retryable": error.retryable,
            "retry_after": error.retry_after,
            "request_id": error.request_id,
            "text": error.partial.message.content if error.partial else "",
        }
    return record


def _result(result: CompletionResult) -> JsonObject:
    return {
        "text": result.message.content,
        "finish_reason": result.finish_reason,
        "raw_finish_reason": result.raw_finish_reason,
        "usage": _usage(result.usage),
        "timing": _timing(result.timing),
    }


def _call(call: ToolCall) -> JsonObject:
    return {"id": call.id, "name": call.name, "arguments": call.arguments}


def _usage(usage: Usage | None) -> JsonObject | None:
    return asdict(usage) if usage else None


def _timing(timing: Timing | None) -> JsonObject | None:
    return asdict(timing) if timing else None
