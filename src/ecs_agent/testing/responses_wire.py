"""Scripted answers in the protocol of OpenAI's responses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from ecs_agent.errors import ErrorKind
from ecs_agent.providers.script import Script
from ecs_agent.testing.chat_wire import OPENAI_STATUSES, openai_error
from ecs_agent.testing.fault_plan import FaultPlan
from ecs_agent.testing.wire import WireEvent, WireWriter, Written, arguments_of
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

_REASONS: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Finish reasons that make an answer incomplete."""

_DELTAS: Final = {
    "output_text": "response.output_text.delta",
    "refusal": "response.refusal.delta",
    "reasoning": "response.reasoning_summary_text.delta",
}


class ResponsesWire(WireWriter):
    """Writes one answer, item by item."""

    statuses = OPENAI_STATUSES
    finishes = frozenset({"stop", "length", "tool_calls", "content_filter"})
    names_events = True

    def __init__(self, script: Script, plan: FaultPlan) -> None:
        super().__init__(script, plan)
        self._number = -1
        self._output: list[JsonObject] = []
        self._open: str | int | None = None
        """What is open: the kind of a text, or the number of a call."""
        self._has_thought = False
        self._gap = ""
        """What a client puts between thoughts of two items, each of which is a text of its own."""

    @classmethod
    def error(cls, kind: ErrorKind, message: str) -> JsonObject:
        """As OpenAI's servers write it."""
        return openai_error(kind, message)

    @classmethod
    def whole(cls, result: CompletionResult) -> JsonObject:
        """A response."""
        items = [_whole_item(part, number) for number, part in enumerate(result.message.parts)]
        return _response(items, str(result.finish_reason), result.usage)

    def _begin(self) -> Written:
        yield self._event("response.created", response={"id": "resp_test", "object": "response", "status": "in_progress", "output": []})

    def _delta(self, move: StreamDelta) -> Written:
        for kind, text in (("reasoning", move.reasoning), ("output_text", move.content), ("refusal", move.refusal)):
            if text is not None:
                yield from self._text(kind, text, move)
        for piece in move.tool_fragments:
            if self._open != piece.index:
                call = {"id": f"fc_{piece.index}", "type": "function_call", "call_id": piece.id, "name": piece.name, "arguments": ""}
                yield from self._opened(piece.index, call)
            self._item["arguments"] += piece.arguments
            yield self._event("response.function_call_arguments.delta", says=move, item_id=self._item["id"], delta=piece.arguments)
        for part in move.parts:
            yield from self._part(part, move)

    def _text(self, kind: str, text: str, move: StreamDelta) -> Written:
        if self._open != kind:
            number = len(self._output)
            if kind == "reasoning":
                self._gap = "\n\n" if self._has_thought else ""
                yield from self._opened(kind, {"id": f"rs_{number}", "type": "reasoning", "summary": []})
            else:
                yield from self._opened(kind, {"id": f"msg_{number}", "type": "message", "role": "assistant", "content": []})
        says = self._apart(text, move) if kind == "reasoning" and text else move
        yield self._event(_DELTAS[kind], says=says, item_id=self._item["id"], content_index=0, summary_index=0, delta=text, logprobs=[])

    def _apart(self, text: str, move: StreamDelta) -> StreamDelta:
        """What a delta of thoughts says: the first of an item says that it is another item, too."""
        gap, self._gap, self._has_thought = self._gap, "", True
        return replace(move, reasoning=gap + text) if gap else move

    def _part(self, part: Part, move: StreamDelta) -> Written:
        match part:
            case OpaquePart(data=data):
                yield from self._closed()
                self._output.append(dict(data))
                yield self._event("response.output_item.done", says=move, item=data)
            case CitationPart():
                yield self._event("response.output_text.annotation.added", says=move, annotation=_annotation(part), annotation_index=0)
            case ReasoningPart(text=text):
                yield from self._text("reasoning", text, move)
            case _:
                raise TypeError(f"OpenAI's protocol of responses has no words for a {type(part).__name__} in an answer")

    def _told_usage(self, usage: Usage) -> Written:  # noqa: ARG002 - it stands at the end only
        return iter(())

    def _finish(self, final: StreamDelta) -> Written:
        yield from self._closed()
        if self._plan.finish:
            usage = final.usage if self._plan.usage != "missing" else None
            response = _response(self._output, str(final.finish_reason), usage)
            yield self._event(f"response.{response['status']}", usage=usage, finish=True, done=True, response=response)

    @property
    def _item(self) -> JsonObject:
        return self._output[-1]

    def _opened(self, which: str | int, item: JsonObject) -> Written:
        yield from self._closed()
        self._open = which
        self._output.append(item)
        yield self._event("response.output_item.added", item=dict(item))

    def _closed(self) -> Written:
        if self._open is not None:
            if isinstance(self._open, int):
                yield self._event("response.function_call_arguments.done", item_id=self._item["id"], arguments=self._item["arguments"])
            self._open = None
            yield self._event("response.output_item.done", item=dict(self._item))

    def _event(
        self, kind: str, *, says: StreamDelta | None = None, usage: Usage | None = None, finish: bool = False, done: bool = False, **rest: Any
    ) -> WireEvent:
        self._number += 1
        body = {"type": kind, "sequence_number": self._number, "output_index": max(0, len(self._output) - 1), **rest}
        return self._data(body, says=says, usage=usage, finish=finish, done=done)

    def _error_event(self, kind: ErrorKind, message: str) -> WireEvent:
        told = openai_error(kind, message)["error"]
        return self._data({"type": "error", "code": told["code"], "message": told["message"], "param": None}, failure=kind)


def _response(items: list[JsonObject], finish: str, usage: Usage | None) -> JsonObject:
    reason = _REASONS.get(finish)
    return {
        "id": "resp_test",
        "object": "response",
        "status": "completed" if reason is None else "incomplete",
        "incomplete_details": None if reason is None else {"reason": reason},
        "error": None,
        "output": items,
        "usage": _usage_body(usage) if usage is not None else None,
    }


def _usage_body(usage: Usage) -> JsonObject:
    body: JsonObject = {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens, "total_tokens": usage.total_tokens}
    if usage.cached_tokens is not None:
        body["input_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage.reasoning_tokens is not None:
        body["output_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return body


def _annotation(part: CitationPart) -> JsonObject:
    return part.data or {"type": "url_citation", "url": part.url, "title": part.title, "start_index": part.start, "end_index": part.end}


def _whole_item(part: Part, number: int) -> JsonObject:
    match part:
        case TextPart(text=text):
            return _whole_message({"type": "output_text", "text": text, "annotations": []}, number)
        case RefusalPart(text=text):
            return _whole_message({"type": "refusal", "refusal": text}, number)
        case ReasoningPart(text=text):
            return {"id": f"rs_{number}", "type": "reasoning", "summary": [{"type": "summary_text", "text": text}]}
        case ToolCall():
            return {"id": f"fc_{number}", "type": "function_call", "call_id": part.id, "name": part.name, "arguments": arguments_of(part)}
        case OpaquePart(data=data):
            return data
        case CitationPart():
            return _whole_message({"type": "output_text", "text": "", "annotations": [_annotation(part)]}, number)
        case _:
            raise TypeError(f"OpenAI's protocol of responses has no words for a {type(part).__name__} in an answer")


def _whole_message(content: JsonObject, number: int) -> JsonObject:
    return {"id": f"msg_{number}", "type": "message", "role": "assistant", "status": "completed", "content": [content]}
