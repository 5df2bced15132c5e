"""ReplayProvider and ReplayTransport: answer from a cassette, as it was and when it was.

A request finds its answer by what it asks, see `shelf`; one that was not recorded fails at once and shows the difference. Whoever left an answer
when it was recorded and does not do so now is told as well: what would have come is not known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Literal, Unpack, overload

from ecs_agent.errors import ProviderError, RecordingMissError, StoreFormatError, StreamInterruptedError
from ecs_agent.providers.capabilities import ASSUMED, Capabilities
from ecs_agent.providers.protocol import RequestOptions, check_options, checked_messages
from ecs_agent.providers.recorded.cassette import Cassette
from ecs_agent.providers.recorded.cassette_line import Call, Exchange
from ecs_agent.providers.recorded.error_data import error_from_data
from ecs_agent.providers.recorded.playback import GRACE, Playback, check_speed
from ecs_agent.providers.recorded.request_data import body_from_data, http_request_to_data, request_to_data
from ecs_agent.providers.recorded.result_data import result_from_data
from ecs_agent.providers.structured.parsing import asked_format, with_parsed
from ecs_agent.providers.transport import TransportRequest
from ecs_agent.streaming.delta_data import DeltaReader
from ecs_agent.streaming.stream import CompletionStream
from ecs_agent.types import CompletionResult, Message, StreamDelta


class ReplayProvider:
    """Answers as another provider did.

    Args:
        cassette: from where; several replaying providers may share one.
        speed: 2.0 is twice as fast as it was; None waits for nothing.
        repeat: an answer may be given again once all equal requests were answered; else each recording is used once.
        in_session: answers come at their recorded time since the first request of all, not since their own, so that those of several agents come
            in the recorded order although the agents themselves are faster now.
        name: whose answers, and how errors call this provider; else everybody's, and the name of the one who was recorded.
        model: else the recorded one. Answers of other models are not found, unless nothing says which model is asked.
    """

    def __init__(
        self,
        cassette: Cassette | str | Path,
        *,
        speed: float | None = 1.0,
        repeat: bool = False,
        in_session: bool = False,
        name: str | None = None,
        model: str | None = None,
    ) -> None:
        self.cassette = cassette if isinstance(cassette, Cassette) else Cassette.load(cassette)
        self._speed = check_speed(speed)
        self._repeat = repeat
        self._in_session = in_session
        self._whose = name
        self._model = model

    @property
    def name(self) -> str:
        """The name given, else that of the only provider that was recorded, else "replay"."""
        return self._whose or self._only("name") or "replay"

    @property
    def model(self) -> str:
        """The model given, else that of the only provider that was recorded, else ""."""
        return self._model or self._only("model") or ""

    def _only(self, attribute: str) -> str | None:
        known = {getattr(source, attribute) for source in self.cassette.sources if self._whose in (None, source.name)}
        return str(known.pop()) if len(known) == 1 else None

    @property
    def capabilities(self) -> Capabilities:
        """Those of the provider that was recorded."""
        known = next((source.capabilities for source in self.cassette.sources if self._whose in (None, source.name)), None)
        if known is None:
            return ASSUMED
        return Capabilities(**{field.name: known[field.name] for field in fields(Capabilities) if field.name in known})

    def unused(self) -> list[Call | Exchange]:
        """The recordings that nobody has asked for yet."""
        return self.cassette.unused()

    @overload
    async def complete(self, messages: Sequence[Message], stream: Literal[False] = False, **options: Unpack[RequestOptions]) -> CompletionResult: ...
    @overload
    async def complete(self, messages: Sequence[Message], stream: Literal[True], **options: Unpack[RequestOptions]) -> CompletionStream: ...
    @overload
    async def complete(self, messages: Sequence[Message], stream: bool, **options: Unpack[RequestOptions]) -> CompletionResult | CompletionStream: ...
    async def complete(
        self, messages: Sequence[Message], stream: bool = False, **options: Unpack[RequestOptions]
    ) -> CompletionResult | CompletionStream:
        """Give the recorded answer.

        Raises:
            RecordingMissError: this request was not recorded, or its recorder left before the answer.
            ProviderError: that is the recorded answer.
            UnsupportedFeatureError: `stream=True` together with `response_format`.
            StructuredOutputError: the answer is no instance of the class given as `response_format`.
        """
        check_options(options, stream)
        response_format, options = options.get("response_format"), asked_format(options, self.capabilities)
        asked = request_to_data(checked_messages(messages), stream, options, self.model)
        call = self.cassette.shelf.call(asked, self._whose, repeat=self._repeat)
        loop = asyncio.get_running_loop()
        started = loop.time()
        playback = Playback(self._speed, self.cassette.begins(call, started, self._speed) if self._in_session else started)
        if call.answered is None:
            return with_parsed(await _whole(call, playback), response_format)
        await playback.until(call.answered)
        return CompletionStream(_ReplayedDeltas(call, playback), started=started, clock=loop.time)

    def __repr__(self) -> str:
        return f"ReplayProvider({len(self.cassette.recordings)} recordings, {len(self.unused())} unused)"


async def _whole(call: Call, playback: Playback) -> CompletionResult:
    """A whole answer, or what came in place of the head of a stream."""
    await _ended(call, playback)
    with _reading(call):
        result = result_from_data(call.result) if call.result is not None else None
        error = error_from_data(call.error) if call.error is not None else None
    if isinstance(error, ProviderError):
        error.partial = result
    if error is not None:
        raise error
    if result is None:
        raise StoreFormatError(f"the recording number {call.number} is damaged: it holds no answer")
    return result


@contextmanager
def _reading(recording: Call | Exchange) -> Generator[None]:
    """What cannot be read is a damaged cassette."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise StoreFormatError(f"the recording number {recording.number} is damaged: {error}") from None


