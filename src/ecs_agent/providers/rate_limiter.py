"""RateLimiter: when the next request to a provider may start, by what its server said and by a limit of our own.

A response tells how many more requests may follow; those that are on their way are taken off, as they may not be in its count. When there is no
room, or a request was refused, everybody waits in line until the time that the server named. Then they do not go all at once: one goes first,
and its response decides. It tells how many may follow; or it is a plain success, after which two more may go for each that comes back; or it is
refused again. While it is silent, one more goes each second, so that a stuck one holds nobody up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Final

from ecs_agent.core.waiting_line import WaitingLine
from ecs_agent.errors import ProviderTimeoutError
from ecs_agent.providers.classify import MAX_RETRY_AFTER
from ecs_agent.providers.rate_limit import RateLimit, read_rate_limit

MINUTE: Final = 60.0
NEXT_TRY: Final = 1.0
"""Seconds after which another request may go although the one before it is not answered."""

_TOO_MANY: Final = (429, 498)
_OVERLOADED: Final = (503, 529)
"""These say to wait only if they say how long."""


class RateLimiter:
    """Lets the requests of one provider start, first come, first served. As long as no server limits them it costs an addition.

    How long a server can make everybody wait is bounded: the first in line goes after `MAX_RETRY_AFTER` at the latest, whatever was said.

    Args:
        requests_per_minute: our own limit: so many start within any 60 seconds; None for no limit.
        timeout: seconds to wait; None for as long as it takes.

    Raises:
        ValueError: the limit is less than one.
        TypeError: it is no whole number.
    """

    def __init__(self, requests_per_minute: int | None = None, timeout: float | None = None) -> None:
        if requests_per_minute is not None:
            if isinstance(requests_per_minute, bool) or not isinstance(requests_per_minute, int):
                raise TypeError(f"requests_per_minute is a {type(requests_per_minute).__name__}; give a whole number, or None for no limit")
            if requests_per_minute < 1:
                raise ValueError(f"requests_per_minute is {requests_per_minute}; at least one request must be allowed")
        self._timeout = timeout
        self._line: WaitingLine[int] = WaitingLine()
        self._started = 0
        self._times: deque[float] | None = deque(maxlen=requests_per_minute) if requests_per_minute is not None else None
        self._last: int | None = None  # the number up to which requests may start; None for all
        self._renewed_at = 0.0  # when `_last` is over; the loop's time, as all times here
        self._closed_at: float | None = None  # since when the first in line waits for the server
        self._on_their_way: set[int] = set()  # requests are numbered in the order in which they start
        self._stopped_at = 0  # what is heard of requests up to this number is old
        self._least = 0  # the least room that was told by requests whose order at the server is not known
        self._least_of = 0  # requests up to this number were on their way when the first of those was heard
        self._careful = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._line)

    async def ready(self, since: float) -> int:
        """Wait until the next request may start; the number it has then.

        Whoever has one says how it went: `heard` with the head of the response, or `unheard` if there was none.

        Args:
            since: the loop's time from which on the timeout counts.

        Raises:
            ProviderTimeoutError: it was not in time.
        """
        if self._last is None and self._times is None:
            return self._numbered()
        loop = self._enter()
        now = loop.time()
        if not self._line and self._opens_at(now) <= now:
            return self._start(now)
        if self._timer is None:
            self._arm(self._opens_at(now))
        try:
            async with asyncio.timeout_at(None if self._timeout is None else since + self._timeout):
                return await self._line.wait(self._give_back)
        except BaseException as error:
            self._admit()
            if isinstance(error, TimeoutError):
                raise ProviderTimeoutError(self._why()) from None
            raise

    def heard(self, turn: int, status: int, headers: Mapping[str, str], now: float | None = None) -> None:
        """The head of a response.

        Args:
            turn: the number of its request.
            status: HTTP's.
            headers: their names in lower case.
            now: UTC in seconds, for times that are moments.
        """
        self._on_their_way.discard(turn)
        said = read_rate_limit(headers, now)
        pause = _pause_of(status, said)
        if pause is None and said is None and not self._careful:
            return
        time = self._enter().time()
        if pause is not None:
            self._close(time, pause)
        elif turn > self._stopped_at:
            self._follow(turn, time, said)
        self._admit()

    def unheard(self, turn: int) -> None:
        """A request ended without a response, so the next one finds out; nothing if it was heard."""
        if turn in self._on_their_way:
            self._on_their_way.discard(turn)
            if self._last is not None and turn > self._stopped_at:
                self._last += 1
            self._admit()

    def _close(self, time: float, pause: float) -> None:
        """Nobody starts for a while, and then one."""
        until = min(time + pause, self._closed_since(time) + MAX_RETRY_AFTER)
        is_pause = self._last is not None and self._started >= self._last and not (self._careful and self._started > self._stopped_at)
        self._renewed_at = max(until, self._renewed_at) if is_pause else until
        self._last = self._stopped_at = self._started
        self._careful = True

    def _closed_since(self, time: float) -> float:
        """Since when nobody may start; from now on, unless it is so already."""
        if self._closed_at is None or self._renewed_at <= time:
            self._closed_at = time
        return self._closed_at

    def _follow(self, turn: int, time: float, said: RateLimit | None) -> None:
        """What a request that was not refused lets the next ones do."""
        room = said.room if said is not None else None
        if said is not None and room is not None:
            closed_since = self._closed_since(time)
            if turn > self._least_of or room <= self._least or self._last is None:  # responses overtake each other; the least room was told last
                self._least = room
                self._renewed_at = time + (said.reset if said.reset is not None else NEXT_TRY)
            if turn > self._least_of:
                self._least_of = self._started
            self._careful = False
            self._last = self._started + self._least - len(self._on_their_way)
            if self._started >= self._last:
                self._renewed_at = min(self._renewed_at, closed_since + MAX_RETRY_AFTER)
        elif self._careful:
            self._careful = bool(self._line)
            self._last = max(self._last or 0, self._started) + 2 if self._line else None
            self._renewed_at = time + NEXT_TRY

    def _opens_at(self, now: float) -> float:
        """When the next request may start; now at the earliest."""
        if self._last is not None and not self._careful and now >= self._renewed_at and self._started < self._last:
            self._last = None  # the room was not used up while it counted, and what there is now nobody told
        at = now
        if self._last is not None and self._started >= self._last:
            at = max(at, self._renewed_at)
        if self._times is not None and len(self._times) == self._times.maxlen:
            at = max(at, self._times[0] + MINUTE)
        return at

    def _start(self, now: float) -> int:
        if self._last is not None and self._started >= self._last:  # the time is over: one goes first
            if not self._careful:
                self._careful = True
                self._stopped_at = self._started
            self._last = self._started + 1
            self._renewed_at = now + NEXT_TRY
        turn = self._numbered()
        if self._times is not None:
            self._times.append(now)
        self._closed_at = now if self._last is not None and turn >= self._last else None
        return turn

    def _numbered(self) -> int:
        self._started += 1
        self._on_their_way.add(self._started)
        return self._started

    def _give_back(self, turn: int) -> None:
        """Whoever was served is gone: the next one has the turn."""
        self._on_their_way.discard(turn)
        if self._last is not None and turn > self._stopped_at:
            self._last += 1
        if self._times:
            self._times.pop()

    def _admit(self) -> None:
        """Serve those whose turn it is, and set the timer for the next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._line and self._loop is not None:
            now = self._loop.time()
            at = self._opens_at(now)
            if at > now:
                self._arm(at)
                return
            if self._line.serve(self._started + 1):
                self._start(now)

    def _arm(self, at: float) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._timer = self._loop.call_at(at, self._admit)

    def _enter(self) -> asyncio.AbstractEventLoop:
        """The running loop; when it is another one, times of the last one that cannot be its own are forgotten."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._timer = loop, None
            now = loop.time()
            self._closed_at = None
            if self._renewed_at > now + MAX_RETRY_AFTER:
                self._renewed_at = now
            while self._times and self._times[-1] > now:
                self._times.pop()
        return loop

    def _why(self) -> str:
        whose = "the server's rate limit"
        if self._times is not None and len(self._times) == self._times.maxlen:
            whose = f"our own limit of {self._times.maxlen} requests a minute (requests_per_minute)"
        return f"{whose} left no room within {self._timeout} s (pool_timeout); ask less often, or wait longer"


def _pause_of(status: int, said: RateLimit | None) -> float | None:
    """Seconds for which a response stops everybody; None for one that does not."""
    if status in _TOO_MANY:
        pause = said.pause if said is not None else None
        return pause if pause is not None else 0.0
    return said.retry_after if status in _OVERLOADED and said is not None else None
