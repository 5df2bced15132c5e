"""The virtual clock: time passes without waiting, and waiting for nothing is an error."""

from __future__ import annotations

import asyncio
import time

import pytest

from ecs_agent.testing import VirtualDeadlockError, run


def test_an_hour_takes_no_time() -> None:
    async def main() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    before = time.monotonic()
    assert run(main) == pytest.approx(3600)
    assert time.monotonic() - before < 5


def test_timers_fire_in_their_order() -> None:
    async def main() -> list[int]:
        order: list[int] = []

        async def after(seconds: int) -> None:
            await asyncio.sleep(seconds)
            order.append(seconds)

        await asyncio.gather(after(3), after(1), after(2))
        return order

    assert run(main) == [1, 2, 3]


def test_timeouts_work_unchanged() -> None:
    async def main() -> None:
        async with asyncio.timeout(10):
            await asyncio.sleep(20)

    with pytest.raises(TimeoutError):
        run(main)


def test_waiting_for_nothing_is_an_error_and_not_a_hang() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(VirtualDeadlockError):
        run(main)
