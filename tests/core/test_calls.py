"""One call of a system: how it fails, how it is cancelled, and that the data it leaves is valid. The rules are those of the scheduler."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from tests.core.parts import GRACE, Ban, Style, Work, begin, now, run, spawn, told, turns

from ecs_agent.core import (
    CallLeaked,
    ComponentChanged,
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
from ecs_agent.core.tasks import ended
from ecs_agent.errors import LeaseRevokedError, NoProgressError, RateLimitError
from ecs_agent.types import EntityId, ErrorOccurredEvent


class Slow:
    """A system whose call takes ten seconds; it notes how the call ended, and that and how `settle` was called."""

    def __init__(self) -> None:
        self.began: list[float] = []
        self.ends: list[str] = []
        self.settled: list[str] = []
        self.refused = 0
        self.work: Work | None = None

    @system(without=(Ban,))
    async def __call__(self, me: Entity, work: Work, style: Style | None) -> None:
        self.began.append(now())
        self.work = work
        try:
            await asyncio.sleep(10.0)
            work.done.append("finished")
            self.ends.append("finished")
        except asyncio.CancelledError:
            self.ends.append("cancelled")
            try:
                me.add(Style("written after the cancel"))
            except LeaseRevokedError:
                self.refused += 1
            raise

    def settle(self, me: Entity) -> None:
        me.emit("settled")
        self.settled.append(f"with {'' if me.has(Work) else 'no '}work")


def banned(world: World, entity: EntityId) -> bool:
    world.add_component(entity, Ban())
    return True


def change_later(seconds: float, change: Callable[..., object], *arguments: object) -> None:
    asyncio.get_running_loop().call_later(seconds, change, *arguments)


class TestCancelledByAChange:
    @pytest.mark.parametrize(
        ("change", "reason", "settled"),
        [
            (lambda world, entity: world.remove_component(entity, Work), EndReason.IDLE, ["with no work"]),
            (lambda world, entity: world.add_component(entity, Ban()), EndReason.IDLE, ["with work"]),
            (lambda world, entity: world.add_component(entity, TerminalComponent("enough")), EndReason.TERMINAL, ["with work"]),
            (lambda world, entity: banned(world, entity) and world.remove_component(entity, Work), EndReason.IDLE, ["with no work"]),
        ],
        ids=["required component removed", "excluded component added", "Terminal added by others", "two reasons in one turn"],
    )
    async def test_rule_11_the_call_is_cancelled_its_lease_refuses_and_settle_is_called_once_with_a_valid_one(
        self, world: World, change: Callable[[World, EntityId], object], reason: EndReason, settled: list[str]
    ) -> None:
        slow = Slow()
        world.register_system(slow)
        entity = spawn(world, Work())
        change_later(3.0, change, world, entity)
        result = await run(world)
        assert now() == 3.0
        assert (slow.began, slow.ends, slow.refused, slow.settled) == ([0.0], ["cancelled"], 1, settled)
        assert (result[entity].reason, result[entity].error) == (reason, None)
        assert not world.has_component(entity, Style)

    async def test_rule_11_a_deleted_entity_has_its_call_cancelled_and_nothing_to_settle(self, world: World) -> None:
        slow = Slow()
        world.register_system(slow)
        entity = spawn(world, Work())
        change_later(3.0, world.delete_entity, entity)
        result = await run(world)
        assert now() == 3.0
        assert (slow.ends, slow.refused, slow.settled) == (["cancelled"], 1, [])
        assert entity not in result

    async def test_rule_11_the_driver_goes_on_after_a_cancelled_call(self, world: World) -> None:
        slow, calls = Slow(), []

        @system(priority=5)
        async def afterwards(style: Style) -> None:
            await asyncio.sleep(1.0)
            calls.append(now())

        world.register_system(slow)
        world.register_system(afterwards)
        entity = spawn(world, Work(), Style())
        change_later(3.0, world.remove_component, entity, Work)
        await run(world)
        assert calls == [4.0]

    async def test_rule_11_the_next_call_knows_nothing_of_the_cancel_of_the_one_before(self, world: World) -> None:
        cancels: list[int] = []

        @system(priority=5)
        async def afterwards(style: Style) -> None:
            task = asyncio.current_task()
            assert task is not None
            cancels.append(task.cancelling())  # what TaskGroup and timeout ask, to see whether somebody else wants them to end

        world.register_system(Slow())
        world.register_system(afterwards)
        entity = spawn(world, Work(), Style())
        change_later(3.0, world.remove_component, entity, Work)
        await run(world)
        assert cancels == [0]

    async def test_rule_11_a_call_whose_components_came_back_is_made_again(self, world: World) -> None:
        slow = Slow()
        world.register_system(slow)
        entity = spawn(world, Work())

        def away_and_back() -> None:
            world.remove_component(entity, Work)
            world.add_component(entity, Work())

        change_later(3.0, away_and_back)
        await run(world)
        assert (slow.began, slow.ends) == ([0.0, 3.0], ["cancelled", "finished"])

    async def test_rule_11_a_replaced_component_leaves_the_call_with_the_old_object(self, world: World) -> None:
        slow = Slow()
        world.register_system(slow)
        old, new = Work(1), Work(2)
        entity = spawn(world, old)
        change_later(3.0, world.add_component, entity, new)
        await run(world)
        assert (old.done, new.done) == (["finished"], ["finished"]), "the change made the system due again, with the new one"
        assert slow.ends == ["finished", "finished"]
        assert told(world, ComponentChanged) == [ComponentChanged(entity, new)]

    async def test_rule_11_an_optional_component_may_come_and_go(self, world: World) -> None:
        slow = Slow()
        world.register_system(slow)
        entity = spawn(world, Work(), Style())
        change_later(3.0, world.remove_component, entity, Style)
        await run(world)
        assert slow.ends == ["finished", "finished"]

    async def test_rule_11_the_failure_of_another_system_does_not_stop_a_running_call(self, world: World) -> None:
        slow = Slow()

        @system
        async def failing(style: Style) -> None:
            await asyncio.sleep(1.0)
            raise ValueError("bad")

        @system
        async def quick(me: Entity, work: Read[Work]) -> None: ...

        world.register_system(quick)
        world.register_system(failing)
        entity = spawn(world, Work(), Style())
        world.register_system(beside(slow))
        result = await run(world)
        assert slow.ends == ["finished"]
        assert isinstance(result[entity].error, ValueError)

    @pytest.mark.parametrize(
        "change",
        [
            lambda world, me: me.add(TerminalComponent("done")),
            lambda world, me: world.add_component(me.id, TerminalComponent("done")),
            lambda world, me: me.remove(Work),
            lambda world, me: me.add(Ban()),
        ],
        ids=["Terminal through the lease", "Terminal past the lease", "its own component removed", "what keeps it away added"],
    )
    async def test_rule_11_after_such_a_change_of_its_own_a_call_finishes(self, world: World, change: Callable[[World, Entity], object]) -> None:
        ends: list[str] = []

        class Ending:
            @system(without=(Ban,))
            async def __call__(self, me: Entity, work: Work) -> None:
                change(world, me)
                await asyncio.sleep(1.0)
                me.add(Style("written afterwards"))
                ends.append("finished")

            def settle(self, me: Entity) -> None:
                ends.append("settled")

        world.register_system(Ending())
        entity = spawn(world, Work())
        await run(world)
        assert ends == ["finished"]
        assert world.get_component(entity, Style) == Style("written afterwards")

    async def test_a_call_that_deletes_its_own_entity_ends_at_its_next_wait(self, world: World) -> None:
        ends: list[str] = []

        @system
        async def leave(me: Entity, work: Work) -> None:
            world.delete_entity(me.id)
            if work.todo:
                await asyncio.sleep(10.0)
                ends.append("went on")

        world.register_system(leave)
        waiting, returning = spawn(world, Work(1)), spawn(world, Work(0))
        result = await run(world)
        assert not ends
        assert waiting not in result
        assert returning not in result

    async def test_a_cancel_that_comes_in_the_turn_in_which_the_call_ends_does_not_reach_the_next_call(self, world: World) -> None:
        ends: list[str] = []
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        @system
        async def first(work: Work) -> None:
            await future

        @system(priority=1)
        async def second(style: Style) -> None:
            await asyncio.sleep(1.0)
            ends.append("finished")

        world.register_system(first)
        world.register_system(second)
        entity = spawn(world, Work(), Style())

        def both() -> None:
            future.set_result(None)
            world.remove_component(entity, Work)

        change_later(1.0, both)
        await run(world)
        assert ends == ["finished"]


def beside(slow: Slow) -> Any:
    """The same system with an access that lets it run beside another one."""

    @system
    async def beside_others(me: Entity, work: Read[Work]) -> None:
        await slow(me, Work(), None)

    return beside_others


class TestCancelledFromOutside:
    async def test_rule_12_it_is_settled_then_raised_again_and_the_next_run_makes_the_call_again(self, world: World) -> None:
        slow = Slow()
        world.register_system(slow)
        entity = spawn(world, Work())
        task = await begin(world)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (slow.ends, slow.settled) == (["cancelled"], ["with work"])
        assert not world.has_component(entity, ErrorComponent)
        await run(world)
        assert slow.ends == ["cancelled", "finished"]
        assert slow.settled == ["with work"]

    async def test_rule_12_also_for_calls_that_run_together(self, world: World) -> None:
        slow, other = Slow(), Slow()
        world.register_system(beside(slow))
        world.register_system(beside(other))
        spawn(world, Work())
        task = await begin(world)
        task.cancel()
        await ended(task)
        assert task.cancelled()
        assert (slow.ends, other.ends) == (["cancelled"], ["cancelled"])
        await run(world)
        assert (slow.ends, other.ends) == (["cancelled", "finished"], ["cancelled", "finished"])

    async def test_rule_12_a_call_that_swallows_it_has_ended_and_is_not_made_again(self, world: World) -> None:
        calls: list[str] = []

        @system
        async def deaf(work: Work) -> None:
            try:
                await asyncio.sleep(10.0)
            except asyncio.CancelledError:
                calls.append("swallowed")

        world.register_system(deaf)
        spawn(world, Work())
        task = await begin(world)
        task.cancel()
        await ended(task)
        assert task.cancelled()
        await run(world)
        assert calls == ["swallowed"]

    async def test_rule_12_a_second_cancel_does_not_wait_for_calls_that_take_their_time(self, world: World) -> None:
        ends: list[str] = []

        @system
        async def reluctant(work: Work) -> None:
            try:
                await asyncio.sleep(10.0)
            finally:
                await asyncio.sleep(0.4)
                ends.append("ended")

        world.register_system(reluctant)
        spawn(world, Work())
        task = await begin(world)
        task.cancel()
        await turns(5)
        task.cancel()
        await turns(5)
        assert task.cancelled()
        assert not ends
        result = await run(world)
        assert not result.errors
        assert not ends, "no second call was made while the first one is still ending"
        await asyncio.sleep(1.0)
        assert ends == ["ended"]

    @pytest.mark.parametrize("begun", [0, 1, 5])
    async def test_rule_12_a_loop_that_shuts_down_cancels_all_tasks_at_once_and_nothing_is_taken_for_a_failure(
        self, world: World, begun: int
    ) -> None:
        slow = Slow()
        world.register_system(slow)
        entity = spawn(world, Work())
        task = asyncio.ensure_future(run(world))
        await turns(begun)
        for one in asyncio.all_tasks() - {asyncio.current_task()}:
            one.cancel()
        await ended(task)
        assert task.cancelled()
        assert not world.has_component(entity, ErrorComponent)
        assert not slow.ends or slow.settled == ["with work"]
        await run(world)
        assert slow.ends[-1] == "finished"

    @pytest.mark.parametrize("sent", [False, True], ids=["raised", "sent to its own task"])
    async def test_rule_12_a_cancelled_error_that_did_not_come_from_us_is_a_failure_of_the_call(self, world: World, *, sent: bool) -> None:
        calls: list[str] = []

        @system
        async def cancelling(work: Work) -> None:
            if not sent:
                raise asyncio.CancelledError
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(1.0)

        @system
        async def mend(me: Entity, error: Read[ErrorComponent]) -> None:
            await asyncio.sleep(1.0)
            calls.append("the driver goes on")

        world.register_system(cancelling)
        world.register_system(mend)
        entity = spawn(world, Work())
        result = await run(world)
        assert isinstance(result[entity].error, asyncio.CancelledError)
        assert world.get_component(entity, ErrorComponent) is not None
        assert calls == ["the driver goes on"]


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

    async def test_rule_13_failures_that_lie_further_apart_do_not(self, world: World) -> None:
        world.clock = LoopClock()
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
        assert not world.row(entity).calls
        world.touch(entity)
        asyncio.run(run(world))
        assert calls == ["called", "called"]


class Deaf:
    """A system that does not end when it is cancelled, until it is told."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.log: list[str] = []
        self.calls = 0

    @system
    async def __call__(self, me: Entity, work: Work) -> None:
        self.calls += 1
        if self.calls > 1:
            self.log.append("called again")
            return
        while not self.over.is_set():
            try:
                await self.over.wait()
            except asyncio.CancelledError:
                self.log.append("swallowed")
        try:
            me.add(Style("too late"))
        except LeaseRevokedError:
            self.log.append("refused")

    def settle(self, me: Entity) -> None:
        self.log.append("settled")


