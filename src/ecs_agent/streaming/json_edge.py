"""Where JSON of unknown shape enters or leaves: its reading, questions that type checkers can follow, counts, and text that no encoding can carry."""

from __future__ import annotations

import json
from typing import Any, Final, TypeGuard

from ecs_agent.types import JsonObject

NOT_JSON: Final = object()
"""What `parsed` returns for a text that is no JSON; null is JSON."""


def parsed(text: str) -> Any:
    """Any JSON value, `NOT_JSON` for what is none. Keeps half surrogate pairs, which the fast decoders refuse."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return NOT_JSON


def is_object(value: Any) -> TypeGuard[JsonObject]:
    """Whether a JSON value is an object."""
    return isinstance(value, dict)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Whether a JSON value is an array."""
    return isinstance(value, list)


def whole_count(value: Any) -> int | None:
    """A JSON value as the count of something; None if it is none. Some servers write counts as 12.0."""
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15 else None


def without_surrogates(value: Any) -> Any:
    """A JSON value in whose texts half surrogate pairs are U+FFFD."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if is_list(value):
        return [without_surrogates(item) for item in value]
    if is_object(value):
        return {without_surrogates(name): without_surrogates(item) for name, item in value.items()}
    return value
