"""A client of an official SDK (`AsyncOpenAI`, `AsyncAzureOpenAI`, `AsyncAnthropic` and their kin) as a transport: it opens responses, we read them.

Its authorization, retries, proxies and its way of addressing models stay as its owner configured them. Nothing is imported for it: what is needed of
a client is told by what it can do, what went wrong by the names of its errors' classes.

These SDKs come out of one generator, and a response is opened by what they all share: the public method `post`, which OpenAI's README documents for
requests that have no method of their own, and the header with which their `with_streaming_response` asks for a body that is not read yet. The
resources above it (`chat.completions.with_streaming_response.create`) would check the body and warn about it, differ for each path, and send it no
better: it is below `post` that the clients for Azure, Vertex and Bedrock write paths and bodies their own way.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import Final, Protocol, cast
from urllib.parse import urlsplit, urlunsplit

import msgspec

from ecs_agent._version import __version__
from ecs_agent.errors import ConfigurationError, MalformedResponseError, ProviderConnectionError, ProviderError, StreamInterruptedError
from ecs_agent.providers.http.sdk_errors import RefusedResponse, failure_of, harmless, peek, reason_of
from ecs_agent.providers.transport import TransportRequest, TransportResponse

UNREAD: Final = {"X-Stainless-Raw-Response": "stream"}
"""Asks a client for the response with its body unread."""

_OURS: Final = {
    "content-type": "application/json",
    "accept": "text/event-stream, application/json",
    "user-agent": f"ecs-agent/{__version__}",
}
"""Headers that providers send of themselves; the client has its own."""

_EVENT_STREAM: Final = "application/vnd.amazon.eventstream"


class SDKClient(Protocol):
    """What is needed of a client: its address, and an asynchronous `post(path, cast_to=…, body=…, options=…)`."""

    @property
    def base_url(self) -> object:
        """The address that paths are appended to; its `str` is a URL."""
        ...

    @property
    def post(self) -> Callable[..., Awaitable[object]]:
        """Send a request."""
        ...


class _HTTPResponse(Protocol):
    """What is read of the HTTP library's response."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    def aiter_bytes(self) -> AsyncIterator[bytes]: ...
    async def aclose(self) -> None: ...


def client_base_url(client: object) -> str:
    """The address of a client, without a user, a query and the slash at its end.

    Raises:
        ConfigurationError: the object is no asynchronous client of an SDK, or has no address yet.
    """
    name, post = type(client).__name__, peek(client, "post")
    if isinstance(client, type) or not callable(post) or peek(client, "base_url") is None or not _takes_cast_to(post):
        raise ConfigurationError(f"client is of the class {name} and no client of an SDK; give an AsyncOpenAI, an AsyncAnthropic or one of their kin")
    if not inspect.iscoroutinefunction(inspect.unwrap(post)):
        raise ConfigurationError(f"client is of the class {name}, whose calls would block the event loop; give the asynchronous Async{name}")
    base = _base(str(peek(client, "base_url")))
    if base is None:
        raise ConfigurationError(f"the client, of the class {name}, has no usable base_url; give it one that looks like https://api.example.com/v1")
    return base


_SPEAKS_OTHERWISE: Final[Mapping[str, str]] = {"AsyncOpenAI": "OpenAIProvider or OpenAIResponsesProvider", "AsyncAnthropic": "AnthropicProvider"}


def refuse_client(client: object, vendor: str) -> None:
    """Refuse a client of another vendor's SDK, whose key and address are that vendor's.

    Raises:
        ConfigurationError: it is one, or derived from one.
    """
    if any(base.__name__ == vendor for base in type(client).__mro__):
        name = type(client).__name__
        raise ConfigurationError(f"client is of the class {name}, whose server speaks another protocol; give it to {_SPEAKS_OTHERWISE[vendor]}")


def _base(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host:
        return None
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))


def _takes_cast_to(post: Callable[..., object]) -> bool:
    """Whether it is the method of these SDKs, and not that of an HTTP library."""
    try:
        parameters = inspect.signature(post).parameters
    except (TypeError, ValueError):
        return False
    return "cast_to" in parameters or any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())


