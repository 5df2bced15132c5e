"""Threads under the virtual clock: time waits for them, and how fast they are changes nothing."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from ecs_agent.errors import ToolTimeoutError
from ecs_agent.testing import run, virtual_clock
from ecs_agent.tools.threads import ToolThreads


def a_while() -> str:
    time.sleep(0.05)
    return "done"


def now() -> float:
    return asyncio.get_running_loop().time()


def test_no_time_passes_while_a_thread_works() -> None:
    async def main() -> tuple[str, float]:
        async with ToolThreads() as threads:
            asyncio.get_running_loop().call_later(5.0, lambda: None)
            return await threads.run(a_while, timeout=1.0), now()

    assert run(main) == ("done", 0.0)


def test_results_arrive_in_the_order_of_the_calls_whoever_is_faster() -> None:
    async def main() -> list[str]:
        heard: list[str] = []
        gate = threading.Event()

        def slow() -> None:
            gate.wait(10.0)

        async def call(threads: ToolThreads, name: str, work: object) -> None:
            assert callable(work)
            await threads.run(work, timeout=60.0)
            heard.append(name)
            await asyncio.sleep(0)
            heard.append(f"after {name}")

        async with ToolThreads() as threads:
            await asyncio.gather(call(threads, "slow", slow), call(threads, "fast", gate.set))
        return heard

    assert run(main) == ["slow", "after slow", "fast", "after fast"]


def test_timers_go_on_after_it() -> None:
    async def main() -> list[str]:
        order: list[str] = []

        async def sleep() -> None:
            await asyncio.sleep(0.001)
            order.append("slept")

        async def work(threads: ToolThreads) -> None:
            await threads.run(lambda: time.sleep(0.02), timeout=1.0)
            order.append("worked")

        async with ToolThreads() as threads:
            await asyncio.gather(sleep(), work(threads))
        return order

    assert run(main) == ["worked", "slept"]


def test_a_thread_may_call_the_loop_and_wait_for_it() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()

        async def answer() -> int:
            return 42

        async with ToolThreads() as threads:
            return await threads.run(lambda: asyncio.run_coroutine_threadsafe(answer(), loop).result(10.0), timeout=60.0)

    assert run(main) == 42


def test_one_that_hangs_is_not_waited_for_longer_than_our_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual_clock, "PATIENCE", 0.05)
    gate = threading.Event()

    async def main() -> float:
        async with ToolThreads() as threads:
            with pytest.raises(ToolTimeoutError):
                await threads.run(lambda: gate.wait(10.0), timeout=60.0)
            return now()

    try:
        assert run(main) == 60.0
    finally:
        gate.set()


def test_nobody_waits_for_a_thread_whose_caller_was_cancelled() -> None:
    gate = threading.Event()

    async def main() -> float:
        async with ToolThreads() as threads:
            calling = asyncio.ensure_future(threads.run(lambda: gate.wait(10.0), timeout=60.0))
            await asyncio.sleep(0)
            calling.cancel()
            await asyncio.sleep(7.0)
            return now()

    before = time.monotonic()
    try:
        assert run(main) == 7.0
    finally:
        gate.set()
    assert time.monotonic() - before < 5.0


def test_an_executor_is_waited_for_too() -> None:
    async def main() -> tuple[str, float]:
        async with asyncio.timeout(1.0):
            return await asyncio.to_thread(a_while), now()

    assert run(main) == ("done", 0.0)
