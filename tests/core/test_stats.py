"""A world at the moment, in figures."""

from __future__ import annotations

import asyncio

import pytest
from tests.core.parts import GRACE, Noting, Style, Work, begin, run, spawn, turns

from ecs_agent.core import EndReason, Entity, EntityStats, LoopClock, Phase, SupervisionComponent, TerminalComponent, World, system
from ecs_agent.types import EntityId


@system
async def slow(work: Work) -> None:
    await asyncio.sleep(work.todo)


def of(world: World, entity: EntityId) -> EntityStats:
    return next(each for each in world.stats().entities if each.entity == entity)


async def test_an_empty_world_has_no_figures(world: World) -> None:
    stats = world.stats()
    assert (stats.entities, stats.facts, stats.phases, stats.reasons) == ((), 0, {}, {})


async def test_each_phase_is_told_apart() -> None:
    async with World(clock=LoopClock()) as world:

        @system
        async def failing(style: Style) -> None:
            raise ValueError("bad")

        async def act(_: World) -> None:
            await asyncio.sleep(1.0)

        world.register_system(slow)
        world.register_system(failing)
        running = spawn(world, Work(3))
        retrying = spawn(world, Style(), SupervisionComponent(backoff=100.0))
        rested, ended = spawn(world), spawn(world, TerminalComponent("done"))
        task = await begin(world)
        ready = spawn(world, Work(1))
        stats = world.stats()
        assert [each.phase for each in stats.entities] == [Phase.RUNNING, Phase.RETRYING, Phase.AT_REST, Phase.AT_REST, Phase.READY]
        assert [each.entity for each in stats.entities] == [running, retrying, rested, ended, ready]
        assert stats.phases == {Phase.RUNNING: 1, Phase.RETRYING: 1, Phase.AT_REST: 2, Phase.READY: 1}
        assert stats.reasons == {EndReason.IDLE: 1, EndReason.TERMINAL: 1}
        assert of(world, retrying).failures == 1
        world.register_system(Noting([], act=act), priority=-5)
        world.add_component(rested, Work(1))
        await asyncio.sleep(2.5)
        assert of(world, rested).phase is Phase.AT_BARRIER
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_running_entity_says_what_runs_on_it_and_for_how_long() -> None:
    async with World(clock=LoopClock()) as world:

        @system
        async def later(me: Entity, style: Style) -> None:
            await asyncio.sleep(9.0)

        world.register_system(slow)
        world.register_system(later)
        entity = spawn(world, Work(9), Style())
        task = await begin(world)
        await asyncio.sleep(2.0)
        stats = of(world, entity)
        assert (stats.systems, stats.seconds, stats.steps, stats.reason) == (("slow", "later"), 2.0, 1, None)
        await task


async def test_facts_are_counted_for_each_and_for_all(world: World) -> None:
    one, two = spawn(world, Work()), spawn(world)
    world.emit(two, "something")
    assert [each.facts for each in world.stats().entities] == [world.state.row(one).seq, 2]
    assert world.stats().facts == world.state.row(one).seq + 2


async def test_without_a_run_everybody_is_at_rest_also_whoever_failed_before(world: World) -> None:
    @system
    async def failing(work: Work) -> None:
        raise ValueError("bad")

    world.register_system(failing)
    entity = spawn(world, Work(), SupervisionComponent(restarts=0))
    await run(world)
    stats = of(world, entity)
    assert (stats.phase, stats.reason, stats.failures, stats.seconds) == (Phase.AT_REST, EndReason.QUARANTINED, 1, 0.0)


async def test_looking_changes_nothing(world: World) -> None:
    world.register_system(slow)
    spawn(world, Work(1))
    task = await begin(world)
    before = world.log.next_pos
    for _ in range(10):
        world.stats()
        await turns(1)
    assert world.log.next_pos == before
    await asyncio.wait_for(task, 1.0 + GRACE)
