"""`ecs-agent top`: runs a program over a world of its own and shows what the agents in it do."""

from __future__ import annotations

from ecs_agent.cli.failures import ExitCode, complain
from ecs_agent.cli.live_table import live_table
from ecs_agent.cli.program import Program, load_program
from ecs_agent.cli.running_program import RunningProgram, told
from ecs_agent.cli.session import new_runner
from ecs_agent.core import World


def top(source: str, *, color: bool = True) -> int:
    """Run a program and show its agents; the exit code.

    Args:
        source: `FILE.py` or `FILE.py:function`.
        color: False keeps every escape sequence out: lines instead of a table.

    Raises:
        ConfigurationError: there is no such program.
    """
    program = load_program(source)
    with new_runner() as runner:
        return runner.run(_shown(program, color=color))


async def _shown(program: Program, *, color: bool) -> int:
    async with World() as world:
        running = RunningProgram(program, world)
        async with live_table(world, color=color):
            await running.to_the_end()
    if running.was_interrupted:
        return ExitCode.INTERRUPTED
    if (error := running.error()) is not None:
        complain(told(program, error))
        return ExitCode.FAILED
    return ExitCode.OK
