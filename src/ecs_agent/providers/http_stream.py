"""One response over HTTP: from its bytes to deltas, within its time limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ecs_agent.errors import ProviderError, ProviderTimeoutError, StreamInterruptedError
from ecs_agent.streaming.decoder import DecoderPhase, StreamDecoder
from ecs_agent.types import StreamDelta

if TYPE_CHECKING:
    from ecs_agent.providers.transport import TransportResponse


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Limits of one answer in seconds; None means no limit.

    `read` is the silence between bytes while we wait for them, `first_delta` the time until the first text, reasoning or tool call, `total` the
    whole answer, `tail` the wait for usage after the finish.
    """

    read: float | None = 120.0
    first_delta: float | None = 600.0
    total: float | None = 3600.0
    tail: float | None = 2.0


class HTTPDeltaSource:
    """The deltas of one response, within its time limits.

    One timer a stream watches all limits. It is moved only when it fires, so that a delta costs no timer; when a limit has passed it aborts the
    response, which wakes whoever waits for bytes.

    Args:
        response: the open response.
        decoder: turns its bytes into deltas.
        limits: in seconds.
        started: the loop's time at which the request was sent.
        release: called once when the response is done with.
        sign: completes an error with who failed.
    """

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
        self._started = started
        self._release = release
        self._sign = sign
        self._loop = asyncio.get_running_loop()
        self._waiting_since: float | None = None
        self._tail_since: float | None = None
        self._seen_content = False
        self._error: ProviderError | None = None
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._arm()

    async def read(self) -> Sequence[StreamDelta]:
        """The deltas of the next bytes that hold any; empty at the end."""
        while not self._closed:
            error = self._error or self._decoder.error
            if error is not None:
                await self.aclose()
                raise self._sign(error)
            if self._decoder.phase is DecoderPhase.ENDED:
                await self.aclose()
                break
            deltas = await self._next()
            if deltas:
                self._note(deltas)
                return deltas
        return ()

    async def _next(self) -> list[StreamDelta]:
        self._waiting_since = self._loop.time()
        try:
            data = await self._response.read()
        except StreamInterruptedError as lost:
            return self._lost(lost)
        finally:
            self._waiting_since = None
        if not data:
            return self._decoder.eof()
        deltas = self._decoder.feed(data)
        if self._tail_since is None and self._decoder.phase is DecoderPhase.TAIL:
            self._tail_since = self._loop.time()
            self._arm()
        return deltas

    def _lost(self, lost: StreamInterruptedError) -> list[StreamDelta]:
        if self._closed or self._error is not None:
            return []
        deltas = self._decoder.cut()
        if self._decoder.error is not None:
            self._error = lost
        return deltas

    def _note(self, deltas: Sequence[StreamDelta]) -> None:
        if not self._seen_content:
            self._seen_content = any(d.content or d.reasoning or d.refusal or d.tool_fragments or d.final for d in deltas)

    # Time

    def _deadlines(self) -> list[tuple[float, str]]:
        limits = self._limits
        since = self._waiting_since
        found = [
            (self._started, limits.total, "total_timeout"),
            (self._started if not self._seen_content else None, limits.first_delta, "first_delta_timeout"),
            (since if since is not None else self._loop.time(), limits.read, "read_timeout"),
            (self._tail_since, limits.tail, "tail_timeout"),
        ]
        return sorted((start + limit, name) for start, limit, name in found if start is not None and limit is not None)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        deadlines = self._deadlines()
        self._timer = self._loop.call_at(deadlines[0][0], self._look) if deadlines else None

    def _look(self) -> None:
        self._timer = None
        deadline, name = self._deadlines()[0]
        if deadline > self._loop.time():
            self._arm()
            return
        if name != "tail_timeout":
            self._error = self._expired(name)
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
