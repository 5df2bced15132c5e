"""Every failure is one readable line and an exit code; no traceback, nothing left unflushed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from tests.cli.commands import environment

from ecs_agent.cli.failures import ExitCode, guarded, sentence
from ecs_agent.errors import (
    ConfigurationError,
    EcsAgentError,
    ProviderConnectionError,
    RateLimitError,
    ToolDefinitionError,
    UnsupportedFeatureError,
)


def raising(error: BaseException) -> Callable[[], int]:
    def action() -> int:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (RateLimitError("Too many requests; wait 3 s."), 1, "error: Too many requests; wait 3 s.\n"),
        (ProviderConnectionError("nobody listens"), 1, "error: nobody listens\n"),
        (EcsAgentError("first\nsecond \x1b[31mred\x1b[0m"), 1, "error: first second red\n"),
        (ConfigurationError("no key"), 2, "error: no key\n"),
        (ToolDefinitionError("no hint"), 2, "error: no hint\n"),
        (UnsupportedFeatureError("not both"), 2, "error: not both\n"),
        (FileNotFoundError(2, "No such file or directory", "a.txt"), 1, "error: a.txt: No such file or directory\n"),
        (OSError(28, "No space left on device"), 1, "error: input or output failed: No space left on device\n"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(), 141, ""),
        (
            ZeroDivisionError("division by zero"),
            70,
            "error: unexpected ZeroDivisionError: division by zero (a defect of ecs-agent; ECS_AGENT_DEBUG=1 shows where)\n",
        ),
    ],
)
def test_a_failure_is_one_line_and_an_exit_code(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ECS_AGENT_DEBUG", raising=False)
    assert guarded(raising(error)) == code
    assert capsys.readouterr() == ("", line)


def test_the_traceback_of_a_defect_is_shown_on_request(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECS_AGENT_DEBUG", "1")
    assert guarded(raising(ZeroDivisionError("division by zero"))) == ExitCode.DEFECT
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "in action" in shown


def test_an_error_without_words_is_named() -> None:
    assert sentence(EcsAgentError()) == "EcsAgentError"


def run_python(code: str, **streams: int) -> subprocess.CompletedProcess[str]:
    arguments = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    return subprocess.run([sys.executable, "-X", "dev", "-c", code], env=environment(), text=True, timeout=30, check=False, **arguments)  # type: ignore[call-overload,no-any-return]


PRINTING = "import sys; from ecs_agent.cli.failures import guarded; sys.exit(guarded(lambda: print('x' * 10) or 0))"


def test_output_that_cannot_be_flushed_fails_the_command() -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    full = os.open("/dev/full", os.O_WRONLY)
    done = run_python(PRINTING, stdout=full)
    os.close(full)
    assert (done.returncode, done.stderr) == (1, "error: input or output failed: No space left on device\n")


def test_a_reader_that_left_is_noticed_at_the_last_flush() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = run_python(PRINTING, stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_character_that_the_output_cannot_encode_costs_no_answer() -> None:
    code = "import sys; from ecs_agent.cli.failures import guarded; sys.exit(guarded(lambda: print('5 \\u20ac') or 0))"
    done = subprocess.run([sys.executable, "-c", code], env=environment({"PYTHONIOENCODING": "ascii"}), capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"5 ?\n", b"")
