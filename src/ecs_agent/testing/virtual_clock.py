"""A clock that tests can afford: an event loop whose time jumps to the next timer instead of waiting for it.

`asyncio.sleep`, timeouts and everything else that uses the loop's time work unchanged and take no time. Real sockets do not fit on such a loop.

    assert run(main) == "done"      # an hour of sleeping takes milliseconds
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualDeadlockError(RuntimeError):
    """Nothing is ready and no timer is set: without real time this would wait for ever."""


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that never waits: it moves the loop's time instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready now; if nothing is, time passes."""
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise VirtualDeadlockError("every task waits and no timer is set, so nothing will ever happen; is a thread or a socket in use?")
        self.now += timeout
        return ready


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time, starting at 0."""

    def __init__(self) -> None:
        self._virtual = _JumpingSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._virtual.now


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run an async function on virtual time.

    Args:
        main: called without arguments.

    Raises:
        VirtualDeadlockError: everything waits for something that no timer will bring about.
    """
    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        return runner.run(main())
