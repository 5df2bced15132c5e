"""The stage on which recorded agents speak: one at a time has the floor, and the others' words wait until they fill a line, or end.

     0.00 agent 1 ← What is the weather in Paris?
     0.41 agent 1 → get_weather(city="Paris")
     0.93 agent 1 ← sunny, 21 °C
     1.20 agent 1: It is sunny in Paris.
"""

from __future__ import annotations

from ecs_agent.cli.narration import Remark, Seen, Speech, SpeechOver
from ecs_agent.cli.sanitize import TerminalSanitizer, one_line
from ecs_agent.cli.terminal import Look, Terminal


class Stage:
    """Shows what agents say, and remarks between.

    Args:
        screen: where.
        names: of those that have one.
    """

    def __init__(self, screen: Terminal, names: dict[int, str]) -> None:
        self._screen = screen
        self._names = names
        self._floor: int | None = None
        self._waiting: dict[int, tuple[float, str]] = {}  # since when, and what
        self._sanitizers: dict[int, TerminalSanitizer] = {}

    def show(self, seen: Seen, seconds: float) -> None:
        """Show the next thing, so many seconds after the beginning."""
        match seen:
            case Speech(entity=entity, text=text, look=look):
                self._say(entity, self._sanitizers.setdefault(entity, TerminalSanitizer()).feed(text), look, seconds)
            case SpeechOver(entity=entity):
                self._over(entity, seconds)
            case Remark(entity=entity, text=text, look=look, mark=mark):
                self._leave_floor()
                head = self._head(entity, mark, seconds)
                self._screen.write(head, Look.QUIET)
                self._screen.write(one_line(text, max(self._screen.width - len(head), 20)), look)
                self._screen.write("\n")

    def end(self) -> None:
        """Show what still waits."""
        self._leave_floor()
        for entity in list(self._waiting):
            self._show_waiting(entity)

    def _say(self, entity: int, text: str, look: Look, seconds: float) -> None:
        if not text:
            return
        if self._floor not in (None, entity):
            since, before = self._waiting.get(entity, (seconds, ""))
            self._waiting[entity] = since, before + text
            if "\n" in text or len(before) + len(text) + len(self._head(entity, ":", since)) >= self._screen.width:
                self._leave_floor()
                self._show_waiting(entity)
            return
        if self._floor is None:
            self._show_waiting(entity, keep_floor=True)
        if self._floor is None:
            self._take_floor(entity, seconds)
        self._screen.write(self._indented(text), look)

    def _over(self, entity: int, seconds: float) -> None:
        sanitizer = self._sanitizers.pop(entity, None)
        if sanitizer is not None:
            self._say(entity, sanitizer.flush(), Look.PLAIN, seconds)
        if self._floor == entity:
            self._leave_floor()
        elif entity in self._waiting:
            self._leave_floor()
            self._show_waiting(entity)

    def _show_waiting(self, entity: int, *, keep_floor: bool = False) -> None:
        waiting = self._waiting.pop(entity, None)
        if waiting is not None:
            self._take_floor(entity, waiting[0])
            self._screen.write(self._indented(waiting[1]))
            if not keep_floor:
                self._leave_floor()

    def _take_floor(self, entity: int, seconds: float) -> None:
        self._screen.fresh_line()
        self._screen.write(self._head(entity, ":", seconds), Look.QUIET)
        self._floor = entity

    def _leave_floor(self) -> None:
        self._screen.fresh_line()
        self._floor = None

    def _head(self, entity: int | None, mark: str, seconds: float) -> str:
        whose = "" if entity is None else f" {one_line(self._names.get(entity) or f'agent {entity}', 30)}{mark}"
        return f"{seconds:>8.2f}{whose} "

    @staticmethod
    def _indented(text: str) -> str:
        return text.replace("\n", "\n" + " " * 9)
