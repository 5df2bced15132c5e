"""A clock that tests can afford: an event loop whose time jumps to the next timer instead of waiting for it.

`asyncio.sleep`, timeouts and everything else that uses the loop's time work unchanged and take no time. Real sockets do not fit on such a loop.
While a synchronous tool, or anything in an executor, works in its thread, no time passes. Results of tools arrive in the order in which they were
called, each when nothing else is left to do at its moment: however fast a thread is, the run is the same.

    assert run(main) == "done"      # an hour of sleeping takes milliseconds
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from functools import partial
from typing import Any, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

PATIENCE = 30.0
"""Real seconds that a thread is waited for; then time passes again, so that its own time limit ends a tool that hangs."""

LAST_WORDS = 5.0
"""Real seconds for what the end of an executor, which the loop waits for at its own end, may take."""


class VirtualDeadlockError(RuntimeError):
    """Nothing is ready and no timer is set: without real time this would wait for ever."""


class _Outside:
    """Work in a thread: the future that waits for it, and what is to be called on the loop when it is over, once that is known."""

    def __init__(self, future: asyncio.Future[Any]) -> None:
        self.future = future
        self.over: Callable[[], object] | None = None
        self.given_up = False


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that never waits but for threads: it moves the loop's time instead."""

    def __init__(self, deliver: Callable[[Callable[[], object]], object], turn: Callable[[], None]) -> None:
        super().__init__()
        self.now = 0.0
        self.outside: deque[_Outside] = deque()
        self.has_executor = False
        self._deliver = deliver
        self._turn = turn

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready now; if nothing is, what comes from threads; if there is none of these, time passes."""
        self._turn()
        ready = super().select(0)
        if ready or timeout == 0 or self._heard(PATIENCE):
            return ready
        if timeout is None and self.has_executor and (ready := super().select(LAST_WORDS)):
            return ready
        if timeout is None:
            raise VirtualDeadlockError("every task waits and no timer is set, so nothing will ever happen; is a thread or a socket in use?")
        self.now += timeout
        return ready

    def _heard(self, patience: float) -> bool:
        """Wait until the loop has something to do because of a thread."""
        gives_up = time.monotonic() + patience
        while self.outside:
            first = self.outside[0]
            left = gives_up - time.monotonic()
            if first.over is None and not first.future.done() and left > 0:
                if super().select(left):
                    return True  # some thread has called the loop; what it wants is done first
                continue
            self.outside.popleft()
            first.given_up = True
            if first.over is not None and not first.future.done():
                self._deliver(first.over)
                return True
        return False


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time, starting at 0."""

    def __init__(self) -> None:
        self._virtual = _JumpingSelector(self.call_soon, self._turn_begins)
        super().__init__(self._virtual)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._virtual.now

    def _turn_begins(self) -> None:
        """Called when a turn begins: what is ready now runs in it, and what becomes ready meanwhile in the next."""

    def outside(self, future: asyncio.Future[Any]) -> Callable[..., object]:
        """Take note of work in a thread that a future waits for: no time passes meanwhile.

        Returns:
            What the thread calls at its end instead of `call_soon_threadsafe`. It is heard in the order in which work was noted.
        """
        work = _Outside(future)
        self._virtual.outside.append(work)

        def over(callback: Callable[..., object], *args: object) -> None:
            work.over = partial(callback, *args)
            self.call_soon_threadsafe(work.over if work.given_up else _nothing)  # the loop waits for that

        return over

    def run_in_executor(self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts) -> asyncio.Future[T]:
        """As ever, and no time passes meanwhile."""
        future = super().run_in_executor(executor, func, *args)
        self._virtual.outside.append(_Outside(future))
        self._virtual.has_executor = True
        return future


def _nothing() -> None:
    """What only wakes the loop."""


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run an async function on virtual time.

    Args:
        main: called without arguments.

    Raises:
        VirtualDeadlockError: everything waits for something that no timer will bring about.
    """
    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        return runner.run(main())
