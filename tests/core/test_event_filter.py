"""Filters of a stream: exact types, components of the entity, and the entity itself."""

from __future__ import annotations

from tests.core.listening import Mark, rest, say
from tests.core.parts import Ban, Said, Style, Work, spawn

from ecs_agent.core import EntityCreated, EntityDeleted, World


async def test_types_are_exact(world: World) -> None:
    class Whispered(Said):
        pass

    events = world.events(types=(Said, EntityCreated))
    entity = world.create_entity()
    world.emit(entity, Whispered("psst"))
    world.report(Said("a"))
    say(world, entity, ["b"])
    assert [envelope.payload for envelope in await rest(events)] == [EntityCreated(entity), Said("a")]


async def test_a_query_is_about_the_components_that_the_entity_has_right_after_the_fact(world: World) -> None:
    events = world.events(query=(Work,), without=(Ban,))
    entity = spawn(world, Work(), Style())
    other = spawn(world, Style())
    for who in (entity, other):
        say(world, who, ["a"])
    world.add_component(entity, Ban())
    say(world, entity, ["b"])
    world.remove_component(entity, Ban)
    world.report(Said("of nobody"))
    world.delete_entity(entity)
    received = await rest(events)
    assert {envelope.entity for envelope in received} == {entity}
    assert [envelope.type for envelope in received] == ["ComponentAdded", "ComponentAdded", "Piece", "ComponentRemoved", "EntityDeleted"]


async def test_all_of_a_query_and_none_of_what_is_excluded(world: World) -> None:
    both, no_ban = world.events(query=(Work, Style)), world.events(without=(Ban,))
    for components in [(Work(),), (Style(),), (Work(), Style()), (Work(), Ban())]:
        entity = spawn(world, *components)
        world.emit(entity, Said(str(len(components))))
    world.report(Said("of nobody"))
    texts = [[e.payload.text for e in await rest(stream) if isinstance(e.payload, Said)] for stream in (both, no_ban)]
    assert texts == [["2"], ["1", "1", "2", "of nobody"]]


async def test_filters_and_an_entity_go_together(world: World) -> None:
    entity, other = world.create_entity(), world.create_entity()
    events = world.events(entity, types=(EntityDeleted,))
    world.emit(entity, Said("a"))
    for who in (other, entity):
        world.delete_entity(who)
    assert [envelope.payload for envelope in await rest(events)] == [EntityDeleted(entity)]


async def test_published_events_pass_the_same_filters(world: World) -> None:
    entity = spawn(world, Work())
    events, elsewhere = world.events(query=(Work,)), world.events(query=(Style,))
    await world.event_bus.publish(Mark(entity))
    assert [envelope.payload for envelope in await rest(events)] == [Mark(entity)]
    assert await rest(elsewhere) == []
