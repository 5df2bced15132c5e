"""World systems that fail, hang or are told to end. The rules are those of the scheduler, by their numbers."""

from __future__ import annotations

import asyncio

import pytest
from tests.core.parts import GRACE, Noting, Style, Work, begin, entity_system, now, run, spawn, told, turns

from ecs_agent.core import EndReason, World, WorldSystemFailed
from ecs_agent.core.tasks import ended


class Failing:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    async def process(self, world: World) -> None:
        raise self.error


class TestFailing:
    async def test_rule_13_process_raises_what_it_raised(self, world: World) -> None:
        world.register_system(Failing(ValueError("bad")))
        with pytest.raises(ValueError, match="bad"):
            await world.process()
        assert told(world, WorldSystemFailed) == [WorldSystemFailed("Failing", "ValueError: bad")]

    async def test_rule_13_a_run_ends_with_that_reason_and_raises_nothing(self, world: World) -> None:
        error = ValueError("bad")
        log: list[str] = []
        world.register_system(Failing(error), 0)
        world.register_system(entity_system("after", log), 5)
        entity = spawn(world, Work())
        result = await run(world)
        assert result.system_errors == (error,)
        assert result[entity].reason is EndReason.SYSTEM_FAILED
        assert log == []

    async def test_rule_8_one_that_raises_does_not_cancel_the_others(self, world: World) -> None:
        log: list[str] = []

        async def slow(_: World) -> None:
            await asyncio.sleep(1.0)
            log.append("finished")

        world.register_system(Failing(ValueError("first")))
        world.register_system(Noting([], act=slow))
        world.register_system(Failing(TypeError("second")))
        with pytest.raises(ExceptionGroup) as caught:
            await world.process()
        assert [str(error) for error in caught.value.exceptions] == ["first", "second"]
        assert log == ["finished"]

    @pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError()])
    @pytest.mark.parametrize("beside_another", [False, True])
    async def test_rule_12_an_exit_or_a_cancel_that_did_not_come_from_us_is_a_failure(
        self, world: World, error: BaseException, *, beside_another: bool
    ) -> None:
        world.register_system(Failing(error))
        if beside_another:
            world.register_system(Noting([]))
        with pytest.raises(RuntimeError, match="Failing raised") as caught:
            await world.process()
        assert caught.value.__cause__ is error

    async def test_rule_12_so_is_a_cancel_that_it_sends_to_its_own_task(self, world: World) -> None:
        async def cancel(_: World) -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(1.0)

        world.register_system(Noting([], act=cancel))
        result = await run(world)
        assert len(result.system_errors) == 1


class TestEnding:
    async def test_a_deadline_cancels_it(self, world: World) -> None:
        log: list[str] = []

        async def hang(_: World) -> None:
            try:
                await asyncio.sleep(1000.0)
            except asyncio.CancelledError:
                log.append("cancelled")
                raise

        world.register_system(Noting([], act=hang))
        world.register_system(entity_system("after", log), 5)
        entity = spawn(world, Work())
        result = await run(world, deadline=2.0)
        assert now() == 2.0
        assert log == ["cancelled"]
        assert result.system_errors == ()
        assert result[entity].reason is EndReason.DEADLINE

    async def test_a_cancel_from_outside_reaches_it_and_is_raised_again(self, world: World) -> None:
        log: list[str] = []

        async def hang(_: World) -> None:
            try:
                await asyncio.sleep(1000.0)
            finally:
                log.append("cancelled")

        world.register_system(Noting([], act=hang))
        world.register_system(Noting([], act=hang))
        task = await begin(world)
        task.cancel()
        await ended(task)
        assert task.cancelled()
        assert log == ["cancelled"] * 2
        assert told(world, WorldSystemFailed) == []

    async def test_it_may_close_the_world_it_runs_in(self, world: World) -> None:
        world.register_system(Noting([], act=lambda world: world.aclose()))
        await asyncio.wait_for(run(world), 5.0)
        assert world.closed

    async def test_one_that_swallows_its_cancel_is_left_behind_and_reported(self, world: World) -> None:
        over = asyncio.Event()

        async def deaf(_: World) -> None:
            while not over.is_set():
                try:
                    await over.wait()
                except asyncio.CancelledError:
                    pass  # as a system does that does not want to end

        world.register_system(Noting([], "deaf", deaf))
        await run(world, deadline=1.0)
        assert now() == 1.0 + GRACE
        assert told(world, WorldSystemFailed) == [WorldSystemFailed("deaf", "did not end within 0.5 s after the cancel")]
        over.set()
        await turns(5)

    async def test_a_fault_of_the_engine_itself_is_raised(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*_: object) -> bool:
            raise LookupError("a fault")

        async def breaking(world: World) -> None:
            monkeypatch.setattr(world.state, "compare", broken)

        spawn(world, Style())
        world.register_system(Noting([], act=breaking))
        with pytest.raises(LookupError, match="a fault"):
            await run(world)
        assert world.engine is None
