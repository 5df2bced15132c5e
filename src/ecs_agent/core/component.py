"""Components: dataclasses with data only, at most one of a type per entity; the kernel's own three; and how in-place changes are found.

A change inside a component ("conversation.messages.append(…)") raises no signal. So the kernel keeps a shallow copy of the fields of each
component and compares at system boundaries. The comparison runs in C and takes the identity short cut for each element, so it is cheap as
long as elements are frozen or replaced. Nested containers of the standard library are copied along; what is mutated inside other objects is
not seen and needs `touch`.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any, Protocol, TypeAlias, runtime_checkable

Snapshot: TypeAlias = tuple[Any, ...]


@dataclass(slots=True)
class TerminalComponent:
    """Ends its entity: no system that does not ask for this component runs on it, until it is removed. `reason` says why, in a word."""

    reason: str


@dataclass(slots=True)
class ErrorComponent:
    """The last call on this entity failed. Until this is removed (by new input or `touch`) only systems that ask for it run.

    `error` is the sentence for people, `timestamp` UTC seconds, `kind` the provider error's kind if it was one; `retry_at`, UTC seconds, is when
    the run tries again by itself, if the entity has a `SupervisionComponent` that says so.
    """

    error: str
    system_name: str
    timestamp: float
    kind: str | None = None
    retryable: bool = False
    retry_at: float | None = None


@dataclass(slots=True)
class QuarantineComponent:
    """The entity failed too often in too short a time. Lifted by new input or `touch`."""

    reason: str


class AwaitsInput:
    """Marks a component that says its entity waits for someone outside (a person, an approval, a letter).

    A run in which nothing else is left to do ends for such an entity with reason `waiting_input`, not `idle`. Remove the component, or
    replace it, when the answer is there.
    """

    __slots__ = ()


@runtime_checkable
class InFlight(Protocol):
    """A component that holds work in hand, such as an answer that is still arriving.

    `resume` says what becomes of that work when nobody is at it, as after a restart or in a fork: "continue", "restart" or "interrupted". None
    leaves it to the system that does such work.
    """

    resume: str | None


class Unforked:
    """Marks a component that a fork does not get: what it says is under way, as running calls, is under way for the first entity alone."""

    __slots__ = ()


HALTING: tuple[type, ...] = (TerminalComponent, ErrorComponent, QuarantineComponent)
"""Components that keep every system away which does not name them in its signature."""

ABSENT = object()
"""Stands in a snapshot for a field that was deleted, or never set."""


@lru_cache(maxsize=4096)
def field_names(component_type: Any) -> tuple[str, ...]:
    """The names of a component's fields, in the order of a snapshot."""
    if dataclasses.is_dataclass(component_type):
        return tuple([field.name for field in dataclasses.fields(component_type)])
    return tuple(getattr(component_type, "__annotations__", ()))


@lru_cache(maxsize=4096)
def _reader(component_type: Hashable) -> Callable[[object], Snapshot]:
    """How to read all fields of a type at once."""
    names = field_names(component_type)
    if len(names) == 1:
        read = attrgetter(names[0])
        return lambda component: (read(component),)
    return attrgetter(*names) if names else lambda _: ()


def _values(component: Any) -> Snapshot:
    try:
        return _reader(component.__class__)(component)
    except AttributeError:  # a field was deleted, or never set
        return tuple([getattr(component, name, ABSENT) for name in field_names(component.__class__)])


def _copied_list(value: list[Any]) -> list[Any]:
    return value.copy() if CONTAINERS.isdisjoint(map(type, value)) else [_copied(item) for item in value]


def _copied_dict(value: dict[Any, Any]) -> dict[Any, Any]:
    return {key: _copied(item) if type(item) in _COPY else item for key, item in value.items()}


_COPY: dict[type, Callable[[Any], Any]] = {  # never changed; a proxy would cost more than the look-up itself
    list: _copied_list,
    deque: lambda value: deque(_copied_list(value), value.maxlen),
    dict: _copied_dict,
    defaultdict: lambda value: defaultdict(value.default_factory, _copied_dict(value)),
    OrderedDict: lambda value: OrderedDict(_copied_dict(value)),
    set: set,
    bytearray: bytearray,
}

CONTAINERS = frozenset(_COPY)
"""Types of containers that a snapshot copies along."""


def _copied(value: object) -> Any:
    copy = _COPY.get(type(value))
    return value if copy is None else copy(value)


def snapshot(component: object) -> Snapshot:
    """The fields of a component as they are now, safe from later changes in place."""
    values = _values(component)
    if CONTAINERS.isdisjoint(map(type, values)):
        return values
    try:
        return tuple([_copied(value) for value in values])
    except RecursionError:  # data that contains itself, or is nested too deep to follow: changes inside of it need `touch`
        return values


def grown(component: object, before: Snapshot, field: str, count: int) -> list[Any] | None:
    """Have a snapshot follow a list that only grew, without looking at what stood in it before.

    Args:
        component: as it is now.
        before: its snapshot; changed.
        field: which list.
        count: how many elements are new.

    Returns:
        The new elements, safe from later changes; None, and nothing was done, if the list has not grown by so many.
    """
    kind: type = type(component)
    value: Any = getattr(component, field)
    known: Any = before[field_names(kind).index(field)]
    if not (type(value) is type(known) is list) or len(value) != len(known) + count:
        return None
    tail = _copied_list(value[len(known) :])
    known += tail
    return tail


def changed(components: Mapping[type, Any], before: Mapping[type, Snapshot]) -> list[type]:
    """The types of those components whose fields are no longer what they were; a comparison that fails counts as a difference."""
    try:
        return [kind for kind, component in components.items() if _reader(kind)(component) != before[kind]]
    except Exception:  # noqa: BLE001 - a field was deleted, or a foreign __eq__ raises, as that of arrays does
        return [kind for kind, component in components.items() if _differs(component, before[kind])]


def _differs(component: object, before: Snapshot) -> bool:
    try:
        return bool(_values(component) != before)
    except Exception:  # noqa: BLE001 - a foreign __eq__ may raise anything
        return True
