"""RecordingProvider and RecordingTransport: everything passes as it is, and is written down.

A provider is recorded as what it answered, a transport as the bytes that came, which a replay decodes anew. No header that was sent is recorded,
of those that came only the ones that decoding needs, and nothing that looks like a key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ecs_agent.providers.http.client import default_transport
from ecs_agent.providers.protocol import ProviderLike, RequestOptions
from ecs_agent.providers.recorded.cassette import Cassette
from ecs_agent.providers.recorded.request_data import http_request_to_data, request_to_data, scrubbed, secrets_in
from ecs_agent.providers.recorded.take import CallTake, ExchangeTake
from ecs_agent.providers.transport import Transport, TransportRequest, TransportResponse
from ecs_agent.providers.wrapping import NOTHING_SENT, WrapperProvider
from ecs_agent.streaming.stream import CompletionStream, StreamTap
from ecs_agent.types import CompletionResult, Message, StreamDelta

KEPT_HEADERS: Final = frozenset(
    {
        "apim-request-id",
        "cf-ray",
        "content-type",
        "date",
        "request-id",
        "retry-after",
        "retry-after-ms",
        "x-amzn-requestid",
        "x-request-id",
        "x-should-retry",
    }
)
"""The headers of a response that are recorded, beside the host of a `location`: those that say what it is, what failed, and when to ask again."""


class RecordingProvider(WrapperProvider):
    """Asks another provider, and records what is asked and answered.

    Args:
        provider: whom to ask.
        cassette: where to; a path is recorded anew, and is there when this provider is closed.

    Raises:
        UnsavableError: from `complete`, an option holds what is no data.
        StoreError: from `complete`, the cassette is closed.
    """

    def __init__(self, provider: ProviderLike, cassette: Cassette | str | Path) -> None:
        super().__init__(provider)
        self.cassette = cassette if isinstance(cassette, Cassette) else Cassette(cassette)
        self._owns = self.cassette is not cassette
        self.cassette.introduce(self.name, self.model, self.capabilities)

    async def _whole(self, messages: Sequence[Message], options: RequestOptions) -> CompletionResult:
        with self._recorded(messages, options, stream=False) as take:
            result = await super()._whole(messages, options)
            take.whole(result)
            return result

    async def _stream(self, messages: Sequence[Message], options: RequestOptions) -> CompletionStream:
        with self._recorded(messages, options, stream=True) as take:
            answer = await super()._stream(messages, options)
            take.accepted()
            return answer.tap(_TakeTap(take))

    @contextmanager
    def _recorded(self, messages: Sequence[Message], options: RequestOptions, *, stream: bool) -> Generator[CallTake]:
        """The recording of a request, whatever comes of the asking."""
        asked = request_to_data(messages, stream, options, self.model)
        take = self.cassette.open_call(self.name, asked, secrets_in(options.get("extra_headers") or {}), asyncio.get_running_loop().time)
        try:
            yield take
        except NOTHING_SENT:
            take.drop()
            raise
        except Exception as error:
            take.fail(error)
            raise
        except BaseException:
            take.leave()
            raise

    async def aclose(self) -> None:
        """Close the wrapped provider, and a cassette that was given as a path.

        Raises:
            StoreError: something could not be recorded.
        """
        try:
            await super().aclose()
        finally:
            if self._owns:
                self.cassette.close()


class _TakeTap(StreamTap):
    """Writes down what a stream reads."""

    def __init__(self, take: CallTake) -> None:
        self._take = take

    def note(self, deltas: Sequence[StreamDelta], /) -> None:
        self._take.note(deltas)

    def complete(self, _: CompletionStream, /) -> None:
        self._take.complete()

    def fail(self, _: CompletionStream, error: Exception, /) -> None:
        self._take.fail(error)

    def leave(self, _: CompletionStream, /) -> None:
        self._take.leave()


class RecordingTransport:
    """Sends requests by another transport, and records them and the bytes that come back. Give it to a provider as `transport=`.

    Args:
        transport: how to send; the usual way by default.
        cassette: where to; a path is recorded anew, and is there when this transport is closed.
    """

    def __init__(self, transport: Transport | None, cassette: Cassette | str | Path) -> None:
        self.transport = transport if transport is not None else default_transport()
        self.cassette = cassette if isinstance(cassette, Cassette) else Cassette(cassette)
        self._owns = self.cassette is not cassette

    async def open(self, request: TransportRequest) -> TransportResponse:
        """Send a request and wait for the head of its response.

        Raises:
            ProviderError: as the other transport.
            StoreError: the cassette is closed.
        """
        secrets = secrets_in(request.headers)
        take = self.cassette.open_exchange(http_request_to_data(request), secrets, asyncio.get_running_loop().time)
        try:
            response = await self.transport.open(request)
        except Exception as error:
            take.fail(error)
            raise
        except BaseException:
            take.leave()
            raise
        take.accepted(response.status, _kept(response.headers, secrets))
        return _RecordedResponse(response, take)

    async def aclose(self) -> None:
        """Close the other transport, and a cassette that was given as a path.

        Raises:
            StoreError: something could not be recorded.
        """
        try:
            await self.transport.aclose()
        finally:
            if self._owns:
                self.cassette.close()


def _kept(headers: Mapping[str, str], secrets: Sequence[str]) -> dict[str, str]:
    kept: dict[str, str] = scrubbed({name: headers[name] for name in headers if name in KEPT_HEADERS}, secrets)
    if host := urlsplit(headers.get("location", "")).hostname:
        kept["location"] = f"https://{host}/"
    return kept


class _RecordedResponse:
    """A response whose bytes are written down as they are read."""

    def __init__(self, response: TransportResponse, take: ExchangeTake) -> None:
        self.status = response.status
        self.headers = response.headers
        self._response = response
        self._take = take

    async def read(self) -> bytes:
        """What has arrived; empty at the end."""
        try:
            data = await self._response.read()
        except Exception as error:
            self._take.fail(error)
            raise
        if data:
            self._take.note(data)
        else:
            self._take.complete()
        return data

    async def aclose(self) -> None:
        """Leave."""
        self._take.leave()
        await self._response.aclose()

    def abort(self) -> None:
        """Leave, without awaiting."""
        self._take.leave()
        self._response.abort()
