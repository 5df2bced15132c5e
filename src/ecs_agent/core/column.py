"""Columns: per type, who has a component of it, which entities changed in it lately, and who listens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from ecs_agent.types import EntityId

MAX_RECENT = 512
"""So many changes of a column are remembered; who looks less often has to search again."""


class Listener(Protocol):
    """Hears of every change of a column, within the write and before its fact: it takes note, and calls nobody."""

    def came(self, column: Column, entity: EntityId, component: Any, before: Any) -> None:
        """A component was added in place of `before`, None if there was none."""
        ...

    def went(self, column: Column, entity: EntityId, component: Any) -> None:
        """A component was removed, or its entity deleted."""
        ...

    def edited(self, column: Column, entity: EntityId) -> None:
        """A component was changed in place."""
        ...


Reference: TypeAlias = Callable[[], Listener | None]
"""How a column knows a listener; one that is held weakly may be gone."""


class Column:
    """The components of one type by entity.

    `refuse` is asked before anything is written and raises what speaks against it. With nobody who listens a write costs one look at `heard`.
    """

    __slots__ = ("_forgotten", "_listeners", "_recent", "heard", "held", "refuse")

    def __init__(self) -> None:
        self.held: dict[EntityId, Any] = {}
        self.refuse: Callable[[EntityId, Any], None] | None = None
        self.heard = False
        self._listeners: tuple[Reference, ...] = ()
        self._recent: list[EntityId] = []
        self._forgotten = 0

    def put(self, entity: EntityId, component: Any) -> None:
        """Take in a component, new or replacing."""
        if self.heard:
            self._put_heard(entity, component)
        else:
            self.held[entity] = component
        recent = self._recent
        recent.append(entity)
        if len(recent) > MAX_RECENT:
            self._forget()

    def _put_heard(self, entity: EntityId, component: Any) -> None:
        if self.refuse is not None:
            self.refuse(entity, component)
        before = self.held.get(entity)
        self.held[entity] = component
        for listener in self.listeners():
            listener.came(self, entity, component, before)

    def take(self, entity: EntityId) -> None:
        """Forget a component."""
        component = self.held.pop(entity)
        self._recent.append(entity)
        if len(self._recent) > MAX_RECENT:
            self._forget()
        if self.heard:
            for listener in self.listeners():
                listener.went(self, entity, component)

    def _forget(self) -> None:
        self._forgotten += MAX_RECENT // 2
        del self._recent[: MAX_RECENT // 2]

    @property
    def version(self) -> int:
        """How often a component was put or taken."""
        return self._forgotten + len(self._recent)

    def changed_since(self, version: int) -> list[EntityId] | None:
        """In which entities, with repetitions, a component was put or taken since; None when that is no longer known."""
        return None if version < self._forgotten else self._recent[version - self._forgotten :]

    def listeners(self) -> list[Listener]:
        """Who listens at the moment."""
        return [listener for reference in self._listeners if (listener := reference()) is not None]

    def listen(self, reference: Reference) -> None:
        """Have a listener told from now on."""
        self._listeners = (*self._listeners, reference)
        self.heard = True

    def ignore(self, reference: Reference) -> None:
        """Tell a listener no more."""
        self._listeners = tuple([held for held in self._listeners if held is not reference])
        self.heard = bool(self._listeners)


def fits(entity: EntityId, needed: Sequence[Column], refused: Sequence[Column], besides: Column | None = None) -> bool:
    """Whether an entity has all that is needed and nothing that is refused, whatever stands in the column `besides`."""
    for column in needed:
        if entity not in column.held and column is not besides:
            return False
    for column in refused:  # noqa: SIM110 - a generator costs more than what it saves here
        if entity in column.held and column is not besides:
            return False
    return True
