"""What tests of the journal share: facts that are small, a form for them, and an engine that fails when it is told to."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from ecs_agent.core.log import Burst, Entry, Envelope, EventKind
from ecs_agent.errors import StoreError, UnsavableError
from ecs_agent.store.engine import Frame, Snapshot
from ecs_agent.store.events import FactUnsaved
from ecs_agent.store.journal import Journal
from ecs_agent.store.memory_engine import MemoryEngine
from ecs_agent.types import EntityId


@dataclass(frozen=True, slots=True)
class Piece:
    """An event of a burst."""

    entity_id: EntityId
    item: object


def fact(journal: Journal, payload: object = "it happened", entity: int = 1) -> Envelope:
    name = type(payload).__name__
    return Envelope(journal.epoch, journal.next_pos, EntityId(entity), 1, 0, 0, 0, None, EventKind.DERIVED, name, 1, 77, payload)


def burst(journal: Journal, *items: object, entity: int = 1, into: type | None = None) -> Burst:
    kind = EventKind.INPUT
    return Burst(journal.epoch, journal.next_pos, EntityId(entity), 1, 0, 0, 0, None, kind, "Piece", 1, 77, items, Piece, into, 0.5 if into else 0.0)


def add(journal: Journal, *payloads: object, entity: int = 1) -> None:
    for payload in payloads:
        journal.append(fact(journal, payload, entity))


def _data(value: object) -> object:
    if isinstance(value, FactUnsaved):
        return {"unsaved": value.type, "component": value.component, "error": value.error}
    if not isinstance(value, str | int | dict):
        raise UnsavableError(f"{type(value).__name__} is no data")
    return value


def encode(entries: Sequence[Entry]) -> bytes:
    """[pos, epoch, entity, into, payloads], for each entry; a change writes what it puts."""
    facts: list[list[Any]] = []
    for entry in entries:
        if isinstance(entry, Burst):
            facts.append([entry.pos, entry.epoch, entry.entity, entry.into and entry.into.__name__, [_data(item) for item in entry.items]])
        else:
            change = entry.change
            values = [*getattr(change, "values", ()), *[edit.value for edit in getattr(change, "edits", ())]]
            facts.append([entry.pos, entry.epoch, entry.entity, None, [_data(entry.payload)], [_data(value) for value in values]])
    return msgspec.json.encode(facts)


def decode(frames: Iterable[Frame]) -> Iterator[Envelope]:
    for frame in frames:
        for pos, epoch, entity, _into, payloads, *_changes in msgspec.json.decode(frame.data):
            for index, payload in enumerate(payloads):
                yield Envelope(epoch, pos + index, entity, 1, 0, 0, 0, None, EventKind.DERIVED, "read", 1, 77, payload)


class Engine(MemoryEngine):
    """One in memory that may run in the writer's thread, hold each write until `gate` is open, and raise what stands in `errors`."""

    def __init__(self, *, blocks: bool = True) -> None:
        super().__init__()
        self.blocks = blocks
        self.writes: list[tuple[list[Frame], Snapshot | None]] = []
        self.errors: list[Exception] = []
        self.attempts = 0
        self.closed = 0
        self.gate = threading.Event()
        self.gate.set()

    def write(self, frames: Sequence[Frame], snapshot: Snapshot | None = None) -> None:
        assert self.gate.wait(10)
        self.attempts += 1
        if self.errors:
            raise self.errors.pop(0)
        super().write(frames, snapshot)
        self.writes.append((list(frames), snapshot))

    def close(self) -> None:
        self.closed += 1
        super().close()

    @property
    def ends(self) -> list[int]:
        """The position behind each write."""
        return [frames[-1].end for frames, _ in self.writes if frames]

    @property
    def stored_ends(self) -> list[int]:
        """The position behind each frame."""
        return [frame.end for frames, _ in self.writes for frame in frames]

    @property
    def stored(self) -> list[Any]:
        """The payloads that are stored."""
        return [payload for frames, _ in self.writes for frame in frames for entry in msgspec.json.decode(frame.data) for payload in entry[4]]


def journal(engine: MemoryEngine, failures: list[StoreError] | None = None, **options: Any) -> Journal:
    return Journal(engine, encode, decode, on_failure=None if failures is None else failures.append, **options)


def payloads(journal: Journal, from_pos: int = 0) -> list[object]:
    """What is read, after a look at its positions."""
    facts = list(journal.read(from_pos))
    assert [each.pos for each in facts] == list(range(from_pos, journal.next_pos))
    return [each.payload.item if isinstance(each.payload, Piece) else each.payload for each in facts]
