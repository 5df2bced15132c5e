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

_ROWS: Final[tuple[tuple[Leaf, tuple[str, ...]], ...]] = (
    (
        ContextLengthError,
        (
            r"context.?length", r"exceed_context", r"context.?window.{0,20}exceed", r"exceed.{0,40}context.?window", r"context size",
            r"maximum context", r"prompt is too long", r"too many tokens(?!, please wait)", r"input is too long", r"reduce the length",
            r"max_model_len", r"string_above_max_length", r"exceeds? context limit",
            r"maximum number of tokens", r"maximum prompt length", r"maximum model length", r"token count .{0,20}exceeds", r"token limit: ",
            r"tokens\) is too large to process",  # llama.cpp, of a text to embed
            r"tokens_limit_reached", r"range of input length", r"exceeds? max.{0,8}length", r"max_new_tokens. must be",
            r"input token count .{0,60}only supports up to",
        ),
    ),
    (
        QuotaError,
        (
            r"insufficient[ _.]?(?:user[ _]|account[ _])?(?:quota|balance|credits?|funds)", r"balance.{0,20}(?:insufficient|not enough|too low)",
            r"not.enough.(?:balance|credits?)", r"exceeded.{0,6}current.quota", r"billing_(?:hard_limit|not_active)", r"payment.required",
            r"out of credits", r"credit balance", r"used all available credits", r"spending limit", r"budget.{0,12}exceeded", r"arrearage",
            r"\boverdue\b", r"billing_error", r"spend_limit", r"reached your specified.{0,20}usage limit", r"余额不足",
            r"欠费",
        ),
    ),
    (
        ContentFilterError,
        (
            r"content.?filter", r"content.?policy", r"content management policy", r"responsibleaipolicy", r"data.?inspection",
            r"inappropriate content", r"sensitive.?content", r"moderation_blocked", r"new_sensitive", r"prompt_blocked", r"flagged (?:as|for)",
            r"violat(?:es?|ing).{0,20}usage (?:guidelines|polic)", r"safety_check", r"policy_violation", r"bio_policy", r"敏感内容",
        ),
    ),
    (
        AuthenticationError,
        (
            r"invalid_api_key", r"incorrect api key", r"api key not valid", r"api_key_invalid", r"authentication", r"unauthorized",
            r"permission_denied", r"permission_error", r"invalid.{0,12}api.?key", r"no auth", r"token_invalid", r"invalid x-api-key",
        ),
    ),
    (
        RateLimitError,
        (
            r"rate.?limit", r"too.many.requests", r"queue_exceeded", r"throttl", r"tokens per min", r"requests per min", r"resource_exhausted",
            r"capacity.?(?:temporarily )?exceeded", r"limit_requests", r"速率限制",
        ),
    ),
    (
        ServerError,
        (
            r"overloaded", r"service.?unavailable", r"server_error", r"internal.error", r"internal_server", r"engine_overloaded", r"no_capacity",
            r"bad gateway",
        ),
    ),
    (ProviderTimeoutError, (r"timed? ?out", r"timeout", r"deadline_exceeded")),
    (
        BadRequestError,
        (
            r"invalid_request", r"request_too_large", r"tool_use_failed", r"bad_request", r"invalid_argument", r"not_found", r"model_not_found",
            r"unsupported", r"invalid_prompt", r"invalid_(?:base64_)?image", r"image_(?:too|parse|file)_", r"empty_image", r"failed_to_download",
            r"data_residency",
        ),
    ),
)  # fmt: skip
_BY_WORDS: Final = tuple((re.compile("|".join(patterns), re.IGNORECASE), leaf) for leaf, patterns in _ROWS)
"""The first row that matches decides; the order is from the most telling word to the least."""

_GENERAL: Final = (ServerError, ProviderTimeoutError, BadRequestError)
"""Rows that a status tells as well or better, so they count only where there is none."""

