"""Entities that wait for each other in a circle: found when it closes, named, and ended; and what only looks like one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from tests.core.parts import Ban, Style, Work, change_later, now, run, spawn, told

from ecs_agent.core import DeadlockFound, EndReason, Entity, Runner, SupervisionComponent, TerminalComponent, World, system
from ecs_agent.types import EntityId


class Graph:
    """Every entity with work waits for those that it is mapped to, one after another, after so many seconds."""

    def __init__(self, waits: Mapping[EntityId, Sequence[EntityId]]) -> None:
        self.waits = waits
        self.cancelled: dict[EntityId, str] = {}
        self.settled: list[EntityId] = []

    @system
    async def __call__(self, me: Entity, work: Work) -> None:
        await asyncio.sleep(work.todo)
        try:
            for other in self.waits.get(me.id, ()):
                await me.join(other)
        except asyncio.CancelledError as error:
            self.cancelled[me.id] = str(error)
            raise

    def settle(self, me: Entity) -> None:
        self.settled.append(me.id)


def circle(world: World, size: int) -> tuple[Graph, list[EntityId]]:
    """So many entities, each of which waits for the next, and the last for the first."""
    members = [spawn(world, Work()) for _ in range(size)]
    graph = Graph({each: [members[(at + 1) % size]] for at, each in enumerate(members)})
    world.register_system(graph)
    return graph, members


class TestCircles:
    async def test_rule_18_one_that_waits_for_itself(self, world: World) -> None:
        graph, (entity,) = circle(world, 1)
        result = await run(world)
        assert result[entity].reason is EndReason.DEADLOCK
        assert graph.cancelled == {entity: f"a deadlock: {entity} → {entity}"}

    async def test_rule_18_two_that_wait_for_each_other(self, world: World) -> None:
        _, (one, two) = circle(world, 2)
        result = await run(world)
        assert [result[each].reason for each in (one, two)] == [EndReason.DEADLOCK] * 2
        assert told(world, DeadlockFound) == [DeadlockFound((two, one))]

    async def test_rule_18_all_of_a_circle_end_it_is_named_in_order_and_each_is_settled(self, world: World) -> None:
        graph, members = circle(world, 3)
        one, two, three = members
        result = await run(world)
        assert [result[each].reason for each in members] == [EndReason.DEADLOCK] * 3
        assert [result[each].error for each in members] == [None] * 3
        assert told(world, DeadlockFound) == [DeadlockFound((three, one, two))]
        assert set(graph.cancelled.values()) == {f"a deadlock: {three} → {one} → {two} → {three}"}
        assert sorted(graph.settled) == members

    async def test_rule_18_whoever_waits_for_one_of_them_from_outside_is_told_and_goes_on(self, world: World) -> None:
        reasons: list[EndReason] = []

        @system
        async def watching(me: Entity, style: Style) -> None:
            reasons.append((await me.join(members[0])).reason)

        world.register_system(watching)
        watcher = spawn(world, Style())
        _, members = circle(world, 2)
        result = await run(world)
        assert reasons == [EndReason.DEADLOCK]
        assert result[watcher].reason is EndReason.IDLE

    async def test_rule_18_it_is_found_when_it_closes_and_not_at_the_end_of_the_run(self, world: World) -> None:
        @system
        async def busy(style: Style) -> None:
            await asyncio.sleep(100.0)

        world.register_system(busy)
        spawn(world, Style())
        _, members = circle(world, 2)
        for each in members:
            world.add_component(each, Work(3))
        ended: list[float] = []

        async def found(event: DeadlockFound) -> None:
            ended.append(now())

        world.event_bus.subscribe(DeadlockFound, found)
        await run(world)
        assert ended == [3.0]

    async def test_rule_18_new_input_makes_them_run_again(self, world: World) -> None:
        graph, members = circle(world, 2)
        await run(world)
        graph.waits = {}
        for each in members:
            world.touch(each)
        result = await run(world)
        assert [result[each].reason for each in members] == [EndReason.IDLE] * 2

    async def test_rule_18_also_within_the_run(self, world: World) -> None:
        graph, (one, two) = circle(world, 2)

        async def found(event: DeadlockFound) -> None:
            graph.waits = {one: [two]}
            await asyncio.sleep(1.0)
            world.touch(one)
            world.touch(two)

        world.event_bus.subscribe(DeadlockFound, found)
        result = await Runner().run(world)
        assert [result[each].reason for each in (one, two)] == [EndReason.IDLE] * 2

    async def test_rule_18_the_same_circle_in_the_next_run_is_found_again(self, world: World) -> None:
        _, members = circle(world, 2)
        await run(world)
        for each in members:
            world.touch(each)
        await run(world)
        assert len(told(world, DeadlockFound)) == 2

    async def test_rule_18_a_time_limit_around_a_wait_does_not_open_the_circle(self, world: World) -> None:
        @system
        async def waiting(me: Entity, work: Work) -> None:
            async with asyncio.timeout(50.0):
                await me.join(members[1 - members.index(me.id)])

        world.register_system(waiting)
        members = [spawn(world, Work()), spawn(world, Work())]
        result = await run(world)
        assert [result[each].reason for each in members] == [EndReason.DEADLOCK] * 2
        assert now() == 0.0

    async def test_rule_18_one_wait_among_several_at_once_is_enough(self, world: World) -> None:
        @system
        async def both(me: Entity, work: Work) -> None:
            await World.gather([me.join(slow), me.join(other)])

        @system
        async def back(me: Entity, style: Style) -> None:
            await asyncio.sleep(1.0)
            await me.join(entity)

        @system
        async def busy(ban: Ban) -> None:
            await asyncio.sleep(10.0)

        for one in (both, back, busy):
            world.register_system(one)
        slow, other = spawn(world, Ban()), spawn(world, Style())
        entity = spawn(world, Work())
        result = await run(world)
        assert [result[each].reason for each in (entity, other, slow)] == [EndReason.DEADLOCK, EndReason.DEADLOCK, EndReason.IDLE]

    async def test_a_circle_that_closes_while_another_wait_of_the_call_is_just_over_is_found(self, world: World) -> None:
        @system
        async def both(me: Entity, work: Work) -> None:
            await World.gather([me.join(brief), me.join(other)])

        @system
        async def back(me: Entity, style: Style) -> None:
            await me.join(brief)
            await me.join(entity)

        @system
        async def busy(ban: Ban) -> None:
            await asyncio.sleep(1.0)

        for one in (both, back, busy):
            world.register_system(one)
        brief, other = spawn(world, Ban()), spawn(world, Style())
        entity = spawn(world, Work())
        result = await run(world)
        assert [result[each].reason for each in (entity, other)] == [EndReason.DEADLOCK] * 2


class TestBeside:
    async def test_rule_18_while_another_call_on_one_of_them_works_it_is_none_and_with_its_end_it_is(self, world: World) -> None:
        @system
        async def working(style: Style) -> None:
            await asyncio.sleep(5.0)

        world.register_system(working)
        _, members = circle(world, 2)
        world.add_component(members[0], Style())
        found: list[float] = []

        async def note(event: DeadlockFound) -> None:
            found.append(now())

        world.event_bus.subscribe(DeadlockFound, note)
        result = await run(world)
        assert [result[each].reason for each in members] == [EndReason.DEADLOCK] * 2
        assert found == [5.0]

    async def test_rule_18_the_other_call_may_still_open_the_circle(self, world: World) -> None:
        @system
        async def opening(me: Entity, style: Style) -> None:
            await asyncio.sleep(5.0)
            me.remove(Work)

        world.register_system(opening)
        _, members = circle(world, 2)
        world.add_component(members[0], Style())
        result = await run(world)
        assert [result[each].reason for each in members] == [EndReason.IDLE] * 2
        assert told(world, DeadlockFound) == []

    async def test_rule_18_so_may_somebody_outside(self, world: World) -> None:
        answer = asyncio.get_running_loop().create_future()

        @system
        async def asking(me: Entity, style: Style) -> None:
            await answer
            await me.join(spectator)

        world.register_system(asking)
        world.register_system(Graph({EntityId(1): [EntityId(2)]}))
        parent, asked, spectator = spawn(world, Work()), spawn(world, Style()), spawn(world)
        change_later(7.0, answer.set_result, None)
        result = await run(world)
        assert [result[each].reason for each in (parent, asked)] == [EndReason.IDLE] * 2
        assert now() == 7.0

    async def test_rule_18_one_that_is_just_being_ended_is_in_no_circle(self, world: World) -> None:
        """Of two that would wait for each other the first is ended in the very moment in which the second begins to."""
        one, two = spawn(world, Work()), spawn(world, Style())

        @system
        async def back(me: Entity, style: Style) -> None:
            await asyncio.sleep(1.0)
            world.add_component(one, TerminalComponent("enough"))
            await me.join(one)

        world.register_system(Graph({one: [two]}))
        world.register_system(back)
        result = await run(world)
        assert [result[each].reason for each in (one, two)] == [EndReason.TERMINAL, EndReason.IDLE]

    async def test_rule_18_nor_one_that_waits_for_several_and_is_just_being_ended(self, world: World) -> None:
        one, two, three = spawn(world, Work()), spawn(world, Style()), spawn(world, Ban())

        @system
        async def both(me: Entity, work: Work) -> None:
            await World.gather([me.join(two), me.join(three)])

        @system
        async def back(me: Entity, style: Style) -> None:
            await asyncio.sleep(1.0)
            world.add_component(one, TerminalComponent("enough"))
            await me.join(one)

        @system
        async def busy(ban: Ban) -> None:
            await asyncio.sleep(5.0)

        for each in (both, back, busy):
            world.register_system(each)
        result = await run(world)
        assert [result[each].reason for each in (one, two)] == [EndReason.TERMINAL, EndReason.IDLE]

    async def test_rule_18_one_whose_time_limit_is_just_over_is_in_no_circle(self, world: World) -> None:
        """The second begins to wait for the first in the moment in which that one stops to wait for it, and before it could go on."""
        back, waiting = spawn(world, Style()), spawn(world, Work())

        @system
        async def wait_briefly(me: Entity, work: Work) -> None:
            try:
                async with asyncio.timeout(1.0):
                    await me.join(back)
            except TimeoutError:
                me.emit("late")

        @system
        async def wait_back(me: Entity, style: Style) -> None:
            await asyncio.sleep(1.0)
            await me.join(waiting)

        world.register_system(wait_briefly)
        world.register_system(wait_back)
        result = await run(world)
        assert [result[each].reason for each in (back, waiting)] == [EndReason.IDLE] * 2
        assert told(world, str) == ["late"]

    async def test_rule_18_a_wait_that_outlives_its_call_closes_no_circle(self, world: World) -> None:
        kept: list[asyncio.Task[object]] = []

        @system
        async def leaving(me: Entity, work: Work) -> None:
            if not kept:
                kept.append(asyncio.ensure_future(me.join(two)))
                await asyncio.sleep(0)
            else:
                await asyncio.sleep(5.0)

        @system
        async def back(me: Entity, style: Style) -> None:
            await asyncio.sleep(1.0)
            await me.join(one)

        world.register_system(leaving)
        world.register_system(back)
        one, two = spawn(world, Work()), spawn(world, Style())
        change_later(0.5, world.touch, one)
        result = await run(world)
        assert [result[each].reason for each in (one, two)] == [EndReason.IDLE] * 2
        assert now() == 5.5
        await kept[0]

    async def test_another_try_ends_a_wait_and_the_circle_may_close_then(self, world: World) -> None:
        tries: list[float] = []

        @system
        async def failing_once(me: Entity, style: Style) -> None:
            tries.append(now())
            if len(tries) == 1:
                raise ValueError("bad")
            await me.join(one)

        world.register_system(failing_once)
        one = spawn(world, Work())
        two = spawn(world, Style(), SupervisionComponent(backoff=2.0))
        world.register_system(Graph({one: [two]}))
        result = await run(world)
        assert tries == [0.0, 2.0]
        assert [result[each].reason for each in (one, two)] == [EndReason.DEADLOCK] * 2


async def test_a_deadlock_ends_also_the_wait_for_another_try_of_what_failed_beside_it(world: World) -> None:
    @system
    async def failing(style: Style) -> None:
        await asyncio.sleep(1.0)
        raise ValueError("bad")

    world.register_system(failing)
    _, members = circle(world, 2)
    for component in (Style(), SupervisionComponent(backoff=50.0)):
        world.add_component(members[0], component)
    result = await run(world)
    assert [result[each].reason for each in members] == [EndReason.DEADLOCK] * 2
    assert now() == 1.0
