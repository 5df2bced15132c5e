"""What an SDK's client raises as errors of ours, and which of its words are secret; by duck typing, so that no SDK is imported.

A status that the client gave up on is a response like any other. Everything else is told by the names of the classes of the error: the SDKs raise
`APITimeoutError` and `APIConnectionError`, HTTP libraries and the callbacks of users raise what they like.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Final, cast
from urllib.parse import urlsplit

from ecs_agent.errors import AuthenticationError, ProviderConnectionError, ProviderError, ProviderTimeoutError
from ecs_agent.providers.recorded.request_data import SHORTEST_SECRET

_TIMEOUTS: Final = frozenset({"APITimeoutError", "TimeoutException", "TimeoutError"})
_CONNECTIONS: Final = frozenset({"APIConnectionError", "TransportError", "ConnectionError"})
_NO_CREDENTIALS: Final = re.compile(r"credential|authenticat|api[ _]?key|token|log ?in", re.IGNORECASE)
_SECRET_NAME: Final = re.compile(r"key|token|secret|password|auth|cookie", re.IGNORECASE)
_SECRETS: Final = ("api_key", "admin_api_key", "auth_token", "access_token")
"""Where a client has its secrets even if they are no plain attributes."""


def peek(thing: object, name: str) -> object:
    """An attribute, or None: properties of foreign objects may raise anything."""
    try:
        found: object = getattr(thing, name, None)
    except Exception:  # noqa: BLE001 - see above
        return None
    return found


class RefusedResponse:
    """A response with a status that the client raised as an error, its body read already."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self._body = body

    @classmethod
    def of(cls, error: Exception) -> RefusedResponse | None:
        """The response that an error stands for, None if there was none."""
        response = peek(error, "response")
        status, content = peek(response, "status_code"), peek(response, "content")
        if not isinstance(status, int) or status < 300:
            return None
        body = content if isinstance(content, bytes) and content else str(error).encode(errors="replace")
        for word in _secret_words(_mapping(peek(peek(response, "request"), "headers"))):  # a key that was made for this request is known nowhere else
            body = body.replace(word.encode(errors="replace"), b"***")
        headers = {str(name).lower(): str(value) for name, value in _mapping(peek(response, "headers")).items()}
        return cls(status, headers, body)

    async def read(self) -> bytes:
        """The whole body, then its end."""
        body, self._body = self._body, b""
        return body

    async def aclose(self) -> None:
        """Do nothing: the client has closed it."""

    def abort(self) -> None:
        """Do nothing, likewise."""


def failure_of(error: Exception, base_url: str) -> ProviderError:
    """Every way in which a client opens no response, as one sentence that says what to look at."""
    names, where = {kind.__name__ for kind in type(error).__mro__}, _where(base_url)
    if names & _TIMEOUTS:
        return ProviderTimeoutError(f"no answer from {where} within the client's own timeout; raise that if the model needs longer")
    if names & _CONNECTIONS:
        return _unconnected(error, where)
    reason = f"{type(error).__name__}: {reason_of(error)}"
    if _NO_CREDENTIALS.search(reason):
        return AuthenticationError(f"the client has no credentials for {where} ({reason}); check the key or the login it was made with")
    return ProviderConnectionError(f"the client did not send the request to {where} ({reason}); check how it was made", retryable=False)


def _unconnected(error: Exception, where: str) -> ProviderError:
    for cause in _chain(error):
        match cause:
            case ssl.SSLError():
                return ProviderConnectionError(f"the certificate of {where} was not accepted ({reason_of(cause)})", retryable=False)
            case socket.gaierror():
                return ProviderConnectionError(f"the name in {where} cannot be resolved; check the client's base_url and the network")
            case ConnectionRefusedError():
                return ProviderConnectionError(f"{where} refused the connection; is the server running, and is the client's base_url right?")
            case _:
                pass
    said = error.__cause__ if error.__cause__ is not None else error  # the SDKs say only "Connection error."
    return ProviderConnectionError(f"no answer from {where} ({type(said).__name__}: {reason_of(said)})")


def harmless(error: BaseException) -> OSError | None:
    """What of an error may stay behind ours as its cause: the operating system's word, without the frames that hold the request."""
    for cause in _chain(error):
        if isinstance(cause, OSError) and type(cause).__module__ in ("builtins", "socket", "ssl"):
            return cause.with_traceback(None)
    return None


def reason_of(error: BaseException) -> str:
    """An error in one line."""
    line = " ".join(str(error).split())
    return line[:200] if line else type(error).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what caused it."""
    found: BaseException | None = error
    for _ in range(10):
        if found is None:
            return
        yield found
        found = found.__cause__ or _first(found) or found.__context__


def _first(error: BaseException) -> BaseException | None:
    if not isinstance(error, BaseExceptionGroup):
        return None
    group = cast("BaseExceptionGroup[BaseException]", error)
    return group.exceptions[0]


def _where(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def client_secrets(client: object) -> list[str]:
    """What of a client must not appear in an error; asked anew each time, since some clients renew their keys.

    Returns:
        The words, none for None. Nothing is raised.
    """
    held = [peek(thing, "__dict__") for thing in (client, peek(client, "credentials"))]
    held += [peek(client, name) for name in ("default_headers", "default_query")]
    words = [word for fields in held for word in _secret_words(_mapping(fields))]
    words += _secret_words({name: peek(client, name) for name in _SECRETS})
    return list(dict.fromkeys([*words, *password_in(str(peek(client, "base_url")))]))


def _secret_words(fields: Mapping[object, object]) -> list[str]:
    """The words of all texts whose name says that they are secret."""
    told = [value for name, value in fields.items() if isinstance(value, str) and _SECRET_NAME.search(str(name))]
    return [word for value in told for word in value.split() if len(word) >= SHORTEST_SECRET]


def password_in(url: str) -> list[str]:
    """The password of a URL, which may be none at all; nothing is raised."""
    try:
        found = urlsplit(url).password
    except ValueError:
        return []
    return [found] if found else []


def _mapping(thing: object) -> Mapping[object, object]:
    return cast("Mapping[object, object]", thing) if isinstance(thing, Mapping) else {}
