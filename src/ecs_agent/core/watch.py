"""Watches: what changed in the answer to a query since it was last asked about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from ecs_agent.core.column import Column, fits
from ecs_agent.types import EntityId

M_co = TypeVar("M_co", bound=tuple[Any, ...], covariant=True)


class Watch(Generic[M_co]):
    """Who came to match a query, who no longer does, and whose components changed, compared with what this watch told last.

    It begins when it is made: whoever matches then counts as told. An entity stands in at most one of the three lists:

    * `added`: it matches, and that was not told yet.
    * `removed`: that it matches was told, and it no longer does. It may be deleted.
    * `changed`: that it matches was told, and one of the components that the query returns was replaced or edited since, or removed and
      added again. An edit in place counts once the kernel knows of it: by `edit`, `touch`, or at the end of the call that made it.

    So whoever came and went between two askings is in none, and whoever went and came is in `changed`. Each list is given once, and is a
    copy. What waits is bounded by the entities that match and those of which that was told. A watch that is dropped costs nothing any more.
    """

    __slots__ = ("__weakref__", "_added", "_changed", "_forget", "_needed", "_refused", "_removed", "_shown")

    def __init__(
        self, shown: tuple[Column, ...], refused: tuple[Column, ...], having: tuple[Column, ...], forget: Callable[[Watch[Any]], None]
    ) -> None:
        self._shown = shown
        self._needed = (*shown, *having)
        self._refused = refused
        self._forget = forget
        self._added: dict[EntityId, None] = {}
        self._removed: dict[EntityId, None] = {}
        self._changed: dict[EntityId, None] = {}

    def added(self) -> list[tuple[EntityId, M_co]]:
        """Who came to match, with the components as they are now, in the order in which they came."""
        return self._matches(self._added)

    def removed(self) -> list[EntityId]:
        """Who no longer matches, in the order in which they went."""
        removed = list(self._removed)
        self._removed.clear()
        return removed

    def changed(self) -> list[tuple[EntityId, M_co]]:
        """Whose components were replaced or edited, with the components as they are now, in the order of their first change."""
        return self._matches(self._changed)

    def close(self) -> None:
        """Stop watching, and forget what was not asked for."""
        self._forget(self)
        for waiting in (self._added, self._removed, self._changed):
            waiting.clear()

    @property
    def columns(self) -> tuple[Column, ...]:
        """Whom to listen to; nobody where the same type is asked for and refused, since nothing ever matches then."""
        if any(column in self._refused for column in self._needed):
            return ()
        return tuple(dict.fromkeys([*self._needed, *self._refused]))

    # What columns tell it

    def came(self, column: Column, entity: EntityId, component: object, before: object | None) -> None:  # noqa: ARG002 - which one does not matter
        """A component was added in place of `before`."""
        if before is not None:
            self.edited(column, entity)
        elif column in self._refused:
            if self._fits(entity, besides=column):
                self._leave(entity)
        elif self._fits(entity):
            self._enter(entity)

    def went(self, column: Column, entity: EntityId, component: object) -> None:  # noqa: ARG002 - likewise
        """A component was removed."""
        if column in self._refused:
            if self._fits(entity):
                self._enter(entity)
        elif self._fits(entity, besides=column):
            self._leave(entity)

    def edited(self, column: Column, entity: EntityId) -> None:
        """A component was replaced or changed in place."""
        if column in self._shown and entity not in self._added and self._fits(entity):
            self._changed[entity] = None

    def _fits(self, entity: EntityId, besides: Column | None = None) -> bool:
        return fits(entity, self._needed, self._refused, besides)

    def _enter(self, entity: EntityId) -> None:
        if entity in self._removed:
            del self._removed[entity]
            self._changed[entity] = None
        else:
            self._added[entity] = None

    def _leave(self, entity: EntityId) -> None:
        if entity in self._added:
            del self._added[entity]
        else:
            self._changed.pop(entity, None)
            self._removed[entity] = None

    def _matches(self, waiting: dict[EntityId, None]) -> list[tuple[EntityId, M_co]]:
        found: list[tuple[EntityId, Any]] = [(entity, tuple([column.held[entity] for column in self._shown])) for entity in waiting]
        waiting.clear()
        return found
