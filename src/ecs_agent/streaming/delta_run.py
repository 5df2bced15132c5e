"""Adjacent deltas as one, at a cost that grows with their number and their text, and not with the square of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from ecs_agent.types import StreamDelta


class DeltaRun:
    """Deltas that can be one delta with the same fold; see `merge` for when they can.

    Args:
        first: the first of them.
        count: for how many it stands itself.
    """

    __slots__ = ("_content", "_deltas", "_last", "_reasoning", "_refusal", "_whole", "count")

    def __init__(self, first: StreamDelta, count: int) -> None:
        self.count = 0
        self._deltas: list[StreamDelta] = []
        self._last = -1
        self._whole = False
        self._reasoning: list[str] = []
        self._content: list[str] = []
        self._refusal: list[str] = []
        self.take(first, count)

    def take(self, delta: StreamDelta, count: int) -> bool:
        """Take the next delta, if it fits."""
        held = _kinds(delta)
        if self._whole or (held and held[0] < self._last):
            return False
        self.count += count
        self._deltas.append(delta)
        if held:
            self._last = max(self._last, held[-1])
        for texts, text in ((self._reasoning, delta.reasoning), (self._content, delta.content), (self._refusal, delta.refusal)):
            if text:
                texts.append(text)
        self._whole = delta.final or delta.finish_reason is not None
        return True

    def delta(self) -> StreamDelta:
        """All of them as one."""
        deltas = self._deltas
        first, last = deltas[0], deltas[-1]
        if len(deltas) == 1:
            return first
        return StreamDelta(
            content="".join(self._content) if self._content else first.content,
            tool_calls=next((delta.tool_calls for delta in reversed(deltas) if delta.tool_calls is not None), None),
            finish_reason=last.finish_reason,
            usage=next((delta.usage for delta in reversed(deltas) if delta.usage is not None), None),
            reasoning="".join(self._reasoning) if self._reasoning else first.reasoning,
            refusal="".join(self._refusal) if self._refusal else first.refusal,
            tool_fragments=tuple([fragment for delta in deltas for fragment in delta.tool_fragments]),
            parts=tuple([part for delta in deltas for part in delta.parts]),
            raw_finish_reason=last.raw_finish_reason,
            final=last.final,
            logprobs=tuple([logprob for delta in deltas for logprob in delta.logprobs]),
        )


def runs(deltas: Iterable[StreamDelta]) -> Iterator[DeltaRun]:
    """Deltas in order, cut into runs; plain text, nearly all there is, is joined at once."""
    run: DeltaRun | None = None
    for is_text, group in groupby(deltas, _is_text):
        texts = [delta.content or "" for delta in group] if is_text else []
        for delta, count in [(StreamDelta("".join(texts)), len(texts))] if is_text else [(delta, 1) for delta in group]:
            if run is None:
                run = DeltaRun(delta, count)
            elif not run.take(delta, count):
                yield run
                run = DeltaRun(delta, count)
    if run is not None:
        yield run


def _is_text(delta: StreamDelta) -> bool:
    if not delta.content or delta.final or delta.finish_reason or delta.raw_finish_reason or delta.usage:
        return False
    return not (delta.reasoning or delta.refusal or delta.parts or delta.logprobs or delta.tool_fragments or delta.tool_calls is not None)


def _kinds(delta: StreamDelta) -> list[int]:
    """The places, in the order within a delta, of what it holds."""
    held = (delta.reasoning, delta.content, delta.refusal, delta.parts, delta.tool_calls)
    return [place for place, value in enumerate(held) if value]
