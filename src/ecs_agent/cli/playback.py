"""A recorded session once more, at its pace or another one, or step by step."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from ecs_agent.cli.narration import Narration, Seen, Speech, SpeechOver
from ecs_agent.cli.stage import Stage
from ecs_agent.cli.terminal import Look, Terminal
from ecs_agent.store.recording import Recording


class Playback:
    """Shows a recording.

    Args:
        recording: what is shown.
        screen: where.
        speed: recorded seconds in one of today; None for as fast as can be.
        sleep: how time is let pass.
    """

    def __init__(self, recording: Recording, screen: Terminal, speed: float | None, *, sleep: Callable[[float], object] = time.sleep) -> None:
        self._recording = recording
        self._screen = screen
        self._speed = speed
        self._sleep = sleep
        self._began = time.monotonic()
        self._speaker: int | None = None

    def show(self, end: int | None, *, step: bool = False) -> None:
        """Show everything before a position.

        Args:
            end: the position; None for the end of the recording.
            step: wait for a line on standard input before each thing, what one says being one; at the end of the input it is over.
        """
        narration = Narration()
        stage = Stage(self._screen, narration.names)
        first: int | None = None
        for fact in self._recording.facts(0, end):
            first = fact.time if first is None else first
            seconds = (fact.time - first) / 1e9
            for seen in narration.of(fact):
                if step and not self._stepped(seen):
                    stage.end()
                    return
                if not step:
                    self._wait(seconds)
                stage.show(seen, seconds)
        stage.end()

    def _wait(self, seconds: float) -> None:
        if self._speed is not None:
            ahead = seconds / self._speed - (time.monotonic() - self._began)
            if ahead > 0:
                self._sleep(ahead)

    def _stepped(self, seen: Seen) -> bool:
        """Whether the next thing may be shown; what belongs to the last one may at once."""
        if isinstance(seen, SpeechOver):
            return True
        speaker = seen.entity if isinstance(seen, Speech) else None
        if speaker is not None and speaker == self._speaker:
            return True
        self._speaker = speaker
        return _entered(self._screen)


def _entered(screen: Terminal) -> bool:
    """Whether Enter was pressed. Where the terminal shows that itself, the line that was being written is over with it."""
    if screen.interactive:
        screen.write(" ⏎", Look.QUIET)
    line = sys.stdin.readline() if sys.stdin is not None else ""  # pyright: ignore[reportUnnecessaryComparison] - `<&-` closes it
    if screen.interactive and line:
        screen.at_line_start = True
    return bool(line)
