"""Stopping a world, at once or after the step in hand; and every reason with which an entity may end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
from tests.core.parts import GRACE, Ban, Noting, Style, Work, begin, change_later, now, run, spawn, told, turns

from ecs_agent.core import (
    AwaitsInput,
    CallLeaked,
    EndReason,
    Entity,
    ErrorComponent,
    LoopClock,
    QuarantineComponent,
    Runner,
    RunResult,
    SupervisionComponent,
    TerminalComponent,
    World,
    system,
)
from ecs_agent.types import EntityId


@dataclass(slots=True)
class Question(AwaitsInput):
    """Somebody is asked something."""

    text: str = "well?"


async def serve(world: World) -> RunResult:
    return await Runner(grace=GRACE).serve(world)


async def plain_run(world: World) -> RunResult:
    return await run(world)


async def stopped(world: World, stop: Callable[[], None], how: Callable[[World], Awaitable[RunResult]]) -> RunResult:
    change_later(1.5, stop)
    return await asyncio.wait_for(asyncio.ensure_future(how(world)), 1000.0)


@system(when=lambda work: work.todo > 0)
async def first(me: Entity, work: Work) -> None:
    try:
        await asyncio.sleep(1.0)
    except asyncio.CancelledError:
        work.done.append("cancelled")
        raise
    work.done.append("first")


@system(when=lambda work: work.done and work.done[-1] == "first", priority=10)
async def second(me: Entity, work: Work) -> None:
    await asyncio.sleep(1.0)
    work.done.append("second")
    work.todo -= 1


HOW = pytest.mark.parametrize("how", [plain_run, serve])


class TestStop:
    @HOW
    async def test_rule_15_it_cancels_what_runs_and_the_run_returns(self, world: World, how: Callable[[World], Awaitable[RunResult]]) -> None:
        world.register_system(first)
        entity, rested = spawn(world, Work(9)), spawn(world, Work(0))
        world.get_component(entity, Work).done.append("x")  # type: ignore[union-attr]
        result = await stopped(world, world.stop, how)
        assert now() == 1.5
        assert (result[entity].reason, result[rested].reason) == (EndReason.STOPPED, EndReason.IDLE)

    @HOW
    async def test_rule_15_after_the_step_everyone_first_finishes_it_and_begins_no_other(
        self, world: World, how: Callable[[World], Awaitable[RunResult]]
    ) -> None:
        world.register_system(first)
        world.register_system(second)
        busy, late = spawn(world, Work(9)), spawn(world, Work(0))
        change_later(1.6, world.add_component, late, Work(5))
        result = await stopped(world, lambda: world.stop(after_step=True), how)
        assert world.get_component(busy, Work) == Work(8, ["first", "second"])
        assert world.get_component(late, Work) == Work(5, [])
        assert now() == 2.0
        assert [result[each].reason for each in (busy, late)] == [EndReason.STOPPED] * 2

    async def test_rule_15_whoever_had_nothing_more_to_do_is_not_called_stopped(self, world: World) -> None:
        world.register_system(first)
        world.register_system(second)
        entity = spawn(world, Work(1))
        result = await stopped(world, lambda: world.stop(after_step=True), plain_run)
        assert result[entity].reason is EndReason.IDLE

    async def test_the_second_stop_is_not_so_patient(self, world: World) -> None:
        world.register_system(first)
        world.register_system(second)
        entity = spawn(world, Work(9))
        change_later(1.7, world.stop)
        result = await stopped(world, lambda: world.stop(after_step=True), plain_run)
        assert now() == 1.7
        assert result[entity].reason is EndReason.STOPPED

    async def test_a_step_that_stands_at_a_barrier_is_finished_too(self, world: World) -> None:
        log: list[str] = []

        async def act(_: World) -> None:
            await asyncio.sleep(1.0)

        world.register_system(first)
        world.register_system(Noting(log, act=act), priority=5)
        world.register_system(second)
        entity = spawn(world, Work(9))
        await stopped(world, lambda: world.stop(after_step=True), plain_run)
        assert world.get_component(entity, Work) == Work(8, ["first", "second"])

    async def test_for_one_that_stands_at_a_barrier_before_its_step_nobody_meets(self, world: World) -> None:
        log: list[str] = []

        @system(priority=10)
        async def late(style: Style) -> None: ...

        world.register_system(first)
        world.register_system(Noting(log), priority=5)
        world.register_system(late)
        spawn(world, Work(1)), spawn(world, Work(0))
        change_later(0.6, spawn, world, Style())
        change_later(0.5, lambda: world.stop(after_step=True))
        await run(world)
        assert log == []

    @pytest.mark.parametrize("meets", ["all", "arrived"])
    async def test_world_systems_that_wake_each_other_do_not_go_on_for_ever(self, world: World, meets: str) -> None:
        class Restless:
            def __init__(self) -> None:
                self.meets = meets

            async def process(self, world: World) -> None:
                await asyncio.sleep(0.25)
                world.add_component(entity, Style())

        world.register_system(Restless())
        world.register_system(Restless(), priority=1)
        entity = spawn(world)
        result = await stopped(world, lambda: world.stop(after_step=True), plain_run)
        assert now() <= 2.0
        assert dict(result) == {}

    async def test_whoever_waits_for_another_try_is_stopped_and_whoever_waits_for_that_one_is_told(self) -> None:
        async with World(clock=LoopClock()) as world:

            @system
            async def failing(me: Entity, work: Work) -> None:
                raise ValueError("bad")

            @system
            async def parent(me: Entity, style: Style) -> None:
                await me.join(entity)
                me.emit("told")

            world.register_system(failing)
            world.register_system(parent)
            entity = spawn(world, Work(), SupervisionComponent(backoff=100.0))
            waiting = spawn(world, Style())
            result = await stopped(world, lambda: world.stop(after_step=True), plain_run)
            assert now() == 1.5
            assert [result[each].reason for each in (entity, waiting)] == [EndReason.STOPPED, EndReason.IDLE]

    async def test_a_tick_can_be_stopped_as_well(self, world: World) -> None:
        world.register_system(first)
        spawn(world, Work(1))
        change_later(0.5, world.stop)
        await world.process()
        assert now() == 0.5

    async def test_without_a_run_there_is_nothing_to_stop_and_the_next_is_not_stopped_either(self, world: World) -> None:
        world.register_system(first)
        world.register_system(second)
        entity = spawn(world, Work(1))
        world.stop()
        world.stop(after_step=True)
        await run(world)
        assert world.get_component(entity, Work) == Work(0, ["first", "second"])

    async def test_what_was_stopped_goes_on_in_the_next_run(self, world: World) -> None:
        world.register_system(first)
        world.register_system(second)
        entity = spawn(world, Work(2))
        await stopped(world, lambda: world.stop(after_step=True), plain_run)
        await run(world)
        assert world.get_component(entity, Work) == Work(0, ["first", "second"] * 2)


class TestReasons:
    async def test_rule_15_an_entity_that_awaits_input_says_so_until_the_answer_is_there(self, world: World) -> None:
        @system(when=lambda style: style.name == "asking")
        async def ask(me: Entity, style: Style) -> None:
            style.name = "asked"
            me.add(Question())

        world.register_system(ask)
        entity = spawn(world, Style("asking"))
        assert (await run(world))[entity].reason is EndReason.WAITING_INPUT
        world.remove_component(entity, Question)
        assert (await run(world))[entity].reason is EndReason.IDLE

    async def test_rule_16_serving_sleeps_on_it_and_the_answer_wakes_it(self, world: World) -> None:
        answered: list[float] = []

        @system(without=(Question,))
        async def answer(me: Entity, style: Style) -> None:
            answered.append(now())

        world.register_system(answer)
        entity = spawn(world, Style(), Question())
        serving = asyncio.ensure_future(serve(world))
        change_later(60.0, world.remove_component, entity, Question)
        await asyncio.sleep(100.0)
        assert answered == [60.0]
        world.stop()
        assert (await serving)[entity].reason is EndReason.IDLE

    @pytest.mark.parametrize(
        ("component", "reason"),
        [
            (TerminalComponent("done"), EndReason.TERMINAL),
            (QuarantineComponent("too often"), EndReason.QUARANTINED),
            (ErrorComponent("bad", "x", 0.0), EndReason.WAITING_INPUT),
            (Ban(), EndReason.WAITING_INPUT),
        ],
    )
    async def test_rule_15_what_ends_an_entity_counts_more_than_what_it_awaits(self, world: World, component: object, reason: EndReason) -> None:
        world.register_system(first)
        entity = spawn(world, Work(), Question(), component)
        assert (await run(world))[entity].reason is reason

    async def test_rule_15_each_reason_there_is_has_its_way(self) -> None:
        """One world, in which everybody ends in another way."""
        async with World(clock=LoopClock()) as world:

            @system(when=lambda work: work.todo > 0)
            async def working(me: Entity, work: Work) -> None:
                match work.todo:
                    case 1:
                        work.todo = 0
                    case 2:
                        me.add(TerminalComponent("done"))
                    case 3:
                        raise ValueError("bad")
                    case 4:
                        work.done.append("again")
                    case 5:
                        await me.join(me.id)
                    case _:
                        await asyncio.sleep(1000.0)

            world.register_system(working)
            entities = [spawn(world, Work(number)) for number in range(1, 7)]
            world.add_component(entities[2], SupervisionComponent(restarts=0))
            waiting = spawn(world, Work(), Question())
            result = await run(world, 3, deadline=10.0)
            assert [result[each].reason for each in [*entities, waiting]] == [
                EndReason.IDLE,
                EndReason.TERMINAL,
                EndReason.QUARANTINED,
                EndReason.MAX_TICKS,
                EndReason.DEADLOCK,
                EndReason.DEADLINE,
                EndReason.WAITING_INPUT,
            ]

    async def test_rule_15_deleted_is_told_to_those_who_wait_and_stands_in_no_result(self, world: World) -> None:
        world.register_system(first)
        entity = spawn(world, Work(1))
        task = await begin(world)
        engine = world.engine
        assert engine is not None
        waiting = engine.settled(entity)
        world.delete_entity(entity)
        assert (await waiting).reason is EndReason.DELETED
        assert dict(await task) == {}


def chain(world: World, length: int) -> list[EntityId]:
    entities = [world.create_entity()]
    for _ in range(length - 1):
        entities.append(world.spawn(parent=entities[-1]))
    return entities


@pytest.mark.no_cover
async def test_a_chain_of_5000_nested_entities_is_deleted_children_first_with_the_call_at_its_end(world: World) -> None:
    world.register_system(first)
    entities = chain(world, 5000)
    world.add_component(entities[-1], Work(1))
    task = await begin(world)
    gone: list[EntityId] = []
    world.on_remove(Work, lambda _world, entity, _work: gone.append(entity))
    await asyncio.sleep(0.5)
    world.delete_entity(entities[0])
    await task
    assert (world.entities, gone, now()) == ([], [entities[-1]], 0.5)


async def test_a_chain_of_1000_that_wait_for_the_next_comes_to_rest(world: World) -> None:
    @system
    async def parent(me: Entity, work: Work) -> None:
        if work.todo:
            await me.join(me.spawn(Work(work.todo - 1)))
        else:
            await asyncio.sleep(1.0)

    world.register_system(parent)
    spawn(world, Work(1000))
    result = await run(world)
    assert len(result) == 1001
    assert {outcome.reason for outcome in result.values()} == {EndReason.IDLE}
    await turns(1)


async def test_a_call_that_ignores_a_run_which_was_cancelled_twice_is_left_behind_all_the_same(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    over = asyncio.Event()
    calls: list[float] = []

    @system
    async def deaf(me: Entity, work: Work) -> None:
        calls.append(now())
        while not over.is_set() and len(calls) == 1:
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue
        if len(calls) == 1:
            me.add(Style("too late"))

    caplog.set_level(logging.CRITICAL, "ecs_agent")
    world.register_system(deaf)
    entity = spawn(world, Work())
    task = await begin(world)
    for _ in range(2):
        task.cancel()
        await turns(3)
    assert task.cancelled()
    await asyncio.sleep(GRACE)
    assert told(world, CallLeaked) == [CallLeaked(entity, "deaf")]
    await run(world)
    assert len(calls) == 2
    over.set()
    await turns(3)
    assert not world.has_component(entity, Style)
