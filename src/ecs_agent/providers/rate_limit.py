"""What a response's headers say about the server's rate limits. Pure; raises nothing, whatever a server sends.

Four dialects are read:

* OpenAI and those that follow it: `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, the reset as a duration ("6m0s", "20ms"), with some
  servers in seconds.
* Anthropic: `anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}`, the reset as an RFC 3339 time.
* The IETF draft (draft-ietf-httpapi-ratelimit-headers): `RateLimit: "default";r=50;t=30` with `RateLimit-Policy: "default";q=100;w=60`.
* Its older forms: `ratelimit-{limit,remaining,reset}` in seconds, and `RateLimit: limit=100, remaining=50, reset=30`.

A value that is none (negative, garbage, -1 for "not told") counts as not told, and no time is longer than `MAX_RETRY_AFTER`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Final, Literal, TypeAlias

from ecs_agent.providers.classify import MAX_RETRY_AFTER, parse_retry_after

Unit: TypeAlias = Literal["requests", "tokens"]
Clock: TypeAlias = Callable[[], float | None]

MOST_QUOTAS: Final = 16
LONGEST_VALUE: Final = 1024
"""What stands beyond either is not read: no server has so many limits."""

_NAMED: Final = re.compile(r"(?:x-)?ratelimit-(limit|remaining|reset)(?:-(.+))?|anthropic-ratelimit-(.+)-(limit|remaining|reset)")
_COUNT: Final = re.compile(r"\s*([0-9]{1,15})(?:\.[0-9]*)?\s*(?:[,;].*)?", re.DOTALL)
_SECONDS: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,30})?")
_DURATION: Final = re.compile(r"(?:[0-9]{1,12}(?:\.[0-9]{1,30})?(?:d|h|ms|m|us|µs|ns|s))+")
_STEP: Final = re.compile(r"([0-9.]+)(d|h|ms|m|us|µs|ns|s)")
_UNITS: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_MEMBER: Final = re.compile(r'(?:"[^"]*"|[^",])+')
_PART: Final = re.compile(r'([a-z]{1,16})\s*=\s*("[^"]*"|[^\s;,"]+)|"([^"]*)"')
_EPOCH: Final = 1e9
_EPOCH_MS: Final = 1e12
"""A reset above these is a moment in seconds or milliseconds since 1970, not a duration."""


@dataclass(frozen=True, slots=True)
class Quota:
    """One limit of a server; None is what it did not tell. `reset` is in seconds from the response on."""

    name: str
    unit: Unit
    limit: int | None = None
    remaining: int | None = None
    reset: float | None = None


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What one response said: the server's quotas, and how many seconds it asks to wait."""

    quotas: tuple[Quota, ...] = ()
    retry_after: float | None = None

    @property
    def room(self) -> int | None:
        """How many more requests may be sent; None when that was not told. How many tokens a request costs is not known, so only none left counts."""
        return min([left for quota in self.quotas if (left := _room(quota)) is not None], default=None)

    @property
    def reset(self) -> float | None:
        """Seconds until there is room again, or more of it, in the quota that has the least."""
        room = self.room
        if room is None:
            return None
        return max([quota.reset for quota in self.quotas if quota.reset is not None and _room(quota) == room], default=None)

    @property
    def pause(self) -> float | None:
        """Seconds to wait after a refusal: as the server asks, else until what is used up is renewed, else the shortest time it names."""
        if self.retry_after is not None:
            return self.retry_after
        if self.room == 0 and self.reset is not None:
            return self.reset
        return min([quota.reset for quota in self.quotas if quota.reset is not None], default=None)


def _room(quota: Quota) -> int | None:
    return quota.remaining if quota.unit == "requests" or not quota.remaining else None


