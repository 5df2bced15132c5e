"""The stage on which recorded agents speak: one at a time has the floor, and the others' words wait until they fill a line, or end."""

from __future__ import annotations

from typing import Final

from ecs_agent.cli.narration import Remark, Seen, Speech, SpeechOver
from ecs_agent.cli.sanitize import TerminalSanitizer, one_line
from ecs_agent.cli.terminal import Look, Terminal

_INDENT: Final = 9


class Stage:
    """Shows what agents say, and remarks between.

    Args:
        screen: where.
        names: of those that have one.
    """

    def __init__(self, screen: Terminal, names: dict[int, str]) -> None:
        self._screen = screen
        self._names = names
        self._seconds = 0.0
        self._floor: int | None = None
        self._waiting: dict[int, str] = {}
        self._sanitizers: dict[int, TerminalSanitizer] = {}

    def show(self, seen: Seen, seconds: float) -> None:
        """Show the next thing, so many seconds after the beginning."""
        self._seconds = seconds
        match seen:
            case Speech(entity=entity, text=text, look=look):
                self._say(entity, self._sanitizers.setdefault(entity, TerminalSanitizer()).feed(text), look)
            case SpeechOver(entity=entity):
                self._over(entity)
            case Remark(entity=entity, text=text, look=look, mark=mark):
                self._leave_floor()
                head = self._head(entity, mark)
                self._screen.write(head, Look.QUIET)
                self._screen.write(one_line(text, max(self._screen.width - len(head), 20)), look)
                self._screen.write("\n")

    def end(self) -> None:
        """Show what still waits."""
        self._leave_floor()
        for entity in list(self._waiting):
            self._show_waiting(entity)
            self._leave_floor()

    def _say(self, entity: int, text: str, look: Look) -> None:
        if not text:
            return
        if self._floor not in (None, entity):
            waiting = self._waiting[entity] = self._waiting.get(entity, "") + text
            if "\n" in text or len(waiting) + len(self._head(entity, ":")) >= self._screen.width:
                self._show_waiting(entity)
                self._leave_floor()
            return
        if self._floor is None:
            self._show_waiting(entity)
        self._write(text, look)

    def _over(self, entity: int) -> None:
        sanitizer = self._sanitizers.pop(entity, None)
        if sanitizer is not None:
            self._say(entity, sanitizer.flush(), Look.PLAIN)
        if entity in self._waiting:
            self._show_waiting(entity)
        if self._floor == entity:
            self._leave_floor()

    def _show_waiting(self, entity: int) -> None:
        """Give somebody the floor, who begins with what he could not say before."""
        self._leave_floor()
        self._screen.write(self._head(entity, ":"), Look.QUIET)
        self._floor = entity
        self._write(self._waiting.pop(entity, ""), Look.PLAIN)

    def _write(self, text: str, look: Look) -> None:
        """Lines behind the first are indented."""
        for number, line in enumerate(text.split("\n")):
            if number:
                self._screen.write("\n")
            if line:
                self._screen.write(" " * _INDENT + line if self._screen.at_line_start else line, look)

    def _leave_floor(self) -> None:
        self._screen.fresh_line()
        self._floor = None

    def _head(self, entity: int | None, mark: str) -> str:
        whose = "" if entity is None else f" {one_line(self._names.get(entity) or f'agent {entity}', 30)}{mark}"
        return f"{self._seconds:>8.2f}{whose} "
