"""Where lines are written: standard output or standard error, with or without styles."""

from __future__ import annotations

import os
import sys
from enum import StrEnum, unique
from typing import TextIO

from rich.console import Console
from rich.control import Control
from rich.segment import ControlType, Segment, Segments
from rich.style import Style

_LONGEST_LINE = 200  # where there is no terminal to tell its width


@unique
class Look(StrEnum):
    """How a piece of text looks, in rich's words."""

    PLAIN = ""
    QUIET = "dim"
    TOOL = "cyan"
    ALARM = "red"


class Terminal:
    """A text stream that knows whether it may use styles. Everything is written at once and exactly as given: nothing is wrapped.

    Args:
        file: what is written to.
        color: False keeps every escape sequence out; True leaves the decision to `NO_COLOR`, `TERM` and whether it is a terminal at all.
    """

    def __init__(self, file: TextIO, *, color: bool = True) -> None:
        plain = not color or bool(os.environ.get("NO_COLOR"))
        self._console = _Console(file=file, color_system=None if plain else "auto")
        self._may_erase = not plain and self._console.is_terminal and not self._console.is_dumb_terminal
        self._erasable = False
        self.interactive = self._console.is_terminal
        self.at_line_start = True

    @property
    def styled(self) -> bool:
        """Whether escape sequences may be written."""
        return self._console.color_system is not None

    @property
    def width(self) -> int:
        """How many characters of a line can be seen at once."""
        return self._console.width if self.interactive else _LONGEST_LINE

    def write(self, text: str, look: Look = Look.PLAIN) -> None:
        """Write text, which must be safe for a terminal."""
        if not text:
            return
        self._erase()
        self._console.print(Segments([Segment(text, Style.parse(look))]), end="", crop=False, soft_wrap=True)
        self.at_line_start = text.endswith("\n")

    def line(self, text: str = "", look: Look = Look.PLAIN) -> None:
        """Write a line of its own, below an unfinished one if there is any."""
        self.fresh_line()
        self.write(text, look)
        self.write("\n")

    def fresh_line(self) -> None:
        """End an unfinished line."""
        self._erase()
        if not self.at_line_start:
            self.write("\n")

    def wipe_echo(self) -> None:
        """Take away the ^C that the terminal itself wrote, if it stands alone on its line."""
        self._erasable = self._may_erase and self.at_line_start
        self._erase()

    def wait(self) -> None:
        """Show that something is awaited, until the next text; only where it can be taken away again."""
        if self._may_erase and self.at_line_start and not self._erasable:
            self._console.print(Segments([Segment("…", Style.parse(Look.QUIET))]), end="", crop=False, soft_wrap=True)
            self._erasable = True

    def _erase(self) -> None:
        if self._erasable:
            self._erasable = False
            self._console.control(Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2)))


def standard_output(*, color: bool = True) -> Terminal:
    """Where answers go."""
    return Terminal(sys.stdout, color=color)


def standard_error(*, color: bool = True) -> Terminal:
    """Where everything else goes."""
    return Terminal(sys.stderr, color=color)


class _Console(Console):
    """A console that leaves a broken pipe to its caller."""

    def on_broken_pipe(self) -> None:
        """Let the error go on; the default ends the interpreter."""
        raise BrokenPipeError
