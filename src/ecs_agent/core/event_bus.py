"""Who hears of events, and how: each subscriber has a queue of its own, so a slow or raising one disturbs nobody.

Two forms. A *handler* (`subscribe`) is an async function per event type, called one event after another. A *stream* (`open`) is an async
iterator over the envelopes of one entity or of all; leaving it never stops an agent. Behind its limit a stream merges events of a type that
knows how (`merge_with`): text arrives in larger pieces, never with a gap.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Self, TypeAlias, TypeVar

import msgspec

from ecs_agent.core.events import HandlerFailed
from ecs_agent.core.log import Envelope
from ecs_agent.core.tasks import cancel_all, ended
from ecs_agent.types import EntityId

E = TypeVar("E")
Handler: TypeAlias = Callable[[Any], Awaitable[None]]
Merge: TypeAlias = Callable[[Any, Any], Any]

_logger = logging.getLogger("ecs_agent.core.event_bus")

CLOSE_GRACE = 1.0
"""Seconds a handler may take to end once it was cancelled."""


class EventStream:
    """The envelopes of one entity, or of all, from when it was opened. An observer: closing it changes nothing for anyone else.

    One that was left without closing ends with its last reference. A merged event carries the place of its newest part, so a stream of all
    entities that is behind keeps the order of each entity, but not always that between them.

    Args:
        bus: where it listens.
        entity: whose events; None for all.
        limit: from how many waiting events on it merges those that can be merged.
    """

    def __init__(self, bus: EventBus, entity: EntityId | None, limit: int) -> None:
        self._bus = bus
        self.entity = entity
        self._limit = limit
        self._cells: deque[list[Envelope]] = deque()
        self._newest: dict[EntityId | None, list[Envelope]] = {}
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False

    def push(self, envelope: Envelope) -> None:
        """Take an event in; never waits."""
        if len(self._cells) >= self._limit and self._merged(envelope):
            return
        cell = [envelope]
        self._cells.append(cell)
        self._newest[envelope.entity] = cell
        self._wake()

    def _merged(self, envelope: Envelope) -> bool:
        cell = self._newest.get(envelope.entity)
        arrived: object = envelope.payload
        merge = self._bus.merger(type(arrived))
        if cell is None or merge is None or type(cell[0].payload) is not type(arrived) or cell[0].attempt != envelope.attempt:
            return False
        payload = merge(cell[0].payload, arrived)
        if payload is None:
            return False
        cell[0] = msgspec.structs.replace(envelope, payload=payload)
        return True

    def pending(self) -> bool:
        """Whether an event is waiting."""
        return bool(self._cells)

    def close(self) -> None:
        """Stop listening; what is waiting can still be read."""
        self._closed = True
        self._bus.forget(self)
        self._wake()

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
        while not self._cells:
            if self._closed:
                raise StopAsyncIteration
            if self._waiter is not None and not self._waiter.done():
                raise RuntimeError("another task is already waiting for this stream; open one stream for each reader")
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        cell = self._cells.popleft()
        if self._newest.get(cell[0].entity) is cell:
            del self._newest[cell[0].entity]
        return cell[0]

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class _Subscriber:
    """A handler with its queue. Its task lives only while there is something to hand out."""

    def __init__(self, bus: EventBus, handler: Handler) -> None:
        self._bus = bus
        self.handler = handler
        self.current: Any = None
        self._queue: deque[tuple[Any, asyncio.Future[None] | None]] = deque()
        self.task: asyncio.Task[None] | None = None

    def push(self, event: Any, done: asyncio.Future[None] | None = None) -> None:
        self._queue.append((event, done))
        if self.task is None:
            self._bus.working[self] = None
            self.start()

    def start(self) -> None:
        """Hand out what waits. Where no event loop runs, as while a world is set up, it goes on waiting: for the next event, or a run."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if self.task is None:
            self.task = loop.create_task(self._pump(), name=f"handler {_name(self.handler)}")
            self.task.add_done_callback(self._over)

    @property
    def in_hand(self) -> object:
        """The event it deals with, or would have next."""
        return self._queue[0][0] if self.current is None and self._queue else self.current

    def drop(self) -> None:
        """Forget what waits; nobody waits for it any more."""
        while self._queue:
            _settle(self._queue.popleft()[1])

    async def _pump(self) -> None:
        task = self.task
        try:
            while self._queue:
                self.current, done = self._queue.popleft()
                try:
                    await self.handler(self.current)
                except (Exception, SystemExit, asyncio.CancelledError) as error:  # it may raise anything
                    if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                        raise
                    self._bus.failed(self.handler, self.current, error)
                finally:
                    _settle(done)
        finally:
            self._over(task)

    def _over(self, task: asyncio.Task[None] | None) -> None:
        if self.task is not task:
            return  # it is told twice, by the task itself and, as one that is cancelled before it begins runs nothing, by the loop
        self.task = self.current = None
        del self._bus.working[self]
        for _, done in self._queue:
            _settle(done)


