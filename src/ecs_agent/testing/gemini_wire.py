"""Scripted answers in the protocol of Gemini's contents."""

from __future__ import annotations

from typing import ClassVar, Final

from ecs_agent.errors import ErrorKind
from ecs_agent.providers.script import Script, Step
from ecs_agent.testing.fault_plan import FaultPlan
from ecs_agent.testing.wire import WireEvent, WireWriter, Written, arguments_of, is_object, parsed
from ecs_agent.types import CompletionResult, JsonObject, OpaquePart, Part, ReasoningPart, StreamDelta, TextPart, ToolCall, Usage

FAMILY: Final = "gemini"

_ERRORS: Final = {
    ErrorKind.AUTH: (401, "UNAUTHENTICATED", ""),
    ErrorKind.BAD_REQUEST: (400, "INVALID_ARGUMENT", ""),
    ErrorKind.CONTEXT_LENGTH: (400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of tokens allowed (8): "),
    ErrorKind.CONTENT_FILTER: (400, "INVALID_ARGUMENT", "The request was blocked by a content filter: "),
    ErrorKind.RATE_LIMIT: (429, "RESOURCE_EXHAUSTED", "Too many requests: "),
    ErrorKind.QUOTA: (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota: "),
    ErrorKind.SERVER: (503, "UNAVAILABLE", "The model is overloaded: "),
    ErrorKind.TIMEOUT: (408, "DEADLINE_EXCEEDED", "Deadline expired: "),
}
_FINISH_WORDS: Final = {"stop": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}


class GeminiWire(WireWriter):
    """Writes one answer, a chunk a delta; a call comes at once."""

    statuses: ClassVar = {kind: status for kind, (status, _, _) in _ERRORS.items()}
    finishes = frozenset({"stop", "length", "tool_calls", "content_filter"})

    def __init__(self, script: Script, plan: FaultPlan) -> None:
        super().__init__(script, plan)
        self._told = 0
        self._last_usage = next((step for step in reversed(script.in_order) if isinstance(step, Usage)), None)

    @classmethod
    def error(cls, kind: ErrorKind, message: str) -> JsonObject:
        """As Google's servers write it."""
        status, word, before = _ERRORS[kind]
        return {"error": {"code": status, "message": f"{before}{message}", "status": word}}

    @classmethod
    def can_say(cls, step: Step) -> bool:
        """Text, thoughts, calls whose arguments are an object, and parts of its own."""
        return isinstance(step, str | float | int | Usage | Exception | TextPart | ReasoningPart | OpaquePart) or (
            isinstance(step, ToolCall) and is_object(step)
        )

    @classmethod
    def whole(cls, result: CompletionResult) -> JsonObject:
        """A response with one candidate."""
        parts = [_whole_part(part) for part in result.message.parts]
        return _chunk(parts, _FINISH_WORDS[str(result.finish_reason)], _tellable(result.usage) if result.usage is not None else None)

    def _has_whole_calls(self) -> bool:
        return True

    def _begin(self) -> Written:
        return iter(())

    def _delta(self, move: StreamDelta) -> Written:
        if move.reasoning is not None:
            yield self._said({"text": move.reasoning, "thought": True}, move)
        if move.content is not None:
            yield self._said({"text": move.content}, move)
        for piece in move.tool_fragments:
            call = ToolCall(piece.id or "", piece.name or "", raw_arguments=piece.arguments, opaque=piece.opaque)
            yield self._said(_whole_part(call), move)
        for part in move.parts:
            yield self._said(_whole_part(part), move)

    def _said(self, part: JsonObject, move: StreamDelta) -> WireEvent:
        usage = None
        if self._plan.usage == "every_chunk" and self._last_usage is not None:
            prompt = self._last_usage.prompt_tokens
            usage = Usage(prompt, self._told, prompt + self._told)
            self._told += 1
        return self._data(_chunk([part], None, usage), says=move, usage=usage)

    def _told_usage(self, usage: Usage) -> Written:
        told = _tellable(usage)
        yield self._data(_chunk([], None, told), usage=told)

    def _finish(self, final: StreamDelta) -> Written:
        where = self._plan.usage
        usage = _tellable(final.usage) if final.usage is not None else None
        beside = usage if where in ("with_finish", "every_chunk") else None
        if self._plan.finish:
            yield self._data(_chunk([], _FINISH_WORDS[str(final.finish_reason)], beside), usage=beside, finish=True)
        if usage is not None and where == "after_finish":
            yield self._data(_chunk(None, None, usage), usage=usage)


def _tellable(usage: Usage) -> Usage:
    """What of a usage the protocol can tell: thoughts are counted beside the answer, so they are never more than the completion."""
    if usage.reasoning_tokens is None or usage.reasoning_tokens <= usage.completion_tokens:
        return usage
    return Usage(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens, usage.cached_tokens, usage.completion_tokens)


def _usage_body(usage: Usage) -> JsonObject:
    body: JsonObject = {"promptTokenCount": usage.prompt_tokens, "totalTokenCount": usage.total_tokens}
    body["candidatesTokenCount"] = usage.completion_tokens - (usage.reasoning_tokens or 0)
    if usage.reasoning_tokens is not None:
        body["thoughtsTokenCount"] = usage.reasoning_tokens
    if usage.cached_tokens is not None:
        body["cachedContentTokenCount"] = usage.cached_tokens
    return body


def _chunk(parts: list[JsonObject] | None, finish: str | None, usage: Usage | None) -> JsonObject:
    body: JsonObject = {"modelVersion": "test", "responseId": "resp_test"}
    if parts is not None:
        candidate: JsonObject = {"index": 0, "content": {"role": "model", "parts": parts}}
        body["candidates"] = [candidate if finish is None else {**candidate, "finishReason": finish}]
    return body if usage is None else {**body, "usageMetadata": _usage_body(usage)}


def _whole_part(part: Part) -> JsonObject:
    match part:
        case TextPart(text=text):
            return {"text": text}
        case ReasoningPart(text=text):
            return {"text": text, "thought": True}
        case ToolCall():
            return {"functionCall": {"id": part.id, "name": part.name, "args": parsed(arguments_of(part))}, **((part.opaque or {}).get(FAMILY) or {})}
        case OpaquePart(data=data):
            return data
        case _:
            raise TypeError(f"Gemini's protocol has no words for a {type(part).__name__} in an answer")
