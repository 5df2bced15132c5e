"""Asking a provider under watch: every stream has a result, and every task that was started for it is known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Generator, Sequence
from typing import Any, Protocol, Self, TypeVar, cast

from ecs_agent.providers.calling import as_stream
from ecs_agent.providers.protocol import ProviderLike, RequestOptions
from ecs_agent.testing.laws import BrokenLawError, Law
from ecs_agent.types import CompletionResult, Message, StreamDelta

T = TypeVar("T")


class WatchedStream(Protocol):
    """What the laws need of a stream."""

    def __aiter__(self) -> AsyncIterator[StreamDelta]:
        """The deltas."""
        ...

    async def __anext__(self) -> StreamDelta:
        """The next delta."""
        ...

    def result(self) -> CompletionResult:
        """What has been handed out."""
        ...

    async def aclose(self) -> None:
        """Leave."""
        ...


async def opened(provider: ProviderLike, messages: Sequence[Message], options: RequestOptions) -> WatchedStream:
    """Ask for a stream. One with a `result` of its own is taken by its word, any other is made one as an agent does it."""
    answer: object = await provider.complete(messages, stream=True, **options)
    if isinstance(answer, AsyncIterator) and hasattr(answer, "result") and hasattr(answer, "aclose"):
        return cast("WatchedStream", answer)
    return as_stream(answer, provider)


class TaskWatch:
    """Notes the tasks that the current task starts while this is entered, and the tasks that those start.

    A test server in the same event loop is not noticed: its tasks are started by the loop.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._previous = self._loop.get_task_factory()
        self._family = {asyncio.current_task()}
        self._made: list[asyncio.Future[Any]] = []

    def __enter__(self) -> Self:
        self._loop.set_task_factory(self._make)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.set_task_factory(self._previous)

    def _make(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T] | Generator[Any, None, T], **options: Any) -> asyncio.Future[T]:
        task = self._previous(loop, work, **options) if self._previous is not None else asyncio.Task(work, loop=loop, **options)
        if asyncio.current_task(loop) in self._family:
            self._made.append(task)
            if isinstance(task, asyncio.Task):
                self._family.add(task)
        return task

    async def check(self, patience: float) -> None:
        """No task is left, after at most so many seconds.

        Raises:
            BrokenLawError: one is.
        """
        left = [task for task in self._made if not task.done()]
        if left:
            await asyncio.wait(left, timeout=patience)
        left = [task for task in self._made if not task.done()]
        if left:
            raise BrokenLawError(Law.NO_TASK, f"{len(left)} tasks still run after {patience} s: {left}")
