"""The shuffling loop: tasks that are ready at one moment go on in any order, and whatever asyncio promises stays true."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextvars import ContextVar
from pathlib import Path

import pytest

from ecs_agent.testing import VirtualDeadlockError, run_shuffled

ROOT = Path(__file__).parents[2]
SEEDS = range(50)


async def order_of(tasks: int, steps: int = 1) -> list[int]:
    """Who came when, of tasks that share nothing but this list."""
    came: list[int] = []

    async def task(number: int) -> None:
        for _ in range(steps):
            await asyncio.sleep(1.0)
            came.append(number)

    await asyncio.gather(*[task(number) for number in range(tasks)])
    return came


def in_turns(seed: int) -> list[int]:
    """An order that takes some draws: forty tasks, three moments."""
    return run_shuffled(lambda: order_of(40, steps=3), seed)


class TestTheOrder:
    def test_every_order_of_tasks_that_are_ready_together_comes_up(self) -> None:
        assert len({tuple(run_shuffled(lambda: order_of(3), seed)) for seed in SEEDS}) == 6

    def test_it_is_drawn_anew_at_each_moment(self) -> None:
        came = in_turns(1)
        first, second, third = came[:40], came[40:80], came[80:]
        assert sorted(first) == sorted(second) == sorted(third) == list(range(40))
        assert first != second != third != list(range(40))

    def test_a_seed_is_one_order(self) -> None:
        assert in_turns(7) == in_turns(7) != in_turns(8)

    def test_in_any_process_and_with_any_seed_of_hashes(self) -> None:
        command = [sys.executable, "-c", "from tests.testing.test_shuffling_loop import in_turns; print(in_turns(7))"]
        environment = {**os.environ, "PYTHONHASHSEED": "1"}
        said = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True, timeout=120).stdout
        assert said.strip() == str(in_turns(7))

    def test_moments_keep_theirs(self) -> None:
        async def main() -> list[float]:
            came: list[float] = []

            async def after(seconds: float) -> None:
                await asyncio.sleep(seconds)
                came.append(seconds)

            await asyncio.gather(*[after(seconds) for seconds in (3.0, 1.0, 2.0, 1.000001)])
            return came

        assert all(run_shuffled(main, seed) == [1.0, 1.000001, 2.0, 3.0] for seed in SEEDS)


class TestWhatStays:
    """Promises of asyncio that libraries rely on."""

    def test_callbacks_run_in_the_order_in_which_they_were_given(self) -> None:
        async def main() -> list[int]:
            came: list[int] = []
            loop = asyncio.get_running_loop()
            for number in range(5):
                loop.call_soon(came.append, number)
                loop.call_later(1.0 + number / 1e6, came.append, 10 + number)
            await asyncio.sleep(2.0)
            return came

        assert all(run_shuffled(main, seed) == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14] for seed in SEEDS)

    def test_so_do_those_of_a_future(self) -> None:
        async def main() -> list[int]:
            came: list[int] = []
            future = asyncio.get_running_loop().create_future()
            for number in range(5):
                future.add_done_callback(lambda _, number=number: came.append(number))  # type: ignore[misc]  # mypy cannot infer such a lambda
            future.set_result(None)
            await asyncio.sleep(0)
            return came

        assert all(run_shuffled(main, seed) == [0, 1, 2, 3, 4] for seed in SEEDS)

    def test_no_task_passes_by_a_callback(self) -> None:
        async def main() -> list[str]:
            came: list[str] = []

            async def note(name: str) -> None:
                came.append(name)

            tasks = [asyncio.ensure_future(note(name)) for name in ("a1", "a2")]
            asyncio.get_running_loop().call_soon(came.append, "between")
            tasks += [asyncio.ensure_future(note(name)) for name in ("b1", "b2")]
            await asyncio.gather(*tasks)
            return came

        orders = [run_shuffled(main, seed) for seed in SEEDS]
        assert {(*sorted(came[:2]), came[2], *sorted(came[3:])) for came in orders} == {("a1", "a2", "between", "b1", "b2")}
        assert len({tuple(came) for came in orders}) == 4

    def test_a_turn_stays_a_turn(self) -> None:
        async def main() -> list[int]:
            async def task() -> None:
                for turn in range(4):
                    came.append(turn)
                    await asyncio.sleep(0)

            came: list[int] = []
            await asyncio.gather(*[task() for _ in range(9)])
            return came

        assert all(run_shuffled(main, seed) == sorted([0, 1, 2, 3] * 9) for seed in SEEDS)

    def test_a_method_of_a_task_is_a_callback_like_any_other(self) -> None:
        async def main() -> list[str]:
            came: list[str] = []

            async def note(name: str) -> None:
                came.append(name)

            loop = asyncio.get_running_loop()
            victim, spared, first = (asyncio.ensure_future(note(name)) for name in ("victim", "spared", "first"))
            loop.call_soon(victim.cancel)  # too late: it began before
            loop.call_soon(spared.cancel).cancel()
            await asyncio.gather(victim, spared, first, return_exceptions=True)
            return sorted(came)

        assert all(run_shuffled(main, seed) == ["first", "spared", "victim"] for seed in SEEDS)

    def test_a_task_runs_in_its_own_context(self) -> None:
        name: ContextVar[int] = ContextVar("name")

        async def main() -> list[int]:
            async def task(number: int) -> int:
                name.set(number)
                await gate.wait()  # another one opens it
                return name.get()

            gate = asyncio.Event()
            tasks = [asyncio.ensure_future(task(number)) for number in range(20)]
            await asyncio.sleep(1.0)
            gate.set()
            return await asyncio.gather(*tasks)

        assert all(run_shuffled(main, seed) == list(range(20)) for seed in SEEDS[:5])


def test_threads_that_call_the_loop_change_no_order() -> None:
    """When a thread calls is chance, so its call takes no part in what is drawn."""

    async def main(calls: int) -> list[int]:
        came: list[int] = []
        loop = asyncio.get_running_loop()

        async def task(number: int) -> None:
            for _ in range(3):
                await asyncio.sleep(1.0)
                came.append(number)
                for _ in range(calls):
                    loop.call_soon_threadsafe(int)

        await asyncio.gather(*[task(number) for number in range(20)])
        return came

    for seed in SEEDS[:10]:
        assert run_shuffled(lambda: main(0), seed) == run_shuffled(lambda: main(2), seed)


def test_waiting_for_nothing_is_an_error_here_too() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(VirtualDeadlockError):
        run_shuffled(main, 1)


def test_what_ends_the_program_comes_out() -> None:
    began: list[asyncio.Task[None]] = []

    async def main() -> None:
        async def leave() -> None:
            raise SystemExit(3)

        began.append(asyncio.ensure_future(leave()))
        await asyncio.sleep(1.0)

    with pytest.raises(SystemExit):
        run_shuffled(main, 1)
    assert isinstance(began[0].exception(), SystemExit)
