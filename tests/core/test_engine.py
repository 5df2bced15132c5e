"""How entities move through the schedule: changes, what is due, steps, order, fairness. The rules are those of the scheduler, by their numbers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.parts import Ban, Style, Work, named, now, run, spawn, told, turns

from ecs_agent.core import (
    ComponentChanged,
    EndReason,
    Entity,
    ErrorComponent,
    QuarantineComponent,
    Read,
    Runner,
    TerminalComponent,
    World,
    system,
)
from ecs_agent.errors import WorldBusyError
from ecs_agent.types import EntityId


class Counting:
    """An entity system without a predicate: it runs once after each change."""

    def __init__(self) -> None:
        self.calls: list[EntityId] = []

    @system
    async def __call__(self, me: Entity, work: Work, style: Style | None) -> None:
        self.calls.append(me.id)


def add_and_remove(world: World, entity: EntityId) -> None:
    world.add_component(entity, Style())
    world.remove_component(entity, Style)


CHANGES: dict[str, Callable[[World, EntityId], object]] = {
    "add": lambda world, entity: world.add_component(entity, Style()),
    "replace": lambda world, entity: world.add_component(entity, Work(1)),
    "add and remove": add_and_remove,
    "touch": lambda world, entity: world.touch(entity),
    "touch a component": lambda world, entity: world.touch(entity, Work),
    "edit": lambda world, entity: world.edit(entity, Work, "it was edited"),
    "in place, found at the boundary": lambda world, entity: world.query(Work)[0][1][0].done.append("x"),
}

NO_CHANGES: dict[str, Callable[[World, EntityId], object]] = {
    "an event": lambda world, entity: world.emit(entity, "something happened"),
    "removing what is not there": lambda world, entity: world.remove_component(entity, Style),
    "a change of another entity": lambda world, _: spawn(world, Style()),
    "reading": lambda world, entity: (world.get_component(entity, Work), world.query(Work)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
async def test_rule_1_every_change_of_an_entity_makes_its_systems_due_once(world: World, change: Callable[[World, EntityId], object]) -> None:
    counting = Counting()
    world.register_system(counting)
    entity = spawn(world, Work())
    await run(world)
    assert counting.calls == [entity]
    change(world, entity)
    await run(world)
    assert counting.calls == [entity] * 2


@pytest.mark.parametrize("no_change", NO_CHANGES.values(), ids=NO_CHANGES.keys())
async def test_rule_1_events_are_no_changes(world: World, no_change: Callable[[World, EntityId], object]) -> None:
    counting = Counting()
    world.register_system(counting)
    entity = spawn(world, Work())
    await run(world)
    no_change(world, entity)
    await run(world)
    assert counting.calls == [entity]


@pytest.mark.parametrize("halting", [TerminalComponent("done"), QuarantineComponent("too often"), ErrorComponent("broken", "x", 0.0)])
async def test_rule_2_nothing_is_due_on_an_entity_that_has_ended_or_failed(world: World, halting: object) -> None:
    counting = Counting()
    world.register_system(counting)
    entity = spawn(world, Work(), halting)
    await run(world)
    assert counting.calls == []
    world.remove_component(entity, type(halting))
    await run(world)
    assert counting.calls == [entity]


async def test_rule_2_no_second_call_of_a_system_runs_on_an_entity_and_a_change_meanwhile_makes_it_due_again(world: World) -> None:
    running = 0
    calls: list[float] = []

    @system
    async def slow(me: Entity, work: Work) -> None:
        nonlocal running
        running += 1
        assert running == 1
        calls.append(now())
        await asyncio.sleep(2.0)
        running -= 1

    world.register_system(slow)
    entity = spawn(world, Work())
    asyncio.get_running_loop().call_later(1.0, world.touch, entity)
    await run(world)
    assert calls == [0.0, 2.0]


async def test_rule_2_with_a_predicate_a_system_is_due_exactly_while_it_is_true(world: World) -> None:
    @system(when=lambda work: work.todo > 0)
    async def reduce(work: Work) -> None:
        work.todo -= 1
        work.done.append("once")

    world.register_system(reduce)
    entity = spawn(world, Work(todo=3))
    await run(world)
    world.touch(entity)
    await run(world)
    work = world.get_component(entity, Work)
    assert work == Work(0, ["once"] * 3)


async def test_a_predicate_gets_the_components_of_the_signature_without_the_lease(world: World) -> None:
    asked: list[tuple[object, ...]] = []

    def ask(*components: object) -> bool:
        asked.append(components)
        return False

    @system(when=ask)
    async def never(work: Work, me: Entity, style: Style | None) -> None: ...

    world.register_system(never)
    work = Work()
    spawn(world, work)
    await run(world)
    assert set(map(len, asked)) == {2}
    assert asked[0][0] is work
    assert asked[0][1] is None


def change_and_commit(_: World, me: Entity, work: Work) -> None:
    work.done.append("x")
    me.commit()


WAYS_TO_CHANGE: dict[str, Callable[[World, Entity, Work], object]] = {
    "in place": lambda _world, _me, work: work.done.append("x"),
    "through the lease": lambda _world, me, _work: me.add(Style("new")),
    "past the lease": lambda world, me, _work: world.add_component(me.id, Style("new")),
    "by touch": lambda _world, me, _work: me.touch(Work),
    "in place and committed": change_and_commit,
}


@pytest.mark.parametrize("change", WAYS_TO_CHANGE.values(), ids=WAYS_TO_CHANGE.keys())
async def test_rule_3_its_own_changes_do_not_make_a_system_due_again_but_they_do_for_others(
    world: World, change: Callable[[World, Entity, Work], object]
) -> None:
    calls: list[str] = []

    @system
    async def changing(me: Entity, work: Work) -> None:
        calls.append("changing")
        change(world, me, work)

    @system(priority=-1)
    async def other(me: Entity, work: Read[Work]) -> None:
        calls.append("other")

    world.register_system(changing)
    world.register_system(other)
    spawn(world, Work())
    await run(world)
    assert calls == ["other", "changing", "other"]


async def test_rule_3_a_change_by_others_during_its_call_counts_although_it_made_one_itself(world: World) -> None:
    calls: list[float] = []

    @system
    async def changing(me: Entity, work: Work) -> None:
        calls.append(now())
        await asyncio.sleep(1.0)
        work.done.append("x")

    world.register_system(changing)
    entity = spawn(world, Work())
    asyncio.get_running_loop().call_later(0.5, world.add_component, entity, Style())
    await run(world)
    assert calls == [0.0, 1.0]


async def test_rule_4_a_run_begins_by_looking_once_at_every_entity(world: World) -> None:
    counting = Counting()
    world.register_system(counting)
    entities = [spawn(world, Work()) for _ in range(10)]
    await run(world)
    assert counting.calls == entities


async def test_rule_4_before_a_run_ends_edits_from_outside_are_found(world: World) -> None:
    counting = Counting()
    world.register_system(counting)

    @system
    async def slow(style: Style) -> None:
        await asyncio.sleep(2.0)

    world.register_system(slow)
    work = Work()
    entity = spawn(world, work)
    spawn(world, Style())
    asyncio.get_running_loop().call_later(1.0, work.done.append, "from outside")
    await run(world)
    assert counting.calls == [entity, entity]
    assert told(world, ComponentChanged) == [ComponentChanged(entity, work)]


async def test_rule_4_before_a_run_ends_every_entity_is_matched_once_more_also_where_comparing_sees_nothing(world: World) -> None:
    class Deep:
        ready = False

    calls: list[float] = []
    deep = Deep()

    @dataclass
    class Holder:
        inner: Deep

    @system(when=lambda holder: holder.inner.ready)
    async def act(holder: Holder) -> None:
        holder.inner.ready = False
        calls.append(now())

    @system
    async def slow(style: Style) -> None:
        await asyncio.sleep(2.0)

    world.register_system(act)
    world.register_system(slow)
    spawn(world, Holder(deep))
    spawn(world, Style())
    asyncio.get_running_loop().call_later(1.0, setattr, deep, "ready", True)
    await run(world)
    assert calls == [2.0]


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


class TestBetweenDueAndCalled:
    """A system was found due, and before its call begins the world changes. Then there is no call."""

    @pytest.mark.parametrize(
        "change",
        [
            lambda world, entity: world.delete_entity(entity),
            lambda world, entity: world.remove_component(entity, Work),
            lambda world, entity: world.add_component(entity, TerminalComponent("done")),
            lambda world, entity: world.add_component(entity, Ban()),
        ],
        ids=["deleted", "component removed", "ended", "excluded component added"],
    )
    async def test_the_call_is_not_made(self, world: World, change: Callable[[World, EntityId], object]) -> None:
        calls: list[EntityId] = []

        @system(without=(Ban,))
        async def note(me: Entity, work: Work) -> None:
            calls.append(me.id)

        @system
        async def first(me: Entity, style: Style) -> None:
            change(world, victim)

        world.register_system(note)
        world.register_system(first)
        spawn(world, Style())
        victim = spawn(world, Work())
        result = await run(world)
        assert calls == []
        assert not result.errors

    async def test_also_when_a_system_of_the_same_group_changed_it(self, world: World) -> None:
        calls: list[str] = []

        @system
        async def first(me: Entity, work: Work) -> None:
            me.remove(Style)

        @system
        async def second(style: Style) -> None:
            calls.append("called without its component")

        world.register_system(first)
        world.register_system(second)
        spawn(world, Work(), Style())
        await run(world)
        assert calls == []


async def test_a_predicate_that_fails_starts_one_driver_and_not_two(world: World) -> None:
    """Its failure is a change, which queues the entity again while it is being looked at."""
    calls: list[tuple[str, float]] = []

    def broken(_: Work) -> bool:
        raise ValueError("no")

    @system(when=broken)
    async def never(work: Work) -> None: ...

    def after(name: str) -> Any:
        @system
        async def note(me: Entity, error: Read[ErrorComponent]) -> None:
            calls.append((name, now()))
            await asyncio.sleep(1.0)

        return note

    world.register_system(never, 0)
    world.register_system(after("first"), 5)
    world.register_system(after("second"), 10)
    entity = spawn(world, Work())
    result = await asyncio.wait_for(run(world), 60.0)
    assert calls == [("first", 0.0), ("second", 1.0)]
    assert isinstance(result[entity].error, ValueError)


async def test_a_fault_of_the_engine_itself_ends_the_run_loudly(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    @system
    async def one(work: Work) -> None:
        monkeypatch.setattr(world, "compare", broken)

    def broken(*_: object) -> bool:
        raise RuntimeError("a fault")

    world.register_system(one)
    spawn(world, Work())
    with pytest.raises(RuntimeError, match="a fault"):
        await run(world)
    assert world.engine is None
