"""Fixtures for pytest. It is loaded in every run where this package is installed, so nothing else is imported until one of them is used.

* `model_server`: `async with model_server("Hello.", RateLimitError("slow down")) as server:` serves these answers at `server.base_url`.
* `stream_laws`: `await stream_laws(provider)` is `ecs_agent.testing.assert_stream_laws`.
* `fault_laws`: `await fault_laws(make_provider)` is `ecs_agent.testing.assert_fault_laws`.

They are no asynchronous fixtures, so they work with every plugin that runs asynchronous tests, and in a test that calls `asyncio.run`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from ecs_agent import testing

if TYPE_CHECKING:
    from ecs_agent.providers.script import Piece
    from ecs_agent.testing.answers import ServerAnswer


@pytest.fixture
def model_server() -> Iterator[Callable[..., testing.LoopbackServer]]:
    """Makes servers on loopback from answers (`by` and `delay` as keywords); the test fails if it leaves one open."""
    made: list[testing.LoopbackServer] = []

    def serve(*answers: ServerAnswer, by: Piece = "word", delay: float = 0.0) -> testing.LoopbackServer:
        made.append(testing.LoopbackServer(answers, by=by, delay=delay))
        return made[-1]

    yield serve
    if any(server.is_serving for server in made):
        pytest.fail("a model server was left open; write `async with model_server(...) as server:`")


@pytest.fixture
def stream_laws() -> Callable[..., object]:
    """Holds a provider's own streams against the laws."""
    return testing.assert_stream_laws


@pytest.fixture
def fault_laws() -> Callable[..., object]:
    """Holds a provider's reports against what fault plans say."""
    return testing.assert_fault_laws
