"""The time of a replay: each thing happens as long after the request as it did when it was recorded, on the running loop's clock."""

from __future__ import annotations

import asyncio
import math
from typing import Final

GRACE: Final = 1.0
"""Seconds that whoever left in the recording is given to leave again, as its own timers began a little later than ours."""


def check_speed(speed: float | None) -> float:
    """A speed; None, as infinity, is no waiting at all.

    Raises:
        ValueError: it is none.
    """
    if speed is None:
        return math.inf
    if isinstance(speed, bool) or not speed > 0:
        raise ValueError(f"speed is {speed!r}; give 1.0 for the recorded time, 2.0 for half of it, None for no waiting")
    return float(speed)


class Playback:
    """Waits for moments of one recording.

    Args:
        speed: 2.0 is twice as fast; infinity waits for nothing.
        begins: the loop's time that is the opening of the request; now by default.
    """

    def __init__(self, speed: float, begins: float | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._speed = speed
        self._begins = self._loop.time() if begins is None else begins
        self._waiting: asyncio.Future[None] | None = None
        self.closed = False

    async def until(self, offset: float, *, grace: float = 0.0) -> None:
        """Wait until so many recorded seconds after the opening, and `grace` seconds more; less if this is closed meanwhile."""
        at = self._begins + offset / self._speed + grace
        if self.closed or at <= self._loop.time():
            return
        self._waiting = self._loop.create_future()
        timer = self._loop.call_at(at, self._wake)
        try:
            await self._waiting
        finally:
            timer.cancel()
            self._waiting = None

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def close(self) -> None:
        """Wait for nothing more, and wake whoever waits."""
        self.closed = True
        self._wake()
