"""The transport: every exception of the HTTP client becomes exactly one leaf, with a sentence that names what to look at and no more of the URL
than its host."""

from __future__ import annotations

import asyncio
import errno
import gc
from typing import Any

import aiohttp
import pytest
from aiohttp import client_exceptions
from aiohttp.client_reqrep import ConnectionKey
from yarl import URL

from ecs_agent.errors import ProviderConnectionError, ProviderError, ProviderTimeoutError, StreamInterruptedError
from ecs_agent.providers import OpenAIProvider, Secret, TransportRequest
from ecs_agent.providers.http.aiohttp_transport import AiohttpTransport, _before_headers
from ecs_agent.testing import LoopbackServer, Reply, chat_reply
from ecs_agent.types import Message

SECRET_URL = "https://user:pw@api.example.com:8443/v1/chat?key=sk-canary"
KEY = ConnectionKey("api.example.com", 8443, True, True, None, None, None)
INFO: Any = aiohttp.RequestInfo(URL("https://api.example.com"), "POST", {}, URL("https://api.example.com"))  # type: ignore[arg-type]  # only to be built


def built(kind: type[BaseException]) -> BaseException:
    """An instance of an exception of the client, as it would make it."""
    if issubclass(kind, client_exceptions.ClientConnectorCertificateError):
        return kind(KEY, ValueError("self-signed"))
    if issubclass(kind, client_exceptions.UnixClientConnectorError):
        return kind("/socket", KEY, OSError(errno.ECONNREFUSED, "refused"))
    if issubclass(kind, client_exceptions.ClientConnectorError):
        return kind(KEY, OSError(errno.ENETUNREACH, "Network is unreachable"))
    if issubclass(kind, client_exceptions.ClientResponseError):
        return kind(INFO, (), status=502, message="bad")
    if issubclass(kind, client_exceptions.ServerFingerprintMismatch):
        return kind(b"a", b"b", "api.example.com", 8443)
    if issubclass(kind, client_exceptions.InvalidURL):
        return kind(URL("https://api.example.com"))
    if issubclass(kind, OSError):
        return kind(errno.ECONNRESET, "reset")
    return kind("words")


KINDS = [
    kind
    for name in client_exceptions.__all__
    if isinstance(kind := getattr(client_exceptions, name), type) and issubclass(kind, client_exceptions.ClientError)
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_exception_before_the_headers_is_exactly_one_leaf(kind: type[BaseException]) -> None:
    error = _before_headers(built(kind), SECRET_URL)  # type: ignore[arg-type]  # all of them are Exceptions
    assert type(error) in (ProviderConnectionError, ProviderTimeoutError)
    assert "canary" not in str(error)
    assert "pw" not in str(error)


@pytest.mark.parametrize(
    ("cause", "leaf", "words", "retryable"),
    [
        (aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(111, "refused")), ProviderConnectionError, "is the server running", True),
        (aiohttp.ClientConnectorDNSError(KEY, OSError(-2, "Name or service not known")), ProviderConnectionError, "cannot be resolved", True),
        (aiohttp.ClientConnectorCertificateError(KEY, ValueError("expired")), ProviderConnectionError, "certificate", False),
        (aiohttp.ConnectionTimeoutError(), ProviderTimeoutError, "connect_timeout", True),
        (aiohttp.ServerDisconnectedError(), ProviderConnectionError, "without an answer", True),
        (aiohttp.ClientProxyConnectionError(KEY, OSError(111, "refused")), ProviderConnectionError, "proxy", True),
        (aiohttp.InvalidURL("x"), ProviderConnectionError, "no usable URL", False),
        (ConnectionResetError("reset"), ProviderConnectionError, "without an answer", True),
        (OSError(errno.EMFILE, "Too many open files"), ProviderConnectionError, "Too many open files", True),
    ],
)
def test_the_sentence_says_what_to_look_at(cause: Exception, leaf: type[ProviderError], words: str, retryable: bool) -> None:
    error = _before_headers(cause, "https://api.example.com/v1")
    assert type(error) is leaf
    assert words in str(error)
    assert error.retryable is retryable


async def test_a_connection_that_is_lost_in_the_body() -> None:
    async with LoopbackServer([Reply([b"data: "], end="reset")]) as server:
        transport = AiohttpTransport()
        response = await transport.open(TransportRequest(server.base_url, {}, b"{}"))
        with pytest.raises(StreamInterruptedError, match="in the middle"):
            while await response.read():
                pass
        await response.aclose()
        await transport.aclose()
        await transport.aclose()


async def test_sessions_of_loops_that_are_gone_are_dropped() -> None:
    async with LoopbackServer([Reply([b"x"])]) as server:
        transport = AiohttpTransport()

        async def ask() -> int:
            response = await transport.open(TransportRequest(server.base_url, {}, b"{}"))
            await response.aclose()
            return response.status

        assert await asyncio.to_thread(asyncio.run, ask()) == 200
        assert await ask() == 200
        assert list(transport._sessions) == [asyncio.get_running_loop()]
        await transport.aclose()


async def test_another_transport_can_take_its_place() -> None:
    class Canned:
        status = 200

        def __init__(self) -> None:
            self.headers = {"content-type": "application/json"}
            self.sent: list[TransportRequest] = []
            self.body = [b'{"choices": [{"message": {"content": "canned"}, "finish_reason": "stop"}]}']

        async def open(self, request: TransportRequest) -> Canned:
            self.sent.append(request)
            return self

        async def read(self) -> bytes:
            return self.body.pop() if self.body else b""

        async def aclose(self) -> None: ...

        def abort(self) -> None: ...

    canned = Canned()
    provider = OpenAIProvider(Secret("sk-canary"), "https://api.example.com/v1", "m", transport=canned)
    assert (await provider.complete([Message("user", "Hi")])).message.content == "canned"
    assert canned.sent[0].url == "https://api.example.com/v1/chat/completions"
    assert "canary" not in repr(canned.sent[0])


async def test_a_provider_that_is_dropped_with_an_error_in_a_circle_is_closed_without_a_warning() -> None:
    async with LoopbackServer([chat_reply("Hi.")]) as server:
        provider = OpenAIProvider(base_url=server.base_url, model="m")
        await provider.complete([Message("user", "Hi")])
        session = next(iter(provider._client._transport._sessions.values()))  # type: ignore[attr-defined]  # the default transport's
        circle: list[object] = [provider]
        circle.append(circle)
        del provider, circle
        gc.collect()
        async with asyncio.timeout(5):
            while not session.closed:
                await asyncio.sleep(0.001)
