"""Changing other entities: a request is done at once, or when the last call on its entity has ended; anything else is refused where it is checked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from tests.core.parts import GRACE, Ban, Style, Work, begin, change_later, named, now, run, spawn, told

from ecs_agent.core import ComponentAdded, ComponentChanged, Entity, HandlerFailed, RequestFailed, TerminalComponent, World, system
from ecs_agent.core.entity import MAX_REQUESTS
from ecs_agent.errors import EntityNotFoundError, ForeignWriteError, LeaseRevokedError, RequestsFullError
from ecs_agent.types import EntityId


@system
async def slow(me: Entity, work: Work) -> None:
    await asyncio.sleep(work.todo)


def add(name: str) -> Callable[[Entity], None]:
    return lambda other: other.add(Style(name))


def style(world: World, entity: EntityId) -> str | None:
    held = world.get_component(entity, Style)
    return None if held is None else held.name


class TestWhen:
    async def test_rule_7_a_request_is_done_at_once_when_no_call_runs_on_the_entity(self, world: World) -> None:
        other = spawn(world, Ban())
        seen: list[str | None] = []

        @system
        async def asking(me: Entity, work: Work) -> None:
            me.request(other, add("new"))
            seen.append(style(world, other))

        world.register_system(asking)
        spawn(world, Work())
        await run(world)
        assert seen == ["new"]

    async def test_rule_7_else_as_soon_as_the_last_call_on_it_has_ended(self, world: World) -> None:
        done: list[tuple[str, float]] = []

        @system
        async def beside(style: Style) -> None:
            await asyncio.sleep(3.0)

        world.register_system(slow)
        world.register_system(beside)
        entity = spawn(world, Work(1), Style())
        change_later(0.5, world.request, entity, lambda _: done.append(("done", now())))
        await run(world)
        assert done == [("done", 3.0)]

    async def test_rule_7_in_the_order_of_asking(self, world: World) -> None:
        order: list[int] = []
        world.register_system(slow)
        entity = spawn(world, Work(1))
        task = await begin(world)
        for number in range(5):
            world.request(entity, lambda _, number=number: order.append(number))  # type: ignore[misc]  # the default binds the number
        assert order == []
        await task
        assert order == list(range(5))

    async def test_rule_7_a_change_makes_the_systems_of_the_entity_due_like_any_other(self, world: World) -> None:
        calls: list[float] = []

        @system
        async def counting(me: Entity, work: Work) -> None:
            calls.append(now())
            await asyncio.sleep(2.0)

        def more(other: Entity) -> None:
            work = other.get(Work)
            assert work is not None
            work.done.append("in place")

        world.register_system(counting)
        entity = spawn(world, Work())
        change_later(1.0, world.request, entity, more)
        await run(world)
        assert calls == [0.0, 2.0]
        assert [event.entity_id for event in told(world, ComponentChanged)] == [entity]

    async def test_a_call_may_ask_for_a_change_of_its_own_entity_after_itself(self, world: World) -> None:
        seen: list[str | None] = []

        @system(without=(Style,))
        async def asking(me: Entity, work: Work) -> None:
            me.request(me.id, add("after"))
            seen.append(style(world, me.id))

        world.register_system(asking)
        entity = spawn(world, Work())
        await run(world)
        assert (seen, style(world, entity)) == ([None], "after")

    async def test_what_a_change_asks_of_its_own_entity_is_done_after_it(self, world: World) -> None:
        order: list[str] = []

        def first(other: Entity) -> None:
            order.append("first begins")
            other.request(other.id, lambda _: order.append("third"))
            order.append("first ends")

        world.register_system(slow)
        entity = spawn(world, Work(1))
        task = await begin(world)
        world.request(entity, first)
        world.request(entity, lambda _: order.append("second"))
        await task
        assert order == ["first begins", "first ends", "second", "third"]

    async def test_a_request_waits_also_for_a_call_that_is_left_behind_but_no_longer(self, world: World) -> None:
        ending = asyncio.Event()

        @system
        async def deaf(work: Work) -> None:
            while not ending.is_set():
                try:
                    await ending.wait()
                except asyncio.CancelledError:
                    continue

        world.register_system(deaf)
        entity = spawn(world, Work())
        task = await begin(world)
        done: list[float] = []
        world.request(entity, lambda _: done.append(now()))
        world.add_component(entity, TerminalComponent("enough"))
        await task
        assert done == [GRACE]
        ending.set()


class TestFailing:
    @pytest.mark.parametrize("error", [ValueError("bad"), SystemExit("bad")])
    async def test_rule_7_a_change_that_raises_becomes_an_event_and_fails_neither_side(self, world: World, error: BaseException) -> None:
        def bad(_: Entity) -> None:
            raise error

        @system
        async def asking(me: Entity, work: Work) -> None:
            me.request(other, bad)
            me.request(other, add("still done"))

        world.register_system(asking)
        other, entity = spawn(world, Ban()), spawn(world, Work())
        result = await run(world)
        assert not result.errors
        assert style(world, other) == "still done"
        assert told(world, RequestFailed) == [RequestFailed(other, entity, f"{type(error).__name__}: bad")]

    async def test_rule_7_what_a_change_did_in_place_before_it_raised_is_found(self, world: World) -> None:
        entity = spawn(world, Work())

        def half(other: Entity) -> None:
            work = other.get(Work)
            assert work is not None
            work.done.append("half")
            raise ValueError("bad")

        world.request(entity, half)
        assert len(told(world, ComponentChanged)) == 1

    async def test_rule_7_the_lease_ends_with_the_change(self, world: World) -> None:
        kept: list[Entity] = []
        world.request(spawn(world), kept.append)
        with pytest.raises(LeaseRevokedError):
            kept[0].add(Work())

    async def test_rule_7_so_many_may_wait_and_no_more(self, world: World) -> None:
        world.register_system(slow)
        entity = spawn(world, Work(1))
        task = await begin(world)
        for _ in range(MAX_REQUESTS):
            world.request(entity, lambda _: None)
        with pytest.raises(RequestsFullError, match=f"{MAX_REQUESTS} requests wait for entity {entity}; its call has been running"):
            world.request(entity, lambda _: None)
        await task
        world.request(entity, add("room again"))
        assert style(world, entity) == "room again"

    async def test_a_chain_of_requests_without_an_end_is_cut(self, world: World) -> None:
        count = 0

        def again(other: Entity) -> None:
            nonlocal count
            count += 1
            other.request(other.id, again)

        entity = spawn(world)
        world.request(entity, again)
        assert count == MAX_REQUESTS
        assert told(world, RequestFailed) == [RequestFailed(entity, entity, "1000 requests in a row asked for more of them")]

    async def test_two_that_ask_each_other_for_ever_are_cut_too(self, world: World) -> None:
        one, two = spawn(world), spawn(world)

        def to_and_fro(me: Entity) -> None:
            me.request(two if me.id == one else one, to_and_fro)

        world.request(one, to_and_fro)
        assert len(told(world, RequestFailed)) == 1

    async def test_rule_7_a_change_of_an_entity_that_was_never_there_is_refused(self, world: World) -> None:
        with pytest.raises(EntityNotFoundError):
            world.request(EntityId(99), lambda _: None)

    async def test_rule_7_whoever_asked_is_told_that_the_entity_was_deleted_before(self, world: World) -> None:
        done: list[str] = []

        @system
        async def asking(me: Entity, style: Style) -> None:
            me.request(other, lambda _: done.append("done"))
            world.delete_entity(other)

        world.register_system(slow)
        world.register_system(asking)
        other, entity = spawn(world, Work(10)), spawn(world, Style())
        await run(world)
        assert done == []
        assert told(world, RequestFailed) == [RequestFailed(other, entity, "the entity was deleted before")]

    async def test_a_change_that_deletes_its_entity_leaves_no_trace_on_it(self, world: World) -> None:
        entity = spawn(world, Work())

        def gone(other: Entity) -> None:
            work = other.get(Work)
            assert work is not None
            work.done.append("late")
            world.delete_entity(entity)

        world.request(entity, gone)
        assert told(world, ComponentChanged) == []


def write(world: World, entity: EntityId) -> None:
    world.add_component(entity, Style("foreign"))


WRITES: dict[str, Callable[[World, EntityId], object]] = {
    "add": write,
    "remove": lambda world, entity: world.remove_component(entity, Ban),
    "touch": lambda world, entity: world.touch(entity),
    "edit": lambda world, entity: world.edit(entity, Ban, "edited"),
    "delete": lambda world, entity: world.delete_entity(entity),
}


@pytest.fixture
async def checked() -> AsyncIterator[World]:
    async with World(checked=True) as world:
        yield world


class TestChecked:
    @pytest.mark.parametrize("act", WRITES.values(), ids=WRITES.keys())
    async def test_rule_7_where_it_is_checked_a_call_that_changes_another_entity_fails(
        self, checked: World, act: Callable[[World, EntityId], object]
    ) -> None:
        @system
        async def meddling(me: Entity, work: Work) -> None:
            act(checked, other)

        checked.register_system(meddling)
        other, entity = spawn(checked, Ban()), spawn(checked, Work())
        result = await run(checked)
        assert isinstance(result[entity].error, ForeignWriteError)
        assert str(result[entity].error).startswith(f"a system running on entity {entity} changed entity {other};")
        assert checked.has_component(other, Ban)

    @pytest.mark.parametrize("act", WRITES.values(), ids=WRITES.keys())
    async def test_rule_7_its_own_entity_and_those_below_it_are_its_own(self, checked: World, act: Callable[[World, EntityId], object]) -> None:
        calls: list[EntityId] = []

        @system(when=lambda work: not calls)
        async def parent(me: Entity, work: Work) -> None:
            calls.append(me.id)
            child = me.spawn(Ban())
            act(checked, checked.spawn(Ban(), parent=child))
            act(checked, child)
            act(checked, me.id)

        checked.register_system(parent)
        spawn(checked, Work(), Ban())
        assert not (await run(checked)).errors

    async def test_rule_7_unless_it_is_checked_nothing_is_refused(self, world: World) -> None:
        @system
        async def meddling(me: Entity, work: Work) -> None:
            write(world, other)

        world.register_system(meddling)
        other = spawn(world, Ban())
        spawn(world, Work())
        assert not (await run(world)).errors

    async def test_rule_7_calls_that_run_together_are_told_apart(self, checked: World) -> None:
        @system
        async def meddling(me: Entity, work: Work) -> None:
            await asyncio.sleep(1.0)
            write(checked, other)

        @system
        async def honest(me: Entity, ban: Ban) -> None:
            await asyncio.sleep(1.0)
            me.emit("honest")

        checked.register_system(meddling)
        checked.register_system(honest)
        other, entity = spawn(checked, Style()), spawn(checked, Work(), Ban())
        result = await run(checked)
        assert isinstance(result[entity].error, ForeignWriteError)
        assert told(checked, str) == ["honest"]

    async def test_rule_7_sending_asking_and_spawning_is_allowed(self, checked: World) -> None:
        @system
        async def polite(me: Entity, work: Work) -> None:
            me.send(other, "hello")
            me.request(other, add("asked"))
            me.request(other, lambda _: write(checked, other))
            me.spawn(Ban())

        checked.register_system(polite)
        other = spawn(checked, Ban())
        spawn(checked, Work())
        assert not (await run(checked)).errors
        assert told(checked, RequestFailed) == []
        assert style(checked, other) == "foreign"

    async def test_rule_7_world_systems_handlers_and_hooks_are_no_calls(self, checked: World) -> None:
        class Meeting:
            async def process(self, world: World) -> None:
                write(world, other)

        async def handler(event: str) -> None:
            write(checked, other)

        @system
        async def emitting(me: Entity, work: Work) -> None:
            me.emit("something")
            me.add(TerminalComponent("done"))

        checked.event_bus.subscribe(str, handler)
        checked.on_add(TerminalComponent, lambda world, _entity, _component: write(world, other))
        checked.register_system(Meeting(), priority=5)
        checked.register_system(named(emitting, "emitting"))
        other = spawn(checked, Ban())
        spawn(checked, Work())
        result = await run(checked)
        assert (result.errors, result.system_errors, told(checked, HandlerFailed)) == ({}, (), [])
        written = [event for event in told(checked, ComponentAdded) if isinstance(event.component, Style)]
        assert len(written) == 3

    async def test_rule_7_after_its_call_a_task_is_free_again(self, checked: World) -> None:
        @system
        async def quiet(work: Work) -> None: ...

        checked.register_system(quiet)
        spawn(checked, Work())
        await run(checked)
        assert checked.state.acting == {}
