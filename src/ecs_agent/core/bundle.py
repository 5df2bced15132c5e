"""Bundles: templates from which entities are made, and the making of an entity with its components."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections import deque
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from ecs_agent.core.relation import ChildOf
from ecs_agent.core.row import Row
from ecs_agent.core.state import State
from ecs_agent.errors import DuplicateComponentError
from ecs_agent.types import EntityId

_ATOMIC = frozenset({bool, bytes, float, int, str, type(None)})
_ABSENT = object()


class Bundle:
    """A frozen template: components that belong together. Each entity gets copies of its own, and what is done to the originals changes nothing.

        agent = Bundle(LLMComponent(provider, "a-model"), ConversationComponent([]))
        world.spawn(agent, OwnerComponent(boss))
        world.spawn(agent.with_(LLMComponent(provider, "another")))

    A component is copied together with the data in it: containers of the standard library and dataclasses, however deep. Everything else is
    shared: providers, functions, connections, frozen values, and dataclasses that have async methods or are compared by identity, since
    they act and are no data.

    Args:
        components: components and other bundles, whose components are taken in.

    Raises:
        DuplicateComponentError: two components are of the same type.
        TypeError: one is a class.
    """

    __slots__ = ("_components", "_shared")

    def __init__(self, *components: object) -> None:
        self._components = tuple(own_copies(unpacked(components), {}))
        memo: dict[int, Any] = {}
        own_copies(self._components, memo)
        # What is shared once is shared always, since nobody else holds what is in a template; so it need not be looked through again.
        self._shared = {place: found for place, found in memo.items() if id(found) == place}

    @property
    def types(self) -> tuple[type, ...]:
        """The types of its components, in order."""
        return tuple([type(component) for component in self._components])

    def components(self) -> list[object]:
        """Fresh copies of its components."""
        return own_copies(self._components, self._shared.copy())

    def with_(self, *components: object) -> Bundle:
        """The same template with more components; each takes the place of one of its type."""
        bundle = Bundle(*components)
        kept = [component for component in self._components if type(component) not in bundle.types]
        return Bundle(*kept, *bundle._components)

    def without(self, *types: type) -> Bundle:
        """The same template without components of these types; nothing happens where there is none."""
        return Bundle(*[component for component in self._components if type(component) not in types])

    def __repr__(self) -> str:
        return f"Bundle({', '.join(map(repr, self._components))})"


def spawn(state: State, items: Iterable[object], parent: EntityId | None) -> Row:
    """A new entity with the components given, and a copy of those in the bundles given. It is one write: made whole, or not at all.

    Raises:
        DuplicateComponentError: two components are of the same type, or a parent is given twice.
        EntityNotFoundError: the parent, or the target of a relation, does not exist.
        TypeError: a class was given instead of a component.
    """
    components = unpacked([*items, *([] if parent is None else [ChildOf(parent)])])
    above = next((component.target for component in components if isinstance(component, ChildOf)), None)
    outer = state.hooks.hold()  # so that a hook sees the entity whole
    try:
        row = state.create(above)
        try:
            for component in components:
                if not isinstance(component, ChildOf):
                    state.put(row, component, None)
        except BaseException:
            state.delete(row)
            raise
    finally:
        state.hooks.release(outer)
    return row


def unpacked(items: Iterable[object]) -> list[object]:
    """The components themselves, and copies of those in bundles."""
    components: list[object] = []
    for item in items:
        if isinstance(item, type):
            raise TypeError(f"a component is needed here, got the class {item!r}; write {item.__name__}(…)")
        components += item.components() if isinstance(item, Bundle) else [item]
    types = [type(component) for component in components]
    for number, kind in enumerate(types):
        if kind in types[:number]:
            raise DuplicateComponentError(f"{kind.__name__} is given twice; an entity has one component of a type (Bundle.with_ replaces one)")
    return components


def own_copies(components: Sequence[object], memo: dict[int, Any]) -> list[object]:
    """Copies of components that share no data with them that could change. What is the same object twice in them stays so.

    Args:
        components: what to copy.
        memo: by id, what is copied or shared already; added to.
    """
    return [_copied_object(component, memo) for component in components]


def _copied_object(value: Any, memo: dict[int, Any]) -> Any:
    made = memo[id(value)] = copy.copy(value)
    frozen = dataclasses.is_dataclass(value) and _is_frozen(value)
    for name, inner in _attributes(value).items():
        own = _copied(inner, memo)
        if own is not inner:
            (object.__setattr__ if frozen else setattr)(made, name, own)
    return made


def _attributes(value: Any) -> dict[str, Any]:
    held = {name: found for name in _slots(value.__class__) if (found := getattr(value, name, _ABSENT)) is not _ABSENT}
    return held | getattr(value, "__dict__", {})


@lru_cache(maxsize=4096)
def _slots(kind: Any) -> tuple[str, ...]:
    names = [name for each in kind.__mro__ for name in getattr(each, "__slots__", ())]
    return tuple([name for name in names if name not in {"__dict__", "__weakref__"}])


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    kind: Any = value.__class__
    if kind in _ATOMIC:
        return value
    made = memo.get(id(value))
    if made is not None:
        return made
    if issubclass(kind, dict | list | deque):
        return _copied_container(value, memo)
    if issubclass(kind, set | bytearray):
        made = memo[id(value)] = copy.copy(value)
        return made
    if issubclass(kind, tuple):
        return _copied_tuple(value, memo)
    if not _is_data(kind):
        return value
    if _is_frozen(value) and all(_copied(inner, memo) is inner for inner in _attributes(value).values()):
        memo[id(value)] = value
        return value
    return _copied_object(value, memo)


def _copied_container(value: Any, memo: dict[int, Any]) -> Any:
    made = memo[id(value)] = copy.copy(value)
    places: Any = value if issubclass(type(value), dict) else range(len(value))
    for place in places:
        made[place] = _copied(value[place], memo)
    return made


def _copied_tuple(value: Any, memo: dict[int, Any]) -> Any:
    items = [_copied(item, memo) for item in value]
    if all(own is item for own, item in zip(items, value, strict=True)):
        memo[id(value)] = value
        return value
    return type(value)(*items) if hasattr(value, "_fields") else tuple(items)


def _is_frozen(value: Any) -> bool:
    return bool(value.__dataclass_params__.frozen)


@lru_cache(maxsize=4096)
def _is_data(kind: Any) -> bool:
    """Whether objects of a class are plain data: a dataclass that is compared by its fields and has nothing to await."""
    parameters: Any = getattr(kind, "__dataclass_params__", None)
    if parameters is None or not parameters.eq:
        return False
    members = [inspect.getattr_static(kind, name) for name in dir(kind)]
    return not any(inspect.iscoroutinefunction(member) or inspect.isasyncgenfunction(member) for member in members)
