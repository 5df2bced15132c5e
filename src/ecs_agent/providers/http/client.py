"""The way of one request over HTTP, whatever it asks for: its place, its limits, its key, and what becomes of each failure."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeAlias, TypedDict, TypeVar
from urllib.request import getproxies

import msgspec

from ecs_agent._version import __version__
from ecs_agent.errors import ConfigurationError, MalformedResponseError, ProviderError, ProviderTimeoutError, StreamInterruptedError
from ecs_agent.providers.classify import classify_error_object, classify_response, error_object, request_id_of, scrub
from ecs_agent.providers.http.sdk_client import SDKClient, SDKTransport
from ecs_agent.providers.http.sdk_errors import client_secrets, password_in
from ecs_agent.providers.http.stream import TimeLimits, check_seconds
from ecs_agent.providers.rate_limiter import RateLimiter
from ecs_agent.providers.settings import Settings
from ecs_agent.providers.slots import StreamSlots
from ecs_agent.providers.transport import Transport, TransportRequest, TransportResponse
from ecs_agent.streaming.json_edge import NOT_JSON, parsed, without_surrogates
from ecs_agent.types import JsonObject

E = TypeVar("E", bound=ProviderError)
T = TypeVar("T")

Sign: TypeAlias = Callable[[ProviderError], ProviderError]
"""Completes an error with who failed, and takes out what is secret."""

ERROR_BODY: Final = 64 * 1024
MOST_FETCHED: Final = 256 * 1024 * 1024
_NO_HEADER_NAME: Final = re.compile(r"[^!#$%&'*+.^_`|~0-9A-Za-z-]")
_NO_HEADER_VALUE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_TELLING_NO_SECRET: Final = frozenset({"anthropic-beta", "anthropic-version"})
SHORTEST_SECRET: Final = 8
"""Shorter words stay in error messages: they are names, numbers, and keys like "none" that a server on this machine is given."""


class HTTPOptions(TypedDict, total=False):
    """What every provider over HTTP can be told; times are in seconds, None is no limit.

    connect_timeout: for name resolution, connection and TLS; 10 by default.
    read_timeout: of silence, before the head of the response as well; anything that arrives ends it; 120 by default.
    first_delta_timeout: until the first text, reasoning or tool call; 600 by default.
    total_timeout: for the whole answer; 3600 by default.
    write_timeout: for sending the request; by default only the other limits bound it.
    pool_timeout: to wait for one of `max_streams` and for a rate limit; by default as long as it takes.
    tail_timeout: after the finish reason to wait for the usage; passing it is no error; 2 by default.
    max_streams: how many answers may be open at once; 10,000 by default.
    requests_per_minute: how many requests may start within a minute, beside what the server's own limits say; by default no limit of ours.
    transport: another way to send requests.
    proxy: the URL of a proxy; those of the environment are honoured without it.
    ssl_context: how certificates are checked.
    headers: sent with every request.
    allow_http: send the key unencrypted to another machine.
    """

    connect_timeout: float | None
    read_timeout: float | None
    first_delta_timeout: float | None
    total_timeout: float | None
    write_timeout: float | None
    pool_timeout: float | None
    tail_timeout: float | None
    max_streams: int
    requests_per_minute: int | None
    transport: Transport | None
    proxy: str | None
    ssl_context: ssl.SSLContext | None
    headers: Mapping[str, str] | None
    allow_http: bool


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    Attributes:
        path: what is appended to the base URL.
        encode: writes its JSON; asked again when something was withdrawn.
        withdraw: whether a refused request may be sent once more, since something in it is left out or written otherwise from now on.
        model: which is asked.
        limits: in seconds.
        headers: beside those of every request.
    """

    path: str
    encode: Callable[[], JsonObject]
    withdraw: Callable[[ProviderError, JsonObject], bool]
    model: str
    limits: TimeLimits
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Opened:
    """A response of status 200, its body still to be read.

    Attributes:
        response: the open response; it belongs to whoever has this.
        started: the loop's time since which it was waited for.
        release: to be called once when the response is done with.
        sign: completes errors.
    """

    response: TransportResponse
    started: float
    release: Callable[[], None]
    sign: Sign