def _error(recording: Call | Exchange) -> Exception:
    with _reading(recording):
        return error_from_data(recording.error or {})


async def _ended(recording: Call | Exchange, playback: Playback) -> None:
    """Wait for the recorded end.

    Raises:
        RecordingMissError: it was left there.
    """
    await playback.until(recording.ended, grace=GRACE if recording.end == "left" else 0.0)
    if recording.end == "left" and not playback.closed:
        raise RecordingMissError(
            f"the recording number {recording.number} ends here: whoever asked then left after {recording.ended:g} s and "
            f"{len(recording.reads)} reads, so what would have come is not known; record it again"
        )


class _ReplayedDeltas:
    """The deltas of a recorded stream, read by read."""

    def __init__(self, call: Call, playback: Playback) -> None:
        self._call = call
        self._playback = playback
        self._reads = iter(call.reads)
        self._reader = DeltaReader()

    async def read(self) -> Sequence[StreamDelta]:
        """The deltas of the next read; empty at the end."""
        for at, data in self._reads:
            await self._playback.until(at)
            if self._playback.closed:
                return ()
            with _reading(self._call):
                return self._reader.read(data)
        await _ended(self._call, self._playback)
        if self._call.error is not None and not self._playback.closed:
            raise _error(self._call)
        return ()

    async def aclose(self) -> None:
        """Leave."""
        self.abort()

    def abort(self) -> None:
        """Leave, and wake whoever reads."""
        self._playback.close()


class ReplayTransport:
    """Answers requests over HTTP as a server did; give it to a provider as `transport=`. What the provider is made of decodes the recorded bytes.

    Args:
        cassette: from where.
        speed: 2.0 is twice as fast as it was; None waits for nothing.
        repeat: an answer may be given again once all equal requests were answered; else each recording is used once.
        in_session: as in `ReplayProvider`.
    """

    def __init__(self, cassette: Cassette | str | Path, *, speed: float | None = 1.0, repeat: bool = False, in_session: bool = False) -> None:
        self.cassette = cassette if isinstance(cassette, Cassette) else Cassette.load(cassette)
        self._speed = check_speed(speed)
        self._repeat = repeat
        self._in_session = in_session

    def unused(self) -> list[Call | Exchange]:
        """The recordings that nobody has asked for yet."""
        return self.cassette.unused()

    async def open(self, request: TransportRequest) -> _ReplayedResponse:
        """The recorded response.

        Raises:
            RecordingMissError: this request was not recorded, or its recorder left before the answer.
            ProviderError: nobody answered.
        """
        exchange = self.cassette.shelf.exchange(http_request_to_data(request), repeat=self._repeat)
        started = asyncio.get_running_loop().time()
        playback = Playback(self._speed, self.cassette.begins(exchange, started, self._speed) if self._in_session else started)
        if exchange.answered is None or exchange.status is None:
            await _ended(exchange, playback)
            raise _error(exchange)
        await playback.until(exchange.answered)
        return _ReplayedResponse(exchange, exchange.status, playback)

    async def aclose(self) -> None:
        """Nothing to close."""


class _ReplayedResponse:
    """A recorded response, read by read."""

    def __init__(self, exchange: Exchange, status: int, playback: Playback) -> None:
        self._exchange = exchange
        self._playback = playback
        self._reads = iter(exchange.reads)
        self.status = status
        self.headers: Mapping[str, str] = exchange.headers

    async def read(self) -> bytes:
        """The bytes of the next read; empty at the end.

        Raises:
            StreamInterruptedError: that was the end, or this was aborted.
        """
        for at, data in self._reads:
            await self._playback.until(at)
            if self._playback.closed:
                break
            with _reading(self._exchange):
                return body_from_data(data)
        else:
            await _ended(self._exchange, self._playback)
        if self._playback.closed:
            raise StreamInterruptedError("the connection was closed")
        if self._exchange.error is not None:
            raise _error(self._exchange)
        return b""

    async def aclose(self) -> None:
        """Leave."""
        self.abort()

    def abort(self) -> None:
        """Leave, and wake whoever reads."""
        self._playback.close()
