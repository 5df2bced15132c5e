"""The watchdog: a call that keeps the event loop for too long is named, at its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest
from tests.core.parts import Style, Work, change_later, run, spawn, told

from ecs_agent.core import EndReason, Entity, LoopBlocked, TerminalComponent, World, system
from ecs_agent.core.running.watchdog import BLOCKED


class HandClock:
    """A clock that is set forward by hand, as by a call that computes."""

    seconds = 0.0

    def now(self) -> int:
        return round(self.seconds * 1e9)

    def monotonic(self) -> float:
        return self.seconds


class Computing:
    """Computes for so many seconds, waits, and so on; at the end it does what it is given to do."""

    def __init__(self, clock: HandClock, *stretches: float, end: Callable[[], None] = lambda: None) -> None:
        self.clock = clock
        self.stretches = stretches
        self.end = end
        self.__name__ = "computing"

    @system
    async def __call__(self, me: Entity, work: Work) -> None:
        for at, seconds in enumerate(self.stretches):
            if at:
                await asyncio.sleep(1.0)
            self.clock.seconds += seconds
        self.end()


def world_with(*stretches: float, end: Callable[[], None] = lambda: None) -> World:
    clock = HandClock()
    world = World(clock=clock)
    world.register_system(Computing(clock, *stretches, end=end))
    return world


@pytest.mark.parametrize(("stretches", "longest"), [((0.5,), 0.5), ((0.1, 0.75), 0.75), ((0.5, 0.1, 2.0, 0.3), 2.0), ((0.1, 0.5, 0.1), 0.5)], ids=str)
async def test_the_longest_stretch_between_two_waits_is_told_once_with_who_it_was(stretches: tuple[float, ...], longest: float) -> None:
    async with world_with(*stretches) as world:
        entity = spawn(world, Work())
        await run(world)
        (event,) = told(world, LoopBlocked)
        assert (event.entity_id, event.system_name) == (entity, "computing")
        assert event.seconds == pytest.approx(longest)


@pytest.mark.parametrize("stretches", [(), (0.2, 0.2, 0.2, 0.2), (BLOCKED,)], ids=str)
async def test_up_to_250_ms_at_a_time_nothing_is_said_however_long_the_call_takes(stretches: tuple[float, ...]) -> None:
    async with world_with(*stretches) as world:
        spawn(world, Work())
        await run(world)
        assert told(world, LoopBlocked) == []


async def test_also_of_a_call_that_fails() -> None:
    def fail() -> None:
        raise ValueError("bad")

    async with world_with(0.5, end=fail) as world:
        entity = spawn(world, Work())
        result = await run(world)
        assert isinstance(result[entity].error, ValueError)
        assert len(told(world, LoopBlocked)) == 1


async def test_also_of_one_that_computes_while_it_is_being_cancelled() -> None:
    clock = HandClock()

    @system
    async def stubborn(work: Work) -> None:
        try:
            await asyncio.sleep(50.0)
        finally:
            clock.seconds += 3.0
            await asyncio.sleep(0)

    async with World(clock=clock) as world:
        world.register_system(stubborn)
        entity = spawn(world, Work())
        change_later(1.0, world.add_component, entity, TerminalComponent("enough"))
        result = await run(world)
        assert result[entity].reason is EndReason.TERMINAL
        assert told(world, LoopBlocked) == [LoopBlocked(entity, "stubborn", 3.0)]


async def test_the_time_in_which_a_call_waits_is_not_its_own() -> None:
    clock = HandClock()

    @system
    async def waiting(work: Work) -> None:
        await asyncio.sleep(1.0)

    async with World(clock=clock) as world:
        world.register_system(waiting)
        spawn(world, Work())
        change_later(0.5, setattr, clock, "seconds", 100.0)
        await run(world)
        assert told(world, LoopBlocked) == []


async def test_nor_is_that_in_which_it_waited_before_it_was_cancelled() -> None:
    clock = HandClock()

    @system
    async def waiting(work: Work) -> None:
        await asyncio.sleep(50.0)

    async with World(clock=clock) as world:
        world.register_system(waiting)
        entity = spawn(world, Work())
        change_later(0.5, setattr, clock, "seconds", 100.0)
        change_later(1.0, world.add_component, entity, TerminalComponent("enough"))
        await run(world)
        assert told(world, LoopBlocked) == []


async def test_of_calls_that_run_together_the_one_is_named_that_computed(caplog: pytest.LogCaptureFixture) -> None:
    clock = HandClock()

    @system
    async def beside(style: Style) -> None:
        await asyncio.sleep(5.0)

    async with World(clock=clock) as world:
        world.register_system(beside)
        world.register_system(Computing(clock, 0.1, 1.5))
        entity = spawn(world, Work(), Style())
        with caplog.at_level(logging.WARNING, "ecs_agent"):
            await run(world)
        assert [(event.system_name, event.seconds) for event in told(world, LoopBlocked)] == [("computing", 1.5)]
        assert caplog.messages == [f"computing on entity {entity} kept the event loop for 1.50 s"]
