"""The one fold: from deltas to a message. Providers, systems, tests and replay all use it, so they cannot disagree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ecs_agent.streaming.text_buffer import TextBuffer
from ecs_agent.streaming.tool_calls import is_whole
from ecs_agent.types import (
    CompletionResult,
    FinishReason,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    StreamDelta,
    TextPart,
    Timing,
    TokenLogprob,
    ToolCall,
    Usage,
)

_MAKE: dict[str, Callable[[str], Part]] = {"reasoning": ReasoningPart, "content": TextPart, "refusal": RefusalPart}


class TextDeltas(list[StreamDelta]):
    """Deltas that are new text and nothing else. Nearly all deltas are, and a decoder that knows it spares the fold a look at each of them."""

    __slots__ = ()


class Fold:
    """Accumulates the deltas of one answer; `result` can be asked at any time.

    Parts keep the order in which they began: text, then reasoning, then text again are three parts. Tool calls stand where the first of them
    appeared. Of usage the last value wins.
    """

    __slots__ = ("_calls", "_calls_at", "_finish", "_kind", "_logprobs", "_parts", "_raw", "_text", "_usage", "complete")

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._kind = ""
        self._text = TextBuffer()
        self._calls: Sequence[ToolCall] = ()
        self._calls_at: int | None = None
        self._usage: Usage | None = None
        self._finish: FinishReason | None = None
        self._raw: str | None = None
        self._logprobs: list[TokenLogprob] = []
        self.complete = False

    def extend(self, deltas: Sequence[StreamDelta]) -> None:
        """Take the next deltas."""
        if type(deltas) is TextDeltas and self._kind == "content":
            self._text.extend([delta.content or "" for delta in deltas])
        else:
            for delta in deltas:
                self.add(delta)

    def add(self, delta: StreamDelta) -> None:
        """Take the next delta."""
        if delta.content and self._kind == "content" and not delta.reasoning and not delta.refusal:
            self._text.append(delta.content)
        elif delta.content or delta.reasoning or delta.refusal:
            self._texts(delta)
        if delta.parts:
            self._close()
            self._parts.extend(delta.parts)
        if delta.tool_calls is not None:
            if self._calls_at is None and len(delta.tool_calls):
                self._close()
                self._calls_at = len(self._parts)
            self._calls = delta.tool_calls
        if delta.logprobs:
            self._logprobs += delta.logprobs
        if delta.usage is not None:
            self._usage = delta.usage
        if delta.final or delta.finish_reason is not None:
            self.complete = True
            self._finish = delta.finish_reason or self._finish
            self._raw = delta.raw_finish_reason or self._raw

    @property
    def usage(self) -> Usage | None:
        """The usage reported so far."""
        return self._usage

    def _texts(self, delta: StreamDelta) -> None:
        for kind, text in (("reasoning", delta.reasoning), ("content", delta.content), ("refusal", delta.refusal)):
            if text:
                if kind != self._kind:
                    self._close()
                    self._kind = kind
                self._text.append(text)

    def _close(self) -> None:
        if self._kind:
            self._parts.append(_MAKE[self._kind](str(self._text)))
            self._kind, self._text = "", TextBuffer()

    def result(self, timing: Timing | None = None) -> CompletionResult:
        """What has arrived so far. Until the answer is complete its message is marked interrupted, and a call that is not whole is left out."""
        parts = list(self._parts)
        if self._kind:
            parts.append(_MAKE[self._kind](str(self._text)))
        if self._calls_at is not None:
            calls = self._calls if self.complete else [call for call in self._calls if is_whole(call)]
            parts[self._calls_at : self._calls_at] = calls
        message = Message("assistant", parts=parts, interrupted=not self.complete)
        return CompletionResult(message, self._usage, self._finish, self._raw, timing, tuple(self._logprobs))


def fold(deltas: Iterable[StreamDelta]) -> CompletionResult:
    """The result of an answer's deltas, or of its first ones."""
    folded = Fold()
    for delta in deltas:
        folded.add(delta)
    return folded.result()


def merge(earlier: StreamDelta, later: StreamDelta) -> StreamDelta | None:
    """Two adjacent deltas as one with the same fold; None where their order would be lost.

    That is where the later one has text of a kind that stands before what the earlier one holds (within a delta the order is reasoning,
    content, refusal, parts, calls), or where the earlier one is final.
    """
    if earlier.final or earlier.finish_reason is not None or _last(earlier) > _first(later):
        return None
    return StreamDelta(
        content=_joined(earlier.content, later.content),
        tool_calls=later.tool_calls if later.tool_calls is not None else earlier.tool_calls,
        finish_reason=later.finish_reason,
        usage=later.usage if later.usage is not None else earlier.usage,
        reasoning=_joined(earlier.reasoning, later.reasoning),
        refusal=_joined(earlier.refusal, later.refusal),
        tool_fragments=earlier.tool_fragments + later.tool_fragments,
        parts=earlier.parts + later.parts,
        raw_finish_reason=later.raw_finish_reason,
        final=later.final,
        logprobs=earlier.logprobs + later.logprobs,
    )


def _joined(a: str | None, b: str | None) -> str | None:
    return a if not b else b if not a else a + b


def _kinds(delta: StreamDelta) -> list[int]:
    held = (delta.reasoning, delta.content, delta.refusal, delta.parts, delta.tool_calls)
    return [place for place, value in enumerate(held) if value is not None and len(value)]


def _last(delta: StreamDelta) -> int:
    return max(_kinds(delta), default=-1)


def _first(delta: StreamDelta) -> int:
    return min(_kinds(delta), default=5)
