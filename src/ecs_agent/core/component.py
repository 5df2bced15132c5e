"""Components: dataclasses with data only, at most one of a type per entity; the kernel's own three; and how in-place changes are found.

A change inside a component ("conversation.messages.append(…)") raises no signal. So the kernel keeps a shallow copy of the fields of each
component and compares at system boundaries. The comparison runs in C and takes the identity short cut for each element, so it is cheap as
long as elements are frozen or replaced. Nested lists, dicts and sets are copied along; what is mutated inside other objects is not seen
and needs `touch`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any, TypeAlias

Snapshot: TypeAlias = tuple[Any, ...]


@dataclass(slots=True)
class TerminalComponent:
    """Ends its entity: no system that does not ask for this component runs on it, until it is removed. `reason` says why, in a word."""

    reason: str


@dataclass(slots=True)
class ErrorComponent:
    """The last call on this entity failed. Until this is removed (by new input or `touch`) only systems that ask for it run.

    `error` is the sentence for people, `timestamp` UTC seconds, `kind` the provider error's kind if it was one.
    """

    error: str
    system_name: str
    timestamp: float
    kind: str | None = None
    retryable: bool = False


@dataclass(slots=True)
class QuarantineComponent:
    """The entity failed too often in too short a time. Lifted by new input or `touch`."""

    reason: str


HALTING: tuple[type, ...] = (TerminalComponent, ErrorComponent, QuarantineComponent)
"""Components that keep every system away which does not name them in its signature."""

_NESTED = (list, dict, set)


@lru_cache(maxsize=4096)
def _reader(component_type: Any) -> Callable[[Any], Any]:
    """How to read all fields of a type at once: a tuple of values (the bare value for a single field)."""
    if dataclasses.is_dataclass(component_type):
        names = [field.name for field in dataclasses.fields(component_type)]
    else:
        names = list(getattr(component_type, "__annotations__", ()))
    if not names:
        return lambda _: ()
    return attrgetter(*names)


def _copied(value: Any) -> Any:
    kind = type(value)
    if kind is list:
        return [_copied(item) if type(item) in _NESTED else item for item in value]
    if kind is dict:
        return {key: _copied(item) if type(item) in _NESTED else item for key, item in value.items()}
    if kind is set:
        return set(value)
    return value


def snapshot(component: Any) -> Snapshot:
    """The fields of a component as they are now, safe from later changes in place."""
    values = _reader(type(component))(component)
    return tuple([_copied(value) for value in values]) if type(values) is tuple else (_copied(values),)


def differs(component: Any, before: Snapshot) -> bool:
    """Whether a component's fields are no longer what they were; a comparison that fails counts as a difference."""
    values = _reader(type(component))(component)
    try:
        return bool((values if type(values) is tuple else (values,)) != before)
    except Exception:  # noqa: BLE001 - a foreign __eq__ may raise anything, as arrays do
        return True
