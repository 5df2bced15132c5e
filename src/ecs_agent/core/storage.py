"""Storage: entities, their components, and every way to ask for them. The part of a World that needs no event loop.

Stale ids: what only reads answers None, False or nothing for an entity that was deleted or never created, where its docstring says so;
everything else raises `EntityNotFoundError`. An id is never given twice. Every list is a copy: whoever walks through one may change and
delete what it names, and the next list shows it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Self, TypeAlias, TypeVar, overload

from ecs_agent.core.bundle import spawn
from ecs_agent.core.forking import OnFork, fork, rewind
from ecs_agent.core.hooks import name_of
from ecs_agent.core.log import EventKind
from ecs_agent.core.relation import ChildOf, Relation
from ecs_agent.core.row import Row
from ecs_agent.core.state import Growth, State
from ecs_agent.core.watch import Watch
from ecs_agent.errors import WorldClosedError
from ecs_agent.types import EntityId

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
Types: TypeAlias = tuple[type, ...]


class Storage:
    """What a World holds, and how it is read and written.

    Args:
        state: where it is held.
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self._closed = False

    # Entities

    def create_entity(self, *, parent: EntityId | None = None) -> EntityId:
        """A new entity without components; a child has a `ChildOf` and is deleted with its parent.

        Raises:
            EntityNotFoundError: there is no such parent.
            WorldClosedError: the world was closed.
        """
        self._check_open()
        return self.state.create(parent).id

    def spawn(self, *components: object, parent: EntityId | None = None) -> EntityId:
        """A new entity with components, and copies of those in bundles (`Bundle`). It is made whole, or not at all.

        Raises:
            DuplicateComponentError: two components are of the same type, or there are two parents.
            EntityNotFoundError: there is no such parent, or no such target of a relation.
            TypeError: a class was given instead of a component.
            WorldClosedError: the world was closed.
        """
        self._check_open()
        return spawn(self.state, components, parent).id

    def delete_entity(self, entity: EntityId) -> None:
        """Delete an entity and its children, children first, and whoever a relation lets go with them; running calls on them are cancelled.

        Nothing happens when it is gone already.
        """
        row = self.state.rows.get(entity)
        if row is not None:
            self.state.author(row)  # in checked mode refuses a call that may not
            self.state.delete(row)

    def fork(self, entity: EntityId, *replaced: object, at: int | None = None, on_fork: OnFork = "continue") -> EntityId:
        """An entity once more: a new one with copies of its components, as they are now or were before. What is frozen, as messages, is shared, and
        of a fork from now any other object that is no container.

        What runs at the moment is not copied: calls, tool calls that have begun, questions to people, letters. An answer that is arriving is
        there as far as it has come.

        Args:
            entity: whom to copy. Children are not, nor are relations to entities that are gone by now.
            replaced: components that the new one gets instead of its own, or beside them, such as an `LLMComponent` with another model.
            at: as it was behind its fact number `at` (`Envelope.seq`), also in the middle of an answer; as it is now by default.
            on_fork: what becomes of such an answer: "continue" it, "restart" it, or keep it as "interrupted".

        Raises:
            EntityNotFoundError: there is no such entity, or no such target of a relation in `replaced`.
            NoHistoryError: `at` lies in a past that this world does not keep (`store.open_world`).
            WorldClosedError: the world was closed.
        """
        self._check_open()
        return fork(self.state, self.state.row(entity), replaced, at, on_fork).id

    def undo(self, entity: EntityId, to: int) -> None:
        """Bring an entity back to what it was behind its fact number `to` (`Envelope.seq`). The log goes on; an undo can be undone.

        Relations to entities that are gone by now do not come back.

        Raises:
            CircularParentError: what was its parent then is below it now.
            EntityNotFoundError: there is no such entity.
            NoHistoryError: this world does not keep a past so far back (`store.open_world`).
            WorldBusyError: a call runs on it.
        """
        row = self.state.row(entity)
        rewind(self.state, row, self.state.log.row_at(entity, to))

    def has_entity(self, entity: EntityId) -> bool:
        """Whether an entity exists."""
        return entity in self.state.rows

    @property
    def entities(self) -> list[EntityId]:
        """All entities, oldest first."""
        return list(self.state.rows)

    # Components

    def add_component(self, entity: EntityId, component: object) -> None:
        """Add a component, or replace the one of its type.

        Raises:
            CircularParentError: it is a `ChildOf` that would make the entity its own ancestor.
            EntityNotFoundError: there is no such entity, or no such target of a relation.
        """
        state = self.state
        row = state.row(entity)
        state.put(row, component, state.author(row))

    def get_component(self, entity: EntityId, component_type: type[T]) -> T | None:
        """An entity's component of a type, None if it has none or does not exist."""
        row = self.state.rows.get(entity)
        return None if row is None else row.components.get(component_type)

    def has_component(self, entity: EntityId, component_type: type) -> bool:
        """Whether an entity has a component of a type."""
        row = self.state.rows.get(entity)
        return row is not None and component_type in row.components

    def remove_component(self, entity: EntityId, component_type: type) -> None:
        """Remove a component; nothing happens when there is none.

        Raises:
            EntityNotFoundError: there is no such entity.
        """
        state = self.state
        row = state.row(entity)
        state.take(row, component_type, state.author(row))

    def touch(self, entity: EntityId, component_type: type | None = None) -> None:
        """Say that something changed which comparing cannot see, and make a failed or quarantined entity ready again.

        Raises:
            EntityNotFoundError: there is no such entity.
        """
        state = self.state
        row = state.row(entity)
        state.touch(row, component_type, state.author(row))

    def edit(self, entity: EntityId, component_type: type, event: object, kind: EventKind = EventKind.DERIVED, growth: Growth | None = None) -> None:
        """Say that a component was changed in place, and which event tells it; call it right after the change, without awaiting between.

        `growth` is as of `Entity.edit`.

        Raises:
            EntityNotFoundError: there is no such entity.
        """
        state = self.state
        row = state.row(entity)
        state.note_edit(row, component_type, state.author(row), event, kind, growth)

    # Queries

    @overload
    def query(self, a: type[A], /, *, having: Types = (), without: Types = ()) -> list[tuple[EntityId, tuple[A]]]: ...
    @overload
    def query(self, a: type[A], b: type[B], /, *, having: Types = (), without: Types = ()) -> list[tuple[EntityId, tuple[A, B]]]: ...
    @overload
    def query(self, a: type[A], b: type[B], c: type[C], /, *, having: Types = (), without: Types = ()) -> list[tuple[EntityId, tuple[A, B, C]]]: ...
    @overload
    def query(
        self, a: type[A], b: type[B], c: type[C], d: type[D], /, *, having: Types = (), without: Types = ()
    ) -> list[tuple[EntityId, tuple[A, B, C, D]]]: ...
    @overload
    def query(
        self, a: type[A], b: type[B], c: type[C], d: type[D], e: type[E], /, *, having: Types = (), without: Types = ()
    ) -> list[tuple[EntityId, tuple[A, B, C, D, E]]]: ...
    def query(self, *types: type, having: Types = (), without: Types = ()) -> list[Any]:
        """The entities that have all of the types, all of `having` and none of `without`, oldest first: a new list of `(entity, components)`.

        Components of `having` are not returned. The list is a copy: changes made while it is walked through appear in the next query.

        Raises:
            TypeError: no type was given.
        """
        if not types:
            raise TypeError("query needs at least one component type; World.entities lists all entities")
        return self.state.query.find(types, without, having)

    @overload
    def watch(self, a: type[A], /, *, having: Types = (), without: Types = ()) -> Watch[tuple[A]]: ...
    @overload
    def watch(self, a: type[A], b: type[B], /, *, having: Types = (), without: Types = ()) -> Watch[tuple[A, B]]: ...
    @overload
    def watch(self, a: type[A], b: type[B], c: type[C], /, *, having: Types = (), without: Types = ()) -> Watch[tuple[A, B, C]]: ...
    @overload
    def watch(self, a: type[A], b: type[B], c: type[C], d: type[D], /, *, having: Types = (), without: Types = ()) -> Watch[tuple[A, B, C, D]]: ...
    @overload
    def watch(
        self, a: type[A], b: type[B], c: type[C], d: type[D], e: type[E], /, *, having: Types = (), without: Types = ()
    ) -> Watch[tuple[A, B, C, D, E]]: ...
    def watch(self, *types: type, having: Types = (), without: Types = ()) -> Watch[Any]:
        """What changes in the answer to `query` from now on: who came to match, who no longer does, whose components changed. See `Watch`.

        Raises:
            TypeError: no type was given.
        """
        if not types:
            raise TypeError("watch needs at least one component type")
        return self.state.query.watch(types, without, having)

    # Relations

    def parent(self, entity: EntityId) -> EntityId | None:
        """An entity's parent, None for a root.

        Raises:
            EntityNotFoundError: there is no such entity.
        """
        return self.state.row(entity).parent

    def children(self, entity: EntityId) -> list[EntityId]:
        """An entity's children, oldest first.

        Raises:
            EntityNotFoundError: there is no such entity.
        """
        return self.related(ChildOf, entity)

    def descendants(self, entity: EntityId) -> list[EntityId]:
        """An entity's children and all below them: a child, everybody below it, then the next child.

        Raises:
            EntityNotFoundError: there is no such entity.
        """
        return [row.id for row in self.state.relations.descendants(self.state.row(entity))]

    def root(self, entity: EntityId) -> EntityId:
        """The entity at the top of an entity's tree: itself, if it has no parent.

        Raises:
            EntityNotFoundError: there is no such entity.
        """
        row: Row = self.state.row(entity)
        while row.parent is not None:
            row = self.state.row(row.parent)
        return row.id

    def reparent(self, entity: EntityId, parent: EntityId | None) -> None:
        """Move an entity, with everybody below it, to another parent, or make it a root. The same as adding or removing its `ChildOf`.

        Its randomness stays what it was by birth.

        Raises:
            CircularParentError: the parent is the entity itself or one of its descendants; nothing was changed.
            EntityNotFoundError: there is no such entity or no such parent.
        """
        if parent is None:
            self.remove_component(entity, ChildOf)
        elif self.parent(entity) != parent:
            self.add_component(entity, ChildOf(parent))

    def related(self, relation: type[Relation], target: EntityId) -> list[EntityId]:
        """The entities whose relation of a type points at a target, oldest first.

        Raises:
            EntityNotFoundError: there is no such target.
        """
        return self.state.relations.sources(relation, self.state.row(target).id)

    # Hooks

    def on_add(self, component_type: type[T], hook: Callable[[Self, EntityId, T], object]) -> Callable[[], None]:
        """Have `hook(world, entity, component)` called whenever a component of exactly this type came, new or replacing; what is returned ends that.

        It is called after the write and its fact, before the write returns: hooks in the order in which they were added, and what a hook
        writes itself calls hooks after those that wait. The entity may have changed or gone by then. What a hook raises becomes a
        `HandlerFailed` event. Components that are there already are not told.
        """
        return self.state.hooks.on_add(self.state.query.column(component_type), name_of(hook), partial(hook, self))

    def on_remove(self, component_type: type[T], hook: Callable[[Self, EntityId, T], object]) -> Callable[[], None]:
        """As `on_add`, whenever a component went: removed, replaced (before the new one is told), or with its entity (which is gone by then)."""
        return self.state.hooks.on_remove(self.state.query.column(component_type), name_of(hook), partial(hook, self))

    # Resources

    def insert_resource(self, resource: object) -> None:
        """Give the World a live object under its exact type. One with an `aclose` is closed with the World.

        Raises:
            ValueError: there is one of this type already.
        """
        self.state.resources.insert(resource)

    def get_resource(self, kind: type[T]) -> T | None:
        """The World's live object of a type, None if there is none."""
        return self.state.resources.find(kind)

    def resource(self, kind: type[T], make: Callable[[], T]) -> T:
        """The World's one live object of a type, made at first use: what systems share and what is no state, such as a pool of threads.

        If it has an `aclose`, it is closed with the World.
        """
        return self.state.resources.get(kind, make)

    def _check_open(self) -> None:
        if self._closed:
            raise WorldClosedError("this world was closed; create a new one")
