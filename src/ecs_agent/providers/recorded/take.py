"""Take: the recording of one request, from its sending to its end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from ecs_agent.errors import ProviderError
from ecs_agent.providers.recorded.cassette_line import Call, End, Exchange
from ecs_agent.providers.recorded.error_data import error_to_data
from ecs_agent.providers.recorded.mask import Mask
from ecs_agent.providers.recorded.request_data import body_to_data
from ecs_agent.providers.recorded.result_data import result_to_data
from ecs_agent.streaming.delta_data import DeltaWriter
from ecs_agent.types import CompletionResult, JsonObject, StreamDelta

D_contra = TypeVar("D_contra", contravariant=True)


class Tape(Protocol):
    """Where a take ends up."""

    def finish(self, take: Take[Any], recording: Call | Exchange | None) -> None:
        """The request has ended; None where it leaves nothing."""
        ...

    def spoil(self, failure: Exception) -> None:
        """Something of it cannot be recorded."""
        ...


class Take(ABC, Generic[D_contra]):
    """Takes notes of a request; once it has ended it takes no more.

    Args:
        tape: who is told of the end.
        place: the number and the lane.
        asked: the request, scrubbed.
        secrets: what must not stand in the recording.
        since: the time of the first request of all.
        clock: seconds.
    """

    def __init__(
        self, tape: Tape, place: tuple[int, int], asked: JsonObject, secrets: Sequence[str], since: float, clock: Callable[[], float]
    ) -> None:
        self.number, self.lane = place
        self._tape = tape
        self._asked = asked
        self._secrets = secrets
        self._clock = clock
        self._start = clock()
        self._opened = _rounded(self._start - since)
        self._answered: float | None = None
        self._times: list[float] = []
        self._read: list[Any] = []
        self._over = False

    def _now(self) -> float:
        return _rounded(self._clock() - self._start)

    @abstractmethod
    def note(self, data: D_contra) -> None:
        """This was read at once."""

    def _keep(self, data: object) -> None:
        if not self._over:
            self._times.append(self._now())
            self._read.append(data)

    def fail(self, error: Exception) -> None:
        """It ended with an error."""
        self._end("error", error)

    def complete(self) -> None:
        """It was read to its end."""
        self._end("complete")

    def leave(self) -> None:
        """Nobody wants the rest."""
        self._end("left")

    def drop(self) -> None:
        """It was never sent."""
        if not self._over:
            self._over = True
            self._tape.finish(self, None)

    def _end(self, end: End, error: Exception | None = None) -> None:
        if self._over:
            return
        self._over = True
        told: JsonObject = {
            "number": self.number,
            "lane": self.lane,
            "opened": self._opened,
            "asked": self._asked,
            "answered": self._answered,
            "ended": self._now(),
            "end": end,
            "error": error_to_data(error, self._secrets) if error is not None else None,
        }
        self._tape.finish(self, self._recording(told, error))

    @abstractmethod
    def _recording(self, told: JsonObject, error: Exception | None) -> Call | Exchange:
        """What is kept of it."""


class CallTake(Take[Sequence[StreamDelta]]):
    """The recording of a request to a provider."""

    def __init__(
        self, tape: Tape, place: tuple[int, int], asked: JsonObject, secrets: Sequence[str], since: float, clock: Callable[[], float], provider: str
    ) -> None:
        super().__init__(tape, place, asked, secrets, since, clock)
        self._provider = provider
        self._writer = DeltaWriter()
        self._result: JsonObject | None = None
        self._whole = False

    def accepted(self) -> None:
        """The provider accepted the request; its stream follows."""
        self._answered = self._now()

    def note(self, data: Sequence[StreamDelta]) -> None:
        """These were read at once."""
        self._whole = self._whole or data[-1].final
        try:
            self._keep(self._writer.write(data))
        except (TypeError, ValueError) as error:
            self._tape.spoil(error)

    def leave(self) -> None:
        """Nobody wants the rest, which is nothing once the final delta was read."""
        self._end("complete" if self._whole else "left")

    def whole(self, result: CompletionResult) -> None:
        """A whole answer."""
        self._result = self._written(result)
        self.complete()

    def _written(self, result: CompletionResult) -> JsonObject | None:
        try:
            return result_to_data(result)
        except (TypeError, ValueError) as error:
            self._tape.spoil(error)
            return None

    def _recording(self, told: JsonObject, error: Exception | None) -> Call:
        if isinstance(error, ProviderError) and error.partial is not None and self._answered is None:
            self._result = self._written(error.partial)
        mask = Mask(self._secrets)
        mask.deltas(self._read)
        reads = list(zip(self._times, self._read, strict=True))
        result = mask.value(self._result) if self._result is not None else None
        return Call(provider=self._provider, reads=reads, result=result, **told)


class ExchangeTake(Take[bytes]):
    """The recording of a request over HTTP."""

    _status: int | None = None
    _headers: Mapping[str, str] = {}

    def note(self, data: bytes) -> None:
        """These were read at once."""
        self._keep(data)

    def accepted(self, status: int, headers: Mapping[str, str]) -> None:
        """The head of the response came."""
        self._answered = self._now()
        self._status = status
        self._headers = headers

    def _recording(self, told: JsonObject, error: Exception | None) -> Exchange:  # noqa: ARG002 - a call's needs it
        body = [body_to_data(chunk) for chunk in Mask(self._secrets).chunks(self._read)]
        return Exchange(status=self._status, headers=dict(self._headers), reads=list(zip(self._times, body, strict=True)), **told)


def _rounded(seconds: float) -> float:
    """To a nanosecond, and never before the beginning."""
    return max(0.0, round(seconds, 9))
