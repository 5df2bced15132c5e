"""Reading what the user types: with arrow keys and a history of this session where the platform has readline, plain lines elsewhere."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

from ecs_agent.cli.sanitize import one_line
from ecs_agent.cli.terminal import Terminal

_PROMPT = "› "  # noqa: RUF001 - it is meant to differ from the > of quoted text


class LineReader:
    """Reads one line after another from standard input.

    A line is asked for with a prompt if standard input is a terminal; otherwise it is shown behind one, so that the transcript stays readable.

    Args:
        screen: the terminal that the user looks at.
    """

    def __init__(self, screen: Terminal) -> None:
        self._screen = screen
        # None is a closed standard input, as in `ecs-agent chat <&-`.
        self.interactive = sys.stdin is not None and sys.stdin.isatty()  # pyright: ignore[reportUnnecessaryComparison]
        self._readline = _readline() if self.interactive and sys.stdout.isatty() else None

    def read(self) -> str | None:
        """The next line that is not empty; None when there is no more, or Ctrl-C was pressed at the empty prompt."""
        while (line := self._ask() if self.interactive else self._take()) is not None:
            if line.strip():
                return line
        return None

    def _ask(self) -> str | None:
        try:
            return self._input()
        except EOFError:
            self._screen.write("\n")
            return None
        except KeyboardInterrupt:
            self._screen.write("\n")
            return "" if self._typed() else None

    def _input(self) -> str:
        if self._readline is None:
            self._screen.write(_PROMPT)
            return input()
        return input(_bold(_PROMPT) if self._screen.styled and "libedit" not in (self._readline.__doc__ or "") else _PROMPT)

    def _typed(self) -> bool:
        """Whether something stood on the line that was broken off."""
        return self._readline is not None and bool(self._readline.get_line_buffer())

    def _take(self) -> str | None:
        line = sys.stdin.readline() if sys.stdin is not None else ""  # pyright: ignore[reportUnnecessaryComparison]
        if not line:
            return None
        if self._screen.interactive and line.strip():
            self._screen.line(f"{_PROMPT}{one_line(line)}")
        return line.rstrip("\n")


def _readline() -> ModuleType | None:
    """Importing it is all it takes for `input` to use it."""
    try:
        return import_module("readline")
    except ImportError:
        return None  # Windows, and some small builds of Python


def _bold(prompt: str) -> str:
    # The marks tell readline that what stands between them takes no room on the screen.
    return f"\x01\x1b[1m\x02{prompt}\x01\x1b[0m\x02"