class HTTPClient:
    """Sends requests to one server.

    Args:
        settings: whom to ask, and with which key.
        authorization: the headers that carry a key.
        name: how errors call the server.
        others: see `HTTPOptions`.
    """

    def __init__(
        self,
        settings: Settings,
        authorization: Callable[[str], dict[str, str]],
        *,
        name: str,
        connect_timeout: float | None = 10.0,
        read_timeout: float | None = 120.0,
        first_delta_timeout: float | None = 600.0,
        total_timeout: float | None = 3600.0,
        write_timeout: float | None = None,
        pool_timeout: float | None = None,
        tail_timeout: float | None = 2.0,
        max_streams: int = 10_000,
        requests_per_minute: int | None = None,
        transport: Transport | None = None,
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        headers: Mapping[str, str] | None = None,
        allow_http: bool = False,  # noqa: ARG002 - the settings were made by it
    ) -> None:
        for limit, value in (("connect_timeout", connect_timeout), ("write_timeout", write_timeout), ("pool_timeout", pool_timeout)):
            check_seconds(limit, value)
        self.name = name
        self.settings = settings
        self.base_url = settings.base_url
        self.limits = TimeLimits(read_timeout, first_delta_timeout, total_timeout, tail_timeout)
        self._authorization = authorization
        self._write_timeout = write_timeout
        self._slots = StreamSlots(max_streams, pool_timeout)
        self._limiter = RateLimiter(requests_per_minute, pool_timeout)
        self._headers = dict(headers or {})
        self._proxy_passwords = [word for url in (proxy, *getproxies().values()) if url for word in password_in(url)]
        if settings.client is not None:
            transport = _transport_of(settings.client, {"transport": transport, "proxy": proxy, "ssl_context": ssl_context})
        self._transport = transport if transport is not None else default_transport(connect_timeout, proxy, ssl_context)

    async def open(self, call: Call) -> Opened:
        """Send a request and wait for the head of its response.

        Raises:
            ProviderError: it was refused, or nobody answered in time.
        """
        sign: Sign = partial(self._signed, call=call)
        try:
            release, turn = await self._admitted()
        except ProviderError as error:
            raise sign(error) from None
        try:
            response, started = await self._sent(call, turn, sign)
        except BaseException:
            self._limiter.unheard(turn)
            release()
            raise
        return Opened(response, started, release, partial(self._signed, call=call, request_id=request_id_of(response.headers)))

    async def fetch(self, call: Call, read: Callable[[Any], T]) -> T:
        """Send a request whose answer is one JSON value, and read it.

        Args:
            call: the request.
            read: what to make of the JSON; a `ProviderError` of its own is completed with who failed.

        Raises:
            ProviderError: it was refused, broke off, took too long, is no JSON, or `read` raised it.
        """
        opened, total = await self.open(call), call.limits.total
        timer = asyncio.timeout_at(None if total is None else opened.started + total)
        try:
            async with timer:
                return read(_value(await _whole(opened.response, call.limits.read)))
        except TimeoutError as late:
            error = late if isinstance(late, ProviderTimeoutError) and not timer.expired() else _too_long(total)
            raise opened.sign(error) from None
        except ProviderError as error:
            raise opened.sign(error) from error.__cause__
        finally:
            opened.release()
            await opened.response.aclose()

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

    async def _sent(self, call: Call, turn: int, sign: Sign) -> tuple[TransportResponse, float]:
        """The response to a request, its status 200, and since when it was waited for; asked again if what was refused can be left out or changed."""
        patience, name = self._patience(call.limits)
        started = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(patience) as timer:
                body = call.encode()
                while True:
                    try:
                        return await self._accepted(call, turn, body), started
                    except ProviderError as error:
                        sent = body
                        if not call.withdraw(error, sent) or (body := call.encode()) == sent:
                            raise
                    turn, waited = await self._admitted_again(timer)
                    started += waited
        except ProviderError as error:
            raise sign(error) from error.__cause__
        except TimeoutError:
            raise sign(ProviderTimeoutError(f"no answer within {patience} s ({name}); raise that limit if the model needs longer")) from None

    async def _accepted(self, call: Call, turn: int, body: JsonObject) -> TransportResponse:
        try:
            head = self._head({**self._headers, **call.headers})
            response = await self._transport.open(TransportRequest(self.base_url + call.path, head, _written(body)))
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
        raise classify_response(response.status, response.headers, content, model=call.model, secrets=self._secrets(call), now=time.time())

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
        if self.settings.key is not None:
            head |= self._authorization(self.settings.key.reveal())
        for name, value in extra.items():
            if not isinstance(value, str):
                raise TypeError(f"the header {name!r} is a {type(value).__name__}; give a str")
            if _NO_HEADER_NAME.search(name) or not name or _NO_HEADER_VALUE.search(value):
                raise ConfigurationError(f"the header {name!r} holds a line break, or another character that no header has")
            head[name.lower()] = value
        return head

    def _secrets(self, call: Call) -> list[str]:
        """What must not appear in an error: the key, a proxy's password, and the headers, as many servers take a key in one of their own."""
        headers = {name: value for name, value in {**self._headers, **call.headers}.items() if name.lower() not in _TELLING_NO_SECRET}
        words = [*self._proxy_passwords, *client_secrets(self.settings.client)]
        words += [word for value in headers.values() for word in value.split() if not _is_a_word(word)]
        if self.settings.key is not None:
            words.append(self.settings.key.reveal())
        return [word for word in words if len(word) >= SHORTEST_SECRET]

    def _signed(self, error: E, call: Call, request_id: str | None = None) -> E:
        """An error with who failed, and without what is secret."""
        secrets = self._secrets(call)
        error.args = tuple([scrub(word, secrets) if isinstance(word, str) else word for word in error.args])
        error.provider = error.provider or self.name
        error.model = error.model or call.model
        named = error.request_id or request_id
        error.request_id = scrub(named, secrets) if named is not None else None
        return error

    async def aclose(self) -> None:
        """Close idle connections; safe to call twice."""
        await self._transport.aclose()


