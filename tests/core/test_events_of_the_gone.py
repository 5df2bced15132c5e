"""Listening to an entity ends with it: an id is never given twice, so nothing can come any more."""

from __future__ import annotations

import pytest
from tests.core.listening import Mark

from ecs_agent.core import Envelope, EventStream, World
from ecs_agent.core.events import EntityDeleted
from ecs_agent.errors import EntityNotFoundError


async def read(stream: EventStream) -> list[Envelope]:
    return [envelope async for envelope in stream]


async def test_a_stream_of_an_entity_ends_with_the_fact_that_it_is_gone() -> None:
    async with World() as world:
        entity = world.create_entity()
        events = world.events(entity)
        world.emit(entity, Mark(entity))
        world.delete_entity(entity)
        assert [envelope.payload for envelope in await read(events)] == [Mark(entity), EntityDeleted(entity)]
        assert not world.event_bus.listening


async def test_also_one_that_asks_for_other_types() -> None:
    async with World() as world:
        entity = world.create_entity()
        events = world.events(entity, types=(Mark,))
        world.emit(entity, Mark(entity))
        world.delete_entity(entity)
        assert [envelope.payload for envelope in await read(events)] == [Mark(entity)]


async def test_that_of_a_child_ends_with_its_parent_and_that_of_all_goes_on() -> None:
    async with World() as world:
        parent = world.create_entity()
        of_child, of_all = world.events(world.create_entity(parent=parent)), world.events(types=(Mark,))
        world.delete_entity(parent)
        assert [envelope.type for envelope in await read(of_child)] == ["EntityDeleted"]
        other = world.create_entity()
        world.emit(other, Mark(other))
        assert (await anext(of_all)).payload == Mark(other)


async def test_whoever_is_gone_cannot_be_listened_to() -> None:
    async with World() as world:
        entity = world.create_entity()
        world.delete_entity(entity)
        with pytest.raises(EntityNotFoundError, match=f"there is no entity {entity} in this world"):
            world.events(entity)
