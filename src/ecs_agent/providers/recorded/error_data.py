"""What a provider failed with as data, and back: its kind and what it says, from a closed list."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ecs_agent.errors import (
    AuthenticationError,
    BadRequestError,
    ContentFilterError,
    ContextLengthError,
    ErrorKind,
    MalformedResponseError,
    ProviderConnectionError,
    ProviderError,
    ProviderExhaustedError,
    ProviderTimeoutError,
    QuotaError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
)
from ecs_agent.providers.classify import scrub
from ecs_agent.types import JsonObject

_ALL: Final[tuple[type[ProviderError], ...]] = (
    AuthenticationError,
    BadRequestError,
    ContextLengthError,
    ContentFilterError,
    RateLimitError,
    QuotaError,
    ServerError,
    ProviderConnectionError,
    ProviderTimeoutError,
    StreamInterruptedError,
    MalformedResponseError,
)
LEAVES: Final[dict[ErrorKind, type[ProviderError]]] = {leaf.kind: leaf for leaf in _ALL}
"""The class of each kind of failure."""

_EXHAUSTED: Final = "exhausted"
_OTHER: Final = "other"
_TOLD: Final = ("status", "retry_after", "request_id", "provider", "model")


def error_to_data(error: BaseException, secrets: Iterable[str] = ()) -> JsonObject:
    """The data of a failure, without its `partial` and without secrets.

    Args:
        error: what was raised.
        secrets: what must not appear beside what looks like a key.
    """
    secrets = list(secrets)
    message = scrub(str(error), secrets)
    if isinstance(error, ProviderError):
        told = {name: value for name in _TOLD if (value := getattr(error, name)) is not None}
        return {"kind": str(error.kind), "message": message, "retryable": error.retryable, **_scrubbed(told, secrets)}
    if isinstance(error, ProviderExhaustedError):
        return {"kind": _EXHAUSTED, "message": message}
    return {"kind": _OTHER, "type": type(error).__name__, "message": message}


def _scrubbed(told: JsonObject, secrets: list[str]) -> JsonObject:
    return {name: scrub(value, secrets) if isinstance(value, str) else value for name, value in told.items()}


def error_from_data(data: JsonObject) -> Exception:
    """The failure; one of another kind than ours is a RuntimeError.

    Raises:
        ValueError: it is no such data.
    """
    try:
        given = dict(data)
        kind, message = given.pop("kind"), str(given.pop("message"))
        if kind == _EXHAUSTED:
            return ProviderExhaustedError(message)
        if kind == _OTHER:
            return RuntimeError(f"{given['type']}: {message}")
        return LEAVES[ErrorKind(kind)](message, **given)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"this is no error that was recorded: {error}") from None
