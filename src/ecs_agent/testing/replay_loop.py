"""An event loop for replays: time is virtual and takes none, and what was recorded comes in as exactly as it did.

    with asyncio.Runner(loop_factory=ReplayLoop) as runner:
        report = runner.run(replay(recording, main))

A replay also runs on other loops; there the timers of the program race with what comes in, as they did when it was recorded.
"""

from __future__ import annotations

import asyncio
from math import inf

from ecs_agent.store.turnstile import RecordedInputs
from ecs_agent.testing.virtual_clock import VirtualClockLoop

_JUST_BEFORE = 1e-6


class ReplayLoop(VirtualClockLoop):
    """An event loop on virtual time that lets recorded inputs in when nothing else is left to do at their moment.

    A timer that would fire next has to wait for those that are due right behind it (`RecordedInputs.late`): in the recording it was a little late.
    """

    _ready: list[asyncio.Handle]  # of the class above: what runs next
    _scheduled: list[asyncio.TimerHandle]  # likewise: a heap of timers

    def __init__(self) -> None:
        self._inputs: RecordedInputs | None = None
        super().__init__()

    def follow(self, inputs: RecordedInputs) -> None:
        """Let these in from now on."""
        self._inputs = inputs

    def _turn_begins(self) -> None:
        if self._inputs is None or self._ready or any(not work.future.done() for work in self._virtual.outside):
            return
        due = self._inputs.due()
        timer = self._scheduled[0].when() if self._scheduled else inf
        if due is not None and due <= timer + self._inputs.late:
            self._virtual.now = max(self._virtual.now, min(due, timer - _JUST_BEFORE))
            self.call_soon_threadsafe(self._inputs.let_in)  # as from a thread, so that no time passes before
