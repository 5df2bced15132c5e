"""Calls that fail: the entity rests, is forgiven, or is put in quarantine; nobody else is disturbed. The rules are those of the scheduler."""

from __future__ import annotations

import asyncio

import pytest
from tests.core.parts import Style, Work, change_later, now, run, spawn, told

from ecs_agent.core import (
    EndReason,
    Entity,
    EntityQuarantined,
    ErrorComponent,
    LoopClock,
    QuarantineComponent,
    Read,
    TerminalComponent,
    World,
    system,
)
from ecs_agent.errors import LeaseRevokedError, NoProgressError, RateLimitError
from ecs_agent.types import EntityId, ErrorOccurredEvent


class TestFailing:
    @pytest.mark.parametrize("error", [ValueError("bad"), SystemExit("bad"), RateLimitError("bad")])
    async def test_rule_13_whatever_a_system_raises_fails_its_entity_only(self, world: World, error: BaseException) -> None:
        calls: list[EntityId] = []

        @system
        async def failing(me: Entity, work: Work) -> None:
            calls.append(me.id)
            if work.todo:
                raise error

        world.register_system(failing)
        bad, good = spawn(world, Work(1)), spawn(world, Work(0))
        result = await run(world)
        assert (result[bad].error, result[good].error) == (error, None)
        assert result.errors == {bad: error}
        component = world.get_component(bad, ErrorComponent)
        assert component is not None
        assert (component.error, component.system_name) == ("bad", "failing")
        assert (component.kind, component.retryable) == (("rate_limit", True) if isinstance(error, RateLimitError) else (None, False))
        assert told(world, ErrorOccurredEvent) == [ErrorOccurredEvent(bad, "bad", "failing")]
        await run(world)
        assert calls == [bad, good]

    async def test_rule_13_a_failed_entity_is_due_again_after_touch(self, world: World) -> None:
        calls: list[int] = []

        @system
        async def failing_once(me: Entity, work: Work) -> None:
            calls.append(len(calls))
            if len(calls) == 1:
                raise ValueError

        world.register_system(failing_once)
        entity = spawn(world, Work())
        await run(world)
        component = world.get_component(entity, ErrorComponent)
        assert component is not None
        assert component.error == "ValueError", "an error without words is named"
        world.touch(entity)
        result = await run(world)
        assert calls == [0, 1]
        assert not result.errors

    async def test_rule_13_a_failure_is_settled_before_it_is_told(self, world: World) -> None:
        class Failing:
            @system
            async def __call__(self, work: Work) -> None:
                raise ValueError("bad")

            def settle(self, me: Entity) -> None:
                me.emit("settled")
                assert not me.has(ErrorComponent)

        world.register_system(Failing())
        entity = spawn(world, Work())
        result = await run(world)
        assert "settled" in told(world, str)
        assert isinstance(result[entity].error, ValueError)

    @pytest.mark.parametrize("error", [ValueError("cannot settle"), SystemExit("cannot settle")])
    async def test_a_settle_that_raises_is_a_failure_too(self, world: World, error: BaseException) -> None:
        class Failing:
            kept: Entity | None = None

            @system
            async def __call__(self, work: Work) -> None:
                await asyncio.sleep(10.0)

            def settle(self, me: Entity) -> None:
                self.kept = me
                raise error

        failing = Failing()
        world.register_system(failing)
        entity = spawn(world, Work())
        change_later(1.0, world.add_component, entity, TerminalComponent("enough"))
        result = await run(world)
        assert result[entity].error is error
        assert failing.kept is not None
        with pytest.raises(LeaseRevokedError):
            failing.kept.get(Work)

    @pytest.mark.parametrize("error", [ValueError("no"), SystemExit("no")])
    async def test_a_predicate_that_raises_fails_its_entity_only(self, world: World, error: BaseException) -> None:
        calls: list[EntityId] = []

        def ask(work: Work) -> bool:
            if work.todo:
                raise error
            return not work.done

        @system(when=ask)
        async def one(me: Entity, work: Work) -> None:
            calls.append(me.id)
            work.done.append("x")

        world.register_system(one)
        bad, good = spawn(world, Work(1)), spawn(world, Work(0))
        result = await run(world)
        assert calls == [good]
        assert result.errors == {bad: error}

    async def test_rule_3_a_predicate_that_stays_true_after_3_calls_without_a_change_is_a_failure(self, world: World) -> None:
        calls: list[float] = []

        @system(when=lambda work: work.todo)
        async def idle(work: Work) -> None:
            calls.append(now())

        world.register_system(idle)
        entity = spawn(world, Work(1))
        result = await run(world)
        assert len(calls) == 3
        assert isinstance(result[entity].error, NoProgressError)
        assert str(result[entity].error) == "'when' of idle is still true after 3 calls that changed nothing"

    async def test_rule_3_any_change_counts_as_progress(self, world: World) -> None:
        @system(when=lambda work: len(work.done) < 10)
        async def busy(work: Work) -> None:
            work.done.append("x")

        world.register_system(busy)
        entity = spawn(world, Work())
        assert not (await run(world)).errors
        assert world.get_component(entity, Work) == Work(0, ["x"] * 10)

    async def test_rule_13_three_failures_within_60_seconds_quarantine_the_entity_until_touch(self, world: World) -> None:
        calls: list[float] = []

        @system
        async def failing(me: Entity, work: Work) -> None:
            calls.append(now())
            raise ValueError("bad")

        @system(priority=1)
        async def insist(me: Entity, error: Read[ErrorComponent]) -> None:
            await asyncio.sleep(1.0)
            me.remove(ErrorComponent)

        world.register_system(failing)
        world.register_system(insist)
        entity = spawn(world, Work())
        result = await run(world)
        assert calls == [0.0, 1.0, 2.0]
        assert result[entity].reason is EndReason.QUARANTINED
        assert told(world, EntityQuarantined) == [EntityQuarantined(entity, "3 failures within 60 s, the last: bad")]
        world.touch(entity)
        await run(world)
        assert len(calls) == 6

    async def test_rule_13_failures_that_lie_further_apart_do_not(self) -> None:
        world = World(clock=LoopClock())
        calls: list[float] = []

        @system(when=lambda work: len(calls) < 10)
        async def failing(me: Entity, work: Work) -> None:
            calls.append(now())
            raise ValueError("bad")

        @system(priority=1)
        async def insist(me: Entity, error: Read[ErrorComponent]) -> None:
            await asyncio.sleep(31.0)
            me.remove(ErrorComponent)

        world.register_system(failing)
        world.register_system(insist)
        entity = spawn(world, Work())
        result = await run(world)
        assert len(calls) == 10
        assert result[entity].reason is EndReason.IDLE

    async def test_rule_13_touch_during_a_run_forgives_and_the_entity_goes_on(self, world: World) -> None:
        calls: list[float] = []

        @system
        async def failing(me: Entity, work: Work) -> None:
            calls.append(now())
            if len(calls) < 5:
                raise ValueError("bad")

        @system
        async def keep_running(style: Style) -> None:
            for _ in range(6):
                await asyncio.sleep(1.0)
                world.touch(entity)

        world.register_system(failing)
        world.register_system(keep_running)
        entity = spawn(world, Work())
        spawn(world, Style())
        result = await run(world)
        assert calls == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
        assert result[entity].reason is EndReason.IDLE
        assert not result.errors
        assert not told(world, EntityQuarantined)

    async def test_a_system_that_runs_also_in_quarantine_does_not_fail_for_ever(self, world: World) -> None:
        calls: list[float] = []

        @system
        async def failing(me: Entity, work: Work, error: ErrorComponent | None, quarantine: QuarantineComponent | None) -> None:
            calls.append(now())
            await asyncio.sleep(1.0)
            me.add(Style(str(len(calls))))
            raise ValueError("bad")

        @system
        async def poke(me: Entity, style: Style, error: ErrorComponent | None, quarantine: QuarantineComponent | None) -> None:
            me.emit("poked")

        @system(priority=1)
        async def touch(me: Entity, style: Style, error: ErrorComponent, quarantine: QuarantineComponent | None) -> None:
            me.touch(Style)

        for one in (failing, poke, touch):
            world.register_system(one)
        entity = spawn(world, Work())
        result = await asyncio.wait_for(run(world), 100.0)
        assert len(calls) == 4
        assert result[entity].reason is EndReason.QUARANTINED

    def test_a_keyboard_interrupt_passes_and_leaves_a_world_that_can_run_again(self) -> None:
        world = World()
        calls: list[str] = []

        @system
        async def interrupted(me: Entity, work: Work) -> None:
            calls.append("called")
            if len(calls) == 1:
                raise KeyboardInterrupt

        world.register_system(interrupted)
        entity = spawn(world, Work())
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(run(world))
        assert not world.state.row(entity).calls
        world.touch(entity)
        asyncio.run(run(world))
        assert calls == ["called", "called"]