def _too_long(total: float | None) -> ProviderTimeoutError:
    return ProviderTimeoutError(f"the answer took longer than {total} s (total_timeout); raise that limit if the server needs longer")


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


async def _whole(response: TransportResponse, silence: float | None) -> bytes:
    """A body; it may be silent for so many seconds."""
    content = bytearray()
    try:
        async with asyncio.timeout(silence) as timer:
            while data := await response.read():
                content += data
                if len(content) > MOST_FETCHED:
                    raise MalformedResponseError(f"the answer is larger than {MOST_FETCHED} bytes; it was given up")
                if silence is not None:
                    timer.reschedule(asyncio.get_running_loop().time() + silence)
    except TimeoutError:
        late = f"the server was silent for {silence} s (read_timeout); raise that limit if it needs longer"
        raise ProviderTimeoutError(late) from None
    return bytes(content)


def _transport_of(client: SDKClient, beside: Mapping[str, object]) -> Transport:
    """The transport that sends requests with an SDK's client.

    Raises:
        ConfigurationError: something was given that the client itself decides.
    """
    for name, value in beside.items():
        if value is not None:
            raise ConfigurationError(f"{name} was given beside client, which sends the requests itself; give it to the client's http_client")
    return SDKTransport(client)


def _value(body: bytes) -> Any:
    """A body's JSON.

    Raises:
        ProviderError: it is an error in spite of its status, or no JSON.
    """
    found = parsed(body.decode("utf-8", "replace"))
    if (failure := error_object(found)) is not None:
        raise classify_error_object(failure)
    if found is NOT_JSON:
        raise MalformedResponseError("the server answered with something that is not JSON; base_url is probably wrong")
    return found


def default_transport(connect_timeout: float | None = 10.0, proxy: str | None = None, ssl_context: ssl.SSLContext | None = None) -> Transport:
    """The transport that sends requests with aiohttp, which is imported here and not before."""
    from ecs_agent.providers.http.aiohttp_transport import AiohttpTransport  # noqa: PLC0415 - heavy; loaded with the first provider

    return AiohttpTransport(connect_timeout=connect_timeout, proxy=proxy, ssl_context=ssl_context)
