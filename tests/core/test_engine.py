"""How entities move through the schedule: changes, what is due, steps, order, fairness. The rules are those of the scheduler, by their numbers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from tests.core.parts import Ban, Counting, Style, Work, now, run, spawn, told

from ecs_agent.core import (
    ComponentChanged,
    Entity,
    ErrorComponent,
    QuarantineComponent,
    Read,
    TerminalComponent,
    World,
    system,
)
from ecs_agent.types import EntityId


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
        monkeypatch.setattr(world.state, "compare", broken)

    def broken(*_: object) -> bool:
        raise RuntimeError("a fault")

    world.register_system(one)
    spawn(world, Work())
    with pytest.raises(RuntimeError, match="a fault"):
        await run(world)
    assert world.engine is None
