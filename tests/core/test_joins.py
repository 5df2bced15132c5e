"""Waiting for other entities: what a call that joins one is told, and what may happen meanwhile."""

from __future__ import annotations

import asyncio

import pytest
from tests.core.parts import GRACE, Ban, Counting, Noting, Style, Work, begin, change_later, now, run, spawn

from ecs_agent.core import (
    EndReason,
    Entity,
    ErrorComponent,
    LoopClock,
    Outcome,
    QuarantineComponent,
    SupervisionComponent,
    TerminalComponent,
    World,
    system,
)
from ecs_agent.errors import LeaseRevokedError
from ecs_agent.types import EntityId


class Joining:
    """On an entity with a style it waits for others, one after another, and notes when it was told what."""

    def __init__(self, *others: EntityId) -> None:
        self.others = others
        self.told: list[tuple[float, Outcome]] = []

    @system
    async def __call__(self, me: Entity, style: Style) -> None:
        for other in self.others:
            self.told.append((now(), await me.join(other)))
            self.told[-1] = (now(), self.told[-1][1])


@system
async def slow(work: Work) -> None:
    """Takes as long as there is to do."""
    await asyncio.sleep(work.todo)


@system
async def failing(me: Entity, work: Work) -> None:
    await asyncio.sleep(1.0)
    raise ValueError("bad")


class TestTold:
    async def test_rule_17_a_call_waits_until_another_entity_comes_to_rest(self, world: World) -> None:
        child = spawn(world, Work(3))
        joining = Joining(child)
        world.register_system(slow)
        world.register_system(joining)
        parent = spawn(world, Style())
        result = await run(world)
        assert joining.told == [(3.0, Outcome(EndReason.IDLE, None, 1))]
        assert result[parent].reason is EndReason.IDLE

    async def test_rule_17_it_is_told_at_once_of_one_on_which_nothing_is_due_that_nobody_moves_or_that_is_gone(self, world: World) -> None:
        rested, stranger, ended, gone = spawn(world, Work(0)), spawn(world, Ban()), spawn(world, TerminalComponent("done")), EntityId(99)
        joining = Joining(rested, stranger, ended, gone)
        world.register_system(slow, priority=-1)
        world.register_system(joining, priority=1)
        await run(world)
        spawn(world, Style())
        await run(world)
        assert [told.reason for _, told in joining.told] == [EndReason.IDLE, EndReason.IDLE, EndReason.TERMINAL, EndReason.DELETED]
        assert now() == 0.0

    async def test_rule_17_it_is_told_of_a_failure(self, world: World) -> None:
        child = spawn(world, Work())
        joining = Joining(child)
        world.register_system(failing)
        world.register_system(joining)
        parent = spawn(world, Style())
        result = await run(world)
        ((when, told),) = joining.told
        assert (when, told.reason) == (1.0, EndReason.IDLE)
        assert isinstance(told.error, ValueError)
        assert result[parent].error is None, "the failure is the child's"

    async def test_rule_17_one_that_is_tried_again_is_waited_for(self) -> None:
        async with World(clock=LoopClock()) as world:
            child = spawn(world, Work(), SupervisionComponent(restarts=2, backoff=4.0))
            joining = Joining(child)
            world.register_system(failing)
            world.register_system(joining)
            spawn(world, Style())
            await run(world)
            assert [(when, told.reason) for when, told in joining.told] == [(1 + 4 + 1 + 8 + 1, EndReason.QUARANTINED)]
            assert world.has_component(child, QuarantineComponent)

    async def test_rule_17_it_is_told_of_an_end_and_of_a_deletion(self, world: World) -> None:
        one, two = spawn(world, Work(50)), spawn(world, Work(50))
        joining = Joining(one, two)
        world.register_system(slow)
        world.register_system(joining)
        spawn(world, Style())
        change_later(1.0, world.add_component, one, TerminalComponent("enough"))
        change_later(2.0, world.delete_entity, two)
        await run(world)
        assert [(when, told.reason) for when, told in joining.told] == [(1.0, EndReason.TERMINAL), (2.0, EndReason.DELETED)]

    async def test_rule_17_a_child_that_was_just_spawned_is_waited_for(self, world: World) -> None:
        told: list[Outcome] = []

        @system
        async def parent(me: Entity, style: Style) -> None:
            children = [me.spawn(Work(seconds)) for seconds in (3, 1, 2)]
            told.extend(await World.gather([me.join(child) for child in children]))

        world.register_system(slow)
        world.register_system(parent)
        spawn(world, Style())
        await run(world)
        assert told == [Outcome(EndReason.IDLE, None, 1)] * 3
        assert now() == 3.0

    async def test_rule_17_so_is_one_that_was_sent_a_letter_or_asked_for_a_change(self, world: World) -> None:
        counting = Counting()
        seen: list[int] = []

        @system
        async def parent(me: Entity, style: Style) -> None:
            for change in (lambda: me.send(other, "hello"), lambda: me.request(other, lambda it: it.touch(Work))):
                change()
                await me.join(other)
                seen.append(len(counting.calls))

        world.register_system(counting)
        other = spawn(world, Work())
        await run(world)
        world.register_system(parent)
        spawn(world, Ban())
        world.add_component(world.entities[-1], Style())
        await run(world)
        assert seen == [seen[0], seen[0] + 1]

    async def test_rule_17_many_may_wait_for_one(self, world: World) -> None:
        child = spawn(world, Work(2))
        joining = Joining(child)
        world.register_system(slow)
        world.register_system(joining)
        for _ in range(100):
            spawn(world, Style())
        await run(world)
        assert {when for when, _ in joining.told} == {2.0}
        assert len(joining.told) == 100


