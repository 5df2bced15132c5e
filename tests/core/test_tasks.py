"""Running coroutines side by side: results and failures in the order given, and no task without its owner."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from ecs_agent.core.tasks import cancel_all, ended, gather


async def value(result: str, after: float = 0.0) -> str:
    await asyncio.sleep(after)
    return result


async def failing(message: str, after: float = 0.0) -> str:
    await asyncio.sleep(after)
    raise ValueError(message)


async def deaf(log: list[str]) -> str:
    """Swallows one cancel."""
    try:
        await asyncio.sleep(100)
    except asyncio.CancelledError:
        log.append("swallowed")
    return "done all the same"


async def heard(name: str, log: list[str]) -> str:
    try:
        await asyncio.sleep(100)
    except asyncio.CancelledError:
        log.append(name)
        raise
    return name


async def spinning(turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


class TestGather:
    async def test_results_come_in_the_order_given_and_not_in_that_of_their_ends(self) -> None:
        assert await gather([value("slow", 3.0), value("fast", 1.0), value("at once")]) == ["slow", "fast", "at once"]

    async def test_everything_runs_side_by_side(self) -> None:
        began = asyncio.get_running_loop().time()
        await gather([value("a", 5.0), value("b", 5.0), value("c", 5.0)])
        assert asyncio.get_running_loop().time() - began == pytest.approx(5.0)

    async def test_they_start_in_the_order_given(self) -> None:
        started: list[int] = []

        async def start(number: int) -> None:
            started.append(number)

        await gather([start(number) for number in range(20)])
        assert started == list(range(20))

    async def test_the_first_failure_in_the_order_given_cancels_the_others_waits_for_them_and_is_raised(self) -> None:
        log: list[str] = []
        with pytest.raises(ValueError, match="first"):
            await gather([value("fine"), failing("first", 2.0), heard("third", log), failing("fourth", 1.0)])
        assert log == ["third"]

    async def test_a_cancel_from_outside_reaches_every_one_of_them_first_to_last_and_is_raised_after_they_ended(self) -> None:
        log: list[str] = []
        task = asyncio.ensure_future(gather([deaf(log), heard("second", log), heard("third", log)]))
        await spinning(3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log == ["swallowed", "second", "third"]

    async def test_nothing_to_do_gives_nothing(self) -> None:
        assert await gather([]) == []


class TestCancelAll:
    async def test_it_waits_until_each_has_ended_and_drops_their_errors(self) -> None:
        log: list[str] = []
        tasks = [asyncio.ensure_future(make(log)) for make in (lambda log: heard("a", log), deaf, lambda _: failing("lost"))]
        await spinning(1)
        assert await cancel_all(tasks) == []
        assert all(task.done() for task in tasks)
        assert log == ["a", "swallowed"]

    async def test_it_names_those_that_did_not_end_within_the_grace(self) -> None:
        async def deaf_for_ever() -> None:
            while True:
                try:
                    await asyncio.sleep(100)
                except asyncio.CancelledError:
                    if over:
                        raise

        over: list[bool] = []
        willing, stubborn = asyncio.ensure_future(heard("a", [])), asyncio.ensure_future(deaf_for_ever())
        await spinning(1)
        assert await cancel_all([stubborn, willing], grace=0.5) == [stubborn]
        assert willing.cancelled()
        over.append(True)
        await cancel_all([stubborn])

    async def test_a_cancel_of_the_waiting_is_kept_until_all_have_ended(self) -> None:
        async def slow_to_end() -> None:
            try:
                await asyncio.sleep(100)
            finally:
                await asyncio.sleep(2)

        stubborn = asyncio.ensure_future(slow_to_end())
        await spinning(1)
        closing = asyncio.ensure_future(cancel_all([stubborn]))
        await spinning(2)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert stubborn.done()

    async def test_with_a_grace_a_second_cancel_ends_the_waiting_at_once(self) -> None:
        stubborn = asyncio.ensure_future(deaf([]))
        waiting = asyncio.get_running_loop().create_future()
        closing = asyncio.ensure_future(cancel_all([waiting_forever := asyncio.ensure_future(_hold(waiting))], grace=50.0))
        await spinning(3)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert not waiting_forever.done()
        waiting.set_result(None)
        await waiting_forever
        await cancel_all([stubborn])


async def _hold(until: asyncio.Future[None]) -> None:
    while not until.done():
        try:
            await asyncio.shield(until)
        except asyncio.CancelledError:
            pass  # as a call does that does not want to end


class TestEnded:
    @pytest.mark.parametrize("how", [lambda: value("fine", 1.0), lambda: failing("broken", 1.0)])
    async def test_it_waits_for_the_end_however_it_came(self, how: Callable[[], Awaitable[str]]) -> None:
        task = asyncio.ensure_future(how())
        await ended(task)
        assert task.done()
        task.exception()

    async def test_of_several_the_first_end_counts(self) -> None:
        slow, fast = asyncio.ensure_future(value("slow", 9.0)), asyncio.ensure_future(value("fast", 1.0))
        await ended(slow, fast)
        assert (slow.done(), fast.done()) == (False, True)
        await cancel_all([slow])

    async def test_cancelling_the_waiting_leaves_the_task_alone(self) -> None:
        task = asyncio.ensure_future(value("fine", 1.0))
        waiting = asyncio.ensure_future(ended(task))
        await spinning(1)
        waiting.cancel()
        await ended(waiting)
        assert await task == "fine"

    async def test_both_ending_in_one_turn_wakes_once(self) -> None:
        futures = [asyncio.get_running_loop().create_future() for _ in range(2)]
        waiting = asyncio.ensure_future(ended(*futures))
        await spinning(1)
        for future in futures:
            future.set_result(None)
        await waiting
