from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar

import pytest

from ecs_agent.errors import ToolError, ToolTimeoutError
from ecs_agent.tools import ToolThreads

SHORT = 0.02
LONG = 5.0


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Blocks until it is set; set at the end, so that no thread outlives its test."""
    event = threading.Event()
    yield event
    event.set()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG):
        while not condition():
            await asyncio.sleep(0.001)


def threads_alive() -> int:
    return sum(thread.name.startswith("ecs_agent-tool") and thread.is_alive() for thread in threading.enumerate())


async def test_a_result_comes_back() -> None:
    async with ToolThreads() as threads:
        assert await threads.run(lambda: threading.current_thread().name, timeout=LONG) == "ecs_agent-tool-1"
        assert threads.busy == 0


async def test_an_error_comes_back() -> None:
    def fail() -> None:
        raise KeyError("x")

    async with ToolThreads() as threads:
        with pytest.raises(KeyError, match="x"):
            await threads.run(fail, timeout=LONG)


async def test_even_an_error_that_ends_processes_comes_back() -> None:
    async with ToolThreads(1) as threads:
        with pytest.raises(SystemExit):
            await threads.run(lambda: exit_with(3), timeout=LONG)
        assert await threads.run(lambda: "still here", timeout=LONG) == "still here"


def exit_with(code: int) -> None:
    raise SystemExit(code)


async def test_the_context_is_copied() -> None:
    user: ContextVar[str] = ContextVar("user", default="nobody")
    user.set("ada")

    def read_and_write() -> str:
        found = user.get()
        user.set("eve")
        return found

    async with ToolThreads(1) as threads:
        assert await threads.run(read_and_write, timeout=LONG) == "ada"
        assert user.get() == "ada"
        assert await asyncio.create_task(threads.run(user.get, timeout=LONG)) == "ada"


async def test_threads_start_when_needed_and_are_used_again() -> None:
    before = threads_alive()
    async with ToolThreads(3) as threads:
        assert threads_alive() == before
        for _ in range(20):
            await threads.run(lambda: None, timeout=LONG)
        assert threads_alive() == before + 1
        both = threading.Barrier(2)
        await asyncio.gather(*[threads.run(both.wait, timeout=LONG) for _ in range(2)])
        assert threads_alive() == before + 2
    assert threads_alive() == before


async def test_all_threads_are_daemons(gate: threading.Event) -> None:
    async with ToolThreads() as threads:
        assert await threads.run(lambda: threading.current_thread().daemon, timeout=LONG)


async def test_a_call_past_its_time_is_abandoned_and_counted(gate: threading.Event) -> None:
    async with ToolThreads(2) as threads:
        with pytest.raises(ToolTimeoutError, match=r"The call took longer than 0\.02 s"):
            await threads.run(gate.wait, timeout=SHORT)
        assert (threads.abandoned, threads.stuck, threads.busy) == (1, 1, 1)
        gate.set()
        await until(lambda: threads.busy == 0)
        assert (threads.abandoned, threads.stuck) == (1, 0)


async def test_a_cancelled_call_is_abandoned_and_counted(gate: threading.Event) -> None:
    async with ToolThreads() as threads:
        task = asyncio.create_task(threads.run(gate.wait, timeout=LONG))
        await until(lambda: threads.busy == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert threads.abandoned == 1


async def test_when_all_threads_are_stuck_a_call_waits_within_its_time_and_says_why(gate: threading.Event) -> None:
    async with ToolThreads(2) as threads:
        for _ in range(2):
            with pytest.raises(ToolTimeoutError):
                await threads.run(gate.wait, timeout=SHORT)
        with pytest.raises(ToolTimeoutError, match=r"no free thread within 0\.02 s: all 2 are busy, 2 of them"):
            await threads.run(lambda: None, timeout=SHORT)
        waiting = asyncio.create_task(threads.run(lambda: "at last", timeout=LONG))
        await asyncio.sleep(0)
        gate.set()
        assert await waiting == "at last"
        assert threads.abandoned == 2


async def test_calls_that_gave_up_waiting_never_run(gate: threading.Event) -> None:
    ran: list[int] = []
    async with ToolThreads(1) as threads:
        blocker = asyncio.create_task(threads.run(gate.wait, timeout=LONG))
        waiting = [asyncio.create_task(threads.run(lambda n=n: ran.append(n), timeout=LONG)) for n in range(3)]  # type: ignore[misc]
        await until(lambda: threads.busy == 1)
        waiting[1].cancel()
        await asyncio.gather(waiting[1], return_exceptions=True)
        gate.set()
        await asyncio.gather(blocker, waiting[0], waiting[2])
        assert ran == [0, 2]
        assert threads.abandoned == 0


async def test_closing_ends_idle_threads_refuses_new_calls_and_drops_waiting_ones(gate: threading.Event) -> None:
    threads = ToolThreads(1)
    running = asyncio.create_task(threads.run(gate.wait, timeout=LONG))
    waiting = asyncio.create_task(threads.run(lambda: None, timeout=LONG))
    await until(lambda: threads.busy == 1)
    await threads.aclose()
    await threads.aclose()
    with pytest.raises(ToolError, match="closed before the call began"):
        await waiting
    with pytest.raises(ToolError, match="are closed"):
        await threads.run(lambda: None, timeout=LONG)
    gate.set()
    assert await running is True


def test_a_result_for_a_closed_loop_is_dropped() -> None:
    gate, done = threading.Event(), threading.Event()
    threads = ToolThreads(1)

    def slow() -> None:
        gate.wait()
        done.set()

    async def give_up() -> None:
        task = asyncio.create_task(threads.run(slow, timeout=LONG))
        await until(lambda: threads.busy == 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(give_up())
    gate.set()
    assert done.wait(LONG)

    async def again() -> str:
        async with threads:
            return await threads.run(lambda: "works", timeout=LONG)

    assert asyncio.run(again()) == "works"


async def test_a_pool_that_is_dropped_lets_its_threads_go() -> None:
    before = threads_alive()
    threads = ToolThreads()
    await threads.run(lambda: None, timeout=LONG)
    del threads
    gc.collect()
    await until(lambda: threads_alive() == before)


def test_a_pool_needs_a_thread() -> None:
    with pytest.raises(ValueError, match="at least one"):
        ToolThreads(0)
