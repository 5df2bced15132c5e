"""CompletionStream: one answer that is arriving. Async iterator, context manager, and at any moment a result.

Nothing stands between it and the socket but its source: all deltas of one read are handed out without awaiting.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from operator import length_hint
from typing import Any, Protocol, Self

from ecs_agent.errors import ProviderError, StreamInterruptedError
from ecs_agent.streaming.events import EventTranslator, Finished, StreamEvent
from ecs_agent.streaming.fold import Fold
from ecs_agent.streaming.timing import Stopwatch
from ecs_agent.types import CompletionResult, StreamDelta, Timing

_FOLD_AT = 16


class DeltaSource(Protocol):
    """Where a stream's deltas come from."""

    async def read(self) -> Sequence[StreamDelta]:
        """The deltas that have arrived, at least one; empty at the end.

        Raises:
            ProviderError: the answer failed.
        """
        ...

    async def aclose(self) -> None:
        """Release everything; safe to call twice."""
        ...

    def abort(self) -> None:
        """As `aclose`, without awaiting."""
        ...


class StreamTap:
    """Hears what becomes of a stream: once a read, and exactly once of its end. Override what is of interest; see `CompletionStream.tap`.

    It is called in the middle of the stream, so it must neither raise nor read. It is handed the stream at the end and must not hold it before,
    or a stream that is dropped would not be closed.
    """

    def note(self, deltas: Sequence[StreamDelta], /) -> None:
        """These were read at once."""

    def complete(self, stream: CompletionStream, /) -> None:
        """The answer is whole: it was read to its end, or left after its finish."""

    def fail(self, stream: CompletionStream, error: Exception, /) -> None:
        """It broke off."""

    def leave(self, stream: CompletionStream, /) -> None:
        """It was closed, cancelled or dropped before its finish."""


