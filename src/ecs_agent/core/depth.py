"""Depth: whether comparing can look into all of a component. Where it cannot, a change that is told (`touch`) is taken as one of everything."""

from __future__ import annotations

import dataclasses
import enum
import types
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, Literal, NewType, Union, get_args, get_origin, get_type_hints

from ecs_agent.core.component import CONTAINERS, Snapshot, field_names

_SCALARS: Final = frozenset({str, int, float, complex, bool, bytes, type(None)})
_HOLDERS: Final = CONTAINERS | {tuple, frozenset}
_UNIONS: Final[tuple[Any, ...]] = (Union, types.UnionType)


def is_deep(component_type: type, values: Snapshot) -> bool:
    """Whether a component of a type holds objects, in its fields or in containers, that may change inside."""
    return not _is_plain(component_type) and _hold_objects(values)


@lru_cache(maxsize=4096)
def _is_plain(component_type: Any) -> bool:
    """Whether its hints alone say that it never does."""
    try:
        hints = get_type_hints(component_type)
    except Exception:  # noqa: BLE001 - names that only type checkers know
        return False
    return all(_is_plain_hint(hints.get(name)) for name in field_names(component_type))


def _is_plain_hint(hint: Any) -> bool:
    origin = get_origin(hint)
    if isinstance(hint, NewType):
        return _is_plain_hint(hint.__supertype__)
    if origin in _UNIONS or origin in _HOLDERS:
        return all(each is Ellipsis or _is_plain_hint(each) for each in get_args(hint))
    return origin is Literal or (isinstance(hint, type) and _is_settled(hint))


def _hold_objects(values: Iterable[Any]) -> bool:
    values = list(values)
    kinds = set(map(type, values))
    try:
        return not all(map(_is_settled, kinds - _HOLDERS)) or any(_hold_objects(_held(value)) for value in values if type(value) in _HOLDERS)
    except RecursionError:  # data that contains itself
        return True


def _held(container: Any) -> Iterable[Any]:
    values: Iterable[Any] = container.values() if hasattr(container, "values") else container
    return values


@lru_cache(maxsize=4096)
def _is_settled(kind: Any) -> bool:
    """Whether no object of a type ever changes: data of one piece, and what is frozen."""
    if kind in _SCALARS or issubclass(kind, enum.Enum):
        return True
    if dataclasses.is_dataclass(kind):
        return bool(getattr(kind, "__dataclass_params__").frozen)  # noqa: B009 - that name is not in its type
    return getattr(getattr(kind, "__struct_config__", None), "frozen", False) is True
