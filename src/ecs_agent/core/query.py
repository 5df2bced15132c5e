"""Queries: which entities have a set of components. Indexed by type, started from the smallest set, cached, and kept up to date.

An answer depends on what the entities have now and on nothing that happened before: it is in the order of their ids, so oldest first.
"""

from __future__ import annotations

import weakref
from bisect import bisect_left
from operator import itemgetter
from typing import Any, TypeAlias

from ecs_agent.core.column import Column, fits
from ecs_agent.core.relation import Relation, Relations
from ecs_agent.core.watch import Watch
from ecs_agent.types import EntityId

Match: TypeAlias = tuple[EntityId, tuple[Any, ...]]
_Key: TypeAlias = tuple[tuple[type, ...], tuple[type, ...], tuple[type, ...]]
_entity = itemgetter(0)


class Query:
    """The index behind `World.query` and `World.watch`: a column for each type, and the answers to what was asked before.

    Args:
        relations: who is told of components that point at other entities.
    """

    MAX_CACHED = 256
    """How many different queries are cached; programs ask a few, so when it overflows all are dropped."""

    def __init__(self, relations: Relations | None = None) -> None:
        self._relations = relations
        self._columns: dict[type, Column] = {}
        self._answers: dict[_Key, _Answer] = {}
        self.watched: dict[weakref.ref[Watch[Any]], tuple[Column, ...]] = {}

    def put(self, entity: EntityId, component: object) -> None:
        """Take in a component, new or replacing.

        Raises:
            EntityNotFoundError: it is a relation to an entity that is not there.
            CircularParentError: it would make an entity its own ancestor.
        """
        kind = type(component)
        (self._columns.get(kind) or self.column(kind)).put(entity, component)

    def take(self, entity: EntityId, component_type: type) -> None:
        """Forget a component."""
        self._columns[component_type].take(entity)

    def edited(self, entity: EntityId, component_type: type) -> None:
        """Tell watches that a component was changed in place."""
        column = self._columns[component_type]
        for listener in column.listeners():
            listener.edited(column, entity)

    def find(self, types: tuple[type, ...], without: tuple[type, ...] = (), having: tuple[type, ...] = ()) -> list[Match]:
        """A new list of `(entity, components of the types)`, oldest entity first."""
        key = (types, without, having)
        return (self._answers.get(key) or self._ask(key)).matches().copy()

    def watch(self, types: tuple[type, ...], without: tuple[type, ...] = (), having: tuple[type, ...] = ()) -> Watch[Any]:
        """What changes in the answer to a query from now on."""
        shown, refused, asked = (tuple([self.column(kind) for kind in kinds]) for kinds in (types, without, having))
        watch: Watch[Any] = Watch(shown, refused, asked, self.forget)
        columns = watch.columns
        reference = weakref.ref(watch, self._forget)  # weakly: a watch that was dropped collects nothing more
        self.watched[reference] = columns
        for column in columns:
            column.listen(reference)
        return watch

    def forget(self, watch: Watch[Any]) -> None:
        """Drop a watch; called by its `close`."""
        for reference in list(self.watched):  # a copy, since dropped watches are taken out at any time
            if reference() is watch:
                self._forget(reference)

    def _forget(self, reference: weakref.ref[Watch[Any]]) -> None:
        for column in self.watched.pop(reference, ()):
            column.ignore(reference)

    def column(self, kind: type) -> Column:
        """The column of a type."""
        column = self._columns.get(kind)
        if column is None:
            column = self._columns[kind] = Column()
            if self._relations is not None and issubclass(kind, Relation):
                self._relations.follow(column)
        return column

    def _ask(self, key: _Key) -> _Answer:
        if len(self._answers) >= self.MAX_CACHED:
            self._answers.clear()
            self._columns = {kind: column for kind, column in self._columns.items() if column.held or column.heard}
        types, without, having = ([self.column(kind) for kind in kinds] for kinds in key)
        answer = self._answers[key] = _Answer(types, without, having)
        return answer


class _Answer:
    """The answer to one query, kept up to date.

    Who matches depends on the columns of an entity alone. So it is enough to look again at the entities that changed in one of them since;
    where those are many, or no longer known, everything is searched.
    """

    __slots__ = ("_columns", "_found", "_needed", "_refused", "_shown", "_versions")

    def __init__(self, shown: list[Column], refused: list[Column], having: list[Column]) -> None:
        self._shown = shown
        self._needed = [*dict.fromkeys([*shown, *having])]
        self._refused = refused
        self._columns = [*dict.fromkeys([*self._needed, *refused])]
        self._versions = [column.version for column in self._columns]
        self._found = self._search()

    def matches(self) -> list[Match]:
        """Who matches now; not to be changed."""
        versions = [column.version for column in self._columns]
        if versions != self._versions:
            changed = self._changed()
            if changed is None:
                self._found = self._search()
            else:
                for entity in changed:
                    self._look_again(entity)
            self._versions = versions
        return self._found

    def _changed(self) -> dict[EntityId, None] | None:
        """Whom to look at again; None when a search costs less."""
        most = min([len(column.held) for column in self._needed]) // 8
        changed: dict[EntityId, None] = {}
        for column, version in zip(self._columns, self._versions, strict=True):
            entities = column.changed_since(version)
            if entities is None or len(changed) + len(entities) > most:
                return None
            changed.update(dict.fromkeys(entities))
        return changed

    def _look_again(self, entity: EntityId) -> None:
        found = self._found
        place = bisect_left(found, entity, key=_entity)
        there = place < len(found) and found[place][0] == entity
        if fits(entity, self._needed, self._refused):
            match = (entity, tuple([column.held[entity] for column in self._shown]))
            if there:
                found[place] = match
            else:
                found.insert(place, match)
        elif there:
            del found[place]

    def _search(self) -> list[Match]:
        smallest = min([column.held for column in self._needed], key=len)
        entities = sorted(smallest)  # at most as many comparisons as there are entities, where they came in order
        for column in self._needed:
            if column.held is not smallest:
                entities = [entity for entity in entities if entity in column.held]
        for column in self._refused:
            if column.held:
                entities = [entity for entity in entities if entity not in column.held]
        parts = [map(column.held.__getitem__, entities) for column in self._shown]
        return list(zip(entities, zip(*parts, strict=True), strict=True))
