"""The log: every fact of a world, numbered.

Rules:
* `pos` is a fact's place in the world's log, without gaps; `seq` is its place among the facts of its entity. Order is `pos`, never `time`.
* State is written, then the fact is appended, then subscribers are woken.
* After a restart the log goes on with a new `epoch`, so that a consumer can see that it was ahead of what was stored.
* An *input* came from outside (a delta, a tool's result, a user's message); everything else is *derived* from inputs by systems.
* Facts that arrive together, as the deltas of one read from a socket, enter as one `Burst`. It counts as so many facts; the envelopes and
  events of its facts are made when somebody reads them, which for most deltas is never.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from enum import StrEnum, unique
from functools import lru_cache
from itertools import islice
from operator import attrgetter
from typing import Any, NoReturn, Protocol, TypeAlias, TypeVar, cast, runtime_checkable

import msgspec

from ecs_agent.core.change import Change
from ecs_agent.core.checkpoint import Checkpoint, SavedRow
from ecs_agent.errors import LogTruncatedError, NoHistoryError
from ecs_agent.types import EntityId

PayloadType: TypeAlias = type[Any]
"""A class; under a name of its own, since envelopes have a field `type`."""

Item_contra = TypeVar("Item_contra", contravariant=True)


@unique
class EventKind(StrEnum):
    """Whether a fact came from outside or follows from facts that did."""

    INPUT = "input"
    DERIVED = "derived"


class Envelope(msgspec.Struct, frozen=True):
    """A fact with its place. A struct of msgspec and not a dataclass, since this costs a fifth.

    `run`, `turn` and `attempt` say to which of them the fact belongs (0 = none yet); `parent` is the entity that spawned this one.
    `type` is the name of the payload's class, `version` the version of its shape; `time` is UTC in nanoseconds, for information only.
    `change` is what became of a component with this fact, for logs that keep state (`Log.keeps_changes`); None in all others.
    """

    epoch: int
    pos: int
    entity: EntityId | None
    seq: int
    run: int
    turn: int
    attempt: int
    parent: EntityId | None
    kind: EventKind
    type: str
    version: int
    time: int
    payload: Any
    change: Change | None = None

    # A fact alone answers to what a burst does, so that whoever takes both need not ask which it was given.

    @property
    def count(self) -> int:
        """How many facts these are."""
        return 1

    @property
    def event_type(self) -> PayloadType:
        """The class of the payload."""
        payload: object = self.payload
        return type(payload)

    def fact(self, index: int) -> Envelope:
        """The fact itself."""
        assert index == 0  # noqa: S101 - there is one
        return self

    def rest(self, start: int) -> Envelope:
        """What is left when the first `start` facts are taken away: none are."""
        return self.fact(start)

    def envelope(self, index: int, payload: object) -> Envelope:
        """Another payload in this place."""
        return msgspec.structs.replace(self.fact(index), payload=payload)

    def payloads(self) -> list[Any]:
        """The events."""
        return [self.payload]


class EventType(Protocol[Item_contra]):
    """A class of events that are an entity and one thing that happened to it, as `StreamDeltaEvent` is."""

    @property
    def __name__(self) -> str: ...

    def __call__(self, entity_id: EntityId, item: Item_contra, /) -> object:
        """The event of one item."""
        ...


@runtime_checkable
class Gatherer(Protocol[Item_contra]):
    """A component that takes items in as they arrive, such as the pieces of an answer. What it holds follows from them alone.

    A type of such components has this as a base: that it has an `add` would say nothing.
    """

    __slots__ = ()

    def add(self, items: Sequence[Item_contra], now: float, /) -> None:
        """Take the next items, which arrived together at `now` on the World's monotonic clock."""
        ...


@lru_cache(maxsize=4096)
def gathers(kind: type) -> bool:
    """Whether the components of a type take items in."""
    return Gatherer in kind.__mro__


class Burst(msgspec.Struct, frozen=True):
    """Facts of one entity and of one type that arrived together. Its fields are those of the first fact.

    Fact number i is at `pos + i` and `seq + i`, and its payload is `make(entity, items[i])`. Nobody changes `items` once they stand here.
    `into` is the type of the component that took the items in (`Gatherer`), at `at` on the World's monotonic clock; None if none did.
    """

    epoch: int
    pos: int
    entity: EntityId
    seq: int
    run: int
    turn: int
    attempt: int
    parent: EntityId | None
    kind: EventKind
    type: str
    version: int
    time: int
    items: Sequence[Any]
    make: EventType[Any]
    into: PayloadType | None = None
    at: float = 0.0

    @property
    def count(self) -> int:
        """How many facts these are."""
        return len(self.items)

    @property
    def event_type(self) -> PayloadType:
        """The class of the payloads."""
        return cast("PayloadType", self.make)

    def fact(self, index: int) -> Envelope:
        """One of the facts, made anew each time."""
        return self.envelope(index, self.make(self.entity, self.items[index]))

    def facts(self, start: int = 0) -> Iterator[Envelope]:
        """The facts in order, each made when its turn comes."""
        return map(self.fact, range(start, len(self.items)))

    def rest(self, start: int) -> Burst:
        """What is left when the first `start` facts are taken away."""
        return self if not start else msgspec.structs.replace(self, pos=self.pos + start, seq=self.seq + start, items=self.items[start:])

    def envelope(self, index: int, payload: object) -> Envelope:
        """A payload in the place of one of the facts."""
        return Envelope(
            self.epoch, self.pos + index, self.entity, self.seq + index, self.run, self.turn, self.attempt, self.parent,
            self.kind, self.type, self.version, self.time, payload,
        )  # fmt: skip

    def payloads(self) -> list[Any]:
        """The events."""
        make, entity = self.make, self.entity
        return [make(entity, item) for item in self.items]


