"""Handlers: async functions that are called with each event of a type, one event after another, each from a queue of its own."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from ecs_agent.core.events import HandlerFailed
from ecs_agent.core.outcome import sentence
from ecs_agent.core.tasks import cancel_all, ended
from ecs_agent.types import EntityId

Handler: TypeAlias = Callable[[Any], Awaitable[None]]

_logger = logging.getLogger("ecs_agent.core.delivery.handlers")

CLOSE_GRACE = 1.0
"""Seconds a handler may take to end once it was cancelled."""

MAX_WAITING = 10_000
"""So many events wait for a handler at most; then the oldest are dropped, and once it has caught up one `HandlerFailed` says how many."""


class Subscriber:
    """A handler with its queue. Its task lives only while there is something to hand out."""

    def __init__(self, handlers: Handlers, handler: Handler) -> None:
        self._handlers = handlers
        self.handler = handler
        self.current: Any = None
        self._queue: deque[tuple[Any, asyncio.Future[None] | None]] = deque()
        self._dropped = 0
        self.task: asyncio.Task[None] | None = None

    def push(self, event: Any, done: asyncio.Future[None] | None = None) -> None:
        """Take in an event; `done` is settled when it was dealt with, however that went."""
        self._queue.append((event, done))
        if len(self._queue) > MAX_WAITING:
            self._dropped += 1
            _settle(self._queue.popleft()[1])
        if self.task is None:
            self._handlers.working[self] = None
            self.start()

    def start(self) -> None:
        """Hand out what waits. Where no event loop runs, as while a world is set up, it goes on waiting: for the next event, or a run."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if self.task is None:
            self.task = loop.create_task(self._pump(), name=f"handler {name_of(self.handler)}")
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
                if len(self._queue) <= MAX_WAITING // 2:  # it has caught up; until then more may be dropped
                    self._tell_dropped()
                try:
                    await self.handler(self.current)
                except (Exception, SystemExit, asyncio.CancelledError) as error:  # it may raise anything
                    if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                        raise
                    self._handlers.failed(self.handler, self.current, error)
                finally:
                    _settle(done)
        finally:
            self._over(task)

    def _tell_dropped(self) -> None:
        dropped, self._dropped = self._dropped, 0
        if dropped:
            error = OverflowError(f"{dropped} events were dropped, as more than {MAX_WAITING} waited")
            self._handlers.failed(self.handler, self.in_hand, error)

    def _over(self, task: asyncio.Task[None] | None) -> None:
        if self.task is not task:
            return  # it is told twice, by the task itself and, as one that is cancelled before it begins runs nothing, by the loop
        self._tell_dropped()
        self.task = self.current = None
        del self._handlers.working[self]
        for _, done in self._queue:
            _settle(done)


def _settle(done: asyncio.Future[None] | None) -> None:
    if done is not None and not done.done():
        done.set_result(None)


class Handlers:
    """Who is subscribed to what, and the tasks of those who have something to do.

    Args:
        report: takes note of a failure.
    """

    def __init__(self, report: Callable[[HandlerFailed], None]) -> None:
        self.working: dict[Subscriber, None] = {}
        self._report = report
        self._held: dict[type, dict[EntityId | None, list[Subscriber]]] = {}

    def __bool__(self) -> bool:
        return bool(self._held)

    def add(self, event_type: type, handler: Handler, entity: EntityId | None) -> None:
        """Subscribe, unless it is already."""
        held = self._held.setdefault(event_type, {}).setdefault(entity, [])
        if not any(found.handler == handler for found in held):
            held.append(Subscriber(self, handler))

    def remove(self, event_type: type, handler: Handler, entity: EntityId | None) -> None:
        """End a subscription, also for events that wait for it."""
        held = self._held.get(event_type, {}).get(entity, [])
        for subscriber in [subscriber for subscriber in held if subscriber.handler == handler]:
            held.remove(subscriber)
            subscriber.drop()
        if not held:
            self._leave(event_type, entity)

    def forget(self, entity: EntityId) -> None:
        """End the subscriptions to an entity that is gone; what waits is still handed out."""
        for event_type in list(self._held):
            self._leave(event_type, entity)

    def clear(self) -> None:
        """End all subscriptions."""
        for subscriber in [s for by_entity in self._held.values() for subscribers in by_entity.values() for s in subscribers]:
            subscriber.drop()
        self._held.clear()

    def of(self, event_type: type, entity: EntityId | None) -> list[Subscriber]:
        """Who is to hear of an event of exactly this type."""
        held = self._held.get(event_type)
        if held is None:
            return []
        everywhere = held.get(None, [])
        return [*everywhere, *held.get(entity, [])] if entity is not None else list(everywhere)

    def _leave(self, event_type: type, entity: EntityId | None) -> None:
        held = self._held.get(event_type)
        if held is not None:
            held.pop(entity, None)
            if not held:
                del self._held[event_type]

    def failed(self, handler: Handler, event: object, error: BaseException) -> None:
        """Report a handler's failure. A failing handler of failures is only logged, or it would be called for ever."""
        name, kind, said = name_of(handler), type(event).__name__, f"{type(error).__name__}: {sentence(error)}"
        _logger.error("handler %s failed on %s: %s", name, kind, said)
        if not isinstance(event, HandlerFailed):
            self._report(HandlerFailed(name, kind, said))

    def resume(self) -> None:
        """Hand out what was delivered while no event loop ran."""
        for subscriber in list(self.working):
            subscriber.start()

    def inside(self) -> bool:
        """Whether the task that asks is a handler's own."""
        current = asyncio.current_task()
        return any(current is subscriber.task for subscriber in self.working)

    def busy(self) -> list[tuple[Subscriber, asyncio.Task[None]]]:
        """Who has something to do, but for the one that asks."""
        current = asyncio.current_task()
        return [(s, s.task) for s in self.working if s.task is not None and s.task is not current]

    async def drain(self, grace: float, until: asyncio.Future[None]) -> None:
        """Wait until every handler has dealt with what was delivered, at most `grace` seconds; who is still busy then is cancelled and reported.

        Args:
            grace: seconds.
            until: ends the waiting early.
        """
        try:
            async with asyncio.timeout(grace):
                while (busy := self.busy()) and not until.done():
                    await ended(busy[0][1], until)
        except TimeoutError:
            await self._stop(f"did not finish within {grace} s")

    async def close(self) -> None:
        """End those who still run, and then those who are told of that."""
        await self._stop("the world was closed")
        await self.drain(CLOSE_GRACE, asyncio.get_running_loop().create_future())

    async def _stop(self, reason: str) -> None:
        busy = [(subscriber.handler, subscriber.in_hand, task) for subscriber, task in self.busy()]
        await cancel_all([task for *_, task in busy], CLOSE_GRACE)
        for handler, event, _ in busy:
            self.failed(handler, event, TimeoutError(reason))


def name_of(handler: Handler) -> str:
    """What a handler is called in reports."""
    return getattr(handler, "__qualname__", None) or repr(handler)
