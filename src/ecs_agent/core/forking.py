"""Forks: an entity once more, as it is now or was before; and undo, which brings an entity back to what it was."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from ecs_agent.core.bundle import unpacked
from ecs_agent.core.change import edited
from ecs_agent.core.checkpoint import SavedRow
from ecs_agent.core.component import AwaitsInput, InFlight, Unforked, field_names, snapshot
from ecs_agent.core.log import EventKind
from ecs_agent.core.relation import ChildOf, Relation
from ecs_agent.core.row import Row
from ecs_agent.core.state import State
from ecs_agent.errors import WorldBusyError
from ecs_agent.types import EntityId

OnFork: TypeAlias = Literal["continue", "restart", "interrupted"]


class EntityForked(msgspec.Struct, frozen=True):
    """An entity came to be as a copy of another, as that one was behind its fact number `seq`."""

    entity_id: EntityId
    source: EntityId
    seq: int


class EntityRewound(msgspec.Struct, frozen=True):
    """An entity was brought back to what it was behind its fact number `to_seq`. What happened since is still in the log."""

    entity_id: EntityId
    to_seq: int


def fork(state: State, source: Row, replaced: Sequence[object], at: int | None, on_fork: OnFork) -> Row:
    """A new entity with copies of a row's components; see `World.fork`."""
    if on_fork not in ("continue", "restart", "interrupted"):
        raise ValueError(f'on_fork is {on_fork!r}; it must be "continue", "restart" or "interrupted"')
    instead = {type(component): component for component in unpacked(replaced)}
    for component in instead.values():
        if isinstance(component, Relation):
            state.row(component.target)  # raises before anything is made
    past = None if at is None or at == source.seq else state.log.row_at(source.id, at)
    components: list[object] = [copied(held) for held in source.components.values()] if past is None else list(past.components)
    row = state.create(None)
    for component in components:
        kind = type(component)
        if kind in instead or isinstance(component, AwaitsInput | Unforked) or _points_at_nobody(state, component):
            continue
        if isinstance(component, InFlight):
            component.resume = on_fork
        state.put(row, component, None)
    for component in instead.values():
        state.put(row, component, None)
    label = source.label if past is None else past
    row.label.run, row.label.turn, row.label.attempt = label.run, label.turn, label.attempt
    state.record(row, EntityForked(row.id, source.id, source.seq if at is None else at), EventKind.INPUT)
    return row


def rewind(state: State, row: Row, past: SavedRow) -> None:
    """Give an entity the components it had; see `World.undo`."""
    if row.calls:
        raise WorldBusyError(f"a call of {row.calls[0].entry.name} runs on entity {row.id}; wait until it is at rest, or interrupt it, and undo then")
    wanted = {
        type(component): component
        for component in past.components
        if not _points_at_nobody(state, component) or row.components.get(type(component)) == component
    }
    for component in wanted.values():
        if isinstance(component, ChildOf):
            state.relations.refuse(row.id, component)  # raises before anything is changed
    for kind in [kind for kind in row.components if kind not in wanted]:
        state.take(row, kind, None)
    for kind, component in wanted.items():
        held = row.components.get(kind)
        if held is None or edited(kind, snapshot(held), snapshot(component)).edits:
            state.put(row, component, None)
    row.label.run, row.label.turn, row.label.attempt = past.run, past.turn, past.attempt
    state.record(row, EntityRewound(row.id, past.seq), EventKind.INPUT)


def _points_at_nobody(state: State, component: object) -> bool:
    """Whether a component is a relation to an entity that is gone: nobody can be given one."""
    return isinstance(component, Relation) and component.target not in state.rows


def copied(component: object) -> Any:
    """A component with the same data and containers of its own. Other objects are shared: frozen ones, and live ones as providers are."""
    kind: Any = type(component)
    names = field_names(kind)
    if not names:
        return copy.copy(component)
    made: Any = object.__new__(kind)
    for name, value in zip(names, snapshot(component), strict=True):
        object.__setattr__(made, name, value)
    return made
