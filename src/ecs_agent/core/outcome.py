"""How an entity, or a run, came to rest."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique


@unique
class EndReason(StrEnum):
    """Why an entity, or a run, came to rest."""

    IDLE = "idle"
    WAITING_INPUT = "waiting_input"
    TERMINAL = "terminal"
    QUARANTINED = "quarantined"
    MAX_TICKS = "max_ticks"
    DEADLINE = "deadline"
    STOPPED = "stopped"
    DEADLOCK = "deadlock"
    DELETED = "deleted"
    SYSTEM_FAILED = "system_failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one entity came to rest. `error` is what its last call raised, if it failed and got no new input since; `steps` were made in this run."""

    reason: EndReason
    error: BaseException | None = None
    steps: int = 0


def sentence(error: BaseException) -> str:
    """What an error says of itself; its type when it says nothing, or cannot."""
    try:
        return str(error) or type(error).__name__
    except Exception:  # noqa: BLE001 - an error may be foreign code as well
        return type(error).__name__


def detail(error: BaseException, name: str) -> object:
    """What an error says under a name, as those of model servers do; None when it says nothing, or cannot."""
    try:
        return getattr(error, name, None)
    except Exception:  # noqa: BLE001 - an error may be foreign code as well
        return None