class TestLeftBehind:
    @pytest.fixture(autouse=True)
    def quiet(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.CRITICAL, "ecs_agent")

    @pytest.fixture
    async def deaf(self, world: World) -> Any:
        deaf = Deaf()
        world.register_system(deaf)
        yield deaf
        deaf.over.set()
        await turns(5)

    async def test_rule_19_a_call_that_swallows_its_cancel_is_left_behind_after_the_grace_and_the_run_goes_on(self, world: World, deaf: Deaf) -> None:
        calls: list[float] = []

        @system(priority=5)
        async def afterwards(style: Style) -> None:
            calls.append(now())

        world.register_system(afterwards)
        entity = spawn(world, Work(), Style())
        change_later(1.0, world.remove_component, entity, Work)
        result = await run(world)
        assert calls == [1.0 + GRACE]
        assert told(world, CallLeaked) == [CallLeaked(entity, "Deaf")]
        assert deaf.log == ["swallowed", "settled"]
        assert result[entity].reason is EndReason.IDLE
        deaf.over.set()
        await turns(5)
        assert deaf.log == ["swallowed", "settled", "refused"]
        assert world.get_component(entity, Style) == Style()

    async def test_rule_19_one_that_ends_within_the_grace_is_not(self, world: World) -> None:
        settled: list[float] = []

        class Reluctant:
            @system
            async def __call__(self, work: Work) -> None:
                try:
                    await asyncio.sleep(10.0)
                except asyncio.CancelledError:
                    await asyncio.sleep(GRACE / 2)

            def settle(self, me: Entity) -> None:
                settled.append(now())

        world.register_system(Reluctant())
        entity = spawn(world, Work())
        change_later(1.0, world.remove_component, entity, Work)
        await run(world)
        await asyncio.sleep(10.0)
        assert told(world, CallLeaked) == []
        assert settled == [1.0 + GRACE / 2]

    async def test_rule_19_a_deleted_entity_does_not_come_back_with_a_call_that_is_left_behind(self, world: World, deaf: Deaf) -> None:
        entity = spawn(world, Work())
        change_later(1.0, world.delete_entity, entity)
        result = await run(world)
        assert entity not in result
        assert deaf.log == ["swallowed"]
        assert told(world, CallLeaked) == [CallLeaked(entity, "Deaf")]

    async def test_rule_19_a_call_beside_it_is_still_waited_for(self, world: World, deaf: Deaf) -> None:
        ends: list[float] = []

        @system
        async def healthy(style: Style) -> None:
            await asyncio.sleep(10.0)
            ends.append(now())

        world.register_system(healthy)
        entity = spawn(world, Work(), Style())
        change_later(1.0, world.remove_component, entity, Work)
        await run(world)
        assert ends == [10.0, 20.0], "it is due once more, since a component was removed meanwhile"
        assert told(world, CallLeaked) == [CallLeaked(entity, "Deaf")]

    async def test_rule_19_two_that_run_together_may_both_be_left_behind(self, world: World, deaf: Deaf) -> None:
        other = Deaf()

        class OtherDeaf:
            @system
            async def __call__(self, me: Entity, style: Style) -> None:
                await other(me, Work())

        world.register_system(OtherDeaf())
        entity = spawn(world, Work(), Style())
        change_later(1.0, world.add_component, entity, TerminalComponent("enough"))
        result = await run(world)
        assert result[entity].reason is EndReason.TERMINAL
        assert told(world, CallLeaked) == [CallLeaked(entity, "Deaf"), CallLeaked(entity, "OtherDeaf")]
        other.over.set()

    async def test_rule_19_also_when_the_run_is_over_before_the_grace(self, world: World, deaf: Deaf) -> None:
        entity = spawn(world, Work())
        task = await begin(world)
        world.remove_component(entity, Work)
        for _ in range(2):
            task.cancel()
            await turns(3)
        assert task.cancelled()
        assert told(world, CallLeaked) == []
        await asyncio.sleep(1.0)
        assert told(world, CallLeaked) == [CallLeaked(entity, "Deaf")]

    @pytest.mark.parametrize("deleted", [False, True])
    async def test_rule_19_also_at_the_end_of_a_run_and_the_next_run_makes_the_call_again(self, world: World, deaf: Deaf, *, deleted: bool) -> None:
        entity = spawn(world, Work())
        if deleted:
            change_later(1.0 - GRACE / 2, world.delete_entity, entity)
        await run(world, deadline=1.0)
        assert now() <= 1.0 + GRACE
        assert told(world, CallLeaked) == [CallLeaked(entity, "Deaf")]
        await run(world)
        deaf.over.set()
        await turns(5)
        assert deaf.log == (["swallowed"] * 2 if deleted else ["swallowed", "settled", "called again"]) + ["refused"]
        assert not world.has_component(entity, Style)
