"""The one timer of all streams that hand out at intervals."""

from __future__ import annotations

import asyncio
import math
import weakref
from typing import Protocol

ROUNDING = 1e-6
"""The part of an interval by which a moment may fall short of its end and still count as the end, since it was computed."""


class Beating(Protocol):
    """Who is told when its interval is over."""

    def beat(self) -> None:
        """The interval is over."""
        ...


class Pulse:
    """Tells those who wait when their interval is over. With nobody waiting no timer is set.

    Intervals end at multiples of their length on the loop's clock, so that a thousand streams of one interval wake the loop once and not a
    thousand times.
    """

    def __init__(self) -> None:
        self._due: dict[weakref.ref[Beating], float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def wait(self, who: weakref.ref[Beating], seconds: float) -> None:
        """Tell someone when its interval is over; once, however often it asks. Nothing happens where no loop runs, so it asks again."""
        if who in self._due and self._loop is not None and self._loop.is_running():
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if loop is not self._loop:  # the timer of a loop that is over will not come
            self.close()
            self._loop = loop
        due = self._due[who] = (math.floor(loop.time() / seconds + ROUNDING) + 1) * seconds
        if self._timer is None or due < self._timer.when():
            self._set(due)

    def close(self) -> None:
        """Forget everyone."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        assert self._loop is not None  # noqa: S101 - it was entered just now
        self._timer = self._loop.call_at(due, self._beat)

    def _beat(self) -> None:
        assert self._timer is not None  # noqa: S101 - it has just rung
        now = self._timer.when()
        self._timer = None
        for who in [who for who, due in self._due.items() if due <= now]:
            del self._due[who]
            beating = who()
            if beating is not None:
                beating.beat()
        if self._due:
            self._set(min(self._due.values()))
