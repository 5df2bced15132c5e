"""Scripted answers in the OpenAI chat protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ecs_agent.errors import ErrorKind
from ecs_agent.providers.openai_chat.parts import SOURCE
from ecs_agent.providers.script import Script
from ecs_agent.testing.fault_plan import FaultPlan
from ecs_agent.testing.reply import chunk_body, usage_body
from ecs_agent.testing.wire import WireEvent, WireWriter, Written, arguments_of, is_object
from ecs_agent.types import (
    CitationPart,
    CompletionResult,
    JsonObject,
    OpaquePart,
    Part,
    ReasoningPart,
    StreamDelta,
    ToolCall,
    ToolCallFragment,
    Usage,
)

_CODES: Final = {
    ErrorKind.AUTH: (401, "invalid_api_key"),
    ErrorKind.BAD_REQUEST: (400, "invalid_request_error"),
    ErrorKind.CONTEXT_LENGTH: (400, "context_length_exceeded"),
    ErrorKind.CONTENT_FILTER: (400, "content_filter"),
    ErrorKind.RATE_LIMIT: (429, "rate_limit_exceeded"),
    ErrorKind.QUOTA: (429, "insufficient_quota"),
    ErrorKind.SERVER: (500, "server_error"),
    ErrorKind.TIMEOUT: (408, "timeout"),
}
OPENAI_STATUSES: Final = {kind: status for kind, (status, _) in _CODES.items()}

_FINISH_WORDS: Final = {"pause": "pause_turn"}
"""Finish reasons that have another name in the protocol."""


def openai_error(kind: ErrorKind, message: str) -> JsonObject:
    """An error as OpenAI's servers write it."""
    code = _CODES[kind][1]
    return {"error": {"message": message, "type": code, "param": None, "code": code}}


class ChatWire(WireWriter):
    """Writes one answer of the chat protocol."""

    statuses = OPENAI_STATUSES

    def __init__(self, script: Script, plan: FaultPlan) -> None:
        super().__init__(script, plan)
        self._told = 0
        calls = [step for step in script.in_order if isinstance(step, ToolCall)]
        unnamed = plan.call_ids != "given" and plan.call_index != "given"
        self._ids = "given" if unnamed and not all(is_object(call) for call in calls) else plan.call_ids
        self._last_usage = next((step for step in reversed(script.in_order) if isinstance(step, Usage)), None)

    @classmethod
    def error(cls, kind: ErrorKind, message: str) -> JsonObject:
        """As OpenAI's servers write it."""
        return openai_error(kind, message)

    @classmethod
    def whole(cls, result: CompletionResult) -> JsonObject:
        """A chat completion."""
        message: JsonObject = {"role": "assistant", "content": result.message.content or None}
        for part in result.message.parts:
            message |= part_fields(part) if isinstance(part, OpaquePart | CitationPart) else {}
        if result.message.reasoning:
            message["reasoning_content"] = result.message.reasoning
        if result.message.refusal:
            message["refusal"] = result.message.refusal
        if calls := result.message.tool_calls:
            message["tool_calls"] = [_call(call) for call in calls]
        word = str(result.finish_reason)
        body: JsonObject = {"id": "chatcmpl-test", "object": "chat.completion", "created": 0, "model": "test"}
        body["choices"] = [{"index": 0, "message": message, "finish_reason": _FINISH_WORDS.get(word, word)}]
        return body if result.usage is None else {**body, "usage": usage_body(result.usage)}

    def _has_whole_calls(self) -> bool:
        return self._ids != "given" and self._plan.call_index != "given"

    def _begin(self) -> Written:
        yield self._event({"role": "assistant", "content": ""})

    def _delta(self, move: StreamDelta) -> Written:
        yield self._event(_fields(move, self._fragment), says=move)

    def _told_usage(self, usage: Usage) -> Written:
        yield self._data(chunk_body(usage=usage), usage=usage)

    def _finish(self, final: StreamDelta) -> Written:
        where, usage, word = self._plan.usage, final.usage, str(final.finish_reason)
        beside = usage if where in ("with_finish", "every_chunk") else None
        if self._plan.finish:
            yield self._data(chunk_body({}, finish=_FINISH_WORDS.get(word, word), usage=beside), usage=beside, finish=True)
        if usage is not None and (where in ("after_finish", "every_chunk") or (where == "with_finish" and not self._plan.finish)):
            yield self._data(chunk_body(usage=usage), usage=usage)
        if self._plan.done:
            yield self._data("[DONE]", done=True)

    def _event(self, delta: JsonObject, *, says: StreamDelta | None = None) -> WireEvent:
        body, usage = chunk_body(delta), None
        if self._plan.usage == "every_chunk" and self._last_usage is not None:
            prompt = self._last_usage.prompt_tokens
            usage = Usage(prompt, self._told, prompt + self._told)
            self._told += 1
            body["usage"] = usage_body(usage)
        return self._data(body, says=says, usage=usage)

    def _fragment(self, fragment: ToolCallFragment) -> JsonObject:
        body: JsonObject = {"function": {"arguments": fragment.arguments}, **((fragment.opaque or {}).get(SOURCE) or {})}
        if self._plan.call_index != "missing":
            body["index"] = 0 if self._plan.call_index == "same" else fragment.index
        if fragment.name is not None:
            body["type"] = "function"
            body["function"]["name"] = fragment.name
        if self._ids == "empty" or (fragment.name is not None and self._ids == "given"):
            body["id"] = "" if self._ids == "empty" else fragment.id
        return body


def _call(call: ToolCall) -> JsonObject:
    function = {"name": call.name, "arguments": arguments_of(call)}
    return {"id": call.id, "type": "function", "function": function, **((call.opaque or {}).get(SOURCE) or {})}


def _fields(delta: StreamDelta, fragment: Callable[[ToolCallFragment], JsonObject]) -> JsonObject:
    """What a delta is called in the protocol."""
    body: JsonObject = {}
    for name, value in (("reasoning_content", delta.reasoning), ("content", delta.content), ("refusal", delta.refusal)):
        if value is not None:
            body[name] = value
    if delta.tool_fragments:
        body["tool_calls"] = [fragment(piece) for piece in delta.tool_fragments]
    for part in delta.parts:
        body |= part_fields(part)
    return body


def part_fields(part: Part) -> JsonObject:
    """What a part that comes whole is called in the protocol.

    Raises:
        TypeError: it has no name for it.
    """
    match part:
        case OpaquePart(data=data):
            return data
        case ReasoningPart(text=text, opaque=opaque):
            return {"reasoning_content": text, **((opaque or {}).get(SOURCE) or {})}
        case CitationPart():
            cited = {"url": part.url, "title": part.title, "start_index": part.start, "end_index": part.end}
            return {"annotations": [part.data or {"type": "url_citation", "url_citation": cited}]}
        case _:
            raise TypeError(f"the chat protocol has no words for a {type(part).__name__} in an answer")