def _settle(done: asyncio.Future[None] | None) -> None:
    if done is not None and not done.done():
        done.set_result(None)


class EventBus:
    """Subscriptions by type and by entity, and the delivery of events to them."""

    def __init__(self) -> None:
        self._handlers: dict[type, list[_Subscriber]] = {}
        self.working: dict[_Subscriber, None] = {}
        self._streams: dict[EntityId | None, tuple[weakref.ref[EventStream], ...]] = {}
        self._closed = False
        self._mergers: dict[type, Merge] = {}
        self._on_failure: Callable[[HandlerFailed], None] | None = None
        self._record: Callable[[Any], Envelope] | None = None

    def subscribe(self, event_type: type[E], handler: Callable[[E], Awaitable[None]]) -> None:
        """Have an async handler called with each event of exactly this type, in order. What it raises becomes a `HandlerFailed` event."""
        if any(found.handler == handler for found in self._handlers.get(event_type, ())):
            return
        self._handlers.setdefault(event_type, []).append(_Subscriber(self, handler))

    def unsubscribe(self, event_type: type[E], handler: Callable[[E], Awaitable[None]]) -> None:
        """End a subscription; the handler is not called again, also not with events that wait for it. Nothing happens when there is none."""
        found = self._handlers.get(event_type, [])
        for subscriber in [subscriber for subscriber in found if subscriber.handler == handler]:
            found.remove(subscriber)
            subscriber.drop()

    def clear(self) -> None:
        """End all subscriptions of handlers."""
        for subscriber in [s for subscribers in self._handlers.values() for s in subscribers]:
            subscriber.drop()
        self._handlers.clear()

    async def publish(self, event: object) -> None:
        """Deliver an event and wait until every handler has dealt with it; inside a handler it returns at once, or two could wait in a circle."""
        if self._record is not None:
            self._deliver_to_streams(self._record(event))
        subscribers = self._handlers.get(type(event), ())
        if not subscribers:
            return
        if any(asyncio.current_task() is subscriber.task for subscriber in self.working):
            for subscriber in subscribers:
                subscriber.push(event)
            return
        done = [asyncio.get_running_loop().create_future() for _ in subscribers]
        for subscriber, future in zip(subscribers, done, strict=True):
            subscriber.push(event, future)
        for future in done:
            await future

    def dispatch(self, envelope: Envelope) -> None:
        """Hand an event to everyone concerned without waiting."""
        event: object = envelope.payload
        if self._handlers and (subscribers := self._handlers.get(type(event))):
            for subscriber in subscribers:
                subscriber.push(event)
        if self._streams:
            self._deliver_to_streams(envelope)

    def _deliver_to_streams(self, envelope: Envelope) -> None:
        for whose in (None,) if envelope.entity is None else (None, envelope.entity):
            for reference in self._streams.get(whose, ()):
                stream = reference()
                if stream is not None:
                    stream.push(envelope)

    def open(self, entity: EntityId | None = None, *, limit: int = 1024) -> EventStream:
        """Listen to one entity, or to all, from now on; close it (or leave its `async with`) when done."""
        stream = EventStream(self, entity, limit)
        # Weakly: a stream that was left by a bare `break` goes with its last reference, instead of collecting events for ever.
        reference = weakref.ref(stream, lambda gone: self._forget(entity, gone))
        self._streams[entity] = (*self._streams.get(entity, ()), reference)
        if self._closed:
            stream.close()
        return stream

    def forget(self, stream: EventStream) -> None:
        """Drop a stream; called by its `close`."""
        for reference in self._streams.get(stream.entity, ()):
            if reference() is stream:
                self._forget(stream.entity, reference)

    def _forget(self, entity: EntityId | None, reference: weakref.ref[EventStream]) -> None:
        left = tuple([held for held in self._streams.get(entity, ()) if held is not reference])
        if left:
            self._streams[entity] = left
        else:
            self._streams.pop(entity, None)

    def merge_with(self, event_type: type[E], merge: Callable[[E, E], E | None]) -> None:
        """Say how two adjacent events of a type become one for a stream that is behind; None where they must stay apart."""
        self._mergers[event_type] = merge

    def merger(self, event_type: type) -> Merge | None:
        """How events of a type are merged, None if they are not."""
        return self._mergers.get(event_type)

    def bind(self, record: Callable[[Any], Envelope], on_failure: Callable[[HandlerFailed], None]) -> None:
        """Connect the bus to a World: published events enter its log, failures of handlers too."""
        self._record = record
        self._on_failure = on_failure

    def failed(self, handler: Handler, event: object, error: BaseException) -> None:
        """Report a handler's failure. A failing handler of failures is only logged, or it would be called for ever."""
        _logger.error("handler %s failed on %s: %r", _name(handler), type(event).__name__, error)
        if self._on_failure is not None and not isinstance(event, HandlerFailed):
            self._on_failure(HandlerFailed(_name(handler), type(event).__name__, f"{type(error).__name__}: {error}"))

    def resume(self) -> None:
        """Hand out what was delivered while no event loop ran."""
        for subscriber in list(self.working):
            subscriber.start()

    @property
    def busy(self) -> bool:
        """Whether a handler other than the one that asks has something to do."""
        return bool(self.working and self._busy())

    async def drain(self, grace: float, until: asyncio.Future[None]) -> None:
        """Wait until every handler has dealt with what was delivered, at most `grace` seconds; who is still busy then is cancelled and reported.

        Args:
            grace: seconds.
            until: ends the waiting early.
        """
        try:
            async with asyncio.timeout(grace):
                while (busy := self._busy()) and not until.done():
                    await ended(busy[0][1], until)
        except TimeoutError:
            await self._stop_handlers(f"did not finish within {grace} s")

    async def close(self) -> None:
        """End all streams, and all handlers that still run."""
        self._closed = True
        await self._stop_handlers("the world was closed")
        await self.drain(CLOSE_GRACE, asyncio.get_running_loop().create_future())  # for those who are told of that
        references = [reference for held in self._streams.values() for reference in held]
        for stream in [stream for reference in references if (stream := reference()) is not None]:
            stream.close()

    async def _stop_handlers(self, reason: str) -> None:
        busy = [(subscriber.handler, subscriber.in_hand, task) for subscriber, task in self._busy()]
        await cancel_all([task for *_, task in busy], CLOSE_GRACE)
        for handler, event, _ in busy:
            self.failed(handler, event, TimeoutError(reason))

    def _busy(self) -> list[tuple[_Subscriber, asyncio.Task[None]]]:
        current = asyncio.current_task()
        return [(s, s.task) for s in self.working if s.task is not None and s.task is not current]


def _name(handler: Handler) -> str:
    return getattr(handler, "__qualname__", None) or repr(handler)
