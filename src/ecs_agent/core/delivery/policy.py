"""Delivery policies: how the events of a stream wait for a reader that is slower than the world. Each consumer chooses its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Merge: TypeAlias = Callable[[Sequence[Any]], Iterable[tuple[Any, int]]]
"""How events of a type, adjacent and in order, become fewer: yields, in order, each event and for how many of the given ones it stands."""


@dataclass(frozen=True, slots=True)
class EveryDelta:
    """Each fact on its own. Once more than `limit` wait, neighbours that can be merged are: text in larger pieces, never with a gap."""

    limit: int = 1024

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise ValueError(f"limit is {self.limit}; it must be 0 (merge whatever waits) or more")


@dataclass(frozen=True, slots=True)
class Block:
    """Each fact on its own, and producers of deltas wait while `limit` or more of them have not been read.

    Beyond 16 times the limit these are merged too: what comes without asking for room, or from very many who were let go at once. A reader
    that takes nothing for `patience` seconds while somebody waits has lost its right: from then on it is served as by `EveryDelta`, and a
    `BlockLifted` event says so. A stream that is closed or dropped holds nobody back.
    """

    limit: int = 64
    patience: float = 30.0

    def __post_init__(self) -> None:
        if self.limit < 1 or not self.patience > 0:
            raise ValueError(f"limit is {self.limit} and patience {self.patience}; it takes at least one fact and more than zero seconds")


@dataclass(frozen=True, slots=True)
class Coalesce:
    """Neighbours that can be merged are, and handed out every `seconds`, at the same moments for all streams of that interval.

    A fact that cannot be merged is handed out at once, after everything that stands before it. So a stream that shows text at a steady pace
    asks for the deltas alone: `types=(StreamDeltaEvent,)`.
    """

    seconds: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.seconds < float("inf"):
            raise ValueError(f"seconds is {self.seconds}; it must be more than 0, and finite")


@dataclass(frozen=True, slots=True)
class Latest:
    """For each entity and type at most the newest fact waits; older ones are dropped without a word. For those who then look at the state."""


Delivery: TypeAlias = EveryDelta | Block | Coalesce | Latest
"""A policy."""

HARD = 16
"""Beyond so many times its limit `Block` merges."""

HELD = 256
"""A stream holds at most so many times its limit; see `most`. So much that the starts of some ten thousand agents in one turn of the loop fit."""

MOST = 262_144
"""What streams without a limit of their own hold at most."""

MOST_MERGED = 1_000_000
"""So many facts a stream holds at most when merged ones are counted by their parts, since merged text takes room too."""


def most(limit: int) -> int:
    """How many events a stream may hold that merges beyond `limit`. Where nothing can be merged the oldest go then, and the stream says so."""
    return max(1024, HELD * limit)
