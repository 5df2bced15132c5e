"""What a fact did to a component, as values: enough to do it once more, elsewhere or later. Only logs that keep state ask for it.

A value in a change is nobody else's: containers are copies, and what they hold is frozen or replaced, never changed. So a journal may write it
later than it happened.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from ecs_agent.core.component import Snapshot, field_names


class Put(msgspec.Struct, frozen=True):
    """A component was added, or took the place of the one of its type. `values` are those of its fields, in the order of `names`."""

    component: type
    names: tuple[str, ...]
    values: Snapshot


class Dropped(msgspec.Struct, frozen=True):
    """A component was removed."""

    component: type


class Edited(msgspec.Struct, frozen=True):
    """Fields of a component changed. Empty when nothing did; it was told all the same."""

    component: type
    edits: tuple[Edit, ...]


class Replaced(msgspec.Struct, frozen=True):
    """A field has another value."""

    field: str
    value: Any


class Grown(msgspec.Struct, frozen=True):
    """Of a list the first `kept` elements stayed, and `tail` stands behind them. So a conversation costs its new messages, not all of them."""

    field: str
    kept: int
    tail: list[Any]


class Merged(msgspec.Struct, frozen=True):
    """In a dictionary, whose keys are strings, `items` were set and `gone` were removed."""

    field: str
    items: dict[str, Any]
    gone: tuple[str, ...]


Change: TypeAlias = Put | Edited | Dropped
Edit: TypeAlias = Replaced | Grown | Merged


def put(component_type: type, values: Snapshot) -> Put:
    """The change of a component that came."""
    return Put(component_type, field_names(component_type), values)


def edited(component_type: type, before: Snapshot, after: Snapshot) -> Edited:
    """The change from one snapshot of a component to the next."""
    return Edited(
        component_type,
        tuple(
            [
                _edit(name, old, new)
                for name, old, new in zip(field_names(component_type), before, after, strict=True)
                if old is not new and not _is_equal(old, new)
            ]
        ),
    )


def appended(component_type: type, field: str, after: Snapshot, tail: list[Any]) -> Edited:
    """The change of a list that grew by `tail`, which stands in the snapshot already."""
    length = len(after[field_names(component_type).index(field)])
    return Edited(component_type, (Grown(field, length - len(tail), tail),))


def _edit(name: str, old: Any, new: Any) -> Edit:
    if type(old) is type(new) is list:
        kept = min(len(old), len(new))
        if _is_equal(old[:kept], new[:kept]):
            return Grown(name, kept, new[kept:])
    elif type(old) is type(new) is dict and set(map(type, old)) | set(map(type, new)) == {str}:
        items = {key: value for key, value in new.items() if key not in old or not _is_equal(old[key], value)}
        return Merged(name, items, tuple([key for key in old if key not in new]))
    return Replaced(name, new.copy() if type(new) is list else new)  # that of the snapshot grows with the component's


def _is_equal(one: object, other: object) -> bool:
    """Whether two values are the same in kind too: 1, 1.0 and True are equal to Python, and yet they are other data."""
    try:
        return type(one) is type(other) and bool(one == other)
    except Exception:  # noqa: BLE001 - a foreign __eq__ may raise anything, as that of arrays does
        return False
