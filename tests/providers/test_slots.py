"""Stream slots: permits with a limit of time. What permits promise, `tests/core/test_permits.py` tests."""

from __future__ import annotations

import asyncio

import pytest

from ecs_agent.errors import ProviderTimeoutError
from ecs_agent.providers.slots import StreamSlots


async def test_waiting_has_a_limit_that_is_named() -> None:
    slots = StreamSlots(1, 0.01)
    await slots.acquire()
    with pytest.raises(ProviderTimeoutError, match=r"pool_timeout.*max_streams"):
        await slots.acquire()


async def test_a_slot_that_becomes_free_in_time_is_taken() -> None:
    slots = StreamSlots(1, 1)
    release = await slots.acquire()
    waiting = asyncio.ensure_future(slots.acquire())
    await asyncio.sleep(0)
    release()
    assert slots.open == 1
    (await waiting)()
    assert slots.open == 0


async def test_a_wait_that_was_too_long_leaves_nothing_behind() -> None:
    slots = StreamSlots(1, 0)
    release = await slots.acquire()
    with pytest.raises(ProviderTimeoutError):
        await slots.acquire()
    release()
    assert slots.open == 0
    await slots.acquire()


def test_no_streams_at_all_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="max_streams is 0"):
        StreamSlots(0, None)
