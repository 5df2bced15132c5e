"""What the tests of the kernel share: time that passes only when nothing else can happen, and a world to test in."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest

from ecs_agent.core import World


class VirtualTimeSelector(selectors.DefaultSelector):
    """Instead of waiting for a timer, jumps to it. Waiting for nothing but other threads is limited, so that a hang fails its test."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.turns += 1
        if timeout is None:
            ready = super().select(5.0)
            assert ready, "the loop would wait for ever: nothing is scheduled and no thread calls in"
            return ready
        ready = super().select(0)
        if not ready:
            self.now += max(timeout, 0.0)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time. `turns` counts how often it woke up."""

    def __init__(self) -> None:
        self._selector_with_time = VirtualTimeSelector()
        super().__init__(self._selector_with_time)

    def time(self) -> float:
        return self._selector_with_time.now

    @property
    def turns(self) -> int:
        return self._selector_with_time.turns


def pytest_asyncio_loop_factories(config: Any, item: Any) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every asynchronous test of the kernel on virtual time."""
    return {"virtual": VirtualTimeLoop}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A world that is closed after the test; nothing may be left running then."""
    async with World() as world:
        yield world
    leftover = [task for task in asyncio.all_tasks() if task is not asyncio.current_task() and "leaked" not in task.get_name()]
    assert not leftover, f"still running after aclose: {leftover}"
