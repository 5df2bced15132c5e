"""A stream of events: an async iterator that watches a World and never stops an agent."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Mapping
from typing import Self

from ecs_agent.core.delivery.backlog import Backlog
from ecs_agent.core.delivery.event_filter import EventFilter
from ecs_agent.core.delivery.gate import Gate
from ecs_agent.core.delivery.newest import Newest
from ecs_agent.core.delivery.policy import HARD, Block, Coalesce, Delivery, EveryDelta, Merge
from ecs_agent.core.delivery.pulse import Beating, Pulse
from ecs_agent.core.log import Entry, Envelope
from ecs_agent.types import EntityId


class EventStream:
    """The envelopes of one entity, or of all, from when it was opened. An observer: closing it changes nothing for anyone else.

    That of one entity ends when the entity is deleted; one that was left without closing ends with its last reference. Each envelope says to
    which entity, run, turn and attempt it belongs; a merged one has the place of its newest part, so a stream of all entities that merges keeps
    the order of each entity, but not always that between them. What it can neither hold nor merge it drops, oldest first, and hands out one
    `EventsSkipped` in its place.

    Args:
        entity: whose events; None for all.
        which: what it takes of them.
        policy: how they wait for a slow reader.
        mergers: how events are merged, by type.
        pulse: tells when an interval is over.
        on_close: is told when it is closed.
    """

    def __init__(
        self,
        entity: EntityId | None,
        which: EventFilter,
        policy: Delivery,
        mergers: Mapping[type, Merge],
        pulse: Pulse,
        on_close: Callable[[EventStream], None],
    ) -> None:
        self.entity = entity
        self.which = which
        self.policy = policy
        self.gate: Gate | None = None
        self._backlog = _backlog(entity, policy, mergers)
        self._seconds = policy.seconds if isinstance(policy, Coalesce) else 0.0
        self._pulse = pulse
        self._on_close = on_close
        self._me: weakref.ref[Beating] = weakref.ref(self)
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False

    def push(self, entry: Entry, kind: type) -> None:
        """Take in a fact, or facts that arrived together, of a type; never waits."""
        backlog = self._backlog
        backlog.push(entry, kind)
        if self.gate is not None:
            self.gate.level(backlog.waiting)
        if not backlog.readable:
            self._pulse.wait(self._me, self._seconds)
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def beat(self) -> None:
        """The interval is over: hand out what was merged in it."""
        self._backlog.release()
        self._wake()

    def pending(self) -> bool:
        """Whether an event is there to be read."""
        return self._backlog.readable > 0

    def close(self) -> None:
        """Stop listening; what is waiting can still be read."""
        self._closed = True
        self._on_close(self)
        if self.gate is not None:
            self.gate.lift()
        self.beat()

    async def aclose(self) -> None:
        """As `close`, for use in generic code."""
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Envelope:
        backlog = self._backlog
        while not backlog.readable:
            if self._closed:
                raise StopAsyncIteration
            if self._waiter is not None and not self._waiter.done():
                raise RuntimeError("another task is already waiting for this stream; open one stream for each reader")
            if backlog.waiting:
                self._pulse.wait(self._me, self._seconds)  # it came while no loop ran
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        envelope = backlog.pop()
        if self.gate is not None:
            self.gate.reads += 1
            self.gate.level(backlog.waiting)
        return envelope

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _backlog(entity: EntityId | None, policy: Delivery, mergers: Mapping[type, Merge]) -> Backlog | Newest:
    match policy:
        case EveryDelta(limit):
            return Backlog(entity, limit, mergers)
        case Block(limit):
            return Backlog(entity, HARD * limit, mergers)
        case Coalesce():
            return Backlog(entity, EveryDelta().limit, mergers, holding=True)
        case _:
            return Newest(entity)
