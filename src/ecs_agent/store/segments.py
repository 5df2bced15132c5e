"""Segments: the pieces of one answer that stand in one frame, told together. Most of a stream is text, and a piece of it costs little more than that.

Of one plain piece the data is its text, of several a list of texts, of anything else what a `DeltaWriter` writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, Final, cast

from ecs_agent.core.log import Burst
from ecs_agent.errors import StoreFormatError
from ecs_agent.store.fact_data import FactData, Place
from ecs_agent.streaming.delta_data import DeltaWriter, is_text
from ecs_agent.streaming.json_edge import is_list
from ecs_agent.types import StreamDelta

_pos: Final = attrgetter("pos")


class Segment:
    """Bursts of one attempt, gathered.

    Args:
        first: the first of them.
        tag: that of the component that takes them in, if one does.
        writer: of the attempt's deltas.
    """

    __slots__ = ("_data", "_first", "_places", "_tag", "_writer")

    def __init__(self, first: Burst, tag: str | None, writer: DeltaWriter) -> None:
        self._first = first
        self._tag = tag
        self._writer = writer
        self._places: list[Place] = []
        self._data: list[Any] = []

    def takes(self, burst: Burst) -> bool:
        """Whether a burst of the same entity belongs here."""
        first = self._first
        return burst.attempt == first.attempt and burst.turn == first.turn and burst.run == first.run and burst.into is first.into

    def add(self, burst: Burst) -> None:
        """Take the next burst."""
        items = cast("Sequence[StreamDelta]", burst.items)
        self._places.append((burst.pos, burst.seq, len(items), burst.time, burst.at))
        if len(items) == 1 and is_text(items[0]):
            self._data.append(items[0].content)
        elif all(map(is_text, items)):
            self._data.append([delta.content for delta in items])
        else:
            self._data.append(self._writer.write(items))

    def fact(self) -> FactData:
        """All of them."""
        first, change = self._first, None if self._tag is None else ["add", self._tag, self._first.at]
        return FactData(
            first.pos, sum([place[2] for place in self._places]), first.entity, first.seq, first.run, first.turn, first.attempt, first.parent,
            first.kind.value, first.type, first.version, first.time, self._data, change, self._places,
        )  # fmt: skip


def expanded(facts: list[FactData]) -> list[FactData]:
    """Facts with their segments taken apart again, in order.

    Raises:
        StoreFormatError: a segment is damaged.
    """
    if all(fact.places is None for fact in facts):
        return facts
    apart = [burst for fact in facts for burst in ((fact,) if fact.places is None else _bursts(fact))]
    apart.sort(key=_pos)
    return apart


def _bursts(segment: FactData) -> Iterable[FactData]:
    places, data, change = segment.places or [], segment.data, segment.change
    if not is_list(data) or len(data) != len(places):
        raise StoreFormatError(f"the pieces of an answer at position {segment.pos} are damaged")
    for (pos, seq, count, time, at), items in zip(places, data, strict=True):
        yield FactData(
            pos, count, segment.entity, seq, segment.run, segment.turn, segment.attempt, segment.parent, segment.kind, segment.type,
            segment.version, time, deltas_data(items), None if change is None else [*change[:2], at],
        )  # fmt: skip


def deltas_data(items: Any) -> Any:
    """The data of one burst of a segment as a `DeltaReader` reads it."""
    if isinstance(items, str):
        return [{"text": items}]
    if is_list(items):
        return [{"text": item} if isinstance(item, str) else item for item in items]
    return items
