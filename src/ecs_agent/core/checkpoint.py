"""Checkpoints: the whole state of a world, or of one entity, between two facts. What a saved world is made anew from."""

from __future__ import annotations

from dataclasses import dataclass

from ecs_agent.types import EntityId


@dataclass(frozen=True, slots=True)
class SavedRow:
    """One entity: its place in the tree (for its randomness), its newest numbers and labels, and its components, which belong to nobody else."""

    id: EntityId
    place: str
    spawned: int
    seq: int
    sent: int
    run: int
    turn: int
    attempt: int
    components: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A world as it is before the fact at `pos`. `roots` and `next_id` say how many entities without parent, and which ids, were given before."""

    pos: int
    seed: str
    roots: int
    next_id: int
    sent: int
    rows: tuple[SavedRow, ...]
