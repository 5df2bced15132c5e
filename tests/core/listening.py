"""Short words for tests of those who listen: what is told, and what of it arrives."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ecs_agent.core import Envelope, World
from ecs_agent.types import EntityId

E = TypeVar("E")


@dataclass(frozen=True)
class Piece:
    """A piece of what an entity says. Pieces become one, unless one of them has a bar in it."""

    entity_id: EntityId
    text: str


@dataclass(frozen=True)
class Mark:
    """What nothing can be merged with."""

    entity_id: EntityId
    number: int = 0


def pairwise(merge: Callable[[E, E], E | None]) -> Callable[[Sequence[E]], Iterable[tuple[E, int]]]:
    """A way of merging many from one of merging two."""

    def many(events: Sequence[E]) -> Iterator[tuple[E, int]]:
        held, count = events[0], 1
        for event in events[1:]:
            together = merge(held, event)
            if together is None:
                yield held, count
                held, count = event, 1
            else:
                held, count = together, count + 1
        yield held, count

    return many


@pairwise
def join(first: Piece, second: Piece) -> Piece | None:
    return None if "|" in first.text + second.text else Piece(first.entity_id, first.text + second.text)


def merging(world: World) -> World:
    """The world, in which pieces are merged."""
    world.event_bus.merge_with(Piece, join)
    return world


def say(world: World, entity: EntityId, texts: Sequence[str], attempt: int = 0) -> None:
    """Tell pieces that arrived together."""
    row = world.state.row(entity)
    row.label.attempt = attempt
    world.state.record_each(row, Piece, texts)


def told(envelopes: Iterable[Envelope], entity: EntityId) -> list[Any]:
    """What is told of an entity, however it was cut into pieces: its text by attempt, and its marks, in order."""
    found: list[Any] = []
    for envelope in envelopes:
        if envelope.entity != entity:
            continue
        if not isinstance(envelope.payload, Piece):
            found.append(envelope.payload)
        elif found and isinstance(found[-1], tuple) and found[-1][0] == envelope.attempt:
            found[-1] = (envelope.attempt, found[-1][1] + envelope.payload.text)
        else:
            found.append((envelope.attempt, envelope.payload.text))
    return found


def in_order(envelopes: Sequence[Envelope], entity: EntityId) -> bool:
    """Whether the places of an entity's events rise from one to the next."""
    mine = [envelope for envelope in envelopes if envelope.entity == entity]
    return all(one.pos < next_one.pos and one.seq < next_one.seq for one, next_one in itertools.pairwise(mine))


async def rest(stream: Any) -> list[Envelope]:
    """What waits in a stream, which is closed."""
    stream.close()
    return [envelope async for envelope in stream]
