"""World systems: everyone meets at them. The rules are those of the scheduler, by their numbers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.core.parts import Noting, Style, Work, entity_system, now, run, spawn, turns

from ecs_agent.core import Runner, World, system
from ecs_agent.types import EntityId


def pausing(seconds: float) -> Callable[[World], Awaitable[object]]:
    return lambda _: asyncio.sleep(seconds)


class TestMeeting:
    async def test_rule_8_the_references_form_of_a_system_runs(self, world: World) -> None:
        class Growing:
            """As users of the reference write it."""

            async def process(self, world: World) -> None:
                for _, (work,) in world.query(Work):
                    work.todo += 1

        world.register_system(Growing(), priority=0)
        entity = spawn(world, Work())
        await world.process()
        await world.process()
        assert world.get_component(entity, Work) == Work(2)
        await run(world)
        assert world.get_component(entity, Work) == Work(3)

    async def test_rule_8_it_gets_one_tick_at_the_start_also_without_entities(self, world: World) -> None:
        log: list[str] = []
        world.register_system(Noting(log))
        await run(world)
        assert log == ["world"]
        await run(world)
        assert log == ["world", "world"]

    async def test_rule_8_later_it_is_due_only_after_changes_that_are_not_its_own(self, world: World) -> None:
        log: list[str] = []

        async def change(world: World) -> None:
            spawn(world, Style())
            for _, (style,) in world.query(Style):
                style.name += "!"

        world.register_system(Noting(log, act=change))
        await asyncio.wait_for(run(world), 10.0)
        assert log == ["world"]

    async def test_rule_8_it_waits_until_no_call_runs_and_nothing_below_its_priority_is_due(self, world: World) -> None:
        log: list[str] = []
        world.register_system(entity_system("low", log, lambda work: work.todo), 0)
        world.register_system(Noting(log), 5)
        world.register_system(entity_system("high", log), 10)
        first, second = spawn(world, Work(1)), spawn(world, Work(7))
        await run(world)
        assert now() == 7.0
        assert log == [
            *[f"low {first} begins", f"low {second} begins", f"low {first} ends", f"low {second} ends"],
            "world",
            *[f"high {first} begins", f"high {second} begins", f"high {first} ends", f"high {second} ends"],
        ]

    async def test_rule_8_at_its_own_priority_it_goes_before_the_entity_systems(self, world: World) -> None:
        log: list[str] = []
        world.register_system(entity_system("same", log))
        world.register_system(Noting(log))
        entity = spawn(world, Work())
        await world.process()
        assert log == ["world", f"same {entity} begins", f"same {entity} ends"]

    async def test_rule_8_the_lowest_priority_goes_first_and_each_meets_alone(self, world: World) -> None:
        log: list[str] = []
        for name, priority in (("third", 30), ("first", 10), ("second", 20)):
            world.register_system(Noting(log, name, pausing(1.0)), priority)
        await run(world)
        assert log == ["first", "second", "third"]
        assert now() == 3.0

    async def test_rule_8_those_of_one_priority_run_together(self, world: World) -> None:
        log: list[str] = []
        for name in "abc":
            world.register_system(Noting(log, name, pausing(1.0)))
        await run(world)
        assert log == ["a", "b", "c"]
        assert now() == 1.0

    async def test_rule_8_no_entity_call_runs_during_a_meeting(self, world: World) -> None:
        log: list[str] = []

        async def poke(world: World) -> None:
            world.touch(entity)
            await asyncio.sleep(1.0)
            log.append("world over")

        world.register_system(entity_system("before", log), 0)
        world.register_system(Noting(log, act=poke), 5)
        entity = spawn(world, Work())
        await run(world)
        once = [f"before {entity} begins", f"before {entity} ends"]
        assert log == [*once, "world", "world over", *once]

    async def test_rule_8_what_one_changes_the_other_of_its_priority_gets_to_see(self, world: World) -> None:
        log: list[str] = []

        async def look(world: World) -> None:
            log.append(f"saw {len(world.query(Style))}")

        async def change_once(world: World) -> None:
            await asyncio.sleep(1.0)
            if not world.query(Style):
                spawn(world, Style())

        world.register_system(Noting([], act=look))
        world.register_system(Noting([], act=change_once))
        await asyncio.wait_for(run(world), 10.0)
        assert log == ["saw 0", "saw 1"]

    async def test_rule_8_also_when_both_change_something(self, world: World) -> None:
        seen: dict[str, list[int]] = {"a": [], "b": []}

        def looking(name: str) -> Callable[[World], Awaitable[object]]:
            async def look(world: World) -> None:
                seen[name].append(len(world.query(Style)))
                if len(seen[name]) == 1:
                    spawn(world, Style())

            return look

        for name in seen:
            world.register_system(Noting([], act=looking(name)))
        await run(world)
        assert seen == {"a": [0, 2], "b": [1, 2]}

    async def test_rule_8_a_change_by_a_task_of_theirs_counts_as_seen_by_all_so_that_none_spins(self, world: World) -> None:
        log: list[str] = []

        async def change(world: World) -> None:
            spawn(world, Style())

        world.register_system(Noting(log, "a", lambda world: asyncio.gather(change(world))))
        world.register_system(Noting(log, "b", lambda world: asyncio.gather(change(world))))
        await asyncio.wait_for(run(world), 5.0)
        assert log == ["a", "b"]

    async def test_rule_8_an_entity_whose_calls_change_something_brings_it_back(self, world: World) -> None:
        log: list[str] = []

        @system(when=lambda work: work.todo > 0)
        async def reduce(work: Work) -> None:
            work.todo -= 1

        world.register_system(Noting(log), 5)
        world.register_system(reduce, 10)
        spawn(world, Work(3))
        await run(world)
        assert log == ["world"] * 4

    async def test_rule_8_the_creation_of_an_entity_is_a_change(self, world: World) -> None:
        log: list[str] = []
        world.register_system(Noting(log))

        @system
        async def create(work: Work) -> None:
            world.create_entity()

        world.register_system(create, 1)
        spawn(world, Work())
        await run(world)
        assert log == ["world", "world"]

    async def test_rule_8_in_a_tick_each_runs_exactly_once(self, world: World) -> None:
        log: list[str] = []

        async def change(world: World) -> None:
            spawn(world, Style())

        world.register_system(Noting(log, "first", change), 0)
        world.register_system(Noting(log, "second", change), 5)
        await world.process()
        assert log == ["first", "second"]

    async def test_rule_10_it_gets_no_more_ticks_than_the_limit(self, world: World) -> None:
        log: list[str] = []

        async def change(world: World) -> None:
            spawn(world, Style())

        world.register_system(Noting(log, "ping", change), 0)
        world.register_system(Noting(log, "pong", change), 5)
        await run(world, max_ticks=3)
        assert log == ["ping", "pong"] * 3
        await run(world, max_ticks=0)
        assert len(log) == 6

    async def test_one_that_is_registered_during_a_run_gets_its_tick(self, world: World) -> None:
        log: list[str] = []

        @system
        async def register(work: Work) -> None:
            world.register_system(Noting(log))

        world.register_system(register)
        spawn(world, Work())
        await run(world)
        assert log == ["world"]

    async def test_an_edit_from_outside_reaches_it_also_on_an_entity_that_no_entity_system_knows(self, world: World) -> None:
        log: list[str] = []

        @system
        async def slow(work: Work) -> None:
            await asyncio.sleep(2.0)

        world.register_system(Noting(log))
        world.register_system(slow, 1)
        style = Style()
        spawn(world, Work())
        spawn(world, style)
        asyncio.get_running_loop().call_later(1.0, setattr, style, "name", "changed")
        await run(world)
        assert log == ["world", "world"]

    async def test_while_serving_any_change_wakes_it_also_of_an_entity_that_no_entity_system_knows(self, world: World) -> None:
        log: list[str] = []
        world.register_system(Noting(log))
        serving = asyncio.ensure_future(Runner().serve(world))
        await turns(10)
        entity = spawn(world, Style())
        await turns(10)
        assert log == ["world"] * 2
        world.delete_entity(entity)
        await turns(10)
        assert log == ["world"] * 3
        await world.aclose()
        await serving


async def test_the_world_may_be_changed_freely_during_a_meeting(world: World) -> None:
    """Entities that are deleted or created while others wait at the barrier."""
    log: list[str] = []

    async def rebuild(world: World) -> None:
        if world.has_entity(doomed):
            world.delete_entity(doomed)
            spawn(world, Work(1))

    world.register_system(Noting([], act=rebuild), 0)
    world.register_system(entity_system("high", log), 5)
    kept, doomed = spawn(world, Work()), spawn(world, Work())
    result = await run(world)
    born = EntityId(doomed + 1)
    assert [line for line in log if line.endswith("begins")] == [f"high {kept} begins", f"high {born} begins"]
    assert set(result) == {kept, born}
