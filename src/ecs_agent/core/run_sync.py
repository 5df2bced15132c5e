"""From a program without an event loop into the World: a loop of its own, Ctrl-C that ends agents properly, and a calm garbage collector."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import FrameType
from typing import Any, TypeVar

from ecs_agent.core.collector import tuned_gc
from ecs_agent.core.world import World
from ecs_agent.errors import LoopRunningError

T = TypeVar("T")


def run_sync(main: Coroutine[Any, Any, T], *, world: World | None = None) -> T:
    """Run a coroutine to its end and return its result.

    The event loop is uvloop's if that is installed. Ctrl-C cancels the coroutine, as with `asyncio.run`. With a `world` it stops that first:
    once lets every agent finish the step in hand, twice cancels what runs and keeps what had arrived, and only the third time raises
    KeyboardInterrupt. While no run is active in the world there is nothing to stop, and it does so at once.

    Args:
        main: what to run, such as `agent.ask("…")` or `Runner().run(world)`.
        world: what Ctrl-C stops.

    Raises:
        LoopRunningError: a loop runs in this thread already, as in Jupyter; use `await` there.
        KeyboardInterrupt: it was interrupted.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        main.close()
        raise LoopRunningError("an event loop is running in this thread already, as in Jupyter: write 'await …' instead of 'run_sync(…)'")
    with tuned_gc(), asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(main if world is None else _interruptible(main, world))


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes event loops: uvloop's if it is installed, else None, for the standard ones."""
    if find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = import_module("uvloop").new_event_loop
    return factory


async def _interruptible(main: Coroutine[Any, Any, T], world: World) -> T:
    with _on_interrupt(world):
        return await main


@contextmanager
def _on_interrupt(world: World) -> Generator[None]:
    """Have Ctrl-C stop a world: first after the step, then at once, then as ever."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread alone
        return
    loop, before = asyncio.get_running_loop(), signal.getsignal(signal.SIGINT)
    count = 0

    def stop() -> None:
        world.stop(after_step=count == 1)

    def interrupted(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if (count > 2 or world.engine is None) and callable(before):
            before(number, frame)
        else:
            loop.call_soon_threadsafe(stop)

    signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
