"""What kind of failure a server means: by the words in its body first, then by the status. One table, pure, raises nothing.

Servers answer errors in many shapes (`{"error": {…}}`, `{"error": "…"}`, `[{"error": …}]`, `{"message", "type", "code"}`, `{"detail": …}`,
`{"base_resp": {…}}`, a page of a proxy) and often with a status that misleads: a used-up balance as 429, a bad key as 400, an overflow as 500.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

from ecs_agent.errors import (
    AuthenticationError,
    BadRequestError,
    ContentFilterError,
    ContextLengthError,
    MalformedResponseError,
    ProviderError,
    ProviderTimeoutError,
    QuotaError,
    RateLimitError,
    ServerError,
)
from ecs_agent.streaming.json_edge import is_list, is_object

MAX_WORDS: Final = 2048
MAX_RETRY_AFTER: Final = 120.0

Leaf = type[ProviderError]

_BY_WORDS: Final[tuple[tuple[re.Pattern[str], Leaf], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE), leaf)
    for pattern, leaf in (
        (
            (
                r"context_length|exceed_context|context.window|context size|maximum context|context length|prompt is too long|too many tokens"
                r"|input is too long|reduce the length|max_model_len|string_above_max_length"
            ),
            ContextLengthError,
        ),
        (
            (
                r"insufficient_quota|insufficient.balance|insufficient_user_quota|exceeded your current quota|billing|payment.required"
                r"|balance is not enough|out of credits|credit balance|insufficient credits|arrearage"
            ),
            QuotaError,
        ),
        (
            (
                r"content_filter|content_policy|content management policy|responsibleaipolicy|data_inspection|sensitive_content"
                r"|moderation_blocked|new_sensitive|prompt_blocked"
            ),
            ContentFilterError,
        ),
        (
            (
                r"invalid_api_key|incorrect api key|api key not valid|api_key_invalid|authentication|unauthorized|permission_denied|permission_error"
                r"|invalid.{0,12}api.?key|no auth|token_invalid|invalid x-api-key"
            ),
            AuthenticationError,
        ),
        (r"rate.?limit|too.many.requests|queue_exceeded|throttl|tokens per min|requests per min|resource_exhausted", RateLimitError),
        (r"overloaded|service.?unavailable|server_error|internal.error|internal_server|engine_overloaded|no_capacity|bad gateway", ServerError),
        (r"timed? ?out|timeout|deadline_exceeded", ProviderTimeoutError),
        (r"invalid_request|tool_use_failed|bad_request|invalid_argument|not_found|model_not_found|unsupported", BadRequestError),
    )
)
"""The first row that matches decides; the order is from the most telling word to the least."""

_BASE_RESP: Final[dict[int, Leaf]] = {
    1000: ServerError, 1001: ProviderTimeoutError, 1002: RateLimitError, 1004: AuthenticationError, 1008: QuotaError, 1013: ServerError,
    1024: ServerError, 1026: ContentFilterError, 1027: ContentFilterError, 1033: ServerError, 1039: RateLimitError, 1041: RateLimitError,
    1042: BadRequestError, 2013: BadRequestError, 2049: AuthenticationError, 2056: QuotaError,
}  # fmt: skip
"""Numbers of `base_resp.status_code`, which are no HTTP statuses."""

_ADVICE: Final[dict[Leaf, str]] = {
    AuthenticationError: "the server did not accept the API key; check the key and that it may use this model",
    BadRequestError: "the server did not accept the request; check the model's name, the options and base_url",
    ContextLengthError: "the conversation is longer than the model's context; shorten it or use a model with a larger one",
    ContentFilterError: "the provider's content filter refused the request; rephrase it",
    RateLimitError: "too many requests",
    QuotaError: "the account has no credit left; add some, waiting does not help",
    ServerError: "the server failed; try again later",
    ProviderTimeoutError: "the server gave up waiting; try again",
    MalformedResponseError: "the server answered with a web page instead of an answer; base_url is probably wrong, or a proxy stands in between",
}

_KEY_LIKE: Final = re.compile(r"\b(?:sk|pk|gsk|xai|key|AIza)[-_]?[A-Za-z0-9_\-]{16,}|(?<=[Bb]earer )\S+")
_REQUEST_IDS: Final = ("x-request-id", "request-id", "x-amzn-requestid", "apim-request-id", "cf-ray")


def classify_response(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    model: str | None = None,
    secrets: Iterable[str] = (),
    now: float | None = None,
) -> ProviderError:
    """The error that a response with a status other than 200 stands for.

    Args:
        status: the HTTP status.
        headers: names in lower case.
        body: the beginning of the body.
        model: the model that was asked, for the sentence.
        secrets: what must not appear in the error.
        now: UTC in seconds, to read a Retry-After that is a date.
    """
    text = body.decode("utf-8", "replace").strip()
    failure, words = _read(text)
    page = text.startswith("<") or "text/html" in headers.get("content-type", "")
    leaf = _by_status(status, page) if page else _leaf(failure, words, status)
    retry_after = parse_retry_after(headers, now)
    sentence = _sentence(leaf, status, model, headers, retry_after, "" if page else words)
    if page and leaf is not MalformedResponseError:
        sentence += "; the body is a web page, so base_url may be wrong or a proxy stands in between"
    error = leaf(scrub(sentence, secrets), status=status, retryable=_retryable(leaf, status, headers), retry_after=retry_after)
    error.request_id = request_id_of(headers)
    return error


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """The provider's id of a request, from the headers of its response."""
    return next((headers[name][:128] for name in _REQUEST_IDS if name in headers), None)


