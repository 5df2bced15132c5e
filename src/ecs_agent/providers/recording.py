"""RecordingProvider and RecordingTransport: everything passes as it is, and is written down.

A provider is recorded as what it answered, a transport as the bytes that came, which a replay decodes anew. No header that was sent is recorded,
of those that came only the ones that decoding needs, and nothing that looks like a key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Generic, Literal, Protocol, Self, TypeVar, Unpack, overload
from urllib.parse import urlsplit

from ecs_agent.errors import UnsupportedFeatureError
from ecs_agent.providers.calling import ask
from ecs_agent.providers.capabilities import Capabilities, capabilities_of
from ecs_agent.providers.cassette import Cassette
from ecs_agent.providers.http import default_transport
from ecs_agent.providers.protocol import ProviderLike, RequestOptions
from ecs_agent.providers.request_data import http_request_to_data, request_to_data, scrubbed, secrets_in
from ecs_agent.providers.structured import asked_format, with_parsed
from ecs_agent.providers.take import ExchangeTake, Take
from ecs_agent.providers.transport import Transport, TransportRequest, TransportResponse
from ecs_agent.providers.wrapping import close, model_of, name_of, stream_of
from ecs_agent.streaming.stream import CompletionStream
from ecs_agent.types import CompletionResult, Message

D = TypeVar("D")
D_co = TypeVar("D_co", covariant=True)

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


class RecordingProvider:
    """Asks another provider, and records what is asked and answered.

    Args:
        provider: whom to ask.
        cassette: where to; a path is recorded anew, and is there when this provider is closed.
    """

    def __init__(self, provider: ProviderLike, cassette: Cassette | str | Path) -> None:
        self.provider = provider
        self.cassette = cassette if isinstance(cassette, Cassette) else Cassette(cassette)
        self._owns = self.cassette is not cassette
        self.cassette.introduce(self.name, self.model, self.capabilities)

    @property
    def model(self) -> str:
        """The wrapped provider's model."""
        return model_of(self.provider)

    @property
    def name(self) -> str:
        """The wrapped provider's name."""
        return name_of(self.provider)

    @property
    def capabilities(self) -> Capabilities:
        """The wrapped provider's."""
        return capabilities_of(self.provider)

    @overload
    async def complete(self, messages: Sequence[Message], stream: Literal[False] = False, **options: Unpack[RequestOptions]) -> CompletionResult: ...
    @overload
    async def complete(self, messages: Sequence[Message], stream: Literal[True], **options: Unpack[RequestOptions]) -> CompletionStream: ...
    @overload
    async def complete(self, messages: Sequence[Message], stream: bool, **options: Unpack[RequestOptions]) -> CompletionResult | CompletionStream: ...
    async def complete(
        self, messages: Sequence[Message], stream: bool = False, **options: Unpack[RequestOptions]
    ) -> CompletionResult | CompletionStream:
        """Ask the wrapped provider.

        Raises:
            ProviderError: as the wrapped provider.
            UnsavableError: an option holds what is no data.
            StructuredOutputError: the answer is no instance of the class given as `response_format`.
            StoreError: the cassette is closed.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        response_format, options = options.get("response_format"), asked_format(options, self.capabilities)
        asked = request_to_data(messages, stream, options, self.model)
        take = self.cassette.open_call(self.name, asked, secrets_in(options.get("extra_headers") or {}), loop.time)
        try:
            if not stream:
                result = await ask(self.provider, messages, options)
                take.whole(result)
                return with_parsed(result, response_format)  # what does not fit is recorded too, and a replay judges it as well
            answer = await stream_of(self.provider, messages, options)
        except (UnsupportedFeatureError, TypeError):
            take.drop()  # nothing was sent
            raise
        except Exception as error:
            take.fail(error)
            raise
        except BaseException:
            take.leave()
            raise
        take.accepted()
        return CompletionStream(_Recorded(answer, take), started=started, clock=loop.time)

    async def aclose(self) -> None:
        """Close the wrapped provider, and a cassette that was given as a path.

        Raises:
            StoreError: something could not be recorded.
        """
        try:
            await close(self.provider)
        finally:
            if self._owns:
                self.cassette.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"RecordingProvider({self.provider!r})"


class _Reads(Protocol[D_co]):
    """An answer, or a response, as it arrives."""

    def read(self) -> Coroutine[Any, Any, D_co]: ...

    async def aclose(self) -> None: ...

    def abort(self) -> None: ...


class _Recorded(Generic[D]):
    """What arrives, written down as it is read."""

    def __init__(self, answer: _Reads[D], take: Take[D]) -> None:
        self._answer = answer
        self._take = take

    async def read(self) -> D:
        """What has arrived; empty at the end."""
        try:
            data = await self._answer.read()
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
        await self._answer.aclose()

    def abort(self) -> None:
        """Leave, without awaiting."""
        self._take.leave()
        self._answer.abort()


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


class _RecordedResponse(_Recorded[bytes]):
    """A response whose bytes are written down as they are read."""

    def __init__(self, response: TransportResponse, take: ExchangeTake) -> None:
        super().__init__(response, take)
        self.status = response.status
        self.headers = response.headers