Entry: TypeAlias = Envelope | Burst
"""What a log is given to keep."""


class Log(Protocol):
    """Where a world's facts go. Appending never waits: a log that writes to a disk does so behind it, and `commit` waits for that."""

    @property
    def keeps_changes(self) -> bool:
        """Whether facts are to say what became of components, so that state can be had from them."""
        ...

    @property
    def epoch(self) -> int:
        """How often this log was opened before."""
        ...

    @property
    def next_pos(self) -> int:
        """The position the next fact gets."""
        ...

    def append(self, envelope: Envelope) -> None:
        """Take the next fact; its `pos` is `next_pos`."""
        ...

    def extend(self, burst: Burst) -> None:
        """Take the next facts, which arrived together; the `pos` of the first is `next_pos`."""
        ...

    def read(self, from_pos: int = 0) -> Iterator[Envelope]:
        """The facts from a position on.

        Raises:
            LogTruncatedError: the position is no longer held.
        """
        ...

    async def commit(self, entity: EntityId | None = None) -> int:
        """Wait until everything appended so far is safe, and return the position behind it. A log in memory returns at once.

        Args:
            entity: whose components matter to the caller, None for all: of those that are no data and cannot be written.

        Raises:
            JournalError: it could not be written.
            UnsavableError: something in it is no data.
        """
        ...

    def state_at(self, pos: int) -> Checkpoint:
        """The state behind the fact at a position. May read from a disk, and so wait for it.

        Raises:
            NoHistoryError: the log keeps no state, or none of this position.
        """
        ...

    def row_at(self, entity: EntityId, seq: int) -> SavedRow:
        """One entity behind its fact number `seq`; as `state_at`.

        Raises:
            NoHistoryError: the log keeps no state, or the entity has no such fact.
        """
        ...

    async def aclose(self) -> None:
        """Write what is left and let go of everything; the World does so at its end. Facts that come later are dropped.

        Raises:
            JournalError: it could not be written.
        """
        ...


_KEEP = "open it with ecs_agent.store.open_world(path), or open_world() for one that is kept in memory"


class MemoryLog:
    """A log in memory that keeps the newest `limit` facts.

    Args:
        limit: how many facts are kept. Older ones are dropped, a burst as a whole once `limit` newer facts stand after it, so that at most one
            burst more than `limit` is held. History is not lost with them: conversations are components.
    """

    keeps_changes = False

    def __init__(self, limit: int = 10_000) -> None:
        if limit < 1:
            raise ValueError(f"limit is {limit}; a log holds at least one fact")
        self.epoch = 0
        self.next_pos = 0
        self._limit = limit
        self._entries: deque[Entry] = deque()

    @property
    def first_pos(self) -> int:
        """The oldest position that is still held."""
        return self._entries[0].pos if self._entries else self.next_pos

    def append(self, envelope: Envelope) -> None:
        """Take the next fact."""
        self.next_pos += 1
        self._entries.append(envelope)
        if self.next_pos > self._limit:
            self._drop()

    def extend(self, burst: Burst) -> None:
        """Take the next facts, which arrived together."""
        self.next_pos += len(burst.items)
        self._entries.append(burst)
        if self.next_pos > self._limit:
            self._drop()

    def read(self, from_pos: int = 0) -> Iterator[Envelope]:
        """The facts from a position on, as they are now; those of bursts are made one by one as they are asked for.

        Raises:
            LogTruncatedError: the position is no longer held.
        """
        entries = self._entries
        if from_pos < self.first_pos:
            raise LogTruncatedError(f"the log begins at position {self.first_pos}, {from_pos} was dropped; give MemoryLog a larger limit")
        if from_pos >= self.next_pos:
            return iter(())
        start = bisect_right(entries, from_pos, key=attrgetter("pos")) - 1
        wanted = list(islice(reversed(entries), len(entries) - start))  # from the right, as a deque is slow to reach its middle from the left
        wanted.reverse()
        return _facts(wanted, from_pos)

    async def commit(self, entity: EntityId | None = None) -> int:  # noqa: ARG002 - as the protocol says
        """Nothing to wait for."""
        return self.next_pos

    async def aclose(self) -> None:
        """Nothing to let go of."""

    def state_at(self, pos: int) -> NoReturn:
        """Not known: only a journal keeps state.

        Raises:
            NoHistoryError: always.
        """
        raise NoHistoryError(f"this world keeps no history, so its state at position {pos} is not known; {_KEEP}")

    def row_at(self, entity: EntityId, seq: int) -> NoReturn:
        """Not known: only a journal keeps state.

        Raises:
            NoHistoryError: always.
        """
        raise NoHistoryError(f"this world keeps no history, so what entity {entity} was at {seq} is not known; {_KEEP}")

    def _drop(self) -> None:
        entries, keep_from = self._entries, self.next_pos - self._limit
        while len(entries) > 1 and entries[1].pos <= keep_from:
            entries.popleft()


def _facts(entries: list[Entry], from_pos: int) -> Iterator[Envelope]:
    for entry in entries:
        if isinstance(entry, Envelope):
            yield entry
        else:
            yield from entry.facts(max(0, from_pos - entry.pos))