class CompletionStream:
    """One answer, as it arrives.

    Iterate it for deltas, or `events()` for typed events, or `text()` for text alone. Close it by leaving `async with`, by `aclose()`, or by
    dropping the last reference; whatever had arrived stays readable by `result()`.

    Args:
        source: where the deltas come from; it belongs to this stream.
        started: when the request was sent, on `clock`; now by default.
        clock: seconds, monotonic.

    Raises:
        ProviderError: from the iteration, with the `partial` result, when the answer fails or ends without a finish.
    """

    def __init__(self, source: DeltaSource, *, started: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._fold = Fold()
        self._batch: Sequence[StreamDelta] = ()  # the deltas of the last read
        self._ready: Iterator[StreamDelta] = iter(())  # those of them that have not been handed out
        self._folded = 0  # so many of them are in the fold
        self._laid_by: list[StreamDelta] = []  # handed out before, and not in the fold yet
        self._watch = Stopwatch(clock() if started is None else started)
        self._taps: tuple[StreamTap, ...] = ()
        self._reading = False
        self._closed = False
        self._aborted = False

    def tap(self, tap: StreamTap) -> Self:
        """Let someone hear what becomes of this stream, without a second stream around it: a delta costs nothing more.

        Args:
            tap: hears of every read from now on, and of the end, at once if that was before; of several the first one first.

        Returns:
            This stream.
        """
        self._taps = (*self._taps, tap)
        if self._closed:
            self._over()
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamDelta:
        for delta in self._ready:
            return delta
        deltas = await self._next_batch()
        if not deltas:
            raise StopAsyncIteration
        self._ready = iter(deltas)
        return next(self._ready)

    def read(self) -> Coroutine[Any, Any, Sequence[StreamDelta]]:
        """All deltas that have arrived, at least one: what one read of the source brought. Empty at the end.

        For those who deal with many at once; a delta costs next to nothing then.

        Raises:
            ProviderError: as from the iteration.
        """
        rest = tuple(self._ready)
        return _given(rest) if rest else self._next_batch()

    async def _next_batch(self) -> Sequence[StreamDelta]:
        if self._closed:
            return ()
        if self._reading:
            raise RuntimeError("this stream is already being read by another task; a stream has one reader")
        self._reading = True
        self._lay_by()
        try:
            deltas = await self._source.read()
        except ProviderError as error:
            error.partial = self.result()
            self._over(error)
            with suppress(Exception):  # what broke the answer is to be told, not what broke while closing
                await self.aclose()
            raise
        except BaseException as error:
            self._closed = True
            self._over(error if isinstance(error, Exception) else None)
            self._source.abort()
            raise
        finally:
            self._reading = False
        if self._aborted:
            return ()
        if not deltas:
            await self._end()
            return ()
        self._watch.note(self._clock(), len(deltas))
        self._batch, self._folded = deltas, 0
        for tap in self._taps:
            tap.note(deltas)
        return deltas

    async def _end(self) -> None:
        partial = self.result()
        if self._fold.complete:
            await self.aclose()
            return
        error = StreamInterruptedError("the answer ended without a finish; it may be incomplete", partial=partial)
        self._over(error)
        await self.aclose()
        raise error

    def _over(self, error: Exception | None = None) -> None:
        """Tell whoever listens how this ended; once."""
        taps, self._taps = self._taps, ()
        if not taps:
            return
        self._catch_up()
        for tap in taps:
            if error is not None:
                tap.fail(self, error)
            elif self._fold.complete:
                tap.complete(self)
            else:
                tap.leave(self)

    def _lay_by(self) -> None:
        """The last read has been handed out. A few deltas are laid by until there are more, as folding many at once is cheaper."""
        batch = self._batch
        if not batch:
            return
        if self._folded or len(batch) >= _FOLD_AT:
            self._catch_up()
        else:
            self._laid_by += batch
            if len(self._laid_by) >= _FOLD_AT:
                self._fold_laid_by()
        self._batch, self._folded = (), 0  # whoever waits long need not hold them as long

    def _catch_up(self) -> None:
        """Fold what was handed out since the last time: once a read, or when the result is asked for, and not at each delta."""
        if self._laid_by:
            self._fold_laid_by()
        handed_out = len(self._batch) - length_hint(self._ready)
        if handed_out > self._folded:
            whole = handed_out - self._folded == len(self._batch)
            self._fold.extend(self._batch if whole else self._batch[self._folded : handed_out])
            self._folded = handed_out

    def _fold_laid_by(self) -> None:
        self._fold.extend(self._laid_by)
        self._laid_by.clear()

    def result(self) -> CompletionResult:
        """What has been handed out so far, complete or not."""
        self._catch_up()
        return self._fold.result(self._watch.timing(self._fold.usage))

    @property
    def timing(self) -> Timing:
        """How it has arrived so far."""
        self._catch_up()
        return self._watch.timing(self._fold.usage)

    async def events(self) -> AsyncIterator[StreamEvent]:
        """The rest of the answer as typed events."""
        translator = EventTranslator()
        async with self:
            async for delta in self:
                for event in translator.translate(delta):
                    yield Finished(self.result()) if isinstance(event, Finished) else event

    async def text(self) -> AsyncIterator[str]:
        """The rest of the answer's text."""
        async with self:
            async for delta in self:
                if delta.content:
                    yield delta.content

    async def aclose(self) -> None:
        """Close the connection at once; safe to call twice, and while another task waits for a delta."""
        if self._leave():
            await self._source.aclose()

    def abort(self) -> None:
        """As `aclose`, without awaiting: for finalisers and timers."""
        if self._leave():
            self._source.abort()

    def _leave(self) -> bool:
        """Hand out nothing more; false when that was so already."""
        if self._closed:
            return False
        self._closed = True
        self._aborted = self._reading  # a reader that waits meanwhile is not told that the answer broke off
        self._catch_up()
        self._batch, self._folded, self._ready = (), 0, iter(())
        self._over()
        return True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self._closed = True
            self._over()
            self._source.abort()


async def _given(deltas: Sequence[StreamDelta]) -> Sequence[StreamDelta]:
    return deltas
