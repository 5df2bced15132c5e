"""World systems that meet whoever has arrived: they run beside the agents, and nobody waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.core.parts import GRACE, Ban, Noting, Style, Work, change_later, now, run, spawn, told, turns

from ecs_agent.core import EndReason, Entity, Runner, World, WorldSystemFailed, system
from ecs_agent.errors import SystemDefinitionError


class Arriving:
    """Notes when it ran, and does what it is given to do."""

    meets = "arrived"

    def __init__(self, act: Callable[[World], Awaitable[object]] | None = None, name: str = "arriving") -> None:
        self.times: list[float] = []
        self.act = act
        self.__name__ = name

    async def process(self, world: World) -> None:
        self.times.append(now())
        if self.act is not None:
            await self.act(world)


@system(when=lambda work: work.todo > 0)
async def ticking(me: Entity, work: Work) -> None:
    """One second for each thing to do."""
    await asyncio.sleep(1.0)
    work.todo -= 1


class TestTicks:
    async def test_rule_8_it_gets_one_tick_at_the_start_also_without_entities(self, world: World) -> None:
        arriving = Arriving()
        world.register_system(arriving)
        await run(world)
        assert arriving.times == [0.0]

    async def test_rule_8_and_one_after_each_turn_of_the_loop_in_which_something_changed(self, world: World) -> None:
        arriving = Arriving()
        world.register_system(ticking)
        world.register_system(arriving)
        for _ in range(10):
            spawn(world, Work(3))
        await run(world)
        assert arriving.times == [0.0, 1.0, 2.0, 3.0]

    async def test_rule_8_it_runs_beside_the_calls_on_entities_and_does_not_slow_them(self, world: World) -> None:
        """99 fast agents, and one slow, beside a system that takes a while: a barrier would have everyone wait for the slow one at each step."""

        async def act(_: World) -> None:
            await asyncio.sleep(0.3)

        ended: list[float] = []

        @system(priority=1)
        async def end(me: Entity, work: Work, style: Style) -> None:
            if not work.todo:
                ended.append(now())

        world.register_system(ticking)
        world.register_system(end)
        world.register_system(Arriving(act), priority=1)
        for _ in range(99):
            spawn(world, Work(3), Style())
        slow = spawn(world, Work(50))
        result = await run(world)
        assert ended == [3.0] * 99
        assert result[slow].steps == 50

    async def test_rule_8_changes_while_it_runs_give_it_one_more_tick_and_not_one_each(self, world: World) -> None:
        async def act(_: World) -> None:
            await asyncio.sleep(2.5)

        arriving = Arriving(act)
        world.register_system(ticking)
        world.register_system(arriving)
        spawn(world, Work(4))
        await run(world)
        assert arriving.times == [0.0, 2.5, 5.0]

    async def test_rule_8_its_own_changes_do_not_wake_it_but_they_wake_another(self, world: World) -> None:
        async def act(world: World) -> None:
            spawn(world, Ban())

        writing, other = Arriving(act), Arriving()
        world.register_system(writing)
        world.register_system(other)
        await asyncio.wait_for(run(world, 20), 100.0)
        assert len(writing.times) == 1
        assert len(other.times) == 2

    async def test_rule_8_own_changes_among_those_of_others_are_no_excuse(self, world: World) -> None:
        async def act(world: World) -> None:
            await asyncio.sleep(1.5)
            spawn(world, Ban())

        writing = Arriving(act)
        world.register_system(ticking)
        world.register_system(writing)
        spawn(world, Work(1))
        await run(world)
        assert writing.times == [0.0, 1.5], "the agent was done at 1.0, while it ran"

    async def test_rule_8_what_it_sends_and_asks_for_is_taken_up(self, world: World) -> None:
        async def act(world: World) -> None:
            world.request(entity, lambda it: it.add(Work(2)))

        arriving = Arriving(act)
        world.register_system(ticking)
        world.register_system(arriving)
        entity = spawn(world, Style())
        result = await run(world, 5)
        assert result[entity].steps == 5

    async def test_rule_8_before_a_run_ends_it_sees_also_edits_that_nobody_told_of(self, world: World) -> None:
        style = Style("before")
        seen: list[str] = []

        async def act(world: World) -> None:
            seen.append(style.name)

        @system
        async def edit(ban: Ban) -> None:
            await asyncio.sleep(1.0)
            style.name = "after"

        world.register_system(edit)
        world.register_system(Arriving(act))
        spawn(world, Ban())
        spawn(world, style)
        await run(world)
        assert seen == ["before", "after"]

    async def test_rule_8_in_a_tick_it_is_a_barrier_like_the_others(self, world: World) -> None:
        log: list[Any] = []
        arriving = Arriving()

        @system
        async def first(me: Entity, work: Work) -> None:
            await asyncio.sleep(1.0)

        @system(priority=10)
        async def second(me: Entity, work: Work) -> None:
            log.append(now())

        async def act(_: World) -> None:
            await asyncio.sleep(1.0)

        arriving.act = act
        world.register_system(first)
        world.register_system(arriving, priority=5)
        world.register_system(second)
        spawn(world, Work())
        await world.process()
        assert (arriving.times, log) == ([1.0], [2.0])

    async def test_rule_10_it_gets_no_more_ticks_than_the_limit_of_a_run(self, world: World) -> None:
        arriving = Arriving()
        world.register_system(ticking)
        world.register_system(arriving)
        spawn(world, Work(5))
        await run(world, 2)
        assert arriving.times == [0.0, 1.0]

    async def test_one_that_is_registered_during_a_run_gets_its_tick(self, world: World) -> None:
        arriving = Arriving()
        world.register_system(ticking)
        spawn(world, Work(3))
        change_later(1.5, world.register_system, arriving)
        await run(world)
        assert arriving.times == [1.5, 2.0, 3.0]

    async def test_rule_8_while_serving_any_change_wakes_it(self, world: World) -> None:
        arriving = Arriving()
        world.register_system(arriving)
        serving = asyncio.ensure_future(Runner(grace=GRACE).serve(world))
        for second in (5.0, 9.0):
            change_later(second, spawn, world, Style())
        await asyncio.sleep(20.0)
        assert arriving.times == [0.0, 5.0, 9.0]
        world.stop()
        await serving

    def test_another_word_than_these_two_is_refused(self) -> None:
        class Other(Arriving):
            meets = "some"

        with pytest.raises(SystemDefinitionError, match="Other.meets is 'some'; it is 'all', a barrier, or 'arrived', which waits for nobody"):
            World().register_system(type("Other", (), {"meets": "some", "process": Other.process})())


class TestBarriers:
    async def test_rule_8_none_runs_during_a_meeting_of_barriers(self, world: World) -> None:
        during: list[int] = []

        async def meet(world: World) -> None:
            before = len(arriving.times)
            spawn(world, Style())
            await asyncio.sleep(5.0)
            during.append(len(arriving.times) - before)

        arriving = Arriving()
        world.register_system(ticking)
        world.register_system(arriving)
        world.register_system(Noting([], act=meet), priority=5)
        spawn(world, Work(2))
        await run(world)
        assert during
        assert set(during) == {0}
        assert arriving.times[-1] == now()

    async def test_rule_8_a_barrier_waits_for_it(self, world: World) -> None:
        met: list[float] = []

        async def act(_: World) -> None:
            await asyncio.sleep(3.0)

        async def meet(_: World) -> None:
            met.append(now())

        world.register_system(Arriving(act))
        world.register_system(Noting([], act=meet))
        await run(world)
        assert met[0] == 3.0


class TestEnding:
    async def test_rule_16_a_run_ends_only_when_it_is_at_rest(self, world: World) -> None:
        async def act(_: World) -> None:
            await asyncio.sleep(7.0)

        world.register_system(Arriving(act))
        await run(world)
        assert now() == 7.0

    @pytest.mark.parametrize("error", [ValueError("bad"), SystemExit("bad"), asyncio.CancelledError("bad")])
    async def test_rule_13_a_failure_ends_the_run_with_that_reason(self, world: World, error: BaseException) -> None:
        async def act(_: World) -> None:
            await asyncio.sleep(1.5)
            raise error

        world.register_system(ticking)
        world.register_system(Arriving(act))
        entity = spawn(world, Work(50))
        result = await run(world)
        assert result[entity].reason is EndReason.SYSTEM_FAILED
        assert [type(each) for each in result.system_errors] == [ValueError if isinstance(error, ValueError) else RuntimeError]
        assert told(world, WorldSystemFailed) == [WorldSystemFailed("arriving", f"{type(error).__name__}: bad")]
        assert now() == 1.5

    async def test_rule_8_one_that_raises_does_not_cancel_the_others(self, world: World) -> None:
        ended: list[float] = []

        async def fail(_: World) -> None:
            raise ValueError("bad")

        async def go_on(_: World) -> None:
            await asyncio.sleep(1.0)
            ended.append(now())

        failing, going = Arriving(fail), Arriving(go_on)
        world.register_system(failing)
        world.register_system(going)
        world.register_system(ticking)
        spawn(world, Work(50))
        await run(world)
        assert ended == [1.0]
        assert len(failing.times) == 1, "none begins again"

    async def test_rule_8_at_a_stop_it_is_cancelled_together_with_the_calls(self, world: World) -> None:
        ended: list[tuple[str, float]] = []

        async def act(_: World) -> None:
            try:
                await asyncio.sleep(50.0)
            finally:
                await asyncio.sleep(GRACE / 2)
                ended.append(("system", now()))

        @system
        async def working(me: Entity, work: Work) -> None:
            try:
                await asyncio.sleep(50.0)
            finally:
                ended.append(("call", now()))

        world.register_system(Arriving(act))
        world.register_system(working)
        entity = spawn(world, Work())
        result = await run(world, deadline=1.0)
        assert ended == [("call", 1.0), ("system", 1.0 + GRACE / 2)]
        assert result[entity].reason is EndReason.DEADLINE
        assert told(world, WorldSystemFailed) == []

    async def test_rule_8_one_that_does_not_end_within_the_grace_is_reported_and_left(self, world: World) -> None:
        ending = asyncio.Event()

        async def act(_: World) -> None:
            while not ending.is_set():
                try:
                    await ending.wait()
                except asyncio.CancelledError:
                    continue

        world.register_system(Arriving(act))
        await run(world, deadline=1.0)
        assert now() == 1.0 + GRACE
        assert told(world, WorldSystemFailed) == [WorldSystemFailed("arriving", f"did not end within {GRACE} s after the cancel")]
        ending.set()
        await turns(3)

    @pytest.mark.parametrize("count", range(4))
    async def test_one_that_was_about_to_begin_is_not_reported(self, world: World, count: int) -> None:
        arriving = Arriving()
        world.register_system(arriving)
        task = asyncio.ensure_future(run(world))
        await turns(count)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert told(world, WorldSystemFailed) == []

    async def test_a_run_that_is_cancelled_twice_while_one_ends_leaves_a_world_that_can_run_again(self, world: World) -> None:
        async def act(_: World) -> None:
            try:
                await asyncio.sleep(50.0)
            finally:
                await asyncio.sleep(GRACE / 2)

        arriving = Arriving(act)
        world.register_system(arriving)
        task = asyncio.ensure_future(run(world))
        await asyncio.sleep(1.0)
        task.cancel()
        await asyncio.sleep(GRACE / 4)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert world.engine is None
        await asyncio.sleep(GRACE)
        arriving.act = None
        await run(world)
