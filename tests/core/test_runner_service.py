"""Who waits for an entity to come to rest, and who keeps a world running in the background."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tests.core.parts import Style, Work, begin, loop_turns, now, spawn, turns, wait

from ecs_agent.core import EndReason, Runner, World, system
from ecs_agent.core.runner import Service
from ecs_agent.errors import WorldBusyError, WorldClosedError
from ecs_agent.types import EntityId


class TestSettled:
    async def test_it_tells_how_an_entity_came_to_rest_as_soon_as_it_does(self, world: World) -> None:
        world.register_system(wait)
        quick, slow, stranger = spawn(world, Work(2)), spawn(world, Work(50)), spawn(world, Style())
        task = await begin(world)
        engine = world.engine
        assert engine is not None
        assert (await engine.settled(quick)).reason is EndReason.IDLE
        assert now() == 2.0
        assert engine.settled(quick).done()
        assert (await engine.settled(stranger)).reason is EndReason.IDLE
        assert (await engine.settled(EntityId(99))).reason is EndReason.DELETED
        waiting = engine.settled(slow)
        gone = engine.settled(slow)
        gone.cancel()
        world.delete_entity(slow)
        assert (await waiting).reason is EndReason.DELETED
        await task
        assert engine.settled(quick).done()

    async def test_when_the_run_ends_everyone_who_waits_is_told(self, world: World) -> None:
        world.register_system(wait)
        entity = spawn(world, Work(50))
        task = await begin(world)
        engine = world.engine
        assert engine is not None
        waiting = engine.settled(entity)
        engine.stop_soon(EndReason.STOPPED)
        engine.stop_soon(EndReason.DEADLINE)
        await task
        assert (await waiting).reason is EndReason.STOPPED, "the first reason counts"
        assert engine.settled(entity).done()

    async def test_it_tells_of_the_failure_of_a_predicate(self, world: World) -> None:

        def broken(_: Work) -> bool:
            raise ValueError("bad")

        @system(when=broken)
        async def never(work: Work) -> None: ...

        world.register_system(wait)
        entity = spawn(world, Work(2))
        task = await begin(world)
        world.register_system(never)
        engine = world.engine
        assert engine is not None
        outcome = await engine.settled(entity)
        assert isinstance(outcome.error, ValueError)
        await task


class TestService:
    async def test_it_runs_while_somebody_holds_it(self, world: World) -> None:
        world.register_system(wait)
        service = Service(world)
        engine = await service.acquire()
        assert await service.acquire() is engine is world.engine
        entity = spawn(world, Work(2))
        assert (await engine.settled(entity)).reason is EndReason.IDLE
        service.release()
        await turns(5)
        assert world.engine is engine
        service.release()
        await service.aclose()
        assert world.engine is None

    async def test_two_who_come_in_one_turn_share_the_run(self, world: World) -> None:
        service = Service(world)
        first, second = await asyncio.gather(service.acquire(), service.acquire())
        assert first is second
        service.release()
        service.release()
        await service.aclose()

    async def test_it_can_be_held_again_also_while_the_old_run_is_still_ending(self, world: World) -> None:
        @system
        async def reluctant(work: Work) -> None:
            try:
                await asyncio.sleep(1000.0)
            finally:
                await asyncio.sleep(3.0)

        world.register_system(reluctant)
        spawn(world, Work())
        service = Service(world)
        first = await service.acquire()
        await turns(5)
        service.release()
        before = loop_turns()
        second = await service.acquire()
        assert second is not first
        assert now() == 3.0
        assert loop_turns() - before < 15, "it slept until the old run was over"
        service.release()
        await world.aclose()

    async def test_it_joins_a_run_that_is_active_already_and_does_not_end_it(self, world: World) -> None:
        world.register_system(wait)
        spawn(world, Work(5))
        task = await begin(world)
        service = Service(world)
        assert await service.acquire() is world.engine
        service.release()
        await service.aclose()
        await task
        assert now() == 5.0

    async def test_rule_9_during_a_tick_it_is_refused(self, world: World) -> None:
        world.register_system(wait)
        spawn(world, Work(5))
        tick = asyncio.ensure_future(world.process())
        await turns(3)
        with pytest.raises(WorldBusyError, match="a tick is active"):
            await Service(world).acquire()
        await tick

    async def test_in_a_closed_world_it_is_refused(self, world: World) -> None:
        service = Service(world)
        await world.aclose()
        with pytest.raises(WorldClosedError):
            await service.acquire()
        await service.aclose()

    async def test_closing_it_while_somebody_holds_it_ends_nothing(self, world: World) -> None:
        service = Service(world)
        engine = await service.acquire()
        await service.aclose()
        assert world.engine is engine

    @pytest.mark.parametrize("faster", [lambda world: world.aclose(), lambda world: world.process(), lambda world: Runner().run(world)])
    async def test_when_somebody_was_faster_no_task_ends_with_an_error_that_nobody_takes(
        self, world: World, faster: Callable[[World], Coroutine[Any, Any, object]]
    ) -> None:
        complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        asking = asyncio.ensure_future(Service(world).acquire())
        await asyncio.gather(faster(world), asking, return_exceptions=True)
        del asking
        await turns(3)
        gc.collect()
        assert complaints == []
