"""The one file that does HTTP: aiohttp behind the transport interface.

One session per event loop, so that a provider may serve several loops one after another. Our own limits rule, so the connector has none. There
are no redirects (a key would travel along), no cookies, and no compression (it would hold deltas back).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping
from io import BytesIO
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass
from weakref import WeakSet, finalize

import aiohttp

from ecs_agent.errors import ProviderConnectionError, ProviderError, ProviderTimeoutError, StreamInterruptedError
from ecs_agent.providers.http.kept_connection import LOST, HeardResponse, Sending, noting_kept
from ecs_agent.providers.transport import TransportRequest

READ_BUFFER = 256 * 1024
READ_SIZE = 32 * 1024
"""So much is decoded at a time: what a read makes then stays in the processor's cache, and a flood does not hold up the others."""

LARGE = 1024 * 1024
"""A longer request is written in pieces, so that others go on meanwhile."""


class AiohttpTransport:
    """Sends requests with aiohttp.

    Args:
        connect_timeout: seconds for name resolution, connection and TLS; None for no limit.
        proxy: the proxy's URL; those of the environment are honoured without it.
        ssl_context: how certificates are checked.
    """

    def __init__(self, *, connect_timeout: float | None = 10.0, proxy: str | None = None, ssl_context: ssl.SSLContext | None = None) -> None:
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_timeout, sock_connect=None, sock_read=None)
        self._proxy = proxy
        self._proxies: dict[str, str | None] = {}  # the environment's, by host
        self._ssl = ssl_context
        self._owners: dict[asyncio.AbstractEventLoop, AsyncGenerator[_Sessions, None]] = {}
        # Errors make circles of references, and a session that is collected as part of one complains before its owner can close it. So the owners
        # are held from outside until this transport is gone.
        finalize(self, self._owners.clear).atexit = False
        self._sessions: dict[asyncio.AbstractEventLoop, _Sessions] = {}

    async def open(self, request: TransportRequest) -> _Response:
        """Send a request and wait for the head of its response. Where it met a kept connection that its server closed, it is sent once more."""
        try:
            sessions = await self._of_this_loop()
            response = await self._sent(sessions, request)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure, cause = _before_headers(error, request.url), _harmless(error)
        else:
            opened = _Response(response)
            if not sessions.closed:
                sessions.responses.add(opened)
                return opened
            opened.abort()
            failure, cause = ProviderConnectionError("the provider was closed while it waited for an answer", retryable=False), None
        raise failure from cause  # outside of the handler: aiohttp's own errors hold the request with its key

    async def _sent(self, sessions: _Sessions, request: TransportRequest) -> aiohttp.ClientResponse:
        sending = Sending()
        try:
            return await self._sent_once(sessions.keeping, request, sending)
        except LOST:
            if not sending.kept or sessions.closed:
                raise
        return await self._sent_once(sessions.not_keeping(), request, Sending())

    async def _sent_once(self, session: aiohttp.ClientSession, request: TransportRequest, sending: Sending) -> aiohttp.ClientResponse:
        return await session.request(
            request.method,
            request.url,
            data=request.body if len(request.body) < LARGE else BytesIO(request.body),
            headers=request.headers,
            allow_redirects=False,
            proxy=self._proxy_for(request.url),
            trace_request_ctx=sending,
        )

    def _proxy_for(self, url: str) -> str | None:
        """The proxy that was given, else the environment's for this URL.

        aiohttp could look into the environment itself, but then it would also read the keys of other programs from ~/.netrc, in a thread, at each
        request.
        """
        if self._proxy is not None:
            return self._proxy
        parts = urlsplit(url)
        if parts.netloc not in self._proxies:
            found = getproxies().get(parts.scheme)
            self._proxies[parts.netloc] = found if found and not proxy_bypass(parts.hostname or "") else None
        return self._proxies[parts.netloc]

    async def _of_this_loop(self) -> _Sessions:
        loop = asyncio.get_running_loop()
        sessions = self._sessions.get(loop)
        if sessions is None or sessions.closed:
            for other in [known for known in self._sessions if known.is_closed()]:
                del self._sessions[other], self._owners[other]
            self._owners[loop] = _owned(_Sessions(self._timeout, self._ssl))
            sessions = self._sessions[loop] = await anext(self._owners[loop])
        return sessions

    async def aclose(self) -> None:
        """Close the idle connections of this loop."""
        loop = asyncio.get_running_loop()
        owner = self._owners.pop(loop, None)
        self._sessions.pop(loop, None)
        if owner is not None:
            await owner.aclose()


