"""Stream slots: first come, first served, and none is ever lost."""

from __future__ import annotations

import asyncio

import pytest

from ecs_agent.errors import ProviderTimeoutError
from ecs_agent.providers.slots import StreamSlots


async def test_who_comes_first_is_served_first() -> None:
    slots = StreamSlots(1, None)
    release = await slots.acquire()
    order: list[int] = []

    async def take(number: int) -> None:
        give_back = await slots.acquire()
        order.append(number)
        give_back()

    waiting = [asyncio.ensure_future(take(number)) for number in range(5)]
    await asyncio.sleep(0)
    release()
    await asyncio.gather(*waiting)
    assert order == [0, 1, 2, 3, 4]
    assert slots.open == 0


async def test_giving_back_twice_counts_once() -> None:
    slots = StreamSlots(2, None)
    release = await slots.acquire()
    release()
    release()
    assert slots.open == 0


async def test_a_cancel_while_waiting_loses_no_slot() -> None:
    slots = StreamSlots(1, None)
    release = await slots.acquire()
    waiting = asyncio.ensure_future(slots.acquire())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    release()
    assert slots.open == 0


async def test_a_cancel_in_the_moment_the_slot_is_given_passes_it_on() -> None:
    slots = StreamSlots(1, None)
    release = await slots.acquire()
    first, second = asyncio.ensure_future(slots.acquire()), asyncio.ensure_future(slots.acquire())
    await asyncio.sleep(0)
    release()  # the first has it now, and does not know yet
    first.cancel()
    give_back = await asyncio.wait_for(second, 1)
    assert first.cancelled()
    assert slots.open == 1
    give_back()
    assert slots.open == 0


async def test_waiting_has_a_limit_that_is_named() -> None:
    slots = StreamSlots(1, 0.01)
    await slots.acquire()
    with pytest.raises(ProviderTimeoutError, match=r"pool_timeout.*max_streams"):
        await slots.acquire()


def test_waiters_of_a_loop_that_is_gone_are_passed_over() -> None:
    slots = StreamSlots(1, None)

    async def leave_a_waiter() -> object:
        release = await slots.acquire()
        waiting = asyncio.ensure_future(slots.acquire())
        await asyncio.sleep(0)
        slots._waiting.append(asyncio.get_running_loop().create_future())
        waiting.cancel()
        return release

    release = asyncio.run(leave_a_waiter())
    assert callable(release)
    release()
    assert slots.open == 0


def test_no_streams_at_all_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="max_streams is 0"):
        StreamSlots(0, None)
