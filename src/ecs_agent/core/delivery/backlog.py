"""Backlog: what waits in a stream for its reader, in order and within bounds.

* It is a line of facts, of bursts that are handed out fact by fact, and of *blends*: neighbours of one entity, one type and one attempt,
  which become few events.
* A fact joins the blend at the end of its entity's facts only, so nothing is reordered within an entity. It then has the place of its newest
  part.
* What joins lies loose until a reader comes, or until so much lies loose in all blends that it pays to merge it. So merging costs the same
  per fact however far behind the reader is, and a stream that nobody reads holds its text and not its pieces.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from ecs_agent.core.delivery.gap import Gap
from ecs_agent.core.delivery.policy import MOST_MERGED, Merge, most
from ecs_agent.core.log import Entry, Envelope
from ecs_agent.types import EntityId

COMPACT_AT = 1024
"""From so many loose facts on they are merged although nobody reads; with many blends, from a few in each on."""

_logger = logging.getLogger("ecs_agent.core.delivery.backlog")


class _Part(NamedTuple):
    """An envelope to hand out, and which facts it stands for: the first one's place, and how many."""

    envelope: Envelope
    first_pos: int
    facts: int


class _Blend:
    """Facts that become few events: what was merged so far, and what lies loose."""

    __slots__ = ("loose", "newest", "parts")

    def __init__(self, newest: Entry) -> None:
        self.newest = newest
        self.parts: deque[_Part] = deque()
        self.loose: list[Entry] = []


_Cell: TypeAlias = Entry | _Blend


