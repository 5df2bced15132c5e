"""Where JSON of unknown shape enters or leaves: two questions that type checkers can follow, and text that no encoding can carry."""

from __future__ import annotations

from typing import Any, TypeGuard

from ecs_agent.types import JsonObject


def is_object(value: Any) -> TypeGuard[JsonObject]:
    """Whether a JSON value is an object."""
    return isinstance(value, dict)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Whether a JSON value is an array."""
    return isinstance(value, list)


def without_surrogates(value: Any) -> Any:
    """A JSON value in whose texts half surrogate pairs are U+FFFD."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if is_list(value):
        return [without_surrogates(item) for item in value]
    if is_object(value):
        return {without_surrogates(name): without_surrogates(item) for name, item in value.items()}
    return value
