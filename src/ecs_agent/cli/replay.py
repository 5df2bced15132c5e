"""`ecs-agent replay`: shows a recorded session again, or runs its program again and says whether it did the same."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ecs_agent.cli.failures import ExitCode, complain, sentence
from ecs_agent.cli.playback import Playback
from ecs_agent.cli.program import Program, load_program
from ecs_agent.cli.running_program import told
from ecs_agent.cli.sanitize import one_line
from ecs_agent.cli.session import new_runner
from ecs_agent.cli.stores import Limit, opened
from ecs_agent.cli.terminal import standard_output
from ecs_agent.errors import ConfigurationError, StoreError
from ecs_agent.store.recorded_session import RecordedSession
from ecs_agent.store.replay import ReplayReport
from ecs_agent.store.replay import replay as replayed
from ecs_agent.testing.replay_loop import ReplayLoop


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast it goes: recorded seconds in a second, None for as fast as can be."""

    speed: float | None

    @classmethod
    def parsed(cls, words: str) -> Pace:
        """What `--speed` says.

        Raises:
            ConfigurationError: it is no speed.
        """
        try:
            speed = None if words == "max" else float(words)
        except ValueError:
            speed = 0.0
        if speed is not None and not 0 < speed < float("inf"):
            raise ConfigurationError(f"--speed is {words!r}; give 1 for the recorded pace, 10 for ten times that, or max")
        return cls(speed)


def replay(
    path: str, source: str | None, *, speed: str | None, limit: Limit, step: bool = False, run_tools: tuple[str, ...] = (), color: bool = True
) -> int:
    """Show a recording, or verify a program against it; the exit code.

    Args:
        path: of the store.
        source: the program, `FILE.py` or `FILE.py:function`; None shows the recording.
        speed: recorded seconds in a second, or "max"; by default 1 to watch, and max to verify.
        limit: where to stop.
        step: wait for Enter before each thing that is shown.
        run_tools: tools that are run when a program is verified, since they act in the world itself.
        color: False keeps every escape sequence out.

    Raises:
        ConfigurationError: there is no such store or program, or an option makes no sense.
    """
    pace = Pace.parsed(speed or ("1" if source is None else "max"))
    try:
        return _replayed(path, source, pace, limit, run_tools, step=step, color=color)
    except StoreError as error:  # 1 is for a program that did something else
        complain(sentence(error))
        return ExitCode.USAGE


def _replayed(path: str, source: str | None, pace: Pace, limit: Limit, run_tools: tuple[str, ...], *, step: bool, color: bool) -> int:
    if source is None:
        with opened(path) as recording:
            Playback(recording, standard_output(color=color), pace.speed).show(limit.end_in(recording, path), step=step)
        return ExitCode.OK
    if step:
        raise ConfigurationError("--step shows a recording step by step; leave the program out")
    program = load_program(source)
    with opened(path) as recording:
        session = recording.session(limit.end_in(recording, path))
    return _verified(program, session, pace, run_tools, color=color)


def _verified(program: Program, session: RecordedSession, pace: Pace, run_tools: tuple[str, ...], *, color: bool) -> int:
    runner = asyncio.Runner(loop_factory=ReplayLoop) if pace.speed is None else new_runner()
    try:
        with runner:
            report = runner.run(replayed(session, program.main, speed=pace.speed or 1.0, systems=(), run_tools=run_tools))
    except StoreError:
        raise
    except Exception as error:  # noqa: BLE001 - it is the program's, which may raise anything
        complain(told(program, error))
        return ExitCode.FAILED
    standard_output(color=color).line(_verdict(report))
    return ExitCode.OK if report.divergence is None else ExitCode.FAILED


def _verdict(report: ReplayReport) -> str:
    if report.divergence is not None:
        return one_line(f"diverged at position {report.divergence.pos}: {report.divergence}")
    return f"the same: {report.entities:,} entities, {report.facts:,} facts, sha256 {report.hash}"
