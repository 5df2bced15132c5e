"""One call of a system: how it fails, how it is cancelled, and that the data it leaves is valid. The rules are those of the scheduler."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.core.parts import Ban, Style, Work, begin, change_later, now, run, spawn, told, turns

from ecs_agent.core import (
    ComponentChanged,
    EndReason,
    Entity,
    ErrorComponent,
    Read,
    TerminalComponent,
    World,
    system,
)
from ecs_agent.core.tasks import ended
from ecs_agent.errors import LeaseRevokedError
from ecs_agent.types import EntityId


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
