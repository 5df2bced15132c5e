"""The gate before a reader that asked producers to wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ecs_agent.core.tasks import ended


class Gate:
    """Shut while a reader has too much before it. It knows no stream, so whoever waits at it keeps no stream alive.

    Args:
        limit: how many waiting facts shut it; at half of them it opens again.
        patience: seconds without a single read after which it opens for good, if anybody waits.
        on_lift: is told so.
    """

    def __init__(self, limit: int, patience: float, on_lift: Callable[[Gate], None]) -> None:
        self.reads = 0
        self.shut = False
        self.waiting = 0
        self._limit = limit
        self._patience = patience
        self._on_lift = on_lift
        self._lifted = False
        self._opening: asyncio.Future[None] | None = None

    def level(self, waiting: int) -> None:
        """Take note of how much waits for the reader."""
        self.waiting = waiting
        if waiting >= self._limit and not self._lifted:
            self.shut = True
        elif self.shut and waiting <= self._limit // 2:
            self._open()

    def lift(self) -> None:
        """Open for good."""
        self._lifted = True
        self._open()

    async def passage(self) -> None:
        """Wait until it is open."""
        while self.shut:
            if self._opening is None or self._opening.get_loop() is not asyncio.get_running_loop():
                self._opening = asyncio.get_running_loop().create_future()
            before = self.reads
            try:
                async with asyncio.timeout(self._patience):
                    await ended(self._opening)
            except TimeoutError:
                if self.reads == before and self.shut:
                    self.lift()
                    self._on_lift(self)

    def _open(self) -> None:
        self.shut = False
        opening, self._opening = self._opening, None
        if opening is not None and not opening.done():
            opening.set_result(None)
