"""Rows: what the World keeps about one entity; the labels its facts carry, the calls that run on it, and where ids come from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from ecs_agent.core.component import Snapshot
from ecs_agent.core.entry import EntityEntry
from ecs_agent.core.lease import Lease
from ecs_agent.types import EntityId


class EntityIdGenerator:
    """Counts up from 1; an id is never given twice, also not after its entity was deleted.

    Args:
        start: the first id; a restored world goes on after its last one.
    """

    def __init__(self, start: int = 1) -> None:
        self._next = start

    @property
    def upcoming(self) -> int:
        """The id that is given next."""
        return self._next

    def next(self) -> EntityId:
        """A fresh id."""
        given = EntityId(self._next)
        self._next += 1
        return given


@dataclass(slots=True)
class Label:
    """To which run, turn and attempt an entity's next facts belong; 0 = none yet."""

    run: int = 0
    turn: int = 0
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """A change that one entity asks of another: `change` is called with a lease on that one when no call runs on it."""

    sender: EntityId | None
    change: Callable[[Any], None]


class Row:
    """What the World keeps about one entity. Its life in a run (place in the step, driver) is kept by the run, not here."""

    __slots__ = (
        "_random", "applying", "calls", "children", "components", "failures", "id", "label", "parent", "place",
        "requests", "resumed", "seen", "sent", "seq", "snapshots", "spawned", "stamp", "types",
    )  # fmt: skip

    def __init__(self, entity: EntityId, parent: EntityId | None, place: str) -> None:
        self.id = entity
        self.spawned = 0
        self.parent = parent
        self.place = place
        self.children: dict[EntityId, None] = {}
        self.components: dict[type, Any] = {}
        self.types: frozenset[type] = frozenset()
        self.snapshots: dict[type, Snapshot] = {}
        self.stamp = 0
        self.seen: dict[EntityEntry, int] = {}
        self.seq = 0
        self.sent = 0
        self.resumed = 0
        self.label = Label()
        self.calls: list[Call] = []
        self.failures: Sequence[float] = ()
        self.requests: list[Request] | None = None
        self.applying = False
        self._random: Random | None = None

    def random(self) -> Random:
        """This entity's own source of randomness, seeded by its place in the tree of entities.

        An entity that was saved goes on with a new one, seeded by its newest number too: nothing is drawn twice.
        """
        if self._random is None:
            self._random = Random(f"{self.place}@{self.resumed}" if self.resumed else self.place)  # noqa: S311 - for reproducible choices, not for secrets
        return self._random


class Call:
    """One running call of an entity system: its lease, the task it runs in, when it began, and why it was told to stop, if it was."""

    __slots__ = ("_on_cancel", "began", "entry", "leaked", "lease", "reason", "task", "timer")

    def __init__(self, entry: EntityEntry, lease: Lease, task: asyncio.Task[Any], began: float, on_cancel: Callable[[Call], None]) -> None:
        self.entry = entry
        self.began = began
        self.lease = lease
        self.task = task
        self.reason: str | None = None
        self.leaked = False
        self.timer: asyncio.TimerHandle | None = None
        self._on_cancel = on_cancel

    def cancel(self, reason: str) -> None:
        """Tell the call to stop; the first reason counts. From now on its lease refuses."""
        if self.reason is None:
            self.task.cancel(reason)
            self.let_go(reason)

    def let_go(self, reason: str) -> None:
        """What it does from now on does not count: its lease refuses, and it is given a while to end."""
        if self.reason is None:
            self.reason = reason
            self.lease.revoke()
            self._on_cancel(self)
