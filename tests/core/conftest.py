"""What the tests of the kernel share: virtual time, and a world to test in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest

from ecs_agent.core import World
from ecs_agent.testing import VirtualClockLoop


class CountingLoop(VirtualClockLoop):
    """A loop on virtual time that counts how often it woke up."""

    turns = 0

    def _run_once(self) -> None:
        self.turns += 1
        super()._run_once()  # type: ignore[misc]  # asyncio's own name for one turn


def pytest_asyncio_loop_factories(config: Any, item: Any) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every asynchronous test of the kernel on virtual time."""
    return {"virtual": CountingLoop}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A world that is closed after the test; nothing may be left running then."""
    async with World() as world:
        yield world
    leftover = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not leftover, f"still running after aclose: {leftover}"
