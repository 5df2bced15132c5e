"""What all providers over HTTP share: a codec writes the request and reads the answer, and nothing else differs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Literal, Protocol, Self, Unpack, overload

from ecs_agent.errors import ProviderError
from ecs_agent.providers.capabilities import ASSUMED, Capabilities
from ecs_agent.providers.http.client import Call, HTTPClient, HTTPOptions
from ecs_agent.providers.http.option_names import check_http_options
from ecs_agent.providers.http.stream import HTTPDeltaSource, TimeLimits
from ecs_agent.providers.protocol import ModelRequest, RequestOptions, check_options, checked_messages
from ecs_agent.providers.settings import Settings
from ecs_agent.providers.structured.parsing import asked_format, with_parsed
from ecs_agent.streaming.decoder import StreamDecoder
from ecs_agent.streaming.stream import CompletionStream
from ecs_agent.types import CompletionResult, JsonObject, Message


class WireCodec(Protocol):
    """How one wire protocol writes a request and reads a body; no I/O."""

    def path(self, request: ModelRequest) -> str:
        """What is appended to the base URL."""
        ...

    def authorization(self, key: str) -> dict[str, str]:
        """The headers that carry the key."""
        ...

    def headers(self, request: ModelRequest) -> dict[str, str]:
        """Headers of the protocol's own that a request has; those that the user gives replace them."""
        ...

    def encode(self, request: ModelRequest) -> JsonObject:
        """The request's JSON.

        Raises:
            UnsupportedFeatureError: the protocol cannot say what is asked.
        """
        ...

    def decoder(self, content_type: str, request: ModelRequest) -> StreamDecoder:
        """A decoder for the body of status 200 that answers a request."""
        ...

    def withdraw(self, error: ProviderError, sent: JsonObject) -> bool:
        """Whether a refused request may be sent once more, since something in it was refused that is left out, or written otherwise, from now on."""
        ...


class HTTPProvider:
    """A provider over HTTP.

    Args:
        codec: the wire protocol.
        settings: whom to ask, and with which key.
        name: how errors and logs call this provider.
        capabilities: what the server, with this model, can do.
        http: see `HTTPOptions`.
    """

    def __init__(self, codec: WireCodec, settings: Settings, *, name: str, capabilities: Capabilities = ASSUMED, **http: Unpack[HTTPOptions]) -> None:
        check_http_options(self, http)
        self._codec = codec
        self.name = name
        self.model = settings.model
        self.capabilities = capabilities
        self._client = HTTPClient(settings, codec.authorization, name=name, **http)

    @property
    def base_url(self) -> str:
        """The server's address; whoever sets it sends the key there."""
        return self._client.base_url

    @base_url.setter
    def base_url(self, url: str) -> None:
        self._client.base_url = url

    def __repr__(self) -> str:
        return f"{type(self).__name__}(model={self.model!r}, base_url={self.base_url!r})"

    @overload
    async def complete(self, messages: Sequence[Message], stream: Literal[False] = False, **options: Unpack[RequestOptions]) -> CompletionResult: ...
    @overload
    async def complete(self, messages: Sequence[Message], stream: Literal[True], **options: Unpack[RequestOptions]) -> CompletionStream: ...
    @overload
    async def complete(self, messages: Sequence[Message], stream: bool, **options: Unpack[RequestOptions]) -> CompletionResult | CompletionStream: ...
    async def complete(
        self, messages: Sequence[Message], stream: bool = False, **options: Unpack[RequestOptions]
    ) -> CompletionResult | CompletionStream:
        """Ask the model; see `LLMProvider`.

        Raises:
            ProviderError: one of its leaves, each with a sentence that says what to do.
            UnsupportedFeatureError: `stream=True` together with `response_format`, or something that the protocol has no words for.
            StructuredOutputError: the answer is no instance of the class given as `response_format`.
            TypeError: an option that does not exist, or a value that is none for its option.
            ValueError: a limit below zero.
        """
        check_options(options, stream)
        asked, options = options.get("response_format"), asked_format(options, self.capabilities)
        request = ModelRequest(options.get("model") or self.model, checked_messages(messages), stream, options)
        answer = await self._open(request)
        if stream:
            return answer
        async with answer:
            async for _ in answer:
                pass
            return with_parsed(answer.result(), asked)

    async def _open(self, request: ModelRequest) -> CompletionStream:
        codec, limits = self._codec, self._limits_of(request)
        headers = {**codec.headers(request), **(request.options.get("extra_headers") or {})}
        call = Call(codec.path(request), partial(codec.encode, request), codec.withdraw, request.model, limits, headers)
        opened = await self._client.open(call)
        try:
            decoder = codec.decoder(opened.response.headers.get("content-type", ""), request)
            source = HTTPDeltaSource(opened.response, decoder, limits, opened.started, opened.release, opened.sign)
        except BaseException:
            opened.release()
            opened.response.abort()
            raise
        return CompletionStream(source, started=opened.started, clock=asyncio.get_running_loop().time)

    def _limits_of(self, request: ModelRequest) -> TimeLimits:
        options, limits = request.options, self._client.limits
        if not request.stream:
            limits = replace(limits, read=None, first_delta=None)
        return TimeLimits(
            read=options.get("read_timeout", limits.read),
            first_delta=options.get("first_delta_timeout", limits.first_delta),
            total=options.get("total_timeout", limits.total),
            tail=limits.tail,
        )

    async def aclose(self) -> None:
        """Close idle connections; safe to call twice."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
