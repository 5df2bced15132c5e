"""How the command ends: exit codes, and every failure as one readable line on standard error.

0    done
1    the model, or a file, failed; what had arrived of the answer stands on standard output
2    the command line or the configuration is wrong
70   a defect of this program; ECS_AGENT_DEBUG=1 shows its traceback
130  Ctrl-C
141  nobody reads standard output any more (as in `ecs-agent run … | head -1`)
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Callable
from enum import IntEnum, unique
from typing import TextIO

from ecs_agent.cli.sanitize import one_line
from ecs_agent.errors import ConfigurationError, EcsAgentError, ToolDefinitionError, UnsupportedFeatureError


@unique
class ExitCode(IntEnum):
    """What the command tells the shell; see the module."""

    OK = 0
    FAILED = 1
    USAGE = 2
    DEFECT = 70
    INTERRUPTED = 130
    BROKEN_PIPE = 141


def guarded(action: Callable[[], int]) -> int:
    """Do it and return the exit code. No exception gets out, and nothing is left for the interpreter to flush at its end."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a narrow encoding must not cost an answer
    try:
        code = action()
    except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001 - the last one between a failure and the user
        code = _failed(error)
    lost = _flush()
    return _failed(lost) if lost is not None and code == ExitCode.OK else code


def _failed(error: BaseException) -> int:
    match error:
        case KeyboardInterrupt():
            return ExitCode.INTERRUPTED
        case BrokenPipeError():
            return ExitCode.BROKEN_PIPE
        case ConfigurationError() | ToolDefinitionError() | UnsupportedFeatureError():
            complain(sentence(error))
            return ExitCode.USAGE
        case EcsAgentError() | OSError():
            complain(sentence(error))
            return ExitCode.FAILED
        case _:
            _report_defect(error)
            return ExitCode.DEFECT


def _report_defect(error: BaseException) -> None:
    if os.environ.get("ECS_AGENT_DEBUG", "0") in {"", "0"}:
        complain(f"unexpected {type(error).__name__}: {sentence(error)} (a defect of ecs-agent; ECS_AGENT_DEBUG=1 shows where)")
    else:
        complain("".join(traceback.format_exception(error)).rstrip())


def _flush() -> OSError | None:
    """Write out what is buffered; what cannot be written is given up, so that the interpreter does not try again."""
    lost: OSError | None = None
    for stream in (sys.stdout, sys.stderr):
        if stream is None:  # pyright: ignore[reportUnnecessaryComparison]  # closed by the shell, or Windows without a console
            continue
        try:
            stream.flush()
        except OSError as error:
            lost = lost or error
            _abandon(stream)
    return lost


def _abandon(stream: TextIO) -> None:
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, stream.fileno())
    os.close(sink)


def sentence(error: BaseException) -> str:
    """What went wrong, on one line that is safe for a terminal."""
    if isinstance(error, OSError) and not isinstance(error, EcsAgentError) and error.strerror:
        return one_line(f"{error.filename or 'input or output failed'}: {error.strerror}")
    return one_line(str(error)) or type(error).__name__


def complain(message: str) -> None:
    """One line on standard error, if anybody listens."""
    try:
        print(f"error: {message}", file=sys.stderr, flush=True)
    except OSError:
        pass  # nobody does