_BASE_RESP: Final[dict[int, Leaf]] = {
    1000: ServerError, 1001: ProviderTimeoutError, 1002: RateLimitError, 1004: AuthenticationError, 1008: QuotaError, 1013: ServerError,
    1024: ServerError, 1026: ContentFilterError, 1027: ContentFilterError, 1033: ServerError, 1039: RateLimitError, 1041: RateLimitError,
    1042: BadRequestError, 2013: BadRequestError, 2045: RateLimitError, 2049: AuthenticationError, 2056: QuotaError,
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
    failure, words = _read(_json(text), text)
    page = text.startswith("<") or "text/html" in headers.get("content-type", "")
    leaf = _by_status(status, page) if page else _leaf(failure, words, status)
    retry_after = parse_retry_after(headers, now)
    if retry_after is None and leaf.retryable_by_default:
        retry_after = _retry_delay(failure)
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
    failure, words = _read(failure, failure if isinstance(failure, str) else "")
    leaf = _leaf(failure, words, None)
    retry_after = _retry_delay(failure) if leaf.retryable_by_default else None
    return leaf(scrub(f"{_ADVICE[leaf]}{_quoted(words)}", secrets), retryable=leaf.retryable_by_default, retry_after=retry_after)


def _read(found: Any, text: str) -> tuple[Any, str]:
    """The error object in a JSON value, else the value, and its words, else the text."""
    failure = error_object(found)
    failure = failure if failure is not None else found
    return failure, _words(failure) or _short(text)


def error_object(found: Any) -> Any:
    """The error inside a JSON value, None if it holds none."""
    if is_list(found):  # an error behind chunks is the end of an answer, whose beginning counts
        return error_object(found[0]) if found and is_object(found[0]) else None
    if not is_object(found):
        return None
    error = found.get("error")
    if error:
        said_beside = error is True or any(found.get(name) for name in _CODES)
        if is_object(error):  # with the status that stands beside it, where it has none of its own
            beside = _number(found.get("status"))
            return error if beside is None or not 400 <= beside < 600 else {"status": beside, **error}
        return found if said_beside and not is_list(error) else error
    base = found.get("base_resp")
    if is_object(base) and _number(base.get("status_code")) not in (0, None):
        return found
    if found.get("object") == "error" or found.get("type") == "error":
        return found
    if "choices" in found or "candidates" in found:
        return None
    flat = isinstance(found.get("message"), str) and ("code" in found or "type" in found)
    return found if flat or found.get("detail") or found.get("errors") else None


_WRONG_REQUEST: Final = re.compile(
    r"model_not_found|invalid_function_parameters|(?:unsupported|unknown)_(?:parameter|value)|missing_required_parameter"
)
"""Codes that leave no doubt, whatever the sentence beside them quotes."""

_QUOTED: Final = re.compile(r"`[^`]*`|(?<!\w)'[^'\s]{1,80}'(?!\w)|\"[^\"\s]{1,80}\"")
"""Single words that a sentence quotes: names of models, tools and fields of the request, which say nothing of the failure."""

_CODES: Final = ("type", "code", "status", "error_type", "reason", "message")


def _leaf(failure: Any, words: str, status: int | None) -> Leaf:
    fields = failure if is_object(failure) else {}
    base = fields.get("base_resp")
    if is_object(base):
        return ContextLengthError if _BY_WORDS[0][0].search(words) else _BASE_RESP.get(_number(base.get("status_code")) or 0, ServerError)
    if _is_used_up(fields, words):
        return QuotaError
    codes = " ".join([value for name in _CODES[:5] if isinstance(value := fields.get(name), str)])
    if _WRONG_REQUEST.search(codes) and (status is None or 400 <= status < 500):
        return BadRequestError
    for pattern, leaf in _BY_WORDS:  # a code means one thing, a sentence often mentions others
        if leaf not in _GENERAL and pattern.search(codes):
            return leaf
    unquoted = _QUOTED.sub(" ", words)
    for pattern, leaf in _BY_WORDS:
        said = words if leaf is ContextLengthError else unquoted  # an overflow is told by names of fields, which are quoted
        if (leaf not in _GENERAL or status is None) and pattern.search(said):
            return leaf
    numbers = (status, *[_number(fields.get(name)) for name in ("code", "status", "status_code")])
    code = next((number for number in numbers if number is not None and 300 <= number < 600), None)
    return _by_status(code, page=False) if code is not None else ServerError


_OF_A_DAY: Final = re.compile(r"per_?day", re.IGNORECASE)
_CURRENT_QUOTA: Final = re.compile(r"exceeded.{0,6}current.quota", re.IGNORECASE)
_DELAY: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)s")