def read_rate_limit(headers: Mapping[str, str], now: float | None = None) -> RateLimit | None:
    """What headers, their names in lower case, say about rate limits; None if nothing.

    Args:
        headers: of a response.
        now: UTC in seconds, for times that are moments; the response's own `date` comes first, so that the two clocks need not agree.
    """
    retry_after = parse_retry_after(headers, now) if "retry-after" in headers or "retry-after-ms" in headers else None
    named = [name for name in headers if "ratelimit" in name]
    if retry_after is None and not named:
        return None
    quotas = [*_numbered(headers, named, partial(_server_time, headers, now)), *_structured(headers)][:MOST_QUOTAS] if named else []
    if retry_after is None and not quotas:
        return None
    return RateLimit(tuple(quotas), _bounded(retry_after) if retry_after is not None else None)


def _numbered(headers: Mapping[str, str], named: list[str], clock: Clock) -> Iterator[Quota]:
    """Quotas whose numbers have a header each."""
    found: dict[str, dict[str, str]] = {}
    for name in named:
        match = _NAMED.fullmatch(name)
        if match is not None:
            field, quota = (match[1], match[2] or "requests") if match[1] else (match[4], match[3])
            found.setdefault(quota, {})[field] = headers[name]
    for quota, values in found.items():
        unit = _unit(quota)
        if unit is not None:
            told = Quota(quota, unit, _count(values.get("limit")), _count(values.get("remaining")), _reset(values.get("reset"), clock))
            if (told.limit, told.remaining, told.reset) != (None, None, None):
                yield told


def _structured(headers: Mapping[str, str]) -> Iterator[Quota]:
    """Quotas of the draft's two fields. Where the time is not told, the policy's window is the longest it can be."""
    value = headers.get("ratelimit")
    if value is None:
        return
    policies = dict(_members(headers.get("ratelimit-policy", "")))
    older: dict[str, str] = {}
    for name, parameters in _members(value):
        older |= {} if name else parameters
        policy = policies.get(name, {})
        unit = _unit(policy["qu"].strip('"')) if "qu" in policy else _unit(name) or "requests"
        remaining = _count(parameters.get("r"))
        if name and unit is not None and remaining is not None:
            yield Quota(name, unit, _count(policy.get("q")), remaining, _reset(parameters.get("t", policy.get("w"))))
    if "remaining" in older:
        yield Quota("requests", "requests", _count(older.get("limit")), _count(older["remaining"]), _reset(older.get("reset")))


def _members(value: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The members of a list with their names, "" for one without, and their parameters."""
    for member in _MEMBER.findall(value[:LONGEST_VALUE])[:MOST_QUOTAS]:
        name, parameters = "", dict[str, str]()
        for part in _PART.finditer(member):
            if part[1]:
                parameters[part[1]] = part[2]
            else:
                name = part[3]  # the last one, as some servers put a title before it
        yield name, parameters


def _unit(name: str) -> Unit | None:
    """What a quota of this name counts; None for what we do not send, such as bytes."""
    name = name.lower()
    if "token" in name:
        return "tokens"
    return "requests" if "request" in name and "concurrent" not in name else None


def _count(value: str | None) -> int | None:
    match = _COUNT.fullmatch(value[:LONGEST_VALUE]) if value is not None else None
    return int(match[1]) if match is not None else None


def _reset(value: str | None, clock: Clock | None = None) -> float | None:
    """Seconds until a quota is renewed: a duration, seconds, or a moment by the server's clock."""
    value = value.strip() if value is not None else ""
    if _DURATION.fullmatch(value):
        return _bounded(sum([float(number) * _UNITS[unit] for number, unit in _STEP.findall(value)]))
    if not _SECONDS.fullmatch(value):
        return _until(_moment(value), clock)
    number = float(value)
    if number < _EPOCH:
        return _bounded(number)
    return _until(number / 1000 if number >= _EPOCH_MS else number, clock)


def _until(moment: float | None, clock: Clock | None) -> float | None:
    now = clock() if clock is not None else None
    return _bounded(moment - now) if moment is not None and now is not None else None


def _bounded(seconds: float) -> float:
    return min(max(0.0, seconds), MAX_RETRY_AFTER)


def _moment(value: str) -> float | None:
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _server_time(headers: Mapping[str, str], now: float | None) -> float | None:
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, OverflowError):
        return now
