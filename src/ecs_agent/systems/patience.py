"""Patience: how long an answer is waited for, whoever gives it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final

from ecs_agent.components import StreamPolicy
from ecs_agent.errors import ProviderTimeoutError

_SLACK: Final = 1e-6  # of a timer, which may go off a moment early


class Patience:
    """Watches one attempt with one timer. A piece only notes when it came; the timer looks at that when it goes off, and is set anew.

    Only time in which the provider is waited for counts as silence, and not what a consumer takes that holds its producers back.

    Args:
        policy: whose limits hold.
        lose: called when one of them has passed, with the error that says so.
    """

    __slots__ = ("_began", "_first", "_gap", "_heard", "_is_paused", "_loop", "_lose", "_timer", "_total", "has_heard")

    def __init__(self, policy: StreamPolicy, lose: Callable[[ProviderTimeoutError], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._lose = lose
        self._first = policy.first_delta_timeout
        self._gap = policy.gap_timeout
        self._total = policy.total_timeout
        self._began = self._heard = self._loop.time()
        self._is_paused = False
        self._timer: asyncio.TimerHandle | None = None
        self.has_heard = False
        self._set()

    def hear(self) -> None:
        """Something has come."""
        self._heard = self._loop.time()
        if not self.has_heard:
            self.has_heard = True
            self._set()

    def pause(self) -> None:
        """The provider is not waited for just now."""
        self._is_paused = True

    def resume(self) -> None:
        """It is waited for again."""
        self._is_paused = False
        self._heard = self._loop.time()

    def stop(self) -> None:
        """The attempt is over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self) -> None:
        self.stop()
        at = min(self._silent_at, self._over_at)
        if at < math.inf:
            self._timer = self._loop.call_at(at, self._look)

    @property
    def _silent_at(self) -> float:
        limit = self._gap if self.has_heard else self._first
        return math.inf if limit is None else (self._loop.time() if self._is_paused else self._heard) + limit

    @property
    def _over_at(self) -> float:
        return math.inf if self._total is None else self._began + self._total

    def _look(self) -> None:
        now = self._loop.time() + _SLACK
        if now >= self._over_at:
            self._lose(ProviderTimeoutError(f"the answer was not complete within {self._total:g} s (StreamPolicy.total_timeout)"))
        elif now >= self._silent_at:
            which, limit = ("gap_timeout", self._gap) if self.has_heard else ("first_delta_timeout", self._first)
            self._lose(ProviderTimeoutError(f"nothing came for {limit:g} s (StreamPolicy.{which})"))
        else:
            self._set()
