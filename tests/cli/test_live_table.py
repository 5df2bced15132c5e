"""The live table: on a screen of its own, on virtual time; and the lines that take its place."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Callable, Coroutine
from itertools import count, pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from ecs_agent import Runner, World, append_message, spawn_agent
from ecs_agent.cli.live_table import TableConsole, live_table
from ecs_agent.core import LoopClock
from ecs_agent.providers import FakeProvider
from ecs_agent.telemetry import AgentStats, agent_stats
from ecs_agent.testing import run

HIDDEN, SHOWN = "\x1b[?25l", "\x1b[?25h"
CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


@pytest.fixture(autouse=True)
def nothing_depends_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecs_agent.cli.live_table.LEISURE", 0)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


class Screen(io.StringIO):
    """What is written to a terminal, and when."""

    def __init__(self, *, breaks: bool = False) -> None:
        super().__init__()
        self._breaks = breaks
        self.times: list[float] = []

    def write(self, text: str) -> int:
        if self._breaks:
            raise BrokenPipeError
        if CONTROLS.sub("", text).strip():
            self.times.append(asyncio.get_running_loop().time())
        return super().write(text)

    @property
    def text(self) -> str:
        return CONTROLS.sub("", self.getvalue())


def watched(
    body: Callable[[World], Coroutine[Any, Any, Any]], screen: Screen, *, terminal: bool = True, color: bool = True, height: int = 24
) -> None:
    """Run something under a live table, on virtual time."""

    async def main() -> None:
        console = TableConsole(file=screen, force_terminal=terminal, color_system=None, width=80, height=height, legacy_windows=False)
        async with World(clock=LoopClock()) as world, live_table(world, console=console, color=color):
            await body(world)

    run(main)


def crew(world: World, count: int, answer: str = "one two three four", delay: float = 1.0) -> None:
    for _ in range(count):
        append_message(world, spawn_agent(world, FakeProvider([answer], by="word", delay=delay)).entity, "Go.")


async def three_agents(world: World) -> None:
    crew(world, 3)
    await Runner().run(world)


def test_it_shows_what_goes_on_and_how_it_ended() -> None:
    screen = Screen()
    watched(three_agents, screen)
    assert "3 agents: 3 waiting for the model" in screen.text
    assert "3 agents: 3 streaming" in screen.text
    assert "3 of 3 done (3 idle)" in screen.text.splitlines()[-5]
    assert screen.text.splitlines()[-1].startswith("agent 3  idle")


def test_it_is_drawn_four_times_a_second_at_most() -> None:
    async def fast(world: World) -> None:
        crew(world, 5, "word " * 500, delay=0.01)
        await Runner().run(world)

    screen = Screen()
    watched(fast, screen)
    *looks, _last = sorted(set(screen.times))
    assert min(later - earlier for earlier, later in pairwise(looks)) >= 0.249
    assert len(looks) > 10


def test_a_look_that_takes_long_is_taken_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = count(0, 0.1)
    monkeypatch.setattr("ecs_agent.cli.live_table.LEISURE", 10)
    monkeypatch.setattr("ecs_agent.cli.live_table.time", SimpleNamespace(perf_counter=lambda: next(readings)))

    async def fast(world: World) -> None:
        crew(world, 5, "word " * 500, delay=0.01)
        await Runner().run(world)

    screen = Screen()
    watched(fast, screen)
    *looks, _last = sorted(set(screen.times))
    assert [later - earlier for earlier, later in pairwise(looks)] == [pytest.approx(1.0)] * (len(looks) - 1)


def test_when_nothing_changes_nothing_is_drawn_or_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []

    def counted(world: World) -> list[AgentStats]:
        looks.append(asyncio.get_running_loop().time())
        return agent_stats(world)

    monkeypatch.setattr("ecs_agent.cli.live_table.agent_stats", counted)

    async def asleep(world: World) -> None:
        await three_agents(world)
        await asyncio.sleep(60)

    screen = Screen()
    watched(asleep, screen)
    assert max(at for at in screen.times if at < 60) < 7
    assert [at for at in looks if at > 7] == [pytest.approx(65, abs=1)]


def test_work_that_looks_the_same_is_not_drawn_again() -> None:
    async def slow(world: World) -> None:
        append_message(world, spawn_agent(world, FakeProvider([[10.0, "one"]], by="word", delay=0.1)).entity, "Go.")
        await Runner().run(world)

    screen = Screen()
    watched(slow, screen)
    assert len({at for at in screen.times if 0 < at < 9.5}) <= 10  # the seconds


def test_silence_alone_is_shown() -> None:
    async def silent(world: World) -> None:
        append_message(world, spawn_agent(world, FakeProvider([["one ", 20.0, "two"]], by="word", delay=0.1)).entity, "Go.")
        await Runner().run(world)

    screen = Screen()
    watched(silent, screen)
    assert "stalled for 12 s" in screen.text
    assert "stalled for 13 s" in screen.text


def test_the_terminal_is_given_back() -> None:
    screen = Screen()
    watched(three_agents, screen)
    assert screen.getvalue().count(HIDDEN) == screen.getvalue().count(SHOWN) == 1
    assert screen.getvalue().endswith(SHOWN)
    assert screen.text.endswith("\n")


@pytest.mark.parametrize("failure", [ValueError("no"), asyncio.CancelledError()])
def test_the_terminal_is_given_back_when_the_block_fails(failure: BaseException) -> None:
    async def failing(world: World) -> None:
        crew(world, 1)
        raise failure

    screen = Screen()
    with pytest.raises(type(failure)):
        watched(failing, screen)
    assert screen.getvalue().endswith(SHOWN)
    assert "1 ready" in screen.text


def test_what_the_program_prints_stands_above_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    async def printing(world: World) -> None:
        await three_agents(world)
        print("here I am")
        await asyncio.sleep(1)

    screen = Screen()
    watched(printing, screen)
    assert "here I am\n" in screen.text
    assert capsys.readouterr().out == ""


def test_the_last_table_leaves_a_line_for_the_shell() -> None:
    async def many(world: World) -> None:
        crew(world, 200, "one")
        await Runner().run(world)

    screen = Screen()
    watched(many, screen)
    last = screen.text[screen.text.rindex("200 agents: ") :]
    assert last.count("\n") == 22
    assert last.rstrip().endswith("and 182 more")


def test_a_screen_that_breaks_does_not_stop_the_agents() -> None:
    ended = False

    async def body(world: World) -> None:
        nonlocal ended
        await three_agents(world)
        ended = True

    with pytest.raises(BrokenPipeError):
        watched(body, Screen(breaks=True), terminal=False)
    assert ended


def test_a_failure_of_the_block_counts_more_than_one_of_the_screen() -> None:
    async def failing(world: World) -> None:
        crew(world, 1)
        await asyncio.sleep(1)
        raise ValueError("the block's own")

    with pytest.raises(ValueError, match="the block's own"):
        watched(failing, Screen(breaks=True), terminal=False)


@pytest.mark.parametrize("how", ["a file", "no colour", "NO_COLOR", "a dumb terminal"])
def test_where_no_table_can_be_drawn_a_line_is_written_every_five_seconds(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def long(world: World) -> None:
        crew(world, 2, "word " * 11, delay=0.9)  # never at the same time as a look
        await Runner().run(world)

    if how == "NO_COLOR":
        monkeypatch.setenv("NO_COLOR", "1")
    if how == "a dumb terminal":
        monkeypatch.setenv("TERM", "dumb")
    screen = Screen()
    watched(long, screen, terminal=how != "a file", color=how != "no colour")
    assert [line.partition(" · about")[0] for line in screen.getvalue().splitlines()] == [
        "2 agents: 2 running · 0 s · 0 of 2 done",
        "2 agents: 2 streaming · 2.9 tokens/s · 5 s · 0 of 2 done",
        "2 agents: 2 streaming · 2.9 tokens/s · 10 s · 0 of 2 done",
        "2 agents: 2 idle · 11 s · 2 of 2 done (2 idle)",
    ]


def test_where_nothing_happens_no_line_is_written() -> None:
    async def asleep(world: World) -> None:
        await three_agents(world)
        await asyncio.sleep(60)

    screen = Screen()
    watched(asleep, screen, terminal=False)
    assert len(screen.getvalue().splitlines()) == 4  # the begin, two of the work, the end


def test_a_line_is_not_written_twice() -> None:
    async def brief(world: World) -> None:
        crew(world, 3)
        await asyncio.sleep(0)

    screen = Screen()
    watched(brief, screen, terminal=False)
    assert screen.getvalue().splitlines() == ["3 agents: 3 ready · 0 s · 0 of 3 done"]
