"""Steps, order, limits and fairness: how entities move through the schedule. The rules are those of the scheduler, by their numbers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.parts import Counting, Style, Work, named, now, run, spawn, turns

from ecs_agent.core import (
    EndReason,
    Entity,
    Read,
    Runner,
    World,
    system,
)
from ecs_agent.errors import WorldBusyError
from ecs_agent.types import EntityId


@dataclass(slots=True)
class Pokes:
    """Which systems have something to do, and which of them each pokes at its first calls."""

    waiting: set[int]
    targets: dict[int, list[set[int]]]
    order: list[int] = field(default_factory=list)

    def act(self, number: int) -> None:
        self.waiting.discard(number)
        self.order.append(number)
        if self.targets[number]:
            self.waiting |= self.targets[number].pop(0)


def poked(number: int) -> Any:
    @system(when=lambda pokes: number in pokes.waiting)
    async def one(pokes: Pokes) -> None:
        pokes.act(number)

    return one


def expected_steps(pokes: Pokes, places: list[tuple[int, int]]) -> int:
    """The specification of a step: from the lowest place upwards; what is due again at a passed place waits for the next step."""
    steps, place = 0, (-100, -100)
    while pokes.waiting:
        due = [at for at in places if at[1] in pokes.waiting and at > place]
        if not due:
            place = (-100, -100)
            continue
        steps += place == (-100, -100)
        place = due[0]
        pokes.act(place[1])
    return steps


NUMBERS = st.sets(st.integers(0, 3))


@given(st.lists(st.integers(-2, 2), min_size=4, max_size=4), NUMBERS, st.lists(st.lists(NUMBERS, max_size=2), min_size=4, max_size=4))
def test_rule_5_a_step_goes_from_the_lowest_priority_upwards(priorities: list[int], waiting: set[int], targets: list[list[set[int]]]) -> None:
    def fresh() -> Pokes:
        return Pokes(set(waiting), {number: [set(t) for t in mine] for number, mine in enumerate(targets)})

    async def scenario() -> None:
        async with World() as world:
            for number, priority in enumerate(priorities):
                world.register_system(poked(number), priority)
            pokes, model = fresh(), fresh()
            entity = spawn(world, pokes)
            result = await run(world)
            steps = expected_steps(model, sorted((priority, number) for number, priority in enumerate(priorities)))
            assert pokes.order == model.order
            assert result[entity].steps == steps

    asyncio.run(scenario())


async def test_rule_5_steps_of_different_entities_are_independent(world: World) -> None:
    ended: dict[str, float] = {}

    @system(priority=1)
    async def wait(work: Work) -> None:
        await asyncio.sleep(work.todo)

    @system(priority=2)
    async def note(work: Read[Work]) -> None:
        ended[f"after {work.todo}"] = now()

    world.register_system(wait)
    world.register_system(note)
    for seconds in (50, 1, 3):
        spawn(world, Work(seconds))
    await run(world)
    assert ended == {"after 1": 1.0, "after 3": 3.0, "after 50": 50.0}


def sleeper(name: str, hint: Any, log: list[tuple[str, float]]) -> Any:
    async def sleep(part: Any) -> None:
        log.append((name, now()))
        await asyncio.sleep(1.0)

    sleep.__annotations__["part"] = hint
    return named(system(sleep), name)


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [(Work, Style, True), (Read[Work], Read[Work], True), (Work, Read[Work], False), (Read[Work], Work, False), (Work, Work, False)],
    ids=["disjoint", "both read", "write then read", "read then write", "both write"],
)
async def test_rule_6_at_one_priority_systems_run_together_unless_one_writes_what_the_other_touches(
    world: World, first: Any, second: Any, *, together: bool
) -> None:
    log: list[tuple[str, float]] = []
    world.register_system(sleeper("first", first, log))
    world.register_system(sleeper("second", second, log))
    spawn(world, Work(), Style())
    await run(world)
    assert log == [("first", 0.0), ("second", 0.0 if together else 1.0)]


async def test_rule_9_a_tick_is_one_step_of_every_due_entity_and_all_calls_are_awaited(world: World) -> None:
    @system(when=lambda work: work.todo > 0)
    async def reduce(work: Work) -> None:
        await asyncio.sleep(work.todo)
        work.todo -= 1

    world.register_system(reduce)
    works = [Work(2), Work(0), Work(5)]
    for work in works:
        spawn(world, work)
    for expected in ([1, 0, 4], [0, 0, 3], [0, 0, 2]):
        await world.process()
        assert [work.todo for work in works] == expected


@pytest.mark.parametrize("active", [lambda world: world.process(), lambda world: Runner().run(world), lambda world: Runner().serve(world)])
@pytest.mark.parametrize("other", [lambda world: world.process(), lambda world: Runner().run(world), lambda world: Runner().serve(world)])
async def test_rule_9_a_run_or_tick_while_another_is_active_is_refused(world: World, active: Any, other: Any) -> None:
    @system
    async def slow(work: Work) -> None:
        await asyncio.sleep(1.0)

    world.register_system(slow)
    spawn(world, Work())
    task = asyncio.ensure_future(active(world))
    await turns(3)
    with pytest.raises(WorldBusyError, match="already active"):
        await other(world)
    await world.aclose()
    await task


async def test_rule_10_an_entity_ends_after_its_limit_of_steps_and_no_other_does(world: World) -> None:
    @system(when=lambda work: work.todo > 0)
    async def reduce(work: Work) -> None:
        work.todo -= 1

    world.register_system(reduce)
    long, short = spawn(world, Work(100)), spawn(world, Work(3))
    result = await run(world, max_ticks=3)
    assert (result[long].reason, result[long].steps) == (EndReason.MAX_TICKS, 3)
    assert (result[short].reason, result[short].steps) == (EndReason.IDLE, 3)
    assert world.entities == [long, short]
    assert (await run(world, max_ticks=0))[long].reason is EndReason.MAX_TICKS
    assert (await run(world))[long].reason is EndReason.IDLE


async def test_rule_10_new_input_lifts_the_limit(world: World) -> None:
    @system(when=lambda work: work.todo > 0)
    async def reduce(work: Work) -> None:
        work.todo -= 1

    @system
    async def slow(style: Style) -> None:
        await asyncio.sleep(2.0)

    world.register_system(reduce)
    world.register_system(slow)
    entity = spawn(world, Work(4))
    spawn(world, Style())
    asyncio.get_running_loop().call_later(1.0, world.touch, entity)
    result = await run(world, max_ticks=2)
    assert world.get_component(entity, Work) == Work(0)
    assert (result[entity].reason, result[entity].steps) == (EndReason.IDLE, 2)


async def test_touching_an_entity_that_no_system_knows_disturbs_no_run(world: World) -> None:
    @system
    async def touch(work: Work) -> None:
        world.touch(stranger)

    world.register_system(touch)
    spawn(world, Work())
    stranger = spawn(world, Style())
    assert stranger not in await run(world)


async def test_rule_19_entities_start_in_the_order_in_which_they_became_due(world: World) -> None:
    order: list[EntityId] = []

    @system
    async def note(me: Entity, work: Work) -> None:
        order.append(me.id)

    world.register_system(note)
    entities = [spawn(world, Work()) for _ in range(20)]
    serving = asyncio.ensure_future(Runner().serve(world))
    await turns(5)
    for entity in reversed(entities):
        world.touch(entity)
    await turns(5)
    await world.aclose()
    await serving
    assert order == [*entities, *reversed(entities)]


async def test_rule_19_a_system_that_never_waits_does_not_stop_the_others(world: World) -> None:
    spinning = True

    @system(when=lambda work: work.todo >= 0)
    async def spin(work: Work) -> None:
        work.todo = work.todo + 1 if spinning else -1

    @system
    async def stop(style: Style) -> None:
        nonlocal spinning
        await asyncio.sleep(0)
        spinning = False

    world.register_system(spin)
    world.register_system(stop)
    spawn(world, Work())
    spawn(world, Style())
    await run(world)


async def test_a_system_that_is_registered_during_a_run_takes_part_at_once(world: World) -> None:
    counting = Counting()

    @system
    async def register(style: Style) -> None:
        world.register_system(counting)
        await asyncio.sleep(1.0)
        assert counting.calls

    world.register_system(register)
    entity = spawn(world, Work())
    spawn(world, Style())
    result = await run(world)
    assert counting.calls == [entity]
    assert not result.errors


async def test_what_a_system_creates_runs_in_the_same_run(world: World) -> None:
    counting = Counting()

    @system(when=lambda style: style.name == "parent")
    async def breed(me: Entity, style: Style) -> None:
        style.name = "done"
        me.spawn(Work())

    world.register_system(counting)
    world.register_system(breed)
    parent = spawn(world, Style("parent"))
    result = await run(world)
    assert counting.calls == [EntityId(parent + 1)]
    assert set(result) == {parent, EntityId(parent + 1)}
