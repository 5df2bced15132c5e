"""Scripted answers in the protocol of Anthropic's messages."""

from __future__ import annotations

from typing import ClassVar, Final

from ecs_agent.errors import ErrorKind
from ecs_agent.providers.script import Script, Step
from ecs_agent.testing.fault_plan import FaultPlan
from ecs_agent.testing.wire import WireEvent, WireWriter, Written, arguments_of, is_object, parsed
from ecs_agent.types import (
    CitationPart,
    CompletionResult,
    JsonObject,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    StreamDelta,
    TextPart,
    ToolCall,
    Usage,
)

_ERRORS: Final = {
    ErrorKind.AUTH: (401, "authentication_error", ""),
    ErrorKind.BAD_REQUEST: (400, "invalid_request_error", ""),
    ErrorKind.CONTEXT_LENGTH: (400, "invalid_request_error", "prompt is too long: "),
    ErrorKind.CONTENT_FILTER: (400, "invalid_request_error", "Output blocked by content filtering policy: "),
    ErrorKind.RATE_LIMIT: (429, "rate_limit_error", ""),
    ErrorKind.QUOTA: (400, "invalid_request_error", "Your credit balance is too low: "),
    ErrorKind.SERVER: (529, "overloaded_error", ""),
    ErrorKind.TIMEOUT: (408, "timeout_error", ""),
}
_FINISH_WORDS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "pause": "pause_turn",
}


class AnthropicWire(WireWriter):
    """Writes one answer, block by block."""

    statuses: ClassVar = {kind: status for kind, (status, _, _) in _ERRORS.items()}
    names_events = True

    def __init__(self, script: Script, plan: FaultPlan) -> None:
        super().__init__(script, plan)
        self._index = -1
        self._open: str | int | None = None
        """Which block is open: the kind of a text, or the number of a call."""

    @classmethod
    def error(cls, kind: ErrorKind, message: str) -> JsonObject:
        """An error of the API."""
        _, word, before = _ERRORS[kind]
        return {"type": "error", "error": {"type": word, "message": f"{before}{message}"}, "request_id": "req_test"}

    @classmethod
    def can_say(cls, step: Step) -> bool:
        """Everything but refusals in words of the model's own."""
        return not isinstance(step, RefusalPart)

    @classmethod
    def whole(cls, result: CompletionResult) -> JsonObject:
        """A message; arguments that are no object cannot be told in one."""
        message: JsonObject = {"id": "msg_test", "type": "message", "role": "assistant", "model": "test", "stop_sequence": None}
        message["content"] = [_whole_block(part) for part in result.message.parts]
        message["stop_reason"] = _FINISH_WORDS[str(result.finish_reason)]
        return message if result.usage is None else {**message, "usage": _usage_body(_tellable(result.usage))}

    def _begin(self) -> Written:
        message: JsonObject = {"id": "msg_test", "type": "message", "role": "assistant", "model": "test", "content": [], "stop_reason": None}
        yield self._data({"type": "message_start", "message": message})

    def _delta(self, move: StreamDelta) -> Written:
        for kind, field, text in (("thinking", "thinking", move.reasoning), ("text", "text", move.content)):
            if text is not None:
                yield from self._opened(kind, {"type": kind, field: ""})
                yield self._block("content_block_delta", {"delta": {"type": f"{kind}_delta", field: text}}, says=move)
        for piece in move.tool_fragments:
            yield from self._opened(piece.index, {"type": "tool_use", "id": piece.id, "name": piece.name, "input": {}})
            yield self._block("content_block_delta", {"delta": {"type": "input_json_delta", "partial_json": piece.arguments}}, says=move)
        for part in move.parts:
            yield from self._part(part, move)

    def _part(self, part: Part, move: StreamDelta) -> Written:
        match part:
            case OpaquePart(data=data):
                yield from self._closed()
                self._index += 1
                yield self._block("content_block_start", {"content_block": data})
                yield self._block("content_block_stop", {}, says=move)
            case CitationPart():
                yield from self._opened("text", {"type": "text", "text": ""})
                yield self._block("content_block_delta", {"delta": {"type": "citations_delta", "citation": _citation(part)}}, says=move)
            case ReasoningPart(text=text):
                yield from self._delta(StreamDelta(reasoning=text))
            case _:
                raise TypeError(f"Anthropic's protocol has no words for a {type(part).__name__} in an answer")

    def _told_usage(self, usage: Usage) -> Written:
        told = _tellable(usage)
        yield self._data({"type": "message_delta", "delta": {"stop_reason": None}, "usage": _usage_body(told)}, usage=told)

    def _finish(self, final: StreamDelta) -> Written:
        yield from self._closed()
        usage = _tellable(final.usage) if final.usage is not None and self._plan.usage != "missing" else None
        word = _FINISH_WORDS[str(final.finish_reason)] if self._plan.finish else None
        body: JsonObject = {"type": "message_delta", "delta": {"stop_reason": word, "stop_sequence": None}}
        if usage is not None:
            body["usage"] = _usage_body(usage)
        yield self._data(body, usage=usage, finish=self._plan.finish)
        if self._plan.done:
            yield self._data({"type": "message_stop"}, done=True)

    def _opened(self, which: str | int, block: JsonObject) -> Written:
        if self._open != which:
            yield from self._closed()
            self._index += 1
            self._open = which
            yield self._block("content_block_start", {"content_block": block})

    def _closed(self) -> Written:
        if self._open is not None:
            self._open = None
            yield self._block("content_block_stop", {})

    def _block(self, kind: str, rest: JsonObject, *, says: StreamDelta | None = None) -> WireEvent:
        return self._data({"type": kind, "index": self._index, **rest}, says=says)


def _tellable(usage: Usage) -> Usage:
    """What of a usage the protocol can tell: no total of its own, what a cache read and wrote as parts of the prompt, nothing of reasoning."""
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    cached = min(usage.cached_tokens, prompt) if usage.cached_tokens is not None else None
    written = min(usage.cache_write_tokens, prompt - (cached or 0)) if usage.cache_write_tokens is not None else None
    return Usage(prompt, completion, prompt + completion, cached, cache_write_tokens=written)


def _usage_body(usage: Usage) -> JsonObject:
    told = {"cache_read_input_tokens": usage.cached_tokens, "cache_creation_input_tokens": usage.cache_write_tokens}
    plain = usage.prompt_tokens - (usage.cached_tokens or 0) - (usage.cache_write_tokens or 0)
    return {"input_tokens": plain, "output_tokens": usage.completion_tokens, **{name: count for name, count in told.items() if count is not None}}


def _citation(part: CitationPart) -> JsonObject:
    return part.data or {"type": "web_search_result_location", "url": part.url, "title": part.title, "cited_text": part.quote}


def _whole_block(part: Part) -> JsonObject:
    match part:
        case TextPart(text=text):
            return {"type": "text", "text": text}
        case ReasoningPart(text=text):
            return {"type": "thinking", "thinking": text, "signature": ""}
        case ToolCall():
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": parsed(arguments_of(part)) if is_object(part) else {}}
        case OpaquePart(data=data):
            return data
        case CitationPart():
            return {"type": "text", "text": "", "citations": [_citation(part)]}
        case _:
            raise TypeError(f"Anthropic's protocol has no words for a {type(part).__name__} in an answer")
