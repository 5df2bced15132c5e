"""Where time comes from. Nothing in the kernel or in a system reads a clock of its own, so that a seed replays a run exactly."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Two readings: `now` for records, `monotonic` for durations."""

    def now(self) -> int:
        """UTC, in nanoseconds since 1970."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        ...


class SystemClock:
    """The machine's clocks."""

    now = staticmethod(time.time_ns)
    monotonic = staticmethod(time.monotonic)


class LoopClock:
    """The running event loop's time, for both readings: on a virtual loop a run's records are the same each time.

    Args:
        start: UTC nanoseconds at loop time 0.
    """

    def __init__(self, start: int = 0) -> None:
        self._start = start

    def now(self) -> int:
        """UTC, in nanoseconds since 1970."""
        return self._start + round(self.monotonic() * 1e9)

    def monotonic(self) -> float:
        """The loop's time in seconds."""
        return asyncio.get_running_loop().time()
