"""The table of agents, kept up to date while a program runs its world.

    async with World() as world, live_table(world):
        await asyncio.gather(*[agent.ask("Report!") for agent in crew])

It looks four times a second (less often if a look takes long) and draws only when there is something new to see. Where no table can be drawn
(a file, a pipe, `NO_COLOR`, `TERM=dumb`) a line is written every few seconds instead.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from rich.console import Console
from rich.live import Live
from rich.segment import Segment, SegmentLines

from ecs_agent.cli.agent_table import AgentTable, summary_line
from ecs_agent.core import World
from ecs_agent.telemetry import AgentPhase, AgentStats, agent_stats

LOOK_EVERY = 0.25
"""Seconds between two looks at the world."""

LINE_EVERY = 5.0
"""Seconds between two lines where there is no table."""

LEISURE = 10
"""A look may take a tenth of the time between two: with thousands of agents there are fewer of them."""

_SPARED = 2
"""Lines of the screen that are left free: for the cursor, and for what a shell writes behind the last table."""

_AT_WORK = (AgentPhase.ASKED, AgentPhase.STREAMING, AgentPhase.TOOLS, AgentPhase.RUNNING, AgentPhase.RETRYING)


class TableConsole(Console):
    """A console that leaves a broken pipe to its caller; the default ends the interpreter."""

    def on_broken_pipe(self) -> None:
        """Let the error go on."""
        raise BrokenPipeError


@asynccontextmanager
async def live_table(world: World, *, console: Console | None = None, color: bool = True) -> AsyncGenerator[None, None]:
    """Show the agents of a world while the block runs; its last state stays on the screen.

    Args:
        world: whose agents.
        console: where to; standard output by default.
        color: False keeps every escape sequence out, and so the table.

    Raises:
        OSError: it could not be written; the block was run to its end.
    """
    plain = not color or bool(os.environ.get("NO_COLOR"))
    screen = console if console is not None else TableConsole()
    sight = _Lines(screen) if plain or not screen.is_terminal or screen.is_dumb_terminal else _Table(screen)
    watch = _Watch(world, sight)
    sight.begin()
    watching = asyncio.get_running_loop().create_task(watch.go_on(), name="table of agents")
    try:
        yield
    except BaseException:
        await _over(watching)
        with suppress(Exception):
            watch.end()  # what went wrong in the block counts more
        raise
    await _over(watching)
    watch.end()
    if not watching.cancelled() and (failure := watching.exception()) is not None:
        raise failure


async def _over(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


class _Watch:
    """Looks at a world at times.

    Args:
        world: the world.
        sight: who shows what was seen.
    """

    def __init__(self, world: World, sight: _Lines | _Table) -> None:
        self._world = world
        self._sight = sight
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._facts = -1
        self._at_work = False

    async def go_on(self) -> None:
        """Look until cancelled; the first look is at once."""
        while True:
            began = time.perf_counter()
            self._look()
            took = time.perf_counter() - began
            await asyncio.sleep(max(self._sight.every, LEISURE * took))

    def end(self) -> None:
        """Show how it ended."""
        try:
            self._sight.last(self._stats(), self._loop.time() - self._began)
        finally:
            self._sight.end()

    def _look(self) -> None:
        facts = self._world.log.next_pos
        if facts == self._facts and not self._at_work:
            return  # nothing has happened, and nothing goes on that time alone would change
        self._sight.show(self._stats(), self._loop.time() - self._began)
        self._facts = facts

    def _stats(self) -> list[AgentStats]:
        stats = agent_stats(self._world)
        self._at_work = any(each.phase in _AT_WORK for each in stats)
        return stats


class _Table:
    """A table that is drawn over itself."""

    every = LOOK_EVERY

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False)
        self._drawn: list[list[Segment]] = []

    def begin(self) -> None:
        """Take the terminal."""
        self._live.start()

    def show(self, stats: list[AgentStats], seconds: float) -> None:
        """Draw it, if it looks any different."""
        table = AgentTable(stats, seconds=seconds, height=self._console.size.height - _SPARED)
        drawn = self._console.render_lines(table)
        if drawn != self._drawn:
            self._drawn = drawn
            self._live.update(SegmentLines(drawn, new_lines=True), refresh=True)

    def last(self, stats: list[AgentStats], seconds: float) -> None:
        """What stays on the screen."""
        self.show(stats, seconds)

    def end(self) -> None:
        """Give the terminal back."""
        self._live.stop()


class _Lines:
    """A line at times."""

    every = LINE_EVERY

    def __init__(self, console: Console) -> None:
        self._console = console
        self._written = ""

    def begin(self) -> None:
        """Nothing is to be prepared."""

    def show(self, stats: list[AgentStats], seconds: float) -> None:
        """Write a line, if there is anything to tell."""
        if stats:
            self.last(stats, seconds)

    def last(self, stats: list[AgentStats], seconds: float) -> None:
        """Write how it ended, unless that is what was written."""
        line = summary_line(AgentTable(stats).summary, seconds)
        if line != self._written:
            self._written = line
            self._console.out(line, highlight=False)
            self._console.file.flush()

    def end(self) -> None:
        """Nothing was taken."""