class _Sessions:
    """The sessions of one event loop, and the responses that are open in it."""

    def __init__(self, timeout: aiohttp.ClientTimeout, ssl_context: ssl.SSLContext | None) -> None:
        self._timeout = timeout
        self._ssl = ssl_context if ssl_context is not None else True
        # An idle connection is kept for less than the five seconds after which many servers close theirs, or both may act in the same moment.
        self.keeping = self._session(aiohttp.TCPConnector(limit=0, keepalive_timeout=4.0, ssl=self._ssl))
        self._not_keeping: aiohttp.ClientSession | None = None
        self.responses: WeakSet[_Response] = WeakSet()
        self.closed = False

    def not_keeping(self) -> aiohttp.ClientSession:
        """A session with a new connection for each request."""
        if self._not_keeping is None:
            self._not_keeping = self._session(aiohttp.TCPConnector(limit=0, force_close=True, ssl=self._ssl))
        return self._not_keeping

    def _session(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept-Encoding",),
            read_bufsize=READ_BUFFER,
            response_class=HeardResponse,
            trace_configs=[noting_kept()],
        )

    async def aclose(self) -> None:
        self.closed = True
        for response in list(self.responses):
            response.abort()
        await self.keeping.close()
        if self._not_keeping is not None:
            await self._not_keeping.close()


async def _owned(sessions: _Sessions) -> AsyncGenerator[_Sessions, None]:
    """Sessions that close themselves with their event loop, or when their transport is dropped, and abort the responses that are open then.

    An event loop closes the asynchronous generators that are still open in it, and those that are collected. So nobody has to close a provider, and
    no idle socket is left for the interpreter to complain about.
    """
    try:
        yield sessions
    finally:
        await sessions.aclose()


class _Response:
    """One response of aiohttp."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}

    async def read(self) -> bytes:
        """The bytes that have arrived, at most `READ_SIZE` of them; empty at the end."""
        try:
            return await self._response.content.read(READ_SIZE)
        except (aiohttp.ClientError, OSError, RuntimeError) as error:  # the last: the connection was closed before anyone read
            reason, cause = _reason(error), _harmless(error)
        raise StreamInterruptedError(f"the connection was lost in the middle of the answer ({reason})") from cause

    async def aclose(self) -> None:
        """Give the connection back if the body was read to its end, else close it."""
        self.abort()

    def abort(self) -> None:
        """As `aclose`; does nothing when the event loop is gone, whose sockets went with it."""
        try:
            self._response.close()
        except RuntimeError:
            pass  # the event loop is closed


def _before_headers(error: Exception, url: str) -> ProviderError:
    """Every way in which no response comes, as one sentence that says what to look at."""
    where = _where(url)
    match error:
        case aiohttp.ClientConnectorDNSError() | aiohttp.ClientConnectorError(os_error=OSError(errno=-2 | -3 | -5)):
            return ProviderConnectionError(f"the name in {where} cannot be resolved; check base_url and the network")
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError() | aiohttp.ServerFingerprintMismatch():
            return ProviderConnectionError(f"the certificate of {where} was not accepted ({_reason(error)})", retryable=False)
        case aiohttp.ServerTimeoutError():
            return ProviderTimeoutError(f"connecting to {where} took too long (connect_timeout); is the server reachable?")
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return ProviderConnectionError(f"the proxy on the way to {where} did not connect ({_reason(error)})")
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
            return ProviderConnectionError(f"{where} refused the connection; is the server running, and is base_url right?")
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() | ConnectionError():
            return ProviderConnectionError(f"{where} closed the connection without an answer ({_reason(error)})")
        case aiohttp.InvalidURL() | ValueError():
            return ProviderConnectionError(f"{where} is no usable URL; check base_url", retryable=False)
        case _:
            return ProviderConnectionError(f"no answer from {where} ({_reason(error)})")


def _where(url: str) -> str:
    """Scheme, host and port: no path, no user, no query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _harmless(error: BaseException) -> OSError | None:
    """What of an error may stay behind ours as its cause: the operating system's word, and nothing that holds a request."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error
    return error if isinstance(error, OSError) and not isinstance(error, aiohttp.ClientError) else None


def _reason(error: BaseException) -> str:
    """An error in one line; without what a response error says of its request."""
    text = error.message if isinstance(error, aiohttp.ClientResponseError) else str(error)
    line = " ".join(text.split())
    return line[:200] if line else type(error).__name__
