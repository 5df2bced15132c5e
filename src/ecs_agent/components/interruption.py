"""That an agent was told to stop."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class InterruptionComponent:
    """The agent was told to stop: running calls are cancelled, what had arrived is kept. The next input removes it. `reason` is for people."""

    reason: str = "interrupted"
