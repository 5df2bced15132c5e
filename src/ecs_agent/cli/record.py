"""`ecs-agent record`: runs a program in a world whose every fact is kept, so that it can be replayed, looked at and forked."""

from __future__ import annotations

import time
from pathlib import Path

from ecs_agent.cli.failures import ExitCode, complain
from ecs_agent.cli.program import Program, load_program
from ecs_agent.cli.running_program import RunningProgram, told
from ecs_agent.cli.session import new_runner
from ecs_agent.cli.terminal import Look, standard_error
from ecs_agent.components import LLMComponent
from ecs_agent.core import World
from ecs_agent.errors import ConfigurationError
from ecs_agent.store.open import open_world
from ecs_agent.store.program_events import ProgramEnded, ProgramStopped
from ecs_agent.store.sqlite_engine import SqliteEngine


def record(source: str, out: str, *, force: bool = False, color: bool = True) -> int:
    """Run a program and keep what happens; the exit code.

    Args:
        source: `FILE.py` or `FILE.py:function`.
        out: the path of the store that is made.
        force: replace one that is there.
        color: False keeps every escape sequence out.

    Raises:
        ConfigurationError: there is no such program, or the file exists.
        StoreError: the store cannot be made or written.
    """
    program = load_program(source)
    _make_room(Path(out), force=force)
    with new_runner() as runner:
        return runner.run(_recorded(program, out, color=color))


def _make_room(path: Path, *, force: bool) -> None:
    if not path.exists():
        return
    if not force:
        raise ConfigurationError(f"{path} exists; name another file, or replace it with --force")
    engine = SqliteEngine(path)  # nothing is deleted that is no store of ours, or in use
    engine.open()
    engine.close()
    for each in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        each.unlink(missing_ok=True)


async def _recorded(program: Program, out: str, *, color: bool) -> int:
    started = time.monotonic()
    world = open_world(out, systems=())
    try:
        running = RunningProgram(program, world, lambda after_step: world.report(ProgramStopped(after_step)))
        await running.to_the_end()
        error = running.error()
        world.report(_ending(running, error))
        agents = len(world.query(LLMComponent))
    finally:
        await world.aclose()
    _sum_up(world, out, agents, time.monotonic() - started, color=color)
    if running.was_interrupted:
        return ExitCode.INTERRUPTED
    if error is not None:
        complain(told(program, error))
        return ExitCode.FAILED
    return ExitCode.OK


def _ending(running: RunningProgram, error: BaseException | None) -> ProgramEnded:
    if running.was_interrupted:
        return ProgramEnded("interrupted")
    return ProgramEnded("done") if error is None else ProgramEnded("failed", f"{type(error).__name__}: {error}")


def _sum_up(world: World, out: str, agents: int, seconds: float, *, color: bool) -> None:
    facts = world.log.next_pos
    number = f"{agents} agent" if agents == 1 else f"{agents:,} agents"
    standard_error(color=color).line(f"recorded in {out}: {number}, {facts:,} facts, {seconds:.1f} s", Look.QUIET)
