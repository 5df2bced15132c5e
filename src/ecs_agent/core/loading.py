"""Loading: a checkpoint becomes the state of a world."""

from __future__ import annotations

from ecs_agent.core.checkpoint import Checkpoint
from ecs_agent.core.component import snapshot
from ecs_agent.core.relation import ChildOf, Relation
from ecs_agent.core.row import EntityIdGenerator, Label, Row
from ecs_agent.core.state import State


def load(state: State, saved: Checkpoint) -> None:
    """Fill an empty state. Nothing of it is a fact: it happened before, and is in the log of that time.

    Raises:
        ValueError: the state is not empty.
    """
    if state.rows:
        raise ValueError("a checkpoint is loaded into an empty world; this one has entities already")
    state.resume(saved.seed, saved.roots, EntityIdGenerator(saved.next_id), saved.sent)
    relations: list[tuple[Row, Relation]] = []
    for each in saved.rows:
        row = state.rows[each.id] = Row(each.id, None, each.place)
        row.spawned, row.seq, row.sent, row.resumed = each.spawned, each.seq, each.sent, each.seq
        row.label = Label(each.run, each.turn, each.attempt)
        for component in each.components:
            if isinstance(component, Relation):
                relations.append((row, component))
            else:
                _hold(state, row, component)
    # Parents first, as a circle can only be seen by walking up; and when everybody is there that a relation may point at.
    for row, relation in sorted(relations, key=lambda pair: not isinstance(pair[1], ChildOf)):
        _hold(state, row, relation)
    for row in state.rows.values():
        row.types = frozenset(row.components)
        state.changed(row, None)


def _hold(state: State, row: Row, component: object) -> None:
    kind = type(component)
    if not (isinstance(component, Relation) and component.target not in state.rows):
        state.query.put(row.id, component)
    else:
        state.query.column(kind).held[row.id] = component  # "keep": its target is gone, and its id is never used again
    row.components[kind] = component
    row.snapshots[kind] = snapshot(component)
