"""RateLimiter: when the next request to a provider may start, by what its server said and by a limit of our own.

A response tells how many more requests may follow; those that are on their way are taken off, as they may not be in its count. When there is no
room, or a request was refused, everybody waits in line until the time that the server named. Then they do not go all at once: one goes first,
and its response decides. It tells how many may follow; or it is a plain success, after which two more may go for each that comes back; or it is
refused again. While it is silent, one more goes each second, so that a stuck one holds nobody up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from ecs_agent.core.waiting_line import WaitingLine
from ecs_agent.errors import ProviderTimeoutError
from ecs_agent.providers.classify import MAX_RETRY_AFTER
from ecs_agent.providers.minute_limits import MinuteLimits
from ecs_agent.providers.rate_limit import RateLimit, read_rate_limit

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
        tokens_per_minute: another limit of our own: so many tokens within any 60 seconds; None for no limit.

    Raises:
        ValueError: a limit is less than one.
        TypeError: it is no whole number.
    """

    def __init__(self, requests_per_minute: int | None = None, timeout: float | None = None, *, tokens_per_minute: int | None = None) -> None:
        limited = requests_per_minute is not None or tokens_per_minute is not None
        self._own = MinuteLimits(requests_per_minute, tokens_per_minute) if limited else None
        self._timeout = timeout
        self._line: WaitingLine[int] = WaitingLine()
        self._waking = 0  # those who were served and do not run yet: whoever comes meanwhile must not overtake them
        self._started = 0
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

    async def ready(self, since: float, tokens: int = 0) -> int:
        """Wait until the next request may start; the number it has then.

        Whoever has one says how it went: `heard` with the head of the response, or `unheard` if there was none. Whoever told tokens says `settle`.

        Args:
            since: the loop's time from which on the timeout counts.
            tokens: how many it has, about.

        Raises:
            ProviderTimeoutError: it was not in time.
        """
        if self._last is None and self._own is None:
            return self._numbered()
        loop = self._enter()
        now = loop.time()
        if not self._line and self._waking <= 0 and self._opens_at(now, tokens) <= now:
            return self._start(now, tokens)
        if self._timer is None:
            self._arm(self._opens_at(now, tokens))
        try:
            async with asyncio.timeout_at(None if self._timeout is None else since + self._timeout):
                turn = await self._line.wait(self._refuse, tokens)
        except BaseException as error:
            self._admit()
            if isinstance(error, TimeoutError):
                raise ProviderTimeoutError(
                    f"{self.which(tokens)} left no room within {self._timeout} s (pool_timeout); ask less often, or wait longer"
                ) from None
            raise
        self._waking -= 1
        return turn

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

    def settle(self, turn: int, tokens: int) -> None:
        """A request is over, and had so many tokens. Safe when no event loop runs any more, as for a stream that is dropped after it."""
        if self._own is not None and self._loop is not None:
            self._own.settle(turn, tokens, self._loop.time())
        self._on_their_way.discard(turn)
        self._admit()

    def give_back(self, turn: int) -> None:
        """A request was not sent after all: the next one has its turn."""
        self._take_back(turn)
        self._admit()

    def opens_in(self, tokens: int = 0) -> float:
        """In how many seconds a request may start if nobody else asks, as far as that is known."""
        now = self._enter().time()
        return self._opens_at(now, tokens) - now

    def which(self, tokens: int = 0) -> str:
        """Whose limit it is that a request waits for, for a sentence."""
        own = self._own.which(tokens, self._enter().time()) if self._own is not None else None
        return own or "the server's rate limit"

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

    def _opens_at(self, now: float, tokens: int) -> float:
        """When the next request, of so many tokens, may start; now at the earliest."""
        if self._last is not None and not self._careful and now >= self._renewed_at and self._started < self._last:
            self._last = None  # the room was not used up while it counted, and what there is now nobody told
        at = now
        if self._last is not None and self._started >= self._last:
            at = max(at, self._renewed_at)
        return max(at, self._own.opens_at(tokens, now)) if self._own is not None else at

    def _start(self, now: float, tokens: int) -> int:
        if self._last is not None and self._started >= self._last:  # the time is over: one goes first
            if not self._careful:
                self._careful = True
                self._stopped_at = self._started
            self._last = self._started + 1
            self._renewed_at = now + NEXT_TRY
        turn = self._numbered()
        if self._own is not None:
            self._own.start(turn, tokens, now)
        self._closed_at = now if self._last is not None and turn >= self._last else None
        return turn

    def _numbered(self) -> int:
        self._started += 1
        self._on_their_way.add(self._started)
        return self._started

    def _refuse(self, turn: int) -> None:
        """Whoever was served is gone."""
        self._waking -= 1
        self._take_back(turn)

    def _take_back(self, turn: int) -> None:
        """A turn is free again."""
        self._on_their_way.discard(turn)
        if self._last is not None and turn > self._stopped_at:
            self._last += 1
        if self._own is not None:
            self._own.take_back(turn)

    def _admit(self) -> None:
        """Serve those whose turn it is, and set the timer for the next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._loop is not None and (tokens := self._line.next_size()) is not None:
            now = self._loop.time()
            at = self._opens_at(now, tokens)
            if at > now:
                self._arm(at)
                return
            self._line.serve(self._start(now, tokens))
            self._waking += 1

    def _arm(self, at: float) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._timer = self._loop.call_at(at, self._admit)

    def _enter(self) -> asyncio.AbstractEventLoop:
        """The running loop; when it is another one, times of the last one that cannot be its own are forgotten."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._timer, self._waking = loop, None, 0
            now = loop.time()
            self._closed_at = None
            if self._renewed_at > now + MAX_RETRY_AFTER:
                self._renewed_at = now
            if self._own is not None:
                self._own.forget_after(now)
        return loop


def _pause_of(status: int, said: RateLimit | None) -> float | None:
    """Seconds for which a response stops everybody; None for one that does not."""
    if status in _TOO_MANY:
        pause = said.pause if said is not None else None
        return pause if pause is not None else 0.0
    return said.retry_after if status in _OVERLOADED and said is not None else None
