"""What all providers over HTTP share: the way of one request, its limits, and what becomes of each failure."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal, Protocol, Self, TypeAlias, TypeVar, Unpack, overload
from urllib.parse import urlsplit
from urllib.request import getproxies

import msgspec

from ecs_agent._version import __version__
from ecs_agent.errors import ConfigurationError, ProviderError, ProviderTimeoutError, StreamInterruptedError
from ecs_agent.providers.capabilities import ASSUMED, Capabilities
from ecs_agent.providers.classify import classify_response, request_id_of, scrub
from ecs_agent.providers.http_stream import HTTPDeltaSource, TimeLimits, check_seconds
from ecs_agent.providers.protocol import ModelRequest, RequestOptions, check_options, checked_messages
from ecs_agent.providers.rate_limiter import RateLimiter
from ecs_agent.providers.settings import Settings
from ecs_agent.providers.slots import StreamSlots
from ecs_agent.providers.structured import asked_format, with_parsed
from ecs_agent.providers.transport import Transport, TransportRequest, TransportResponse
from ecs_agent.streaming.decoder import StreamDecoder
from ecs_agent.streaming.json_edge import without_surrogates
from ecs_agent.streaming.stream import CompletionStream
from ecs_agent.types import CompletionResult, JsonObject, Message

E = TypeVar("E", bound=ProviderError)

Sign: TypeAlias = Callable[[ProviderError], ProviderError]

ERROR_BODY = 64 * 1024
_NO_HEADER_NAME = re.compile(r"[^!#$%&'*+.^_`|~0-9A-Za-z-]")
_NO_HEADER_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
SHORTEST_SECRET = 8
"""Shorter words stay in error messages: they are names, numbers, and keys like "none" that a server on this machine is given."""


class WireCodec(Protocol):
    """How one wire protocol writes a request and reads a body; no I/O."""

    @property
    def path(self) -> str:
        """What is appended to the base URL."""
        ...

    def authorization(self, key: str) -> dict[str, str]:
        """The headers that carry the key."""
        ...

    def encode(self, request: ModelRequest) -> JsonObject:
        """The request's JSON."""
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
        limits: in seconds.
        write_timeout: seconds for sending the request and waiting for the head of the response; None means that `limits` bound it.
        max_streams: how many answers may be open at once.
        pool_timeout: seconds to wait for one of them, and for a rate limit; None for as long as it takes.
        connect_timeout: seconds for name resolution, connection and TLS.
        transport: another way to send requests.
        proxy: the URL of a proxy; those of the environment are honoured without it.
        ssl_context: how certificates are checked.
        headers: sent with every request.
        requests_per_minute: how many requests may start within a minute, beside what the server's own limits say; None for no limit of ours.
        capabilities: what the server, with this model, can do.
    """

    def __init__(
        self,
        codec: WireCodec,
        settings: Settings,
        *,
        name: str,
        limits: TimeLimits,
        write_timeout: float | None,
        max_streams: int,
        pool_timeout: float | None,
        connect_timeout: float | None,
        transport: Transport | None,
        proxy: str | None,
        ssl_context: ssl.SSLContext | None,
        headers: Mapping[str, str] | None,
        requests_per_minute: int | None = None,
        capabilities: Capabilities = ASSUMED,
    ) -> None:
        for limit, value in (("connect_timeout", connect_timeout), ("write_timeout", write_timeout), ("pool_timeout", pool_timeout)):
            check_seconds(limit, value)
        self._codec = codec
        self.name = name
        self.model = settings.model
        self.capabilities = capabilities
        self.base_url = settings.base_url
        self._settings = settings
        self._limits = limits
        self._write_timeout = write_timeout
        self._slots = StreamSlots(max_streams, pool_timeout)
        self._limiter = RateLimiter(requests_per_minute, pool_timeout)
        self._headers = dict(headers or {})
        self._proxy_passwords = [word for url in (proxy, *getproxies().values()) if url and (word := urlsplit(url).password)]
        self._transport = transport if transport is not None else default_transport(connect_timeout, proxy, ssl_context)

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
            UnsupportedFeatureError: `stream=True` together with `response_format`.
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
        sign = partial(self._signed, request=request)
        limits = self._limits_of(request)
        try:
            release, turn = await self._admitted()
        except ProviderError as error:
            raise sign(error) from None
        try:
            response, started = await self._sent(request, turn, limits, sign)
            decoder = self._codec.decoder(response.headers.get("content-type", ""), request)
            sign = partial(sign, request_id=request_id_of(response.headers))
            source = HTTPDeltaSource(response, decoder, limits, started, release, sign)
        except BaseException:
            self._limiter.unheard(turn)
            release()
            raise
        return CompletionStream(source, started=started, clock=asyncio.get_running_loop().time)

    async def _admitted(self) -> tuple[Callable[[], None], int]:
        """A stream of our own limit and a turn of the rate limit; `pool_timeout` bounds the wait for both together."""
        since = asyncio.get_running_loop().time()
        release = await self._slots.acquire()
        try:
            return release, await self._limiter.ready(since)
        except BaseException:
            release()
            raise

    async def _admitted_again(self, patience: asyncio.Timeout) -> tuple[int, float]:
        """The turn of a request that is sent once more, and the seconds it took, which no time limit of the answer counts."""
        clock, ends = asyncio.get_running_loop().time, patience.when()
        since = clock()
        if ends is None or patience.expired():
            return await self._limiter.ready(since), clock() - since
        patience.reschedule(None)
        turn = await self._limiter.ready(since)
        waited = clock() - since
        patience.reschedule(ends + waited)
        return turn, waited

    async def _sent(self, request: ModelRequest, turn: int, limits: TimeLimits, sign: Sign) -> tuple[TransportResponse, float]:
        """The response to a request, its status 200, and since when it was waited for; asked again if what was refused can be left out or changed."""
        patience, name = self._patience(limits)
        started = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(patience) as timer:
                body = self._codec.encode(request)
                while True:
                    try:
                        return await self._accepted(request, turn, body), started
                    except ProviderError as error:
                        sent = body
                        if not self._codec.withdraw(error, sent) or (body := self._codec.encode(request)) == sent:
                            raise
                    turn, waited = await self._admitted_again(timer)
                    started += waited
        except ProviderError as error:
            raise sign(error) from error.__cause__
        except TimeoutError:
            raise sign(ProviderTimeoutError(f"no answer within {patience} s ({name}); raise that limit if the model needs longer")) from None

    async def _accepted(self, request: ModelRequest, turn: int, body: JsonObject) -> TransportResponse:
        try:
            head = self._head({**self._headers, **(request.options.get("extra_headers") or {})})
            response = await self._transport.open(TransportRequest(self.base_url + self._codec.path, head, _written(body)))
        except BaseException:
            self._limiter.unheard(turn)
            raise
        self._limiter.heard(turn, response.status, response.headers, time.time())
        if response.status == 200:
            return response
        try:
            content = await _bounded(response)
        finally:
            response.abort()
        raise classify_response(response.status, response.headers, content, model=request.model, secrets=self._secrets(request), now=time.time())

    def _patience(self, limits: TimeLimits) -> tuple[float | None, str]:
        """How long to wait for the head of a response, and which limit says so."""
        named = {
            "read_timeout": limits.read,
            "first_delta_timeout": limits.first_delta,
            "total_timeout": limits.total,
            "write_timeout": self._write_timeout,
        }
        return min([(limit, name) for name, limit in named.items() if limit is not None], default=(None, ""))

    def _head(self, extra: Mapping[str, str]) -> dict[str, str]:
        head = {"content-type": "application/json", "accept": "text/event-stream, application/json", "accept-encoding": "identity"}
        head["user-agent"] = f"ecs-agent/{__version__}"
        if self._settings.key is not None:
            head |= self._codec.authorization(self._settings.key.reveal())
        for name, value in extra.items():
            if not isinstance(value, str):
                raise TypeError(f"the header {name!r} is a {type(value).__name__}; give a str")
            if _NO_HEADER_NAME.search(name) or not name or _NO_HEADER_VALUE.search(value):
                raise ConfigurationError(f"the header {name!r} holds a line break, or another character that no header has")
            head[name.lower()] = value
        return head

    def _limits_of(self, request: ModelRequest) -> TimeLimits:
        options, limits = request.options, self._limits
        if not request.stream:
            limits = replace(limits, read=None, first_delta=None)
        return TimeLimits(
            read=options.get("read_timeout", limits.read),
            first_delta=options.get("first_delta_timeout", limits.first_delta),
            total=options.get("total_timeout", limits.total),
            tail=limits.tail,
        )

    def _secrets(self, request: ModelRequest) -> list[str]:
        """What must not appear in an error: the key, a proxy's password, and the headers, as many servers take a key in one of their own."""
        headers = {**self._headers, **(request.options.get("extra_headers") or {})}
        words = [*self._proxy_passwords, *[word for value in headers.values() for word in value.split() if not _is_a_word(word)]]
        if self._settings.key is not None:
            words.append(self._settings.key.reveal())
        return [word for word in words if len(word) >= SHORTEST_SECRET]

    def _signed(self, error: E, request: ModelRequest, request_id: str | None = None) -> E:
        """An error with who failed, and without what is secret."""
        secrets = self._secrets(request)
        error.args = tuple([scrub(word, secrets) if isinstance(word, str) else word for word in error.args])
        error.provider = error.provider or self.name
        error.model = error.model or request.model
        named = error.request_id or request_id
        error.request_id = scrub(named, secrets) if named is not None else None
        return error

    async def aclose(self) -> None:
        """Close idle connections; safe to call twice."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _is_a_word(text: str) -> bool:
    """Whether a part of a header is rather a name or a word of a language than a key."""
    return text.isalpha() and len(text) < 20


def _written(body: JsonObject) -> bytes:
    """JSON; half surrogate pairs, which no encoding can carry, become U+FFFD.

    Raises:
        TypeError: an option holds what JSON cannot.
    """
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:
        return msgspec.json.encode(without_surrogates(body))
    except TypeError as error:
        raise TypeError(f"an option of the request cannot be written as JSON: {error}") from None


async def _bounded(response: TransportResponse) -> bytes:
    """The beginning of an error's body; a connection that is lost in it does not hide the error."""
    content = bytearray()
    try:
        while len(content) < ERROR_BODY and (data := await response.read()):
            content += data
    except StreamInterruptedError:
        pass
    return bytes(content[:ERROR_BODY])


def default_transport(connect_timeout: float | None = 10.0, proxy: str | None = None, ssl_context: ssl.SSLContext | None = None) -> Transport:
    """The transport that sends requests with aiohttp, which is imported here and not before."""
    from ecs_agent.providers.aiohttp_transport import AiohttpTransport  # noqa: PLC0415 - heavy; loaded with the first provider

    return AiohttpTransport(connect_timeout=connect_timeout, proxy=proxy, ssl_context=ssl_context)
