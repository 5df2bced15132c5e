"""What is written arrives exactly as given; styles only where they are wanted and understood."""

from __future__ import annotations

import io

import pytest

from ecs_agent.cli.terminal import Look, Terminal


class Screen(io.StringIO):
    """A terminal's file."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def a_capable_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def test_text_is_written_as_it_is() -> None:
    file = Screen()
    text = "a\tb " + "long " * 100 + ":smile: [bold]markup[/bold] https://x 1 True\n  "
    Terminal(file).write(text)
    assert file.getvalue() == text


def test_a_look_is_an_escape_sequence_on_a_terminal() -> None:
    file = Screen()
    Terminal(file).line("quiet", Look.QUIET)
    assert file.getvalue() == "\x1b[2mquiet\x1b[0m\n"


@pytest.mark.parametrize("reason", ["--no-color", "NO_COLOR", "TERM", "not a terminal"])
def test_no_escape_sequence_is_written_where_none_is_wanted(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO() if reason == "not a terminal" else Screen()
    if reason == "NO_COLOR":
        monkeypatch.setenv("NO_COLOR", "1")
    if reason == "TERM":
        monkeypatch.setenv("TERM", "dumb")
    terminal = Terminal(file, color=reason != "--no-color")
    for look in Look:
        terminal.wait()
        terminal.line("text", look)
        terminal.wipe_echo()
    assert file.getvalue() == "text\n" * len(Look)
    assert not terminal.styled


def test_the_sign_of_waiting_vanishes_with_the_next_text() -> None:
    file = Screen()
    terminal = Terminal(file)
    terminal.wait()
    terminal.wait()
    terminal.write("answer")
    terminal.wait()  # not in the middle of a line
    assert file.getvalue() == "\x1b[2m…\x1b[0m\r\x1b[2Kanswer"


def test_the_sign_of_waiting_vanishes_when_nothing_comes() -> None:
    file = Screen()
    terminal = Terminal(file)
    terminal.wait()
    terminal.fresh_line()
    assert file.getvalue() == "\x1b[2m…\x1b[0m\r\x1b[2K"


def test_a_line_begins_below_an_unfinished_one() -> None:
    file = io.StringIO()
    terminal = Terminal(file)
    terminal.write("unfinished")
    terminal.line("own line")
    terminal.line("another")
    assert file.getvalue() == "unfinished\nown line\nanother\n"


def test_a_broken_pipe_is_left_to_the_caller() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        Terminal(Closed()).write("text")
