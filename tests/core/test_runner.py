"""Runs: when they end and with what result, that idle costs nothing, and that nothing is left behind. The rules are those of the scheduler."""

from __future__ import annotations

import asyncio

import pytest
from tests.core.parts import GRACE, Happened, Style, Work, begin, loop_turns, now, run, spawn, told, turns, wait

from ecs_agent.core import EndReason, Entity, HandlerFailed, Outcome, QuarantineComponent, Runner, RunResult, TerminalComponent, World, system
from ecs_agent.core.tasks import ended
from ecs_agent.types import EntityId


class TestResult:
    async def test_rule_15_a_run_returns_for_each_agent_how_it_came_to_rest(self, world: World) -> None:
        @system
        async def fail(work: Work) -> None:
            if work.todo:
                raise ValueError("bad")

        world.register_system(fail)
        idle, terminal, failed = spawn(world, Work()), spawn(world, Work(), TerminalComponent("done")), spawn(world, Work(1))
        quarantined, stranger = spawn(world, Work(), QuarantineComponent("too often")), spawn(world, Style())
        result = await run(world)
        assert {entity: outcome.reason for entity, outcome in result.items()} == {
            idle: EndReason.IDLE,
            terminal: EndReason.TERMINAL,
            failed: EndReason.IDLE,
            quarantined: EndReason.QUARANTINED,
        }
        assert stranger not in result
        assert list(result.errors) == [failed]
        assert len(result) == 4
        assert result[idle] == Outcome(EndReason.IDLE, None, steps=1)

    async def test_rule_15_terminal_stays_until_it_is_removed_and_does_not_end_the_others(self, world: World) -> None:
        calls: list[EntityId] = []

        @system
        async def note(me: Entity, work: Work) -> None:
            calls.append(me.id)

        world.register_system(note)
        first, second = spawn(world, Work(), TerminalComponent("done")), spawn(world, Work())
        await run(world)
        assert calls == [second]
        world.remove_component(first, TerminalComponent)
        await run(world)
        assert calls == [second, first]

    async def test_an_empty_world_gives_an_empty_result(self, world: World) -> None:
        assert await run(world) == RunResult({})

    async def test_a_negative_limit_is_refused(self, world: World) -> None:
        with pytest.raises(ValueError, match="max_ticks is -1"):
            await run(world, max_ticks=-1)


class TestDeadline:
    async def test_rule_15_running_calls_are_cancelled_and_told_apart_from_those_at_rest(self, world: World) -> None:
        world.register_system(wait)
        slow, quick = spawn(world, Work(100)), spawn(world, Work(1))
        result = await run(world, deadline=2.0)
        assert now() == 2.0
        assert (result[slow].reason, result[quick].reason) == (EndReason.DEADLINE, EndReason.IDLE)

    async def test_the_next_run_goes_on_with_them(self, world: World) -> None:
        world.register_system(wait)
        slow = spawn(world, Work(3))
        await run(world, deadline=2.0)
        result = await run(world, deadline=10.0)
        assert now() == 5.0
        assert result[slow].reason is EndReason.IDLE

    async def test_a_deadline_that_was_not_needed_leaves_nothing_behind(self, world: World) -> None:
        await run(world, deadline=50.0)
        assert now() == 0.0
        await asyncio.sleep(100.0)


class TestHandlers:
    async def test_a_slow_handler_does_not_slow_the_run_but_the_run_waits_for_it_at_its_end(self, world: World) -> None:
        log: list[tuple[str, float]] = []

        async def slow(event: Happened) -> None:
            await asyncio.sleep(0.3)
            log.append((f"heard {event.number}", now()))

        @system(when=lambda work: work.todo > 0)
        async def emit(me: Entity, work: Work) -> None:
            work.todo -= 1
            me.emit(Happened(work.todo))
            log.append((f"emitted {work.todo}", now()))

        world.event_bus.subscribe(Happened, slow)
        world.register_system(emit)
        spawn(world, Work(2))
        await Runner(grace=5.0).run(world)
        assert log == [("emitted 1", 0.0), ("emitted 0", 0.0), ("heard 1", 0.3), ("heard 0", 0.6)]

    async def test_the_waiting_is_bounded_by_the_grace(self, world: World) -> None:
        async def hang(_: Happened) -> None:
            await asyncio.sleep(1000.0)

        world.event_bus.subscribe(Happened, hang)
        world.report(Happened())
        await run(world)
        assert now() == GRACE
        assert [failure.event for failure in told(world, HandlerFailed)] == ["Happened"]

    async def test_what_a_handler_changes_at_the_end_of_a_run_is_still_taken_up(self, world: World) -> None:
        done: list[float] = []

        @system(when=lambda work: work.todo > 0)
        async def act(work: Work) -> None:
            work.todo -= 1
            done.append(now())

        async def late(_: Happened) -> None:
            await asyncio.sleep(0.25)
            world.add_component(entity, Work(1))
            await asyncio.sleep(0.25)
            assert done == [0.25], "nor does the agent wait for the handler"

        world.event_bus.subscribe(Happened, late)
        world.register_system(act)
        entity = spawn(world, Work())
        world.report(Happened())
        result = await Runner(grace=5.0).run(world)
        assert done == [0.25]
        assert result[entity].reason is EndReason.IDLE
        assert not told(world, HandlerFailed)

    async def test_a_handler_may_close_the_world_while_the_run_waits_for_it(self, world: World) -> None:
        async def close(_: Happened) -> None:
            await asyncio.sleep(0.25)
            await world.aclose()

        world.event_bus.subscribe(Happened, close)
        world.report(Happened())
        await Runner(grace=50.0).run(world)
        assert now() == 0.25
        await turns(5)
        assert not told(world, HandlerFailed)

    async def test_a_handler_may_run_a_world(self, world: World) -> None:
        async def tick(_: Happened) -> None:
            await world.process()

        world.event_bus.subscribe(Happened, tick)
        await world.event_bus.publish(Happened())
        assert now() == 0.0
        assert not told(world, HandlerFailed)


