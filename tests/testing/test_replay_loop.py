"""The event loop of replays: inputs come in their order and at their time, and before the timers that were late when they came."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from ecs_agent.testing.replay_loop import ReplayLoop


class Inputs:
    """Some that are due at certain times."""

    def __init__(self, *due: float, late: float = 0.1) -> None:
        self.late = late
        self.came: list[tuple[str, float]] = []
        self._due = list(due)

    def due(self) -> float | None:
        return self._due[0] if self._due else None

    def let_in(self) -> None:
        due = self._due.pop(0)
        self.came.append((f"input {due:g}", asyncio.get_running_loop().time()))

    def fired(self, name: str) -> Callable[[], None]:
        return lambda: self.came.append((name, asyncio.get_running_loop().time()))


def played(inputs: Inputs, *timers: float, seconds: float = 10.0) -> list[str]:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, ReplayLoop)
        loop.follow(inputs)
        for when in timers:
            loop.call_at(when, inputs.fired(f"timer {when:g}"))
        await asyncio.sleep(seconds)

    with asyncio.Runner(loop_factory=ReplayLoop) as runner:
        runner.run(main())
    return [name for name, _ in inputs.came]


def test_inputs_come_at_their_time() -> None:
    inputs = Inputs(1.0, 2.5)
    played(inputs)
    assert [time for _, time in inputs.came] == pytest.approx([1.0, 2.5])


def test_timers_fire_between_them() -> None:
    assert played(Inputs(1.0, 2.5), 0.5, 2.0) == ["timer 0.5", "input 1", "timer 2", "input 2.5"]


def test_a_timer_waits_for_those_that_come_right_behind_it() -> None:
    """When this was recorded it was late: what came in before it fired was due later than the timer."""
    inputs = Inputs(1.05, 1.09, 1.2)
    assert played(inputs, 1.0) == ["input 1.05", "input 1.09", "timer 1", "input 1.2"]
    assert [time for _, time in inputs.came][:3] == pytest.approx([1.0, 1.0, 1.0], abs=1e-5)


def test_but_not_for_long() -> None:
    assert played(Inputs(1.05, late=1e-6), 1.0) == ["timer 1", "input 1.05"]


def test_what_is_ready_goes_first() -> None:
    inputs = Inputs(0.0)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, ReplayLoop)
        loop.follow(inputs)
        for step in range(5):
            inputs.came.append((f"step {step}", loop.time()))
            await asyncio.sleep(0)
        await asyncio.sleep(1)

    with asyncio.Runner(loop_factory=ReplayLoop) as runner:
        runner.run(main())
    assert [name for name, _ in inputs.came] == [*[f"step {step}" for step in range(5)], "input 0"]


def test_so_do_threads() -> None:
    inputs = Inputs(0.5)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, ReplayLoop)
        loop.follow(inputs)
        await asyncio.to_thread(int)
        inputs.came.append(("thread", loop.time()))
        await asyncio.sleep(1)

    with asyncio.Runner(loop_factory=ReplayLoop) as runner:
        runner.run(main())
    assert [name for name, _ in inputs.came] == ["thread", "input 0.5"]


def test_without_inputs_it_is_a_loop_on_virtual_time() -> None:
    assert played(Inputs(), 3.0, 1.0) == ["timer 1", "timer 3"]