class SDKTransport:
    """Opens responses with a client, which belongs to whoever made it and is never closed here.

    Args:
        client: an asynchronous client of an SDK.

    Raises:
        ConfigurationError: it is none.
    """

    def __init__(self, client: SDKClient) -> None:
        self._base = client_base_url(client)
        self._client = client

    async def open(self, request: TransportRequest) -> TransportResponse:
        """Let the client send a request, with its retries, and wait for the head of the response.

        Raises:
            ProviderConnectionError: nobody answered, or the client did not send it.
            ProviderTimeoutError: the client's own time limit has passed.
            AuthenticationError: the client has no credentials.
            MalformedResponseError: the answer comes in a format that is not read here, or not at all.
            ConfigurationError: the request is for another address than the client's.
        """
        path, body = self._path(request.url), msgspec.json.decode(request.body)
        headers = {name: value for name, value in request.headers.items() if _OURS.get(name) != value}
        if _is_closed(self._client):
            raise ProviderConnectionError("the client that was given as client= is closed; keep it open as long as its provider", retryable=False)
        try:
            answer = await self._client.post(path, cast_to=object, body=body, options={"headers": {**headers, **UNREAD}})
        except Exception as error:  # noqa: BLE001 - whatever a client and its callbacks raise becomes an error of ours
            refused = RefusedResponse.of(error)
            failure, cause = failure_of(error, self._base), harmless(error)
        else:
            return _opened(answer)
        if refused is not None:
            return refused
        raise failure from cause  # outside of the handler: the SDK's errors hold the request with its key

    def _path(self, url: str) -> str:
        if not url.startswith(self._base + "/"):
            raise ConfigurationError(f"the client sends requests to {self._base} only; give another client for another base_url")
        return url[len(self._base) :]

    async def aclose(self) -> None:
        """Do nothing: the client's owner closes it."""


def _is_closed(client: object) -> bool:
    """Whether it says so; the retries of one that is closed would only take time."""
    told = peek(client, "is_closed")
    try:
        return (told() if callable(told) else told) is True
    except Exception:  # noqa: BLE001 - then it will say so when it sends
        return False


def _opened(answer: object) -> TransportResponse:
    """The response that a client opened.

    Raises:
        MalformedResponseError: it is none, or one in AWS's format.
    """
    found = peek(answer, "http_response")
    if not all(callable(peek(found, name)) for name in ("aiter_bytes", "aclose")):
        raise MalformedResponseError(
            f"the client gave a {type(answer).__name__} instead of an open response; give a client of the openai or anthropic package, whose "
            "middleware, if it has any, does not answer in its place"
        )
    response = _Response(cast("_HTTPResponse", found))
    if response.headers.get("content-type", "").startswith(_EVENT_STREAM):
        response.abort()
        raise MalformedResponseError(
            "this client streams in AWS's own event format, which is not read here; give an AsyncAnthropicBedrockMantle or AsyncAnthropicAWS, or "
            "ask without stream=True",
            status=response.status,
        )
    return response


class _Response:
    """An open response of the SDK's HTTP library (httpx, or what stands in for it).

    There closing waits, and a reader of a shared connection (HTTP/2) would not notice it. So whoever waits for bytes does so within a deadline that
    `abort` moves to now: the library then closes the connection itself while it unwinds. Where nobody waits, a task of its own closes it.
    """

    def __init__(self, response: _HTTPResponse) -> None:
        self._response = response
        self._loop = asyncio.get_running_loop()
        self._chunks = response.aiter_bytes()
        self._waiting: asyncio.Timeout | None = None
        self._closing: asyncio.Task[None] | None = None
        self._left = False
        self._ended = False
        self.status = response.status_code
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}

    async def read(self) -> bytes:
        """The bytes that have arrived; empty at the end."""
        if self._left:
            raise StreamInterruptedError("the connection was closed before its answer was read")
        try:
            async with asyncio.timeout(None) as self._waiting:
                data = await self._next()
        except Exception as error:  # noqa: BLE001 - every library names a lost connection otherwise
            failure, cause = self._lost(error), harmless(error)
        else:
            self._ended = not data
            return data
        finally:
            self._waiting = None
            self._settle()
        raise failure from cause

    async def _next(self) -> bytes:
        async for data in self._chunks:
            if data:
                return data
        return b""

    def _lost(self, error: Exception) -> ProviderError:
        if self._left:
            return StreamInterruptedError("the connection was closed while its answer was read")
        return StreamInterruptedError(f"the connection was lost in the middle of the answer ({reason_of(error)})")

    async def aclose(self) -> None:
        """Give the connection back if the body was read to its end, else close it."""
        self.abort()
        if self._closing is not None:
            await asyncio.wait((self._closing,))  # it goes on when this is cancelled

    def abort(self) -> None:
        """As `aclose`; does nothing when the event loop is gone, whose sockets went with it."""
        if self._ended or self._left:
            return
        self._left = True
        if self._waiting is not None:
            self._waiting.reschedule(self._loop.time())
        else:
            self._settle()

    def _settle(self) -> None:
        """Close what was left while nobody waits, unless the library has."""
        if self._left and not self._loop.is_closed() and peek(self._response, "is_closed") is not True:
            self._closing = self._loop.create_task(self._close())

    async def _close(self) -> None:
        chunks: object = self._chunks
        try:
            await self._response.aclose()
            if isinstance(chunks, AsyncGenerator):
                await cast("AsyncGenerator[bytes]", chunks).aclose()
        except Exception:  # noqa: BLE001, S110 - nobody reads on, so nobody needs to know
            pass
