"""Fixtures for pytest. It is loaded in every run where this package is installed, so nothing else is imported until one of them is used.

* `model_server`: `async with model_server("Hello.", RateLimitError("slow down")) as server:` serves these answers at `server.base_url`.
* `stream_laws`: `await stream_laws(provider)` is `ecs_agent.testing.assert_stream_laws`.
* `fault_laws`: `await fault_laws(make_provider)` is `ecs_agent.testing.assert_fault_laws`.
* `cassette`: `provider = cassette(OpenAIProvider(...))` replays the test's own recording, which `--ecs-record=once` makes where there is none.

They are no asynchronous fixtures, so they work with every plugin that runs asynchronous tests, and in a test that calls `asyncio.run`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, cast

import pytest

from ecs_agent import testing

if TYPE_CHECKING:
    from ecs_agent.providers.script import Piece
    from ecs_agent.testing.answers import ServerAnswer
    from ecs_agent.testing.cassette_fixture import CassetteFixture, Mode


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that says when a `cassette` records."""
    parser.getgroup("ecs_agent").addoption(
        "--ecs-record",
        choices=("none", "once", "all"),
        default="none",
        help="when the fixture `cassette` asks the real provider and records it: never (none), where there is no recording (once), always (all)",
    )


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


@pytest.fixture
def cassette(request: pytest.FixtureRequest) -> Iterator[CassetteFixture]:
    """Stands providers before the recording of this test, in `cassettes/<file>/<test>.jsonl` beside its file."""
    test = str(request.node.nodeid).partition("::")[2].replace("::", ".")
    taped = testing.CassetteFixture.of_test(request.path, test, cast("Mode", request.config.getoption("--ecs-record")))
    yield taped
    taped.close()
