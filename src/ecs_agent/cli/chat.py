"""`ecs-agent chat`: a conversation in a terminal, or line by line from a pipe."""

from __future__ import annotations

import asyncio
from enum import Enum, auto, unique

from ecs_agent import __version__
from ecs_agent.cli.failures import ExitCode, sentence
from ecs_agent.cli.lines import LineReader
from ecs_agent.cli.options import Settings
from ecs_agent.cli.render import Transcript, failure_of
from ecs_agent.cli.sanitize import one_line
from ecs_agent.cli.session import Session, new_runner
from ecs_agent.cli.terminal import Look, standard_error, standard_output
from ecs_agent.errors import EcsAgentError


def chat(settings: Settings) -> int:
    """Talk until there is no more input; the exit code.

    Raises:
        ConfigurationError: the settings cannot be met.
    """
    with new_runner() as runner:
        session = runner.run(Session.open(settings))
        try:
            return _Chat(settings, runner, session).converse()
        finally:
            runner.run(session.aclose())


@unique
class _End(Enum):
    """How an answer ended."""

    WHOLE = auto()
    FAILED = auto()
    STOPPED = auto()
    LEFT = auto()


class _Chat:
    """The conversation: reads a line, has it answered, and so on.

    The event loop rests while a line is read, so that Ctrl-C at the prompt is an ordinary KeyboardInterrupt.
    """

    def __init__(self, settings: Settings, runner: asyncio.Runner, session: Session) -> None:
        self._runner = runner
        self._session = session
        self._model = settings.model_name()
        self._answers = standard_output(color=settings.color)
        self._alarms = standard_error(color=settings.color)
        # With `chat > file` the file holds the answers, and the person sees the rest.
        self._screen = self._answers if self._answers.interactive else self._alarms
        self._lines = LineReader(self._screen)

    def converse(self) -> int:
        """Answer line after line; the exit code."""
        if self._lines.interactive:
            self._greet()
        code = ExitCode.OK
        while (line := self._lines.read()) is not None:
            end = self._answer(line)
            if end is _End.LEFT or (end is _End.STOPPED and not self._lines.interactive):
                return ExitCode.INTERRUPTED
            if end is _End.FAILED and not self._lines.interactive:
                code = ExitCode.FAILED
            self._screen.line()
        return code

    def _greet(self) -> None:
        self._screen.line(f"ecs-agent {__version__} · {one_line(self._model, 80)}", Look.QUIET)
        self._screen.line("Ctrl-C stops an answer, Ctrl-D leaves.", Look.QUIET)
        self._screen.line()

    def _answer(self, line: str) -> _End:
        transcript = Transcript(self._answers, self._screen, self._screen)
        try:
            completed = self._runner.run(self._session.answer(line, transcript.show))
        except EcsAgentError as error:
            return self._fail(transcript, sentence(error))
        transcript.end()
        if completed is None:
            return _End.LEFT
        if completed.reason == "interrupted":
            self._screen.wipe_echo()
            self._screen.line("stopped", Look.QUIET)
            return _End.STOPPED
        if (failure := failure_of(completed)) is not None:
            return self._fail(transcript, failure)
        if statistics := transcript.statistics():
            self._screen.line(statistics, Look.QUIET)
        return _End.WHOLE

    def _fail(self, transcript: Transcript, message: str) -> _End:
        transcript.end()
        self._alarms.line(f"error: {message}", Look.ALARM)
        return _End.FAILED
