"""`ecs-agent run`: one prompt, one answer, for pipes. The answer alone is on standard output; everything else is on standard error."""

from __future__ import annotations

import sys

from ecs_agent import RunCompleted
from ecs_agent.cli.failures import ExitCode, complain
from ecs_agent.cli.json_lines import error_record, event_record, write_line
from ecs_agent.cli.options import Settings
from ecs_agent.cli.render import Transcript, failure_of
from ecs_agent.cli.session import Session, new_runner
from ecs_agent.cli.terminal import Look, standard_error, standard_output
from ecs_agent.errors import EcsAgentError


def run(settings: Settings, prompt: str, *, as_json: bool = False, quiet: bool = False) -> int:
    """Have one prompt answered; the exit code.

    Args:
        settings: which model, and how it is asked.
        prompt: what it is asked.
        as_json: write the events as JSON lines instead of the text.
        quiet: nothing on standard error but what went wrong.

    Raises:
        ProviderError: the model could not be asked, or its answer broke off; what had arrived is written.
        ConfigurationError: the settings cannot be met.
    """
    with new_runner() as runner:
        return runner.run(_as_json(settings, prompt) if as_json else _as_text(settings, prompt, quiet=quiet))


async def _as_text(settings: Settings, prompt: str, *, quiet: bool) -> int:
    notes = standard_error(color=settings.color)
    transcript = Transcript(standard_output(color=settings.color), None if quiet else notes, notes, reasoning=False, trim=False)
    session = await Session.open(settings)
    try:
        completed = await _answered(session, prompt, transcript)
        if completed is not None and completed.reason == "idle" and not quiet and (statistics := transcript.statistics()):
            notes.line(statistics, Look.QUIET)
    finally:
        await session.aclose()
    return _exit_code(completed)


async def _answered(session: Session, prompt: str, transcript: Transcript) -> RunCompleted | None:
    try:
        return await session.answer(prompt, transcript.show)
    finally:
        transcript.end()


async def _as_json(settings: Settings, prompt: str) -> int:
    session = await Session.open(settings)
    try:
        completed = await session.answer(prompt, lambda event: write_line(event_record(event), sys.stdout))
    except EcsAgentError as error:
        write_line(error_record(error), sys.stdout)
        raise
    finally:
        await session.aclose()
    return _exit_code(completed)


def _exit_code(completed: RunCompleted | None) -> int:
    if completed is None or completed.reason == "interrupted":
        return ExitCode.INTERRUPTED
    if (failure := failure_of(completed)) is not None:
        complain(failure)
        return ExitCode.FAILED
    return ExitCode.OK
