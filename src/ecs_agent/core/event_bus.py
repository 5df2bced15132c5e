"""Who hears of events. Each subscriber has a queue of its own, so a slow or raising one disturbs nobody; only `Block` lets one do that.

Two forms. A *handler* (`subscribe`) is an async function per event type, called one event after another. A *stream* (`open`) is an async
iterator over the envelopes of one entity or of all; leaving it never stops an agent. Both are found by entity and by type, so that telling
them costs by how many are concerned and not by how many there are.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

from ecs_agent.core.delivery.event_filter import NO_TYPES, EventFilter
from ecs_agent.core.delivery.event_stream import EventStream
from ecs_agent.core.delivery.gate import Gate
from ecs_agent.core.delivery.handlers import Handlers
from ecs_agent.core.delivery.policy import Block, Delivery, EveryDelta, Merge
from ecs_agent.core.delivery.pulse import Pulse
from ecs_agent.core.events import BlockLifted, EntityDeleted, HandlerFailed
from ecs_agent.core.log import Entry
from ecs_agent.types import EntityId

E = TypeVar("E")

_logger = logging.getLogger("ecs_agent.core.event_bus")


class EventBus:
    """Subscriptions by type and by entity, and the delivery of events to them.

    `listening` says whether anyone listens at all, `blocking` (true if there are any) lists the gates of streams that hold producers back.
    """

    def __init__(self) -> None:
        self.listening = False
        self.blocking: dict[Gate, None] = {}
        self._handlers = Handlers(self._failed)
        self._streams: dict[EntityId | None, tuple[weakref.ref[EventStream], ...]] = {}
        self._mergers: dict[type, Merge] = {}
        self._pulse = Pulse()
        self._closed = False
        self._record: Callable[[Any], object] | None = None
        self._report: Callable[[object], None] | None = None

    # Handlers

    def subscribe(self, event_type: type[E], handler: Callable[[E], Awaitable[None]], *, entity: EntityId | None = None) -> None:
        """Have an async handler called with each event of exactly this type, in order. What it raises becomes a `HandlerFailed` event.

        Args:
            event_type: which events.
            handler: whom to call; subscribing it twice changes nothing.
            entity: whose events, until it is deleted; None for all.
        """
        self._handlers.add(event_type, handler, entity)
        self._listen()

    def unsubscribe(self, event_type: type[E], handler: Callable[[E], Awaitable[None]], *, entity: EntityId | None = None) -> None:
        """End a subscription; the handler is not called again, also not with events that wait for it. Nothing happens when there is none."""
        self._handlers.remove(event_type, handler, entity)
        self._listen()

    def clear(self) -> None:
        """End all subscriptions of handlers."""
        self._handlers.clear()
        self._listen()

    async def publish(self, event: object) -> None:
        """Deliver an event and wait until every handler has dealt with it; inside a handler it returns at once, or two could wait in a circle."""
        if self._record is not None:
            self._record(event)
        subscribers = self._handlers.of(type(event), getattr(event, "entity_id", None))
        if not subscribers:
            return
        if self._handlers.inside():
            for subscriber in subscribers:
                subscriber.push(event)
            return
        done = [asyncio.get_running_loop().create_future() for _ in subscribers]
        for subscriber, future in zip(subscribers, done, strict=True):
            subscriber.push(event, future)
        for future in done:
            await future

    # Delivery

    def dispatch(self, entry: Entry, components: frozenset[type] = NO_TYPES) -> None:
        """Hand a fact, or facts that arrived together, to everyone concerned without waiting. `components` are those of its entity, by type."""
        kind = entry.event_type
        if self._handlers:
            subscribers = self._handlers.of(kind, entry.entity)
            for event in entry.payloads() if subscribers else ():
                for subscriber in subscribers:
                    subscriber.push(event)
            if kind is EntityDeleted and entry.entity is not None:
                self._handlers.forget(entry.entity)
                self._listen()
        self.show(entry, components)

    def show(self, entry: Entry, components: frozenset[type] = NO_TYPES) -> None:
        """Hand facts to the streams concerned."""
        kind = entry.event_type
        entity = entry.entity
        for reference in self._streams.get(None, ()):
            stream = reference()
            if stream is not None and (stream.which.everything or stream.which.takes(kind, components)):
                stream.push(entry, kind)
        if entity is None:
            return
        for reference in self._streams.get(entity, ()):
            stream = reference()
            if stream is not None and (stream.which.everything or stream.which.takes(kind, components)):
                stream.push(entry, kind)
            if stream is not None and kind is EntityDeleted:
                stream.close()  # its id is never used again

    def merge_with(self, event_type: type[E], merge: Callable[[Sequence[E]], Iterable[tuple[E, int]]]) -> None:
        """Say how adjacent events of a type, those of one attempt of one entity, become fewer for a stream that is behind or coalesces.

        Args:
            event_type: of which events.
            merge: is given events in order, and yields in order each event that takes their place and for how many of them it does.
        """
        self._mergers[event_type] = merge

    async def room(self, entity: EntityId, components: frozenset[type] = NO_TYPES) -> None:
        """Wait until no stream that asked for it (`Block`) is behind with this entity's facts."""
        for gate in self._shut_gates(entity, components):
            await gate.passage()

    def _shut_gates(self, entity: EntityId, components: frozenset[type]) -> list[Gate]:
        # In a function of its own, so that nobody who waits holds a stream: one that is dropped must go.
        gates: list[Gate] = []
        for reference in (*self._streams.get(None, ()), *self._streams.get(entity, ())):
            stream = reference()
            if stream is not None and stream.gate is not None and stream.gate.shut and stream.which.concerns(components):
                gates.append(stream.gate)
        return gates

    # Streams

    def open(self, entity: EntityId | None = None, *, which: EventFilter | None = None, policy: Delivery | None = None) -> EventStream:
        """Listen to one entity until it is deleted, or to all, from now on; close it (or leave its `async with`) when done.

        Args:
            entity: whose events; None for all.
            which: which of them; all by default.
            policy: how they wait for a slow reader; each on its own by default.
        """
        policy = policy or EveryDelta()
        stream = EventStream(entity, which or EventFilter(), policy, self._mergers, self._pulse, self._forget_stream)
        gate = stream.gate = self._gate(entity, policy)
        # Weakly: a stream that was left by a bare `break` goes with its last reference, instead of collecting events for ever.
        reference = weakref.ref(stream, lambda gone: self._forget(entity, gone, gate))
        self._streams[entity] = (*self._streams.get(entity, ()), reference)
        self._listen()
        if self._closed:
            stream.close()
        return stream

    def _gate(self, entity: EntityId | None, policy: Delivery) -> Gate | None:
        if not isinstance(policy, Block):
            return None

        def lifted(gate: Gate) -> None:
            self.blocking.pop(gate, None)
            self._tell(BlockLifted(entity, gate.waiting, policy.patience))

        gate = Gate(policy.limit, policy.patience, lifted)
        self.blocking[gate] = None
        return gate

    def _forget_stream(self, stream: EventStream) -> None:
        for reference in self._streams.get(stream.entity, ()):
            if reference() is stream:
                self._forget(stream.entity, reference, stream.gate)

    def _forget(self, entity: EntityId | None, reference: weakref.ref[EventStream], gate: Gate | None) -> None:
        if gate is not None:
            self.blocking.pop(gate, None)
            gate.lift()
        left = tuple([held for held in self._streams.get(entity, ()) if held is not reference])
        if left:
            self._streams[entity] = left
        else:
            self._streams.pop(entity, None)
            self._listen()

    def _listen(self) -> None:
        self.listening = bool(self._streams) or bool(self._handlers)

    # Life

    def bind(self, record: Callable[[Any], object], report: Callable[[object], None]) -> None:
        """Connect the bus to a World.

        Args:
            record: enters a published event into the log and shows it to the streams.
            report: records an event of the world itself.
        """
        self._record = record
        self._report = report

    def resume(self) -> None:
        """Hand out what was delivered while no event loop ran."""
        self._handlers.resume()

    @property
    def busy(self) -> bool:
        """Whether a handler other than the one that asks has something to do."""
        return bool(self._handlers.working) and bool(self._handlers.busy())

    async def drain(self, grace: float, until: asyncio.Future[None]) -> None:
        """Wait until every handler has dealt with what was delivered, at most `grace` seconds; who is still busy then is cancelled and reported.

        Args:
            grace: seconds.
            until: ends the waiting early.
        """
        await self._handlers.drain(grace, until)

    async def close(self) -> None:
        """End all streams, and all handlers that still run."""
        self._closed = True
        await self._handlers.close()
        references = [reference for held in self._streams.values() for reference in held]
        for stream in [stream for reference in references if (stream := reference()) is not None]:
            stream.close()
        self._pulse.close()

    def _failed(self, failure: HandlerFailed) -> None:
        if self._report is not None:
            self._report(failure)

    def _tell(self, event: BlockLifted) -> None:
        _logger.warning("a stream that blocks was not read for %s s; its producers no longer wait", event.seconds)
        if self._report is not None:
            self._report(event)
