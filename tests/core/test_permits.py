"""Permits: never more than the limit, first come, first served, and none is ever lost."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.core.permits import PermitPool, Permits
from ecs_agent.testing import run


class TestPermits:
    async def test_who_comes_first_is_served_first(self) -> None:
        permits = Permits(1)
        release = await permits.acquire()
        order: list[int] = []

        async def take(number: int) -> None:
            give_back = await permits.acquire()
            order.append(number)
            give_back()

        waiting = [asyncio.ensure_future(take(number)) for number in range(5)]
        await asyncio.sleep(0)
        assert (permits.held, permits.waiting) == (1, 5)
        release()
        await asyncio.gather(*waiting)
        assert order == [0, 1, 2, 3, 4]
        assert (permits.held, permits.waiting) == (0, 0)

    async def test_nobody_overtakes_whoever_was_served_and_does_not_know_yet(self) -> None:
        permits = Permits(1)
        release = await permits.acquire()
        waiting = asyncio.ensure_future(permits.acquire())
        await asyncio.sleep(0)
        release()
        assert permits.take() is None
        (await waiting)()
        assert permits.take() is not None

    async def test_nobody_overtakes_them_with_another_permit_either(self) -> None:
        permits = Permits(2)
        releases = [await permits.acquire(), await permits.acquire()]
        order: list[str] = []

        async def take(name: str) -> None:
            await permits.acquire()
            order.append(name)

        first = asyncio.ensure_future(take("first"))
        await asyncio.sleep(0)
        late = asyncio.ensure_future(take("late"))  # runs before the one that waits
        for release in releases:
            release()
        await asyncio.gather(first, late)
        assert order == ["first", "late"]

    async def test_giving_back_twice_counts_once(self) -> None:
        permits = Permits(2)
        release = await permits.acquire()
        release()
        release()
        assert permits.held == 0

    async def test_a_cancel_while_waiting_loses_no_permit(self) -> None:
        permits = Permits(1)
        release = await permits.acquire()
        waiting = asyncio.ensure_future(permits.acquire())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert permits.waiting == 0
        release()
        assert permits.held == 0

    async def test_a_cancel_in_the_moment_of_being_served_passes_the_permit_on(self) -> None:
        permits = Permits(1)
        release = await permits.acquire()
        first, second = asyncio.ensure_future(permits.acquire()), asyncio.ensure_future(permits.acquire())
        await asyncio.sleep(0)
        release()  # the first has it now, and does not know yet
        first.cancel()
        give_back = await asyncio.wait_for(second, 1)
        assert first.cancelled()
        assert permits.held == 1
        give_back()
        assert permits.held == 0

    async def test_a_permit_that_is_given_back_in_the_moment_of_a_cancel_goes_to_the_next(self) -> None:
        permits = Permits(1)
        release = await permits.acquire()
        first, second = asyncio.ensure_future(permits.acquire()), asyncio.ensure_future(permits.acquire())
        await asyncio.sleep(0)
        first.cancel()
        release()  # the first is cancelled, and does not know yet
        (await asyncio.wait_for(second, 1))()
        assert first.cancelled()
        assert (permits.held, permits.waiting) == (0, 0)

    def test_waiters_of_a_loop_that_is_gone_are_passed_over(self) -> None:
        permits = Permits(1)

        async def leave_a_waiter() -> Any:
            release = await permits.acquire()
            waiting = permits.acquire()
            waiting.send(None)  # it waits, and nobody will end it
            return release, waiting

        async def wait_behind(release: Any) -> None:
            behind = asyncio.ensure_future(permits.acquire())
            await asyncio.sleep(0)
            assert permits.waiting == 2
            release()
            (await asyncio.wait_for(behind, 1))()

        release, waiting = asyncio.run(leave_a_waiter())
        asyncio.run(wait_behind(release))
        assert (permits.held, permits.waiting) == (0, 0)
        waiting.close()
        assert permits.held == 0

    def test_no_permits_at_all_make_no_sense(self) -> None:
        with pytest.raises(ValueError, match="at least one"):
            Permits(0)


class TestPermitPool:
    async def test_a_key_that_is_full_holds_up_nobody_else(self) -> None:
        pool = PermitPool(total=2, each=1)
        async with pool.hold("slow"):
            behind = [asyncio.ensure_future(pool.acquire("slow")) for _ in range(3)]
            await asyncio.sleep(0)
            async with asyncio.timeout(0), pool.hold("fast"):
                assert (pool.held, pool.waiting) == (2, 3)
            for waiting in behind:
                waiting.cancel()
            await asyncio.gather(*behind, return_exceptions=True)
        assert (pool.held, pool.waiting) == (0, 0)

    async def test_the_total_is_shared(self) -> None:
        pool = PermitPool(total=1)
        async with pool.hold("a"):
            waiting = asyncio.ensure_future(pool.acquire("b"))
            await asyncio.sleep(0)
            assert (pool.held, pool.waiting) == (1, 1)
        (await waiting)()
        assert pool.held == 0

    async def test_without_limits_everybody_goes(self) -> None:
        pool = PermitPool()
        async with asyncio.timeout(0), pool.hold("a"), pool.hold("a"):
            assert (pool.held, pool.waiting) == (0, 0)

    async def test_without_a_total_each_key_counts_alone(self) -> None:
        pool = PermitPool(each=1)
        async with asyncio.timeout(0), pool.hold("a"), pool.hold("b"):
            assert pool.held == 2

    async def test_a_failure_inside_gives_both_back(self) -> None:
        pool = PermitPool(total=1, each=1)
        with pytest.raises(KeyError):
            async with pool.hold("a"):
                raise KeyError
        assert pool.held == 0

    async def test_a_key_that_nobody_uses_any_more_is_forgotten_however_it_ended(self) -> None:
        pool = PermitPool(each=1)
        release = await pool.acquire("a")
        waiting = asyncio.ensure_future(pool.acquire("a"))
        await asyncio.sleep(0)
        release()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert (waiting.cancelled(), pool._keys) == (True, {})

    async def test_one_hold_serves_one_block_at_a_time(self) -> None:
        hold = PermitPool(total=2).hold("a")
        async with hold:
            with pytest.raises(RuntimeError, match="held already"):
                await hold.__aenter__()
        async with hold:
            pass

    @pytest.mark.parametrize("limits", [{"total": 0}, {"each": 0}])
    def test_a_limit_of_none_at_all_makes_no_sense(self, limits: dict[str, int]) -> None:
        with pytest.raises(ValueError, match="at least one"):
            PermitPool(**limits)


@dataclass(frozen=True)
class Job:
    """Comes, holds a permit of its key for a while, and is perhaps cancelled at some time. All times are small and whole, so that they meet."""

    key: str
    comes: int
    stays: int
    cancelled: int | None


JOBS = st.lists(st.builds(Job, st.sampled_from("abc"), st.integers(0, 6), st.integers(0, 4), st.none() | st.integers(0, 12)), min_size=1, max_size=14)
LIMIT = st.none() | st.integers(1, 3)


@given(JOBS, LIMIT, LIMIT, st.integers(0, 3))
def test_any_schedule_keeps_the_limits_the_order_and_every_permit(jobs: list[Job], total: int | None, each: int | None, late: int) -> None:
    pool = PermitPool(total, each)
    arrived: list[int] = []
    served: list[int] = []
    inside: list[str] = []

    async def work(number: int, job: Job) -> None:
        await asyncio.sleep(job.comes)
        arrived.append(number)
        async with pool.hold(job.key):
            served.append(number)
            inside.append(job.key)
            try:
                assert total is None or len(inside) <= total
                assert each is None or inside.count(job.key) <= each
                await asyncio.sleep(job.stays)
            finally:
                inside.remove(job.key)

    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        tasks = [asyncio.ensure_future(work(number, job)) for number, job in enumerate(jobs)]
        for task, job in zip(tasks, jobs, strict=True):
            if job.cancelled is not None:
                loop.call_at(job.cancelled, _cancel_after, loop, task, late)
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = run(main)
    for result, job in zip(results, jobs, strict=True):
        assert result is None or (isinstance(result, asyncio.CancelledError) and job.cancelled is not None), result
    for key in "abc":
        of_key = [number for number in served if jobs[number].key == key]
        assert of_key == [number for number in arrived if number in of_key]
    assert (pool.held, pool.waiting, len(pool._keys)) == (0, 0, 0)


def _cancel_after(loop: asyncio.AbstractEventLoop, task: asyncio.Future[None], turns: int) -> None:
    """Cancel some turns of the loop later, so that cancels fall before, into and after the moment of being served."""
    if turns:
        loop.call_soon(_cancel_after, loop, task, turns - 1)
    else:
        task.cancel()
