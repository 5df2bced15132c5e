"""Trying again after a failure: when, how often, and what ends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.core.parts import Ban, Style, Work, begin, change_later, now, run, spawn, told

from ecs_agent.core import (
    EndReason,
    Entity,
    EntityQuarantined,
    ErrorComponent,
    LoopClock,
    QuarantineComponent,
    Read,
    Runner,
    SupervisionComponent,
    TerminalComponent,
    World,
    system,
)
from ecs_agent.core.supervision import MAX_WAIT, judge
from ecs_agent.errors import AuthenticationError, RateLimitError, ServerError


class Failing:
    """Fails so many times, then no more; notes when it was called."""

    def __init__(self, *errors: BaseException, seconds: float = 0.0) -> None:
        self.errors = list(errors)
        self.seconds = seconds
        self.times: list[float] = []

    @system
    async def __call__(self, me: Entity, work: Work) -> None:
        self.times.append(now())
        await asyncio.sleep(self.seconds)
        if self.errors:
            raise self.errors.pop(0)


def errors(count: int) -> list[BaseException]:
    return [ValueError("bad")] * count


@pytest.fixture
async def timed() -> AsyncIterator[World]:
    """A world whose clock is that of the loop."""
    async with World(clock=LoopClock()) as world:
        yield world


class TestWaiting:
    async def test_rule_13_an_entity_with_a_policy_is_tried_again_each_wait_twice_as_long_as_the_last(self, timed: World) -> None:
        failing = Failing(*errors(5))
        timed.register_system(failing)
        entity = spawn(timed, Work(), SupervisionComponent(restarts=9, window=1000.0, backoff=2.0))
        result = await run(timed)
        assert failing.times == [0.0, 2.0, 6.0, 14.0, 30.0, 60.0], "the last wait is cut to 30 s"
        assert result[entity].reason is EndReason.IDLE
        assert not result.errors
        assert not timed.has_component(entity, ErrorComponent)

    async def test_rule_13_without_one_it_rests(self, timed: World) -> None:
        failing = Failing(*errors(1))
        timed.register_system(failing)
        spawn(timed, Work())
        await run(timed)
        assert failing.times == [0.0]

    @pytest.mark.parametrize(("asked", "waited"), [(10.0, 10.0), (0.5, 1.0), (None, 1.0), (float("inf"), MAX_WAIT), (1e9, MAX_WAIT)])
    async def test_rule_13_a_longer_wait_that_the_error_asks_for_is_kept(self, timed: World, asked: float | None, waited: float) -> None:
        failing = Failing(RateLimitError("busy", retry_after=asked))
        timed.register_system(failing)
        spawn(timed, Work(), SupervisionComponent())
        await run(timed)
        assert failing.times == [0.0, waited]

    async def test_rule_13_the_error_says_when(self, timed: World) -> None:
        timed.register_system(Failing(*errors(1)))
        entity = spawn(timed, Work(), SupervisionComponent(backoff=5.0))
        task = await begin(timed)
        error = timed.get_component(entity, ErrorComponent)
        assert error is not None
        assert error.retry_at == 5.0
        await task

    async def test_rule_13_more_failures_within_the_window_than_restarts_are_a_quarantine(self, timed: World) -> None:
        failing = Failing(*errors(9))
        timed.register_system(failing)
        entity = spawn(timed, Work(), SupervisionComponent(restarts=2))
        result = await run(timed)
        assert failing.times == [0.0, 1.0, 3.0]
        assert result[entity].reason is EndReason.QUARANTINED
        assert told(timed, EntityQuarantined) == [EntityQuarantined(entity, "3 failures within 60 s, the last: bad")]
        error = timed.get_component(entity, ErrorComponent)
        assert error is not None
        assert error.retry_at is None

    async def test_rule_13_failures_that_the_window_has_passed_count_no_more(self, timed: World) -> None:
        failing = Failing(*errors(6), seconds=10.0)
        timed.register_system(failing)
        entity = spawn(timed, Work(), SupervisionComponent(restarts=1, window=5.0))
        result = await run(timed)
        assert len(failing.times) == 7
        assert result[entity].reason is EndReason.IDLE

    async def test_rule_13_an_error_that_says_another_try_is_useless_is_left_alone_unless_the_policy_says_otherwise(self, timed: World) -> None:
        failing = Failing(AuthenticationError("wrong key"))
        timed.register_system(failing)
        entity = spawn(timed, Work(), SupervisionComponent())
        result = await run(timed)
        assert failing.times == [0.0]
        assert (result[entity].reason, timed.has_component(entity, QuarantineComponent)) == (EndReason.IDLE, False)
        failing.errors = [AuthenticationError("wrong key")]
        timed.add_component(entity, SupervisionComponent(retryable_only=False))
        timed.touch(entity)
        await run(timed)
        assert failing.times == [0.0, 0.0, 1.0]

    async def test_rule_13_also_such_errors_do_not_go_on_for_ever_when_somebody_insists(self, timed: World) -> None:
        failing = Failing(*[AuthenticationError("wrong key")] * 50)

        @system(priority=1)
        async def insist(me: Entity, error: Read[ErrorComponent]) -> None:
            me.remove(ErrorComponent)

        timed.register_system(failing)
        timed.register_system(insist)
        entity = spawn(timed, Work(), SupervisionComponent(restarts=9))
        result = await run(timed)
        assert result[entity].reason is EndReason.QUARANTINED
        assert len(failing.times) == 3

    async def test_rule_13_each_entity_waits_by_itself(self, timed: World) -> None:
        times: list[tuple[float, int]] = []

        @system
        async def failing(me: Entity, work: Work) -> None:
            times.append((now(), me.id))
            if len([1 for _, each in times if each == me.id]) == 1:
                raise ValueError("bad")

        timed.register_system(failing)
        one = spawn(timed, Work(), SupervisionComponent(backoff=3.0))
        two = spawn(timed, Work(), SupervisionComponent(backoff=1.0))
        await run(timed)
        assert times == [(0.0, one), (0.0, two), (1.0, two), (3.0, one)]


class TestEndingTheWait:
    async def test_rule_13_new_input_ends_it_at_once_and_forgives(self, timed: World) -> None:
        failing = Failing(*errors(1))
        timed.register_system(failing)
        entity = spawn(timed, Work(), SupervisionComponent(backoff=20.0))
        change_later(3.0, timed.touch, entity)
        await run(timed)
        assert failing.times == [0.0, 3.0]
        assert now() == 3.0, "nobody waits for a try that is no longer needed"
        assert not timed.state.row(entity).failures

    async def test_rule_13_so_does_whoever_takes_the_error_away(self, timed: World) -> None:
        failing = Failing(*errors(1))
        timed.register_system(failing)
        entity = spawn(timed, Work(), SupervisionComponent(backoff=20.0))
        change_later(3.0, timed.remove_component, entity, ErrorComponent)
        await run(timed)
        assert (failing.times, now()) == ([0.0, 3.0], 3.0)

    @pytest.mark.parametrize("halting", [TerminalComponent("enough"), QuarantineComponent("enough")])
    async def test_an_entity_that_is_ended_meanwhile_is_not_waited_for(self, timed: World, halting: object) -> None:
        failing = Failing(*errors(1))
        timed.register_system(failing)
        entity = spawn(timed, Work(), SupervisionComponent(backoff=20.0))
        change_later(3.0, timed.add_component, entity, halting)
        await run(timed)
        assert (failing.times, now()) == ([0.0], 3.0)

    @pytest.mark.parametrize(("back", "tried"), [(5.0, 20.0), (50.0, 50.0)])
    async def test_if_that_is_taken_back_within_the_run_it_is_tried_again_after_all(self, timed: World, back: float, tried: float) -> None:
        failing = Failing(*errors(1))
        timed.register_system(failing)

        @system
        async def busy(ban: Ban) -> None:
            await asyncio.sleep(60.0)

        timed.register_system(busy)
        spawn(timed, Ban())
        entity = spawn(timed, Work(), SupervisionComponent(backoff=20.0))
        change_later(3.0, timed.add_component, entity, TerminalComponent("enough"))
        change_later(back, timed.remove_component, entity, TerminalComponent)
        await run(timed)
        assert failing.times == [0.0, tried]

    async def test_a_deleted_one_is_not_either(self, timed: World) -> None:
        timed.register_system(Failing(*errors(1)))
        entity = spawn(timed, Work(), SupervisionComponent(backoff=20.0))
        change_later(3.0, timed.delete_entity, entity)
        assert dict(await run(timed)) == {}
        assert now() == 3.0

    async def test_rule_13_a_deadline_ends_it_and_the_next_run_takes_it_up(self, timed: World) -> None:
        failing = Failing(*errors(1))
        timed.register_system(failing)
        entity = spawn(timed, Work(), SupervisionComponent(backoff=20.0))
        result = await run(timed, deadline=5.0)
        assert result[entity].reason is EndReason.DEADLINE
        assert isinstance(result[entity].error, ValueError)
        await run(timed)
        assert failing.times == [0.0, 20.0]

    async def test_rule_13_one_whose_time_has_come_between_two_runs_is_tried_at_once(self, timed: World) -> None:
        failing = Failing(*errors(1))
        timed.register_system(failing)
        spawn(timed, Work(), SupervisionComponent(backoff=20.0))
        await run(timed, deadline=5.0)
        await asyncio.sleep(45.0)
        await run(timed)
        assert failing.times == [0.0, 50.0]

    async def test_rule_13_another_system_that_fails_meanwhile_begins_a_new_wait(self, timed: World) -> None:
        failing = Failing(*errors(1))
        timed.register_system(failing)

        @system
        async def later(me: Entity, style: Style) -> None:
            await asyncio.sleep(3.0)
            if style.name == "bad":
                style.name = "good"
                raise ValueError("bad")

        timed.register_system(later)
        spawn(timed, Work(), Style("bad"), SupervisionComponent(backoff=5.0))
        await run(timed)
        assert failing.times == [0.0, 13.0], "the second failure at 3.0 waits 10 s"

    async def test_rule_16_serving_sleeps_until_the_next_try(self, timed: World) -> None:
        failing = Failing(*errors(1))
        timed.register_system(failing)
        spawn(timed, Work(), SupervisionComponent(backoff=4.0))
        serving = asyncio.ensure_future(Runner().serve(timed))
        await asyncio.sleep(10.0)
        assert failing.times == [0.0, 4.0]
        timed.stop()
        await serving


class TestCounting:
    async def test_rule_13_failures_count_across_ticks(self, timed: World) -> None:
        failing = Failing(*errors(9))
        timed.register_system(failing)

        @system(priority=1)
        async def insist(me: Entity, error: Read[ErrorComponent]) -> None:
            me.remove(ErrorComponent)

        timed.register_system(insist)
        entity = spawn(timed, Work())
        for _ in range(9):
            await timed.process()
        assert len(failing.times) == 3
        assert timed.has_component(entity, QuarantineComponent)

    async def test_rule_13_and_across_runs(self, timed: World) -> None:
        failing = Failing(*errors(9))
        timed.register_system(failing)
        entity = spawn(timed, Work())
        for _ in range(9):
            await run(timed)
            timed.remove_component(entity, ErrorComponent)
        assert len(failing.times) == 3
        timed.touch(entity)
        await run(timed)
        assert len(failing.times) == 4

    async def test_rule_13_in_a_loop_of_ticks_it_is_tried_again_when_its_time_has_come(self, timed: World) -> None:
        failing = Failing(*errors(2))
        timed.register_system(failing)
        spawn(timed, Work(), SupervisionComponent(backoff=2.0))
        for _ in range(10):
            await timed.process()
            await asyncio.sleep(1.0)
        assert failing.times == [0.0, 2.0, 6.0]

    @pytest.mark.parametrize("count", [0, 1, 5, 2000])
    def test_a_wait_is_bounded_whatever_was_counted(self, count: int) -> None:
        verdict = judge(SupervisionComponent(restarts=10_000), [0.0] * count, 1.0, ServerError("down"))
        assert verdict.delay is not None
        assert 0.0 < verdict.delay <= 30.0

    @pytest.mark.parametrize("name", ["__str__", "retry_after", "kind", "retryable"])
    async def test_an_error_that_fails_when_it_is_asked_fails_its_entity_only(self, timed: World, name: str) -> None:
        def raising(_: Any) -> Any:
            raise ValueError("not even this")

        bad = type("Bad", (Exception,), {name: raising if name == "__str__" else property(raising)})()
        timed.register_system(Failing(bad))
        entity, other = spawn(timed, Work(), SupervisionComponent()), spawn(timed, Work(), Ban())
        result = await run(timed)
        assert {result[each].reason for each in (entity, other)} == {EndReason.IDLE}
