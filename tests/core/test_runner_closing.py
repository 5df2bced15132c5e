"""Nothing is left behind: not after closing in the middle of everything, not after the last reference is gone."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import textwrap
from typing import Any

from tests.core.parts import Happened, Work, begin, run, spawn, turns, wait

from ecs_agent.core import EndReason, Entity, World, system


class TestClosing:
    async def test_nothing_runs_after_closing_in_the_middle_of_everything(self, world: World) -> None:
        async def hang(_: Any) -> None:
            await asyncio.sleep(1000.0)

        world.event_bus.subscribe(Happened, hang)
        world.register_system(wait)
        for _ in range(10):
            spawn(world, Work(1000))
        gone = spawn(world, Work(1000))
        world.report(Happened())
        reading = asyncio.ensure_future(anext(world.events(world.create_entity()), "over"))
        task = await begin(world)
        world.delete_entity(gone)
        await world.aclose()
        assert await task
        assert await reading == "over"
        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def test_a_call_of_a_deleted_entity_that_is_still_ending_is_waited_for(self, world: World) -> None:
        @system
        async def reluctant(work: Work) -> None:
            try:
                await asyncio.sleep(1000.0)
            finally:
                await asyncio.shield(asyncio.sleep(0.25))

        world.register_system(reluctant)
        entity = spawn(world, Work())
        task = await begin(world)
        world.delete_entity(entity)
        await turns(3)
        await world.aclose()
        assert dict(await task) == {}
        assert not [task for task in asyncio.all_tasks() if task.get_name() == f"entity {entity}"]
        await asyncio.sleep(1.0)

    async def test_a_call_that_closes_its_own_world_is_cancelled_as_by_anyone_else(self, world: World) -> None:
        @system
        async def close(work: Work) -> None:
            await world.aclose()

        world.register_system(close)
        entity = spawn(world, Work())
        result = await asyncio.wait_for(run(world), 5.0)
        assert result[entity].reason is EndReason.STOPPED

    async def test_a_call_that_was_told_to_end_twice_settles_once_and_the_run_is_over(self, world: World) -> None:
        """Its component is removed and the run is stopped in one turn."""
        settled: list[str] = []

        class Waiting:
            @system
            async def __call__(self, work: Work) -> None:
                await asyncio.sleep(1000.0)

            def settle(self, me: Entity) -> None:
                settled.append("once")

        world.register_system(Waiting())
        entity = spawn(world, Work())
        task = await begin(world)
        world.remove_component(entity, Work)
        await world.aclose()
        await task
        assert settled == ["once"]

    def test_a_program_in_development_mode_ends_without_a_warning(self) -> None:
        """Also one that leaves streams open, closes in the middle, cancels, and lets go of a world without closing it."""
        program = """
            import asyncio
            from dataclasses import dataclass
            from ecs_agent.core import Entity, Runner, World, system
            from ecs_agent.core.runner import Service

            @dataclass
            class Work:
                seconds: float

            @system
            async def wait(me: Entity, work: Work) -> None:
                me.emit("began")
                await asyncio.sleep(work.seconds)

            async def heard(event: str) -> None:
                await asyncio.sleep(0)

            def filled() -> World:
                world = World()
                world.event_bus.subscribe(str, heard)
                world.register_system(wait)
                for seconds in (0, 0, 60):
                    world.add_component(world.create_entity(), Work(seconds))
                return world

            async def main() -> None:
                asyncio.get_running_loop().slow_callback_duration = 30
                async with filled() as world:
                    await Runner().run(world, deadline=0.001)
                async with filled() as world:
                    serving = asyncio.ensure_future(Runner().serve(world))
                    async for event in world.events():
                        break
                await serving
                world = filled()
                task = asyncio.ensure_future(world.process())
                await asyncio.sleep(0)
                task.cancel()
                service = Service(filled())
                await service.acquire()
                service.release()
                await service.aclose()

            asyncio.run(main())
        """
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=20, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_world_may_run_on_one_loop_after_another() -> None:
    world = World()
    calls: list[int] = []

    @system
    async def note(work: Work) -> None:
        calls.append(len(calls))

    world.register_system(note)
    entity = spawn(world, Work())
    for _ in range(3):
        world.touch(entity)
        asyncio.run(run(world))
    assert calls == [0, 1, 2]


def test_a_world_that_is_let_go_of_is_collected() -> None:
    import weakref

    async def scenario() -> weakref.ref[World]:
        world = World()
        world.register_system(wait)
        spawn(world, Work())
        world.events()
        await run(world)
        return weakref.ref(world)

    reference = asyncio.run(scenario())
    gc.collect()
    assert reference() is None