def _details(failure: Any) -> list[Any]:
    """What Google's errors hold beside the sentence (https://google.aip.dev/193#statusdetails)."""
    details = failure.get("details") if is_object(failure) else None
    return [detail for detail in details if is_object(detail)] if is_list(details) else []


def _quotas(failure: Any) -> list[str]:
    """The names of the limits that were passed. The sentence beside them is the same for those of a minute and of a day."""
    passed = [violations for detail in _details(failure) if is_list(violations := detail.get("violations"))]
    return [name for violations in passed for each in violations if is_object(each) and isinstance(name := each.get("quotaId"), str)]


def _is_used_up(failure: Any, words: str) -> bool:
    """Whether Google means a quota that waiting a little does not renew: that of a day, or one for which it does not say how long to wait."""
    if any(_OF_A_DAY.search(quota) for quota in _quotas(failure)):
        return True
    exhausted = failure.get("status") == "RESOURCE_EXHAUSTED" and _retry_delay(failure) is None
    return exhausted and _CURRENT_QUOTA.search(words) is not None


def _retry_delay(failure: Any) -> float | None:
    """The seconds that the error itself asks to wait ("27s", "3.5s")."""
    delays = [delay for detail in _details(failure) if isinstance(delay := detail.get("retryDelay"), str)]
    return next((float(found[1]) for delay in delays if (found := _DELAY.fullmatch(delay))), None)


def _by_status(status: int, page: bool) -> Leaf:
    match status:
        case 401 | 403 | 407:
            return AuthenticationError
        case 402:
            return QuotaError
        case 408:
            return ProviderTimeoutError
        case 429 | 498:  # the second is Groq's word for a full queue
            return RateLimitError
        case _ if status >= 500 or status == 499:  # Google's word for a call that was cancelled, by itself as well
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


_TELLING: Final = (
    "message", "msg", "detail", "error", "errors", "error_msg", "error_type", "type", "code", "status", "innererror", "base_resp", "status_msg",
    "metadata", "details", "raw", "reason", "param", "loc",
)  # fmt: skip
"""Fields whose text says what went wrong, the most readable first."""


def _words(failure: Any, depth: int = 4) -> str:
    """Everything in an error that is text, the message first, shortened."""
    if isinstance(failure, str):
        return _short(failure)
    if not depth:
        return ""
    if is_list(failure):
        return _short(" ".join([_words(item, depth - 1) for item in failure[:8]]))
    found: list[str] = []
    for name in _TELLING if is_object(failure) else ():
        text = _words(failure.get(name), depth - 1)
        if text and text not in found:
            found.append(text)
    return _short(" ".join(found))


def _short(text: str) -> str:
    shown = "".join([char if char.isprintable() else " " for char in text[: 4 * MAX_WORDS]])
    text = " ".join(shown.encode(errors="replace").decode().split())
    return text if len(text) <= MAX_WORDS else text[:MAX_WORDS] + "…"


def _number(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 9:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


_DATA: Final = re.compile(r"^data:(.*)", re.MULTILINE)


def _json(text: str) -> Any:
    """The JSON value that a body is, or that its first event holds if it is an event stream; None if it is neither."""
    event = _DATA.search(text)
    try:
        return json.loads(event[1] if event is not None else text)
    except (ValueError, RecursionError):
        return None


def parse_retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """The seconds a server asks to wait: `retry-after-ms`, else `retry-after` in seconds or as a date; None for anything that is no time.

    A date counts from the server's own `date`, so that the two clocks need not agree, else from `now`, UTC in seconds.
    """
    millis = _seconds(headers.get("retry-after-ms"))
    if millis is not None:
        return millis / 1000
    value = headers.get("retry-after")
    seconds = _seconds(value)
    if seconds is not None:
        return seconds
    until, sent = _moment(value), _moment(headers.get("date"))
    since = sent if sent is not None else now
    return max(0.0, until - since) if until is not None and since is not None else None


def _moment(value: str | None) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp() if value is not None else None
    except (ValueError, OverflowError):
        return None


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
