"""One response over HTTP: from its bytes to deltas, within its time limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ecs_agent.errors import ProviderError, ProviderTimeoutError, StreamInterruptedError
from ecs_agent.streaming.decoder import DecoderPhase, StreamDecoder
from ecs_agent.types import StreamDelta

if TYPE_CHECKING:
    from ecs_agent.providers.transport import TransportResponse


DRAIN: Final = 0.1
"""Seconds to wait for the end of a body whose answer has ended; after that its connection is given up."""


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Limits of one answer in seconds; None means no limit.

    `read` is the silence between bytes while we wait for them, `first_delta` the time until the first text, reasoning or tool call, `total` the
    whole answer, `tail` the wait for usage after the finish, or after text behind it.
    """

    read: float | None = 120.0
    first_delta: float | None = 600.0
    total: float | None = 3600.0
    tail: float | None = 2.0

    def __post_init__(self) -> None:
        for name in ("read", "first_delta", "total", "tail"):
            check_seconds(f"{name}_timeout", getattr(self, name))


class HTTPDeltaSource:
    """The deltas of one response, within its time limits.

    Only time in which we wait for the server counts: whoever takes long over a delta finds what has arrived meanwhile, and no limit has passed.
    `total` is the exception; when it has passed one more read is answered with what is there, and the next one fails. One timer a stream watches
    all limits. It is moved only when it fires, so that a delta costs no timer; when a limit has passed it aborts the response, which wakes
    whoever waits for bytes.

    Args:
        response: the open response.
        decoder: turns its bytes into deltas.
        limits: in seconds.
        started: the loop's time at which the request was sent.
        release: called once when the response is done with.
        sign: completes an error with who failed.
    """

    __slots__ = (
        "_closed",
        "_decoder",
        "_ends_at",
        "_error",
        "_first_left",
        "_is_last_read",
        "_limits",
        "_loop",
        "_release",
        "_response",
        "_seen_content",
        "_sign",
        "_tail_left",
        "_timer",
        "_waiting_since",
    )

    def __init__(
        self,
        response: TransportResponse,
        decoder: StreamDecoder,
        limits: TimeLimits,
        started: float,
        release: Callable[[], None],
        sign: Callable[[ProviderError], ProviderError],
    ) -> None:
        self._response = response
        self._decoder = decoder
        self._limits = limits
        self._release = release
        self._sign = sign
        self._loop = asyncio.get_running_loop()
        self._ends_at = _plus(started, limits.total)
        self._first_left = _minus(limits.first_delta, self._loop.time() - started)
        self._tail_left = limits.tail
        self._waiting_since: float | None = None
        self._seen_content = False
        self._is_last_read = False
        self._error: ProviderError | None = None
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None

    async def read(self) -> Sequence[StreamDelta]:
        """The deltas of the next bytes that hold any; empty at the end."""
        while not self._closed:
            now = self._loop.time()
            error = self._error or self._decoder.error or self._too_late(now)
            if error is not None:
                self.abort()
                raise self._sign(error)
            if self._decoder.phase is DecoderPhase.ENDED:
                await self._drain()
                self.abort()
                break
            self._waiting_since = now
            if self._timer is None:
                self._arm(now)
            try:
                data = await self._response.read()
            except StreamInterruptedError as lost:
                deltas: Sequence[StreamDelta] = self._lost(lost)
            else:
                deltas = self._decoded(data, now)
            finally:
                self._waiting_since = None
            if deltas:
                return deltas
        return ()

    async def _drain(self) -> None:
        """Read what is left of the body, nearly always nothing: a connection that was read to its end serves the next request."""
        self._tail_left = DRAIN
        self._waiting_since = self._loop.time()
        self._arm(self._waiting_since)
        try:
            while await self._response.read():
                pass
        except StreamInterruptedError:
            pass  # the answer is complete all the same
        finally:
            self._waiting_since = None

    def _too_late(self, now: float) -> ProviderTimeoutError | None:
        """The error of an answer that takes longer than `total` although nobody waits: one more read is answered with what is there."""
        if self._ends_at is None or now < self._ends_at or self._decoder.phase is not DecoderPhase.OPEN:
            return None
        was_last, self._is_last_read = self._is_last_read, True
        return self._expired("total_timeout") if was_last else None

    def _decoded(self, data: bytes, since: float) -> Sequence[StreamDelta]:
        decoder = self._decoder
        if not data:
            return decoder.eof()
        if self._seen_content and decoder.phase is DecoderPhase.OPEN:
            deltas = decoder.feed(data)
            if decoder.phase is DecoderPhase.OPEN:
                return deltas
        else:
            deltas = self._fed_at_an_edge(data, since)
        if decoder.phase is DecoderPhase.TAIL:
            self._arm(self._loop.time())
        return deltas

    def _fed_at_an_edge(self, data: bytes, since: float) -> list[StreamDelta]:
        """As the decoder's `feed`, before the first content or after the finish: there waiting and decoding count against a limit of their own."""
        in_tail = self._decoder.phase is DecoderPhase.TAIL
        deltas = self._decoder.feed(data)
        spent = self._loop.time() - since
        says_more = _say_something(deltas)
        if in_tail:  # some servers write a finish into every chunk: while text comes, the end is yet to come
            self._tail_left = self._limits.tail if says_more else _minus(self._tail_left, spent)
        else:
            self._first_left = _minus(self._first_left, spent)
        self._seen_content = self._seen_content or says_more
        return deltas

    def _lost(self, lost: StreamInterruptedError) -> list[StreamDelta]:
        if self._closed or self._error is not None:
            return []
        deltas = self._decoder.cut()
        if self._decoder.error is not None:
            self._error = lost
        return deltas

    # Time

    def _deadline(self, since: float) -> tuple[float, str] | None:
        """The moment at which waiting since then will have been too long, and which limit says so."""
        limits = [(self._ends_at, "total_timeout"), (_plus(since, self._limits.read), "read_timeout")]
        if not self._seen_content:
            limits.append((_plus(since, self._first_left), "first_delta_timeout"))
        if self._decoder.phase is not DecoderPhase.OPEN:
            limits.append((_plus(since, self._tail_left), "tail_timeout"))
        return min([(at, name) for at, name in limits if at is not None], default=None)

    def _arm(self, since: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        deadline = self._deadline(since)
        self._timer = self._loop.call_at(deadline[0], self._look) if deadline is not None else None

    def _look(self) -> None:
        self._timer = None
        if self._waiting_since is None:
            return  # nobody waits for the server; the next who does sets the timer
        deadline = self._deadline(self._waiting_since)
        if deadline is None:
            return
        if deadline[0] > self._loop.time():
            self._arm(self._waiting_since)
            return
        if self._decoder.phase is DecoderPhase.OPEN:  # later the answer is complete, and at most its usage stays unknown
            self._error = self._expired(deadline[1])
        self._response.abort()

    def _expired(self, name: str) -> ProviderTimeoutError:
        what = {
            "total_timeout": f"the answer took longer than {self._limits.total} s",
            "first_delta_timeout": f"no text came within {self._limits.first_delta} s",
            "read_timeout": f"the server was silent for {self._limits.read} s",
        }[name]
        return ProviderTimeoutError(f"{what} ({name}); raise that limit if the model needs longer")

    # Closing

    async def aclose(self) -> None:
        """Close the response."""
        if self._finish():
            await self._response.aclose()

    def abort(self) -> None:
        """Close it without awaiting."""
        if self._finish():
            self._response.abort()

    def _finish(self) -> bool:
        if self._closed:
            return False
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._release()
        return True


def _say_something(deltas: Sequence[StreamDelta]) -> bool:
    return any(d.content or d.reasoning or d.refusal or d.tool_fragments or d.parts or d.final for d in deltas)


def check_seconds(name: str, value: object) -> None:
    """Whether a limit is one.

    Raises:
        TypeError: it is neither a number nor None.
        ValueError: it is less than nothing.
    """
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is a {type(value).__name__}; give seconds as a number, or None for no limit")
    if not value >= 0:
        raise ValueError(f"{name} is {value}; give seconds from 0 on, or None for no limit")


def _plus(since: float, limit: float | None) -> float | None:
    return None if limit is None else since + limit


def _minus(left: float | None, spent: float) -> float | None:
    return None if left is None else max(0.0, left - spent)
