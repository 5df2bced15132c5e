"""A recorded session as people read it: who said what, at the recorded pace, as it was interleaved.

     0.00 agent 1 ← What is the weather in Paris?
     0.41 agent 1: → get_weather(city="Paris")
     0.93 agent 1: ← sunny, 21 °C
     1.20 agent 1: It is sunny in Paris.

One agent at a time has the floor: what it says appears as it was said. What others say meanwhile is gathered, and shown when it fills a line or ends.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from ecs_agent.cli.failures import ExitCode
from ecs_agent.cli.render import written_out
from ecs_agent.cli.sanitize import TerminalSanitizer, one_line
from ecs_agent.cli.terminal import Look, Terminal
from ecs_agent.store.fact_data import FactData
from ecs_agent.store.recording import Recording
from ecs_agent.streaming.delta_data import DeltaReader
from ecs_agent.streaming.message_data import message_from_data, tool_call_from_data
from ecs_agent.types import Message

_MARGIN: Final = 2

_Attempt = tuple[int | None, int, int, int]


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
        self._stage = _Stage(screen)

    def show(self, end: int | None, *, step: bool = False) -> int:
        """Show everything before a position; the exit code.

        Args:
            end: the position; None for the end of the recording.
            step: wait for a line on standard input before each thing.
        """
        began: float | None = None
        first = 0
        speaker: int | None = None
        for fact in self._facts(end):
            if began is None:
                began, first = time.monotonic(), fact.time
            if not self._stage.shows(fact):
                self._stage.note(fact)
                continue
            is_speech = fact.type == "StreamDeltaEvent"
            if step and not (is_speech and fact.entity == speaker) and not _wait(self._screen):
                break
            speaker = fact.entity if is_speech else None
            if self._speed is not None and not step:
                ahead = (fact.time - first) / 1e9 / self._speed - (time.monotonic() - began)
                if ahead > 0:
                    self._sleep(ahead)
            self._stage.show(fact, (fact.time - first) / 1e9)
        self._stage.end()
        return ExitCode.OK

    def _facts(self, end: int | None) -> Iterator[FactData]:
        return self._recording.facts(0, end)