def classify_error_object(failure: Any, *, secrets: Iterable[str] = ()) -> ProviderError:
    """The error that an error object inside an answer stands for."""
    try:
        failure = error_object(failure) or failure
        words = _words(failure)
    except RecursionError:
        failure, words = None, ""
    leaf = _leaf(failure, words, None)
    return leaf(scrub(f"{_ADVICE[leaf]}{_quoted(words)}", secrets), retryable=leaf.retryable_by_default)


def _read(text: str) -> tuple[Any, str]:
    """The error object in a body and its words, for a body of any kind; one that is nested too deeply to be read says nothing."""
    found = _json(text)
    try:
        failure = error_object(found)
        failure = failure if failure is not None else found
        return failure, _words(failure if failure is not None else text)
    except RecursionError:
        return None, ""


def error_object(found: Any) -> Any:
    """The error inside a JSON value, None if it holds none."""
    if is_list(found):
        items: list[Any] = found
        return next((inner for item in items if (inner := error_object(item)) is not None), None)
    if not is_object(found):
        return None
    fields = found
    if fields.get("error"):
        return fields["error"]
    base = fields.get("base_resp")
    if is_object(base) and base.get("status_code") not in (0, None):
        return fields
    if fields.get("object") == "error" or fields.get("type") == "error":
        return fields
    if "choices" not in fields and isinstance(fields.get("message"), str) and ("code" in fields or "type" in fields):
        return fields
    return fields if "choices" not in fields and fields.get("detail") else None


def _leaf(failure: Any, words: str, status: int | None) -> Leaf:
    fields = failure if is_object(failure) else {}
    base = fields.get("base_resp")
    if is_object(base):
        return _BASE_RESP.get(_number(base.get("status_code")) or 0, ServerError)
    for pattern, leaf in _BY_WORDS:
        if pattern.search(words) and not (leaf in (ServerError, BadRequestError, ProviderTimeoutError) and status is not None):
            return leaf
    numbers = (status, _number(fields.get("code")), _number(fields.get("status")), _number(fields.get("status_code")))
    code = next((number for number in numbers if number is not None and 300 <= number < 600), None)
    return _by_status(code, page=False) if code is not None else ServerError


def _by_status(status: int, page: bool) -> Leaf:
    match status:
        case 401 | 403 | 407:
            return AuthenticationError
        case 402:
            return QuotaError
        case 408:
            return ProviderTimeoutError
        case 429:
            return RateLimitError
        case _ if status >= 500:
            return ServerError
        case _ if status < 300 and page:
            return MalformedResponseError
        case _:
            return BadRequestError


def _retryable(leaf: Leaf, status: int, headers: Mapping[str, str]) -> bool:
    said = headers.get("x-should-retry", "").lower()
    if said in ("true", "false") and leaf is not QuotaError:
        return said == "true"
    return leaf.retryable_by_default and status not in (501, 505)


def _sentence(leaf: Leaf, status: int, model: str | None, headers: Mapping[str, str], retry_after: float | None, words: str) -> str:
    advice = _ADVICE[leaf]
    if leaf is BadRequestError and status == 404 and model is not None:
        advice = f"the server knows no model {model!r} at this address; check the model's name and base_url"
    elif 300 <= status < 400:
        host = urlsplit(headers.get("location", "")).hostname or "another address"
        advice = f"the server wants to redirect to {host}, which is not followed because the key would go along; check base_url"
    elif leaf is RateLimitError:
        advice = (
            f"too many requests; the server asks to wait {retry_after:g} s"
            if retry_after is not None
            else "too many requests; wait before asking again"
        )
    return f"{advice} (status {status}){_quoted(words)}"


def _quoted(words: str) -> str:
    return f': "{words}"' if words else ""


def _words(failure: Any) -> str:
    """Everything in an error that is text, the message first, shortened."""
    if isinstance(failure, str):
        return _short(failure)
    if is_list(failure):
        items: list[Any] = failure
        return _short(" ".join(_words(item) for item in items[:8]))
    if not is_object(failure):
        return ""
    fields = failure
    found: list[str] = []
    for name in (
        "message",
        "msg",
        "detail",
        "error",
        "error_msg",
        "type",
        "code",
        "status",
        "innererror",
        "base_resp",
        "status_msg",
        "metadata",
        "details",
        "raw",
        "reason",
    ):
        value = fields.get(name)
        text = value if isinstance(value, str) else _words(value) if isinstance(value, dict | list) else ""
        if text and text not in found:
            found.append(text)
    return _short(" ".join(found))


def _short(text: str) -> str:
    text = " ".join(text.encode(errors="replace").decode().split())
    return text if len(text) <= MAX_WORDS else text[:MAX_WORDS] + "…"


def _number(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 9:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def parse_retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """The seconds a server asks to wait: `retry-after-ms`, else `retry-after` in seconds or as a date; None for anything that is no time."""
    millis = _seconds(headers.get("retry-after-ms"))
    if millis is not None:
        return millis / 1000
    value = headers.get("retry-after")
    seconds = _seconds(value)
    if seconds is not None or value is None:
        return seconds
    try:
        until = parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(0.0, until - now) if now is not None else None


def _seconds(value: str | None) -> float | None:
    try:
        seconds = float(value) if value is not None else math.nan
    except ValueError:
        return None
    return seconds if 0 <= seconds < math.inf else None


def scrub(text: str, secrets: Iterable[str]) -> str:
    """The text without the given secrets and without what looks like a key."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return _KEY_LIKE.sub("***", text)
