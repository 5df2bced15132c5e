"""Relations: components that point at another entity, and what becomes of them when that entity is deleted.

A relation is a component as any other: queries, watches, hooks and signatures see it, and an entity has at most one of a type. What it does:

* *insert*: the target must exist, or nothing is written. The entity stands among `World.related(type, target)`.
* *replace*: it stands with the new target instead of the old one.
* *remove*: it stands with no target; the target is left alone.
* *its entity is deleted*: as remove.
* *its target is deleted*: the relation is removed ("remove"), or its entity is deleted too, after the target ("delete"), or nothing happens
  and it points at an id that is never used again ("keep").

`ChildOf` is the relation of the tree of entities, with "delete": children go with their parent, before it. Beyond that no circle is possible.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias, final, get_args

from ecs_agent.core.column import Column
from ecs_agent.core.row import Row
from ecs_agent.errors import CircularParentError, EntityNotFoundError
from ecs_agent.types import EntityId

OnTargetDeleted: TypeAlias = Literal["remove", "delete", "keep"]


@dataclass(frozen=True, slots=True)
class Relation:
    """Base of components that point at another entity. Frozen, so that the index of targets cannot be wrong; to change one, add a new one.

        @dataclass(frozen=True, slots=True)
        class Likes(Relation):
            how_much: int = 1

        world.add_component(entity, Likes(other, how_much=3))

    `on_target_deleted` says what becomes of it when its target is deleted.
    """

    target: EntityId
    on_target_deleted: ClassVar[OnTargetDeleted] = "remove"

    def __init_subclass__(cls) -> None:
        if cls.on_target_deleted not in get_args(OnTargetDeleted):
            raise TypeError(f'{cls.__name__}.on_target_deleted is {cls.on_target_deleted!r}; it must be "remove", "delete" or "keep"')


@final
@dataclass(frozen=True, slots=True)
class ChildOf(Relation):
    """This entity is a child of another: it is deleted with it, and before it. Removed, it goes on as a root."""

    on_target_deleted: ClassVar[OnTargetDeleted] = "delete"


class Relations:
    """Who points at whom. Rows hold their own parent and children; all else stands here by target.

    Args:
        rows: the entities there are.
    """

    def __init__(self, rows: Mapping[EntityId, Row]) -> None:
        self._rows = rows
        self._by_target: dict[EntityId, dict[type[Relation], dict[EntityId, None]]] = {}

    def follow(self, column: Column) -> None:
        """Keep up with a column of relations."""
        column.refuse = self.refuse
        column.listen(lambda: self)

    def refuse(self, entity: EntityId, relation: Relation) -> None:
        """Raise what speaks against a relation that is about to be written."""
        target = self._rows.get(relation.target)
        if target is None:
            raise EntityNotFoundError(f"there is no entity {relation.target} that {relation} could point at; it was deleted or never created")
        if isinstance(relation, ChildOf):
            above: Row | None = target
            while above is not None:
                if above.id == entity:
                    raise CircularParentError(f"entity {entity} cannot be a child of {relation.target}, which is itself or one of its descendants")
                above = None if above.parent is None else self._rows[above.parent]

    def sources(self, kind: type[Relation], target: EntityId) -> list[EntityId]:
        """Who points at an entity by a relation, oldest first."""
        if kind is ChildOf:
            return sorted(self._rows[target].children)
        return sorted(self._by_target.get(target, {}).get(kind, ()))

    def descendants(self, row: Row) -> list[Row]:
        """Everybody below a row: a child, all below it, then the next child."""
        return self._family(row, last_first=False)[1:]

    def _family(self, row: Row, *, last_first: bool) -> list[Row]:
        found: list[Row] = []
        left = [row]  # not by recursion: a chain of agents may be longer than Python's stack
        while left:
            found.append(each := left.pop())
            left += [self._rows[child] for child in sorted(each.children, reverse=not last_first)]
        return found

    # Deletion

    def doomed(self, row: Row) -> list[Row]:
        """Who goes when a row is deleted, in that order: its descendants, children first, it, then whoever goes with one of them."""
        doomed: dict[EntityId, Row] = {}
        roots = [row]
        for root in roots:
            family = [each for each in reversed(self._family(root, last_first=True)) if each.id not in doomed]
            doomed |= {each.id: each for each in family}
            for each in family:
                for kind, sources in self._by_target.get(each.id, {}).items():
                    if kind.on_target_deleted == "delete":
                        roots += [self._rows[source] for source in sources]
        return list(doomed.values())

    def gone(self, target: EntityId) -> list[tuple[EntityId, type[Relation]]]:
        """Forget a deleted entity as a target; which relations have to be removed from whom."""
        by_kind = self._by_target.pop(target, None)
        if not by_kind:
            return []
        return [(source, kind) for kind, sources in by_kind.items() if kind.on_target_deleted == "remove" for source in sources]

    # What columns tell it

    def came(self, column: Column, entity: EntityId, component: Relation, before: Relation | None) -> None:
        """A relation was added, in place of `before`."""
        if before is not None:
            self.went(column, entity, before)
        kind = type(component)
        if kind is ChildOf:
            self._rows[entity].parent = component.target
            self._rows[component.target].children[entity] = None
        else:
            self._by_target.setdefault(component.target, {}).setdefault(kind, {})[entity] = None

    def went(self, column: Column, entity: EntityId, component: Relation) -> None:  # noqa: ARG002 - all columns of relations are kept alike
        """A relation was removed."""
        kind = type(component)
        if kind is ChildOf:
            row = self._rows.get(entity)
            if row is not None:  # else it is being deleted, and its last fact still names its parent
                row.parent = None
            if (above := self._rows.get(component.target)) is not None:
                del above.children[entity]
            return
        by_kind = self._by_target.get(component.target)
        if by_kind is None:
            return  # its target is gone
        by_kind[kind].pop(entity, None)
        if not by_kind[kind]:
            del by_kind[kind]
            if not by_kind:
                del self._by_target[component.target]

    def edited(self, column: Column, entity: EntityId) -> None:
        """Nothing: a relation is frozen."""
