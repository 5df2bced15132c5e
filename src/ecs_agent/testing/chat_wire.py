"""The events of a scripted answer in the OpenAI chat protocol, with the faults of a plan built in.

Everything that is sent remembers what it says, so that what a correct client must report follows from the plan and not from any client.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from ecs_agent.errors import ErrorKind, ProviderError
from ecs_agent.providers.openai_chat_parts import SOURCE
from ecs_agent.providers.script import Move, Script, moves
from ecs_agent.testing.fault_plan import FaultPlan
from ecs_agent.testing.reply import chunk_body, usage_body
from ecs_agent.types import CitationPart, JsonObject, OpaquePart, Part, ReasoningPart, StreamDelta, ToolCall, ToolCallFragment, Usage

STATUS: Final[dict[ErrorKind, tuple[int, str]]] = {
    ErrorKind.AUTH: (401, "invalid_api_key"),
    ErrorKind.BAD_REQUEST: (400, "invalid_request_error"),
    ErrorKind.CONTEXT_LENGTH: (400, "context_length_exceeded"),
    ErrorKind.CONTENT_FILTER: (400, "content_filter"),
    ErrorKind.RATE_LIMIT: (429, "rate_limit_exceeded"),
    ErrorKind.QUOTA: (429, "insufficient_quota"),
    ErrorKind.SERVER: (500, "server_error"),
    ErrorKind.TIMEOUT: (408, "timeout"),
}
"""How a server says what went wrong; the kinds that are not here are no words but broken connections and bodies."""

FINISH_WORDS: Final = {"pause": "pause_turn"}
"""Finish reasons that have another name in the protocol."""


@dataclass(frozen=True, slots=True)
class WireEvent:
    """One event as it is sent.

    Attributes:
        raw: its bytes, up to and with its blank line.
        data_end: how many of them hold its data whole; what comes after them only ends lines.
        says: what it adds to the answer.
        usage: the usage it tells.
        finish: it holds the finish reason.
        done: it is `[DONE]`.
        failure: it says that the answer failed.
    """

    raw: bytes
    data_end: int
    says: StreamDelta | None = None
    usage: Usage | None = None
    finish: bool = False
    done: bool = False
    failure: ErrorKind | None = None


def wire_of(script: Script, plan: FaultPlan) -> list[WireEvent | float]:
    """Everything that a server with this plan sends of an answer, were it not cut at a byte; a number is a pause."""
    return list(_Writer(script, plan).written())


def refusal_kind(script: Script, plan: FaultPlan) -> ErrorKind | None:
    """With which error a server refuses from the start; None if it answers."""
    first = next(moves(script, plan.by))
    if plan.refuse is not None or not isinstance(first, Exception):
        return plan.refuse
    return first.kind if isinstance(first, ProviderError) else ErrorKind.CONNECTION


class _Writer:
    """Writes one answer."""

    def __init__(self, script: Script, plan: FaultPlan) -> None:
        self._script = script
        self._plan = plan
        self._told = 0
        self._usage: Usage | None = None
        calls = [step for step in script.in_order if isinstance(step, ToolCall)]
        unnamed = plan.call_ids != "given" and plan.call_index != "given"
        self._ids = "given" if unnamed and not all(_is_object(call) for call in calls) else plan.call_ids
        self._whole_calls = self._ids != "given" and plan.call_index != "given"
        self._last_usage = next((step for step in reversed(script.in_order) if isinstance(step, Usage)), None)

    def written(self) -> Iterator[WireEvent | float]:
        """The events and pauses in order."""
        limits = [(at, fails) for at, fails in ((self._plan.cut_after, False), (self._plan.fail_after, True)) if at is not None]
        limit, fails = min(limits, default=(None, False))
        yield self._event({"role": "assistant", "content": ""})
        deltas = 0
        for move in _gathered(moves(self._script, self._plan.by), whole_calls=self._whole_calls):
            reached = limit is not None and isinstance(move, StreamDelta) and (deltas >= limit or move.final)
            if reached or isinstance(move, Exception):
                if isinstance(move, Exception):
                    yield self._failure(_kind(move), str(move))
                elif fails:
                    yield self._failure(self._plan.fail_with, f"failed by plan {self._plan.seed}")
                return
            match move:
                case StreamDelta(final=True):
                    yield from self._finish(move)
                case StreamDelta():
                    deltas += 1
                    yield from self._pending_usage()
                    yield self._event(_fields(move, self._fragment), says=move)
                case Usage():
                    yield from self._pending_usage()
                    self._usage = move
                case _:
                    yield move

    def _pending_usage(self) -> Iterator[WireEvent]:
        """A usage that is not the last thing in a script stands where it stands."""
        if self._usage is not None and self._plan.usage != "missing":
            yield self._data(chunk_body(usage=self._usage), usage=self._usage)
        self._usage = None

    def _finish(self, final: StreamDelta) -> Iterator[WireEvent]:
        where, usage, word = self._plan.usage, final.usage, str(final.finish_reason)
        beside = usage if where in ("with_finish", "every_chunk") else None
        if self._plan.finish:
            yield self._data(chunk_body({}, finish=FINISH_WORDS.get(word, word), usage=beside), usage=beside, finish=True)
        if usage is not None and (where in ("after_finish", "every_chunk") or (where == "with_finish" and not self._plan.finish)):
            yield self._data(chunk_body(usage=usage), usage=usage)
        if self._plan.done:
            yield self._data("[DONE]", done=True)

    def _failure(self, kind: ErrorKind, message: str) -> WireEvent:
        if kind in STATUS:
            return self._data({"error": error_body(kind, message)}, failure=kind)
        if kind is ErrorKind.MALFORMED:
            return self._data("this is not JSON", failure=kind)
        return WireEvent(b"", 0, failure=ErrorKind.STREAM_INTERRUPTED)

    def _event(self, delta: JsonObject, *, says: StreamDelta | None = None) -> WireEvent:
        body, usage = chunk_body(delta), None
        if self._plan.usage == "every_chunk" and self._last_usage is not None:
            prompt = self._last_usage.prompt_tokens
            usage = Usage(prompt, self._told, prompt + self._told)
            self._told += 1
            body["usage"] = usage_body(usage)
        return self._data(body, says=says, usage=usage)

    def _data(
        self,
        data: JsonObject | str,
        *,
        says: StreamDelta | None = None,
        usage: Usage | None = None,
        finish: bool = False,
        done: bool = False,
        failure: ErrorKind | None = None,
    ) -> WireEvent:
        end = self._plan.line_end
        comment = {"none": "", "between": f": keep-alive{end}{end}", "inside": f": keep-alive{end}"}[self._plan.comments]
        text = f"{comment}data: {data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)}".encode()
        return WireEvent(text + f"{end}{end}".encode(), len(text), says, usage, finish, done, failure)

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


def _gathered(played: Iterable[Move], *, whole_calls: bool) -> Iterator[Move]:
    """The same moves; with `whole_calls` all fragments of a call are one delta."""
    held: StreamDelta | None = None
    for move in played:
        piece = move if whole_calls and isinstance(move, StreamDelta) and move.tool_fragments else None
        if held is not None and piece is not None and piece.tool_fragments[0].index == held.tool_fragments[0].index:
            first = held.tool_fragments[0]
            joined = replace(first, arguments=first.arguments + piece.tool_fragments[0].arguments)
            held = StreamDelta(tool_calls=piece.tool_calls, tool_fragments=(joined,))
            continue
        if held is not None:
            yield held
        held = piece
        if piece is None:
            yield move


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


def _is_object(call: ToolCall) -> bool:
    return call.raw_arguments is None or isinstance(parsed(call.raw_arguments), dict)


def parsed(text: str) -> object:
    """The JSON value, None for what is no JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def _kind(error: Exception) -> ErrorKind:
    return error.kind if isinstance(error, ProviderError) else ErrorKind.STREAM_INTERRUPTED


def error_body(kind: ErrorKind, message: str) -> JsonObject:
    """An error object of the protocol."""
    return {"message": message, "type": STATUS[kind][1], "param": None, "code": STATUS[kind][1]}
