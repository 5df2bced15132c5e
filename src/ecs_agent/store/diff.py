"""Differences between worlds and between entities, each with the path to it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final

from ecs_agent.core import World
from ecs_agent.store.codecs import Codecs
from ecs_agent.store.document import components_data, world_data
from ecs_agent.streaming.json_edge import is_list, is_object
from ecs_agent.types import EntityId, JsonObject

MOST: Final = 1000
"""So many differences are listed at most."""

ABSENT: Final = "(nothing)"
"""Stands where one side has nothing."""

_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two things differ, and what each has there."""

    path: str
    left: object
    right: object

    def __str__(self) -> str:
        return f"{self.path}: {_short(self.left)} ≠ {_short(self.right)}"


def _short(value: object) -> str:
    text = ABSENT if value is ABSENT else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"


def diff(left: World, right: World, *, codecs: Codecs | None = None) -> list[Difference]:
    """In what two worlds differ: their entities, by id, and all components. Empty when they are equal; positions and seeds do not count.

    Args:
        left: one world.
        right: the other.
        codecs: for components of your own that need any.
    """
    found: list[Difference] = []
    one, other = (_entities(world_data(world, _apart(codecs))) for world in (left, right))
    for entity in sorted({*one, *other}):
        path = f"entity {entity}"
        if entity not in one or entity not in other:
            _compare(path, one.get(entity, ABSENT), other.get(entity, ABSENT), found)
        else:
            _compare(path, one[entity], other[entity], found)
    return found


def diff_entities(left: tuple[World, EntityId], right: tuple[World, EntityId], *, codecs: Codecs | None = None) -> list[Difference]:
    """In what the components of two entities differ, of one world or of two; as when a conversation was forked.

    Raises:
        EntityNotFoundError: there is no such entity.
    """
    first = _apart(codecs)
    second = first if left[0] is right[0] else _apart(codecs)
    one, other = (_fields(components_data(world.state.row(entity), each)) for (world, entity), each in ((left, first), (right, second)))
    found: list[Difference] = []
    _compare("", one, other, found)
    return found


def diff_data(left: object, right: object, path: str = "") -> list[Difference]:
    """In what two JSON values differ."""
    found: list[Difference] = []
    _compare(path, left, right, found)
    return found


def _apart(codecs: Codecs | None) -> Codecs:
    """Codecs for one of two worlds: each has providers of its own, under the same names."""
    return codecs.apart() if codecs is not None else Codecs()


def _entities(document: JsonObject) -> dict[int, JsonObject]:
    return {entity["id"]: _fields(entity["components"]) for entity in document["entities"]}


def _fields(components: JsonObject) -> JsonObject:
    return {tag: held["fields"] for tag, held in components.items()}


def _compare(path: str, left: Any, right: Any, found: list[Difference]) -> None:
    if len(found) >= MOST:
        return
    if is_object(left) and is_object(right):
        for key in [*left, *[key for key in right if key not in left]]:
            _compare(f"{path}.{key}" if path else str(key), left.get(key, ABSENT), right.get(key, ABSENT), found)
    elif is_list(left) and is_list(right):
        for index, (item, other) in enumerate(zip_longest(left, right, fillvalue=ABSENT)):
            _compare(f"{path}[{index}]", item, other, found)
    elif type(left) is not type(right) or left != right:
        found.append(Difference(path, left, right))
