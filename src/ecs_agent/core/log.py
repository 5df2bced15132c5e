"""The log: every fact of a world, numbered.

Rules:
* `pos` is a fact's place in the world's log, without gaps; `seq` is its place among the facts of its entity. Order is `pos`, never `time`.
* State is written, then the fact is appended, then subscribers are woken.
* After a restart the log goes on with a new `epoch`, so that a consumer can see that it was ahead of what was stored.
* An *input* came from outside (a delta, a tool's result, a user's message); everything else is *derived* from inputs by systems.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from enum import StrEnum, unique
from itertools import islice
from typing import Any, Protocol

import msgspec

from ecs_agent.errors import LogTruncatedError
from ecs_agent.types import EntityId


@unique
class EventKind(StrEnum):
    """Whether a fact came from outside or follows from facts that did."""

    INPUT = "input"
    DERIVED = "derived"


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """A fact with its place. A struct of msgspec and not a dataclass, since one is made per delta and this costs a fifth.

    `run`, `turn` and `attempt` say to which of them the fact belongs (0 = none yet); `parent` is the entity that spawned this one.
    `type` is the name of the payload's class, `version` the version of its shape; `time` is UTC in nanoseconds, for information only.
    """

    epoch: int
    pos: int
    entity: EntityId | None
    seq: int
    run: int
    turn: int
    attempt: int
    parent: EntityId | None
    kind: EventKind
    type: str
    version: int
    time: int
    payload: Any


class Log(Protocol):
    """Where a world's facts go. Appending never waits: a journal that writes to a disk does so behind it."""

    @property
    def epoch(self) -> int:
        """How often this log was opened before."""
        ...

    @property
    def next_pos(self) -> int:
        """The position the next fact gets."""
        ...

    def append(self, envelope: Envelope) -> None:
        """Take the next fact; its `pos` is `next_pos`."""
        ...

    def read(self, from_pos: int = 0) -> Iterator[Envelope]:
        """The facts from a position on.

        Raises:
            LogTruncatedError: the position is no longer held.
        """
        ...


class MemoryLog:
    """A log in memory that keeps the newest `limit` facts.

    Args:
        limit: how many facts are kept; older ones are dropped. History is not lost with them: conversations are components.
    """

    def __init__(self, limit: int = 10_000) -> None:
        if limit < 1:
            raise ValueError(f"limit is {limit}; a log holds at least one fact")
        self.epoch = 0
        self.next_pos = 0
        self._facts: deque[Envelope] = deque(maxlen=limit)

    @property
    def first_pos(self) -> int:
        """The oldest position that is still held."""
        return self.next_pos - len(self._facts)

    def append(self, envelope: Envelope) -> None:
        """Take the next fact."""
        self.next_pos += 1
        self._facts.append(envelope)

    def read(self, from_pos: int = 0) -> Iterator[Envelope]:
        """The facts from a position on, as they are now.

        Raises:
            LogTruncatedError: the position is no longer held.
        """
        if from_pos < self.first_pos:
            raise LogTruncatedError(f"the log begins at position {self.first_pos}, {from_pos} was dropped; give MemoryLog a larger limit")
        return iter(list(islice(self._facts, from_pos - self.first_pos, None)))
