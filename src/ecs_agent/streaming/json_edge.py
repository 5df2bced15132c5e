"""Where JSON of unknown shape enters: the two questions that type checkers can follow."""

from __future__ import annotations

from typing import Any, TypeGuard

from ecs_agent.types import JsonObject


def is_object(value: Any) -> TypeGuard[JsonObject]:
    """Whether a JSON value is an object."""
    return isinstance(value, dict)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Whether a JSON value is an array."""
    return isinstance(value, list)
