"""What whoever runs a program tells the log of its world, so that a replay can do the same."""

from __future__ import annotations

import msgspec


class ProgramStopped(msgspec.Struct, frozen=True):
    """Whoever ran the program told its world to stop: agents finish the step in hand before (`after_step`), or are cancelled."""

    after_step: bool


class ProgramEnded(msgspec.Struct, frozen=True):
    """The program is over: "done", "failed" with an `error`, or "interrupted" by whoever ran it."""

    outcome: str
    error: str | None = None
