"""A request as data: what is asked, without secrets, for a recording and for finding it again.

Both sides are scrubbed by the same rule, so that a request is found although its key is another one.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeGuard
from urllib.parse import parse_qsl, urlsplit

import msgspec

from ecs_agent.errors import UnsavableError
from ecs_agent.providers.classify import scrub
from ecs_agent.providers.protocol import RequestOptions
from ecs_agent.providers.structured.response_format import is_model, response_format_of
from ecs_agent.providers.transport import TransportRequest
from ecs_agent.streaming.json_edge import is_list, is_object
from ecs_agent.streaming.message_data import message_to_data, schema_to_data
from ecs_agent.streaming.plain_data import PlainData
from ecs_agent.types import JsonObject, Message

HIDDEN: Final = "***"
SHORTEST_SECRET: Final = 8
"""Shorter values of headers are names and numbers."""

_NOT_ASKED: Final = frozenset({"model", "read_timeout", "first_delta_timeout", "total_timeout"})
"""The model has a place of its own, and of the limits of time no model hears."""

_TELLING_NOTHING: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "anthropic-beta",
        "anthropic-version",
        "content-type",
        "http-referer",
        "openai-beta",
        "user-agent",
        "x-title",
    }
)
_FOR_KEYS: Final = frozenset({"api-key", "authorization", "cookie", "proxy-authorization", "x-api-key", "x-goog-api-key"})
_NO_KEY: Final = re.compile(r"[^\W\d_]{1,19}|\d{4}-\d{2}-\d{2}")
"""A word of a language, or a date."""
_PLAIN: Final = PlainData()


def request_to_data(messages: Sequence[Message], stream: bool, options: RequestOptions, model: str) -> JsonObject:
    """What is asked of a model.

    Raises:
        UnsavableError: an option holds what is no data.
    """
    headers = options.get("extra_headers") or {}
    exact = exact_request_to_data(messages, options, model)
    asked: JsonObject = {"model": exact.pop("model"), "stream": bool(stream), **exact}
    if headers:
        asked["options"] = {**asked["options"], "extra_headers": dict.fromkeys(asked["options"]["extra_headers"], HIDDEN)}
    clean: JsonObject = scrubbed(asked, secrets_in(headers))
    return clean


def exact_request_to_data(messages: Sequence[Message], options: RequestOptions, model: str) -> JsonObject:
    """What is asked of a model, to compare requests exactly: nothing is left out for being secret, so it is not to be kept.

    Raises:
        UnsavableError: an option holds what is no data.
    """
    asked: JsonObject = {"model": options.get("model") or model, "messages": [message_to_data(each) for each in messages]}
    given = {name: _option(name, value) for name, value in options.items() if value is not None and name not in _NOT_ASKED}
    if given:
        asked["options"] = given
    return asked


def options_without_secrets(options: RequestOptions) -> dict[str, object]:
    """The options that are set, to be looked at: of headers the names, of what is data nothing that looks like a key."""
    secrets = secrets_in(options.get("extra_headers") or {})
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if "extra_headers" in given:
        given["extra_headers"] = dict.fromkeys(_headers(given["extra_headers"]), HIDDEN)
    return {name: value if name == "tools" else scrubbed(_as_json(value), secrets) for name, value in given.items()}


def _option(name: str, value: Any) -> Any:
    try:
        if name == "response_format" and is_model(value):
            value = response_format_of(value, strict=False)
        if name == "tools":
            return [schema_to_data(tool) for tool in value]
        return _headers(value) if name == "extra_headers" else _PLAIN.write(_as_json(value))
    except TypeError as error:
        raise UnsavableError(f"a request with the option {name!r} cannot be recorded: it {error}") from None


def _headers(headers: Mapping[str, str]) -> dict[str, str]:
    return dict(sorted([(str(name).lower(), str(value)) for name, value in headers.items()]))


def _as_json(value: Any) -> Any:
    """A value in which every sequence is a list and every mapping a dict: to a model they are the same."""
    if _is_mapping(value):
        return {key: _as_json(item) for key, item in value.items()}
    return [_as_json(item) for item in value] if _is_sequence(value) else value


def _is_mapping(value: Any) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(value, Mapping)


def _is_sequence(value: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, list | tuple)


def http_request_to_data(request: TransportRequest) -> JsonObject:
    """What is sent over HTTP: no header, and of the URL neither user nor the values of its query."""
    try:
        body: Any = json.loads(request.body)
    except ValueError:
        body = body_to_data(request.body)
    url = without_secrets(request.url)
    clean: JsonObject = scrubbed({"method": request.method, "url": url, "body": body}, secrets_in(request.headers))
    return clean


def without_secrets(url: str) -> str:
    """A URL of which only the host, the path and the names in its query are left."""
    parts = urlsplit(url)
    query = "&".join([f"{name}={HIDDEN}" for name, _ in parse_qsl(parts.query, keep_blank_values=True)])
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{'?' if query else ''}{query}"


def secrets_in(headers: Mapping[str, str]) -> list[str]:
    """The parts of headers that may be a key. Words of a language are not, but in the headers that are made for keys."""
    found: set[str] = set()
    for name, value in headers.items():
        words = [word for word in str(value).split() if len(word) >= SHORTEST_SECRET]
        if name.lower() in _FOR_KEYS:
            found.update(words)
        elif name.lower() not in _TELLING_NOTHING:
            found.update([word for word in words if not _NO_KEY.fullmatch(word)])
    return sorted(found, key=len, reverse=True)


def scrubbed(data: Any, secrets: Iterable[str]) -> Any:
    """The same data without these secrets and without what looks like a key, in its texts and in its names."""
    secrets = list(secrets)

    def clean(value: Any) -> Any:
        if isinstance(value, str):
            return scrub(value, secrets)
        if is_list(value):
            return [clean(item) for item in value]
        if is_object(value):
            return {scrub(name, secrets): clean(item) for name, item in value.items()}
        return value

    return clean(data)


def body_to_data(body: bytes) -> Any:
    """Bytes as text, else in base 64."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(body).decode("ascii")}


def body_from_data(data: Any) -> bytes:
    """The bytes of such data.

    Raises:
        ValueError: it is none.
    """
    if isinstance(data, str):
        return data.encode("utf-8", "surrogatepass")
    if is_object(data) and isinstance(text := data.get("base64"), str):
        return b64decode(text, validate=True)
    raise ValueError("a read of an exchange is neither text nor base 64")


def to_json(data: Any, *, in_order: bool = False) -> bytes:
    """JSON in one line; half surrogate pairs, which UTF-8 cannot carry, are escaped.

    Args:
        data: what to write.
        in_order: sort the names, so that equal data is equal JSON.
    """
    try:
        return msgspec.json.encode(data, order="deterministic" if in_order else None)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(data), sort_keys=in_order, separators=(",", ":")).encode()