class TestServe:
    async def test_rule_16_it_sleeps_when_nothing_is_due_and_wakes_by_every_door(self, world: World) -> None:
        calls: list[float] = []

        @system
        async def note(work: Work) -> None:
            calls.append(now())

        world.register_system(note)
        entity = spawn(world, Work())
        serving = asyncio.ensure_future(Runner().serve(world))
        await asyncio.sleep(1.0)
        world.touch(entity)
        await asyncio.sleep(1.0)
        world.add_component(entity, Style())
        await asyncio.sleep(1.0)
        spawn(world, Work())
        await asyncio.sleep(1.0)
        assert calls == [0.0, 1.0, 2.0, 3.0]
        await world.aclose()
        result = await serving
        assert {outcome.reason for outcome in result.values()} == {EndReason.IDLE}

    async def test_an_idle_world_never_wakes_up(self, world: World) -> None:
        @system(when=lambda work: work.todo > 0)
        async def act(work: Work) -> None: ...

        world.register_system(act)
        world.event_bus.subscribe(Happened, _ignore)
        spawn(world, Work())
        serving = asyncio.ensure_future(Runner().serve(world))
        await asyncio.sleep(2.0)  # a second after the start everyone is looked at once more
        before = loop_turns()
        await asyncio.sleep(3600.0)
        assert loop_turns() - before <= 2, "the loop woke up for our own timer only"
        await world.aclose()
        await serving

    async def test_a_call_on_one_of_very_many_does_not_have_the_others_looked_at_each_time(self, world: World) -> None:
        looks = 0

        @system(when=lambda work: work.todo > 0)
        async def act(work: Work) -> None:
            work.todo = 0

        def look(style: Style) -> bool:
            nonlocal looks
            looks += 1
            return False

        @system(when=look)
        async def others(style: Style) -> None: ...

        for _ in range(1000):
            spawn(world, Style())
        one = spawn(world, Work())
        world.register_system(act)
        world.register_system(others)
        serving = asyncio.ensure_future(Runner().serve(world))
        await asyncio.sleep(2.0)
        before = looks
        for _ in range(10):
            world.add_component(one, Work(1))
            await asyncio.sleep(0.05)
        assert looks == before
        await asyncio.sleep(1.0)
        assert looks == before + 1000, "once, when all is quiet"
        await world.aclose()
        await serving

    async def test_waiting_for_one_slow_call_costs_no_wake_ups_either(self, world: World) -> None:
        world.register_system(wait)
        spawn(world, Work(10_000))
        for _ in range(50):
            spawn(world, Work(0))
        task = await begin(world)
        before = loop_turns()
        await task
        assert loop_turns() - before < 15

    async def test_it_ends_when_the_world_is_closed_and_says_who_was_stopped(self, world: World) -> None:
        world.register_system(wait)
        entity = spawn(world, Work(1000))
        serving = asyncio.ensure_future(Runner().serve(world))
        await asyncio.sleep(1.0)
        await world.aclose()
        assert serving.done()
        assert (await serving)[entity].reason is EndReason.STOPPED

    async def test_a_cancel_from_outside_ends_it(self, world: World) -> None:
        serving = asyncio.ensure_future(Runner().serve(world))
        await turns(3)
        serving.cancel()
        await ended(serving)
        assert serving.cancelled()
        await run(world)


async def _ignore(_: object) -> None: ...
