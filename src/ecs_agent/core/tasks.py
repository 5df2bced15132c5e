"""Running coroutines side by side in an order that a seed reproduces, and ending tasks without losing any."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator, Sequence
from types import coroutine
from typing import Any, TypeVar, cast

T = TypeVar("T")


@coroutine
def pause() -> Generator[None, None, None]:
    """Let everyone else run once; `asyncio.sleep(0)` without its two frames."""
    yield


@coroutine
def resumed(running: Generator[Any, Any, T], awaited: object) -> Generator[object, object, T]:
    """Go on with something awaitable that was begun by hand and waits for `awaited`."""
    try:
        while True:
            try:
                sent = yield awaited
            except BaseException as error:  # noqa: BLE001 - whatever is thrown in belongs to it
                awaited = running.throw(error)
            else:
                awaited = running.send(sent)
    except StopIteration as done:
        return cast("T", done.value)


async def gather(coroutines: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Run all at once and return their results in the order given.

    The first failure, in that order, cancels the others, waits for them, and is raised; so is a cancel from outside. `asyncio.TaskGroup` and
    `asyncio.wait` keep their tasks in sets, whose order differs from run to run; this keeps a list.
    """
    if len(coroutines) == 1:
        return [await coroutines[0]]  # beside nobody: no task of its own
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    results: list[T] = []
    try:
        for task in tasks:
            await ended(task)  # awaiting the task itself would hand a cancel of ours to this one alone, which might swallow it
            results.append(task.result())
        return results
    except BaseException:
        await cancel_all(tasks)
        raise


async def cancel_all(tasks: Sequence[asyncio.Future[Any]], grace: float | None = None) -> list[asyncio.Future[Any]]:
    """Cancel those that still run, first to last, and wait until each has ended; their errors are dropped.

    A cancel of the waiting itself is kept until all have ended, so that no task is left without its owner.

    Args:
        tasks: what to end.
        grace: seconds to wait for all of them, None for as long as it takes.

    Returns:
        Those that had not ended within the grace.
    """
    for task in tasks:
        task.cancel()
    cancelled: asyncio.CancelledError | None = None
    try:
        async with asyncio.timeout(grace):
            for task in tasks:
                while not task.done():
                    try:
                        await ended(task)
                    except asyncio.CancelledError as error:
                        if grace is not None:
                            raise
                        cancelled = error
    except TimeoutError:
        pass  # the caller is told who is left
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()
    if cancelled is not None:
        raise cancelled
    return [task for task in tasks if not task.done()]


async def ended(*tasks: asyncio.Future[Any]) -> None:
    """Wait until one of these has ended, however it did. Cancelling this leaves them alone."""
    if any(task.done() for task in tasks):
        return
    waiter = asyncio.get_running_loop().create_future()

    def wake(_: asyncio.Future[Any]) -> None:
        if not waiter.done():
            waiter.set_result(None)

    for task in tasks:
        task.add_done_callback(wake)
    try:
        await waiter
    finally:
        for task in tasks:
            task.remove_done_callback(wake)
