"""A user's program while it runs, and Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from collections.abc import Callable

from ecs_agent.cli.interrupts import Interrupts
from ecs_agent.cli.program import Program
from ecs_agent.cli.sanitize import one_line
from ecs_agent.core import World
from ecs_agent.core.running.engine import Engine

LAST_WORDS = 0.5
"""Seconds that a program may take to end by itself after its world was stopped."""

_STOPPING = "stopping: the agents finish what they are at; Ctrl-C again ends it at once"


class RunningProgram:
    """A program that runs, and Ctrl-C: once lets the agents finish the step in hand, then everything ends; twice ends it at once.

    Where it is not heard (`Interrupts`), the first Ctrl-C ends it at once.

    Args:
        program: what runs.
        world: its world.
        stopping: told right before the world is stopped, and whether agents may finish their step.
    """

    def __init__(self, program: Program, world: World, stopping: Callable[[bool], object] | None = None) -> None:
        self._program = program
        self._world = world
        self._stopping = stopping
        self._loop = asyncio.get_running_loop()
        self._tasks = [self._loop.create_task(_called(program, world), name="program")]
        self._presses = 0

    @property
    def was_interrupted(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return self._presses > 0

    def error(self) -> BaseException | None:
        """What the program raised, once it is over."""
        main = self._tasks[0]
        return asyncio.CancelledError("it was cancelled") if main.cancelled() else main.exception()

    async def to_the_end(self) -> None:
        """Wait until it is over, however it ends."""
        with Interrupts(self._press):
            try:
                await asyncio.wait(self._tasks[:1])
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.wait(self._tasks)

    def _press(self) -> None:
        self._presses += 1
        engine = self._world.engine
        is_patient = self._presses == 1 and engine is not None
        if self._stopping is not None:
            self._stopping(is_patient)
        if is_patient and engine is not None:
            self._world.stop(after_step=True)
            self._tasks.append(self._loop.create_task(self._leave(engine), name="leaving"))
            print(_STOPPING, file=sys.stderr)
        else:
            self._world.stop()
            self._tasks[0].cancel()

    async def _leave(self, engine: Engine) -> None:
        """When the agents have finished, the program may say what it has; it is not to begin anew."""
        await engine.over()
        await asyncio.wait(self._tasks[:1], timeout=LAST_WORDS)
        self._tasks[0].cancel()


async def _called(program: Program, world: World) -> None:
    await program.main(world)


def told(program: Program, error: BaseException) -> str:
    """What went wrong in somebody's program, and where; with ECS_AGENT_DEBUG=1 all the way there."""
    if os.environ.get("ECS_AGENT_DEBUG", "0") not in {"", "0"}:
        return "".join(traceback.format_exception(error)).rstrip()
    return one_line(f"{program.place_of(error)}: {type(error).__name__}: {error}")