class Backlog:
    """A line of waiting facts.

    `waiting` counts the events that would be handed out, `readable` is more than 0 if there is one now.

    Args:
        entity: whose they are, None for all.
        limit: from how many on neighbours are merged that can be.
        mergers: how, by type of event.
        holding: keep merged ones back until `release`, or until a fact comes that cannot be merged.
    """

    def __init__(self, entity: EntityId | None, limit: int, mergers: Mapping[type, Merge], *, holding: bool = False) -> None:
        self.waiting = 0
        self.readable = 0
        self._limit = -1 if holding else limit
        self._most = most(limit)
        self._mergers = mergers
        self._holding = holding
        self._cells: deque[_Cell] = deque()
        self._start = 0  # so many facts of the burst in front were handed out
        self._open: dict[EntityId | None, _Blend] = {}
        self._facts = 0
        self._loose = 0
        self._dirty: dict[_Blend, None] = {}
        self._entity = entity
        self._gap: Gap | None = None

    def release(self) -> None:
        """Hand out what was kept back."""
        self.readable = len(self._cells) + (self._gap is not None)

    def push(self, entry: Entry, kind: type) -> None:
        """Take facts of a type in."""
        count = 1 if type(entry) is Envelope else entry.count
        self._facts += count
        if self.waiting + count > self._limit and kind in self._mergers:
            self._join(entry, kind)
            if not self._holding:
                self.release()
        else:
            self._cells.append(entry)
            self.waiting += count
            if self._open:
                self._open.pop(entry.entity, None)
            self.release()
        while self.waiting > self._most or self._facts > MOST_MERGED:
            self._skip()

    def pop(self) -> Envelope:
        """Hand out the next; there is one if it is `readable`."""
        if self._gap is not None:
            self.readable -= 1
            gap, self._gap = self._gap, None
            return gap.envelope(self._entity)
        cell = self._cells[0]
        if isinstance(cell, _Blend):
            return self._take().envelope
        start = self._start  # what follows is `_take` once more, for what nearly always stands in front
        self.waiting -= 1
        self._facts -= 1
        if type(cell) is Envelope or start + 1 == cell.count:
            self._start = 0
            self._cells.popleft()
            self.readable -= 1
        else:
            self._start = start + 1
        return cell.fact(start)

    def _take(self) -> _Part:
        cell = self._cells[0]
        if isinstance(cell, _Blend):
            self._merge(cell)
            part = cell.parts.popleft()
            over = not cell.parts
            if over and self._open.get(cell.newest.entity) is cell:
                del self._open[cell.newest.entity]
        else:
            envelope = cell.fact(self._start)
            part = _Part(envelope, envelope.pos, 1)
            self._start += 1
            over = self._start == cell.count
        self.waiting -= 1
        self._facts -= part.facts
        if over:
            self._start = 0
            self._cells.popleft()
            self.readable -= self.readable > (self._gap is not None)
        return part

    def _skip(self) -> None:
        part = self._take()
        if self._gap is None:
            self._gap = Gap(*part)
            self.readable += 1
        else:
            self._gap.add(*part)

    def _join(self, entry: Entry, kind: type) -> None:
        blend = self._open.get(entry.entity)
        if blend is None or not _together(blend.newest, entry, kind):
            blend = self._open[entry.entity] = self._blend(entry, kind)
        self._lay(blend, entry)
        if self._loose >= max(COMPACT_AT, 4 * len(self._dirty)):
            for dirty in list(self._dirty):
                self._merge(dirty)

    def _blend(self, entry: Entry, kind: type) -> _Blend:
        """A new blend at the end; of what stands there already, if that fits."""
        blend = _Blend(entry)
        last = self._cells[-1] if self._cells else None
        if last is not None and not isinstance(last, _Blend) and _together(last, entry, kind):
            self._cells.pop()
            rest = last
            if not self._cells:
                rest, self._start = last.rest(self._start), 0
            self._lay(blend, rest)
            self.waiting -= rest.count
        self._cells.append(blend)
        self.waiting += 1
        return blend

    def _lay(self, blend: _Blend, entry: Entry) -> None:
        self._dirty[blend] = None
        blend.loose.append(entry)
        blend.newest = entry
        self._loose += entry.count

    def _merge(self, blend: _Blend) -> None:
        """Merge what lies loose in a blend with the last event that stands in it already."""
        parts, loose = blend.parts, blend.loose
        if not loose:
            return
        before = len(parts) or 1
        known = parts.pop() if parts else None
        payloads: list[Any] = [] if known is None else [known.envelope.payload]
        places: list[tuple[Entry, int]] = [] if known is None else [(known.envelope, 0)]
        for entry in loose:
            payloads += entry.payloads()
            places += [(entry, index) for index in range(entry.count)]
        start = 0
        for payload, count in _merged(self._mergers[blend.newest.event_type], payloads):
            entry, index = places[start + count - 1]
            first_pos, facts = places[start][0].pos + places[start][1], count
            if known is not None and start == 0:
                first_pos, facts = known.first_pos, known.facts + count - 1
            parts.append(_Part(entry.envelope(index, payload), first_pos, facts))
            start += count
        self._loose -= len(payloads) - (known is not None)
        loose.clear()
        del self._dirty[blend]
        self.waiting += len(parts) - before


def _together(earlier: Entry, later: Entry, kind: type) -> bool:
    """Whether two facts belong to the same attempt of one entity, and are of the same type."""
    return (
        earlier.event_type is kind
        and earlier.entity == later.entity
        and earlier.attempt == later.attempt
        and earlier.turn == later.turn
        and earlier.run == later.run
        and earlier.epoch == later.epoch
    )


def _merged(merge: Merge, events: Sequence[Any]) -> list[tuple[Any, int]]:
    """Events merged; left as they are when their type's way of merging fails, since it is nobody's business here that it does."""
    try:
        merged = list(merge(events))
        if sum([count for _, count in merged]) == len(events) and all(count > 0 for _, count in merged):
            return merged
        _logger.error("events of %s were merged into others that do not stand for all of them", type(events[0]).__name__)
    except Exception:
        _logger.exception("events of %s could not be merged", type(events[0]).__name__)
    return [(event, 1) for event in events]