class TestEnding:
    async def test_rule_17_a_delete_of_the_parent_cancels_the_children_first(self, world: World) -> None:
        order: list[str] = []

        @system
        async def child(me: Entity, work: Work) -> None:
            try:
                await asyncio.sleep(50.0)
            finally:
                order.append("child")

        @system
        async def parent(me: Entity, style: Style) -> None:
            try:
                await me.join(me.spawn(Work()))
            finally:
                order.append("parent")

        world.register_system(child)
        world.register_system(parent)
        change_later(1.0, world.delete_entity, spawn(world, Style()))
        assert dict(await run(world)) == {}
        assert (order, now()) == (["child", "parent"], 1.0)

    async def test_rule_17_a_cancel_ends_the_wait_and_leaves_the_other_alone(self, world: World) -> None:
        child = spawn(world, Work(10))
        world.register_system(slow)
        world.register_system(Joining(child))
        parent = spawn(world, Style())
        change_later(1.0, world.add_component, parent, TerminalComponent("enough"))
        result = await run(world)
        assert (result[parent].reason, result[child].reason) == (EndReason.TERMINAL, EndReason.IDLE)
        assert now() == 10.0

    async def test_rule_17_a_time_limit_ends_the_wait_only(self, world: World) -> None:
        child = spawn(world, Work(10))
        late: list[float] = []

        @system
        async def parent(me: Entity, style: Style) -> None:
            try:
                async with asyncio.timeout(2.0):
                    await me.join(child)
            except TimeoutError:
                late.append(now())

        world.register_system(slow)
        world.register_system(parent)
        spawn(world, Style())
        result = await run(world)
        assert (late, now(), result.errors) == ([2.0], 10.0, {})

    async def test_rule_17_the_end_of_a_run_ends_the_wait_and_the_next_run_waits_again(self, world: World) -> None:
        child = spawn(world, Work(10))
        joining = Joining(child)
        world.register_system(slow)
        world.register_system(joining)
        parent = spawn(world, Style())
        result = await run(world, deadline=1.0)
        assert [result[each].reason for each in (parent, child)] == [EndReason.DEADLINE] * 2
        assert joining.told == []
        await run(world)
        assert [when for when, _ in joining.told] == [11.0]

    async def test_rule_17_in_a_tick_it_waits_for_the_childs_one_step(self, world: World) -> None:
        child = spawn(world, Work(3))
        joining = Joining(child)
        world.register_system(slow)
        world.register_system(joining)
        spawn(world, Style())
        await world.process()
        assert [when for when, _ in joining.told] == [3.0]

    async def test_in_a_tick_nobody_waits_for_another_try(self, world: World) -> None:
        child = spawn(world, Work(), SupervisionComponent(backoff=100.0))
        joining = Joining(child)
        world.register_system(failing)
        world.register_system(joining)
        spawn(world, Style())
        await world.process()
        assert [when for when, _ in joining.told] == [1.0]

    async def test_rule_17_a_limit_of_steps_ends_the_wait(self, world: World) -> None:
        @system(when=lambda work: work.todo < 10)
        async def busy(work: Work) -> None:
            await asyncio.sleep(1.0)
            work.todo += 1

        child = spawn(world, Work())
        joining = Joining(child)
        world.register_system(busy)
        world.register_system(joining)
        spawn(world, Style())
        await run(world, 3)
        assert [(when, told.reason) for when, told in joining.told] == [(3.0, EndReason.MAX_TICKS)]

    async def test_rule_17_outside_of_a_run_it_says_so(self, world: World) -> None:
        me = Entity(world.state, world.state.row(spawn(world)))
        with pytest.raises(RuntimeError, match="no run is active, so no entity will come to rest"):
            await me.join(me.id)
        me.revoke()
        with pytest.raises(LeaseRevokedError):
            await me.join(me.id)


