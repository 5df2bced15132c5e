"""Readers for whom producers wait: they get every delta on its own, and can hold nobody back who did not ask, and nobody for ever."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest
from tests.core.listening import Mark, Piece, merging, rest, say
from tests.core.parts import Style, Work, begin, now, spawn, told, turns

from ecs_agent.core import Block, BlockLifted, Entity, Envelope, EventStream, EveryDelta, World, system
from ecs_agent.types import EntityId

BATCH = 4


@system(without=(Style,))
async def talk(me: Entity, work: Work) -> None:
    """Says what there is to say, in batches, and asks for room after each."""
    for number in range(work.todo):
        me.emit_each(Piece, [f"{number}:{index} " for index in range(BATCH)])
        work.done.append(str(number))
        await me.room()
    me.add(Style())


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "ecs_agent")


def talking(world: World, batches: int = 20) -> tuple[EntityId, Work]:
    if not world.schedule.entity_systems:
        merging(world).register_system(talk)
    work = Work(batches)
    return spawn(world, work), work


async def read(stream: EventStream, count: int) -> list[Envelope]:
    return [await anext(stream) for _ in range(count)]


class TestWaiting:
    async def test_a_producer_stops_at_the_limit_and_goes_on_when_half_of_it_was_read(self, world: World) -> None:
        entity, work = talking(world)
        stream = world.events(entity, types=(Piece,), policy=Block(limit=8))
        running = await begin(world)
        assert work.done == ["0", "1"]
        await read(stream, 3)
        await turns(5)
        assert work.done == ["0", "1"]
        await read(stream, 1)
        await turns(5)
        assert work.done == ["0", "1", "2"]
        received = await read(stream, 76)
        assert [envelope.payload.text for envelope in received[-4:]] == ["19:0 ", "19:1 ", "19:2 ", "19:3 "]
        assert len((await running).outcomes) == 1

    async def test_whoever_does_not_read_slowly_gets_each_delta_on_its_own(self, world: World) -> None:
        entity, work = talking(world, 50)
        stream = world.events(entity, types=(Piece,), policy=Block(limit=1))
        running = await begin(world)
        received = await read(stream, 200)
        assert [envelope.payload.text for envelope in received] == [f"{number}:{index} " for number in range(50) for index in range(BATCH)]
        await running
        assert work.todo == 50

    async def test_only_the_entities_it_is_about_wait(self, world: World) -> None:
        entity, work = talking(world)
        _, other = talking(world)
        stream = world.events(entity, policy=Block(limit=8))
        running = await begin(world)
        await asyncio.sleep(1.0)
        assert (len(work.done), len(other.done)) == (2, 20)
        stream.close()
        await running
        assert len(work.done) == 20

    async def test_one_for_all_entities_holds_back_all_that_its_query_is_about(self, world: World) -> None:
        _, work = talking(world)
        entity, other = talking(world)
        world.add_component(entity, Mark(entity))
        stream = world.events(query=(Mark,), policy=Block(limit=8))
        running = await begin(world)
        await asyncio.sleep(1.0)
        assert (len(work.done), len(other.done)) == (20, 2)
        stream.close()
        await running

    async def test_other_consumers_go_on_meanwhile(self, world: World) -> None:
        entity, _ = talking(world)
        stream, beside = world.events(entity, policy=Block(limit=8)), world.events(entity, types=(Piece,))
        running = await begin(world)
        assert len(await read(beside, 8)) == 8
        stream.close()
        await running
        assert len(await rest(beside)) == 72

    async def test_what_does_not_ask_for_room_is_merged_beyond_sixteen_times_the_limit(self, world: World) -> None:
        entity = merging(world).create_entity()
        stream = world.events(policy=Block(limit=1))
        for _ in range(10):
            say(world, entity, ["a", "b"])
        assert [len(envelope.payload.text) for envelope in await rest(stream)] == [1] * 14 + [6]

    async def test_without_such_a_reader_nobody_is_asked(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        async def never(entity: EntityId, components: frozenset[type]) -> None:
            raise AssertionError(entity)

        monkeypatch.setattr(world.event_bus, "room", never)
        _, work = talking(world)
        world.events(policy=Block()).close()
        reading = world.events(policy=EveryDelta(1))
        await (await begin(world))
        assert len(work.done) == 20
        reading.close()


class TestNotForEver:
    async def test_a_reader_that_was_dropped_holds_nobody_back(self, world: World) -> None:
        entity, work = talking(world)
        stream = world.events(entity, policy=Block(limit=8))
        running = await begin(world)
        assert len(work.done) == 2
        del stream
        gc.collect()
        await running
        assert (len(work.done), now()) == (20, 0.0)
        assert not world.event_bus.blocking

    async def test_nor_does_one_whose_task_has_died(self, world: World) -> None:
        entity, work = talking(world)

        async def reading() -> None:
            async for _ in world.events(entity, policy=Block(limit=8)):
                raise ValueError("bad")

        dying = asyncio.ensure_future(reading())
        await asyncio.sleep(0)
        running = await begin(world)
        with pytest.raises(ValueError, match="bad"):
            await dying
        del dying
        gc.collect()
        await running
        assert (len(work.done), now()) == (20, 0.0)

    async def test_nor_does_a_world_that_is_closed(self) -> None:
        world = World()
        entity, work = talking(world)
        stream = world.events(entity, policy=Block(limit=8))
        running = await begin(world)
        await world.aclose()
        await running
        assert len(work.done) == 2
        assert (await anext(stream)).entity == entity

    async def test_one_that_does_not_read_for_too_long_has_lost_its_right_and_everybody_is_told(self, world: World) -> None:
        entity, work = talking(world)
        stream = world.events(entity, types=(Piece,), policy=Block(limit=8, patience=2.0))
        running = await begin(world)
        await running
        assert (now(), len(work.done)) == (2.0, 20)
        assert told(world, BlockLifted) == [BlockLifted(entity, 8, 2.0)]
        assert not world.event_bus.blocking
        assert "".join([envelope.payload.text for envelope in await rest(stream)]).startswith("0:0 0:1 ")

    async def test_one_that_reads_slowly_keeps_it(self, world: World) -> None:
        entity, _ = talking(world, 5)
        stream = world.events(entity, types=(Piece,), policy=Block(limit=8, patience=2.0))
        running = await begin(world)
        received = []
        for _ in range(20):
            await asyncio.sleep(1.9)
            received.append((await anext(stream)).payload.text)
        await running
        assert received == [f"{number}:{index} " for number in range(5) for index in range(BATCH)]
        assert told(world, BlockLifted) == []

    async def test_many_who_wait_are_let_go_together(self, world: World) -> None:
        works = [talking(world)[1] for _ in range(10)]
        stream = world.events(policy=Block(limit=2, patience=3.0))
        await (await begin(world))
        assert now() == 3.0
        assert [len(work.done) for work in works] == [20] * 10
        assert len(told(world, BlockLifted)) == 1
        stream.close()

    async def test_who_waits_can_be_cancelled_without_harm_to_others(self, world: World) -> None:
        entities = [talking(world) for _ in range(2)]
        stream = world.events(policy=Block(limit=8))
        running = await begin(world)
        world.delete_entity(entities[0][0])
        await turns(5)
        stream.close()
        await running
        assert len(entities[1][1].done) == 20

    async def test_a_gate_outlives_a_loop_that_is_over(self) -> None:
        world = World()
        entity = world.create_entity()
        stream = world.event_bus.open(entity, policy=Block(limit=1))
        say(world, entity, ["a", "b"])
        waiting = asyncio.ensure_future(world.event_bus.room(entity))
        await turns(3)
        assert not waiting.done()
        await read(stream, 2)
        await waiting
        await world.aclose()