class TestBarriers:
    async def test_rule_17_whoever_only_waits_holds_up_no_barrier_so_that_whom_it_waits_for_may_pass(self, world: World) -> None:
        log: list[str] = []
        child = spawn(world, Work(1))
        joining = Joining(child)
        world.register_system(joining)
        world.register_system(Noting(log), priority=5)
        world.register_system(slow, priority=10)
        spawn(world, Style())
        await run(world)
        assert log == ["world"]
        assert [when for when, _ in joining.told] == [1.0]

    async def test_rule_17_also_in_a_tick(self, world: World) -> None:
        child = spawn(world, Work(1))
        joining = Joining(child)
        world.register_system(joining)
        world.register_system(Noting([]), priority=5)
        world.register_system(slow, priority=10)
        spawn(world, Style())
        await world.process()
        assert [when for when, _ in joining.told] == [1.0]

    async def test_a_wait_that_is_over_during_a_meeting_goes_on_after_it(self, world: World) -> None:
        async def act(world: World) -> None:
            await asyncio.sleep(1.0)
            world.delete_entity(child)
            await asyncio.sleep(1.0)

        child = spawn(world, Work(1))
        joining = Joining(child)
        world.register_system(joining)
        world.register_system(Noting([], act=act), priority=5)
        world.register_system(slow, priority=10)
        spawn(world, Style())
        await run(world)
        assert [(when, told.reason) for when, told in joining.told] == [(2.0, EndReason.DELETED)]

    async def test_what_a_waiting_call_has_changed_in_place_is_not_taken_for_the_change_of_another(self, world: World) -> None:
        calls: list[float] = []

        @system
        async def parent(me: Entity, style: Style) -> None:
            calls.append(now())
            style.name = "half"
            await me.join(child)
            style.name = "whole"

        child = spawn(world, Work(1))
        world.register_system(parent)
        world.register_system(Noting([]), priority=5)
        world.register_system(slow, priority=10)
        spawn(world, Style())
        await run(world)
        assert calls == [0.0]

    async def test_one_that_works_beside_its_waits_holds_it_up(self, world: World) -> None:
        log: list[tuple[str, float]] = []

        class Meeting:
            async def process(self, world: World) -> None:
                log.append(("world", now()))

        @system
        async def parent(me: Entity, style: Style) -> None:
            await me.join(quick)
            await asyncio.sleep(3.0)
            log.append(("parent", now()))

        quick = spawn(world, Work(1))
        world.register_system(parent)
        world.register_system(slow)
        world.register_system(Meeting(), priority=5)
        spawn(world, Style())
        await run(world)
        assert log == [("parent", 4.0), ("world", 4.0)]


async def test_rule_17_a_failed_child_without_another_try_is_at_rest(world: World) -> None:
    child = spawn(world, Work(), ErrorComponent("broken", "x", 0.0))
    joining = Joining(child)
    world.register_system(slow)
    world.register_system(joining)
    spawn(world, Style())
    task = await begin(world)
    await asyncio.wait_for(task, GRACE)
    assert [when for when, _ in joining.told] == [0.0]


async def test_one_of_two_waits_that_is_over_leaves_the_other_which_holds_up_no_barrier_either(world: World) -> None:
    @system
    async def parent(me: Entity, style: Style) -> None:
        await World.gather([me.join(at_barrier), me.join(quick)])

    @system
    async def brief(ban: Ban) -> None:
        await asyncio.sleep(1.0)

    at_barrier, quick = spawn(world, Work(1)), spawn(world, Ban())
    world.register_system(parent)
    world.register_system(brief)
    world.register_system(Noting([]), priority=5)
    world.register_system(slow, priority=10)
    spawn(world, Style())
    await asyncio.wait_for(run(world), 100.0)
    assert now() == 2.0


async def test_so_does_one_beside_which_another_call_has_ended(world: World) -> None:
    @system
    async def brief(ban: Ban) -> None:
        await asyncio.sleep(1.0)

    child = spawn(world, Work(1))
    world.register_system(Joining(child))
    world.register_system(brief)
    world.register_system(Noting([]), priority=5)
    world.register_system(slow, priority=10)
    spawn(world, Style(), Ban())
    await asyncio.wait_for(run(world), 100.0)
    assert now() == 2.0
