"""A recording: the store of a world, to be looked at. Whoever writes it at the moment is not disturbed, and nobody's providers and tools are needed.

    with Recording.open("run.db") as recording:
        for fact in recording.facts():
            print(fact.pos, fact.entity, fact.type)

A program that is to be replayed runs in a world of `open_world`, or with `ecs-agent record`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from itertools import chain
from typing import Final, Self

from ecs_agent.errors import NoHistoryError, StoreFormatError
from ecs_agent.store.codecs import Codecs
from ecs_agent.store.engine import Frame, JournalEngine
from ecs_agent.store.fact_data import FactData
from ecs_agent.store.facts import FactCodec
from ecs_agent.store.rebuild import ComponentData, EntityData, WorldData
from ecs_agent.store.recorded_session import RecordedSession, read_session
from ecs_agent.store.sqlite_engine import SqliteEngine
from ecs_agent.types import JsonObject

_LAST: Final = sys.maxsize


class Recording:
    """What a store holds, as data. Close it, or use it as a context manager.

    Args:
        engine: the store; it is opened.

    Attributes:
        end: the position behind the newest fact when it was opened.
        seed: of the world's randomness.

    Raises:
        StoreError: the store cannot be opened.
    """

    def __init__(self, engine: JournalEngine) -> None:
        self._engine = engine
        head = engine.open()
        self.end = head.next_pos
        self.seed = head.meta.get("seed", "")
        self._codecs = Codecs()
        self._facts = FactCodec(self._codecs)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Recording:
        """The recording in a file, also while somebody writes it.

        Raises:
            StoreFormatError: there is no such file, or it is no store of ours.
        """
        return cls(SqliteEngine(path, read_only=True))

    def close(self) -> None:
        """Let go of the store."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What happened

    def facts(self, from_pos: int = 0, to_pos: int | None = None) -> Iterator[FactData]:
        """The facts from a position on, and before another one; by default all, up to those that were stored just now.

        The pieces of an answer that arrived together are one fact of several; of one that lies across `from_pos` or `to_pos` all are given.

        Raises:
            StoreFormatError: the store is damaged.
        """
        for frame in self._engine.frames(from_pos, to_pos):
            for fact in self._facts.decode(frame.data):
                if fact.pos + fact.count > from_pos and (to_pos is None or fact.pos < to_pos):
                    yield fact

    def session(self, until: int | None = None) -> RecordedSession:
        """What a replay goes by: everything up to the end of the program, or of its process, that began this world.

        Args:
            until: a replay is to go as far as the fact before this position.

        Raises:
            StoreFormatError: the store is damaged, or does not hold the beginning of its world.
        """
        frames = self._engine.frames()
        first = next(frames, None)
        if first is None:
            raise StoreFormatError("this recording is empty: nothing has happened in its world")
        begins_with = self._engine.snapshot_at(0)
        if first.first_pos > 0 or (begins_with is not None and begins_with.versions):
            raise StoreFormatError("this world began with one that was saved before, so its recording does not hold all there is to replay")
        facts, was_left = self._first_run(chain([first], frames), first.epoch)
        snapshot = self._engine.snapshot_at(_LAST)
        was_closed = not was_left and snapshot is not None and snapshot.pos == facts[-1].pos + facts[-1].count
        return read_session(facts, self._codecs, seed=self.seed, was_closed=was_closed, until=until)

    def _first_run(self, frames: Iterator[Frame], epoch: int) -> tuple[list[FactData], bool]:
        """The facts until the store was opened again, if it was; and whether it was."""
        facts: list[FactData] = []
        for frame in frames:
            if frame.epoch != epoch:
                return facts, True
            facts += self._facts.decode(frame.data)
        return facts, False

    # What was

    def world(self, before: int | None = None) -> WorldData:
        """The world as data, as it was before the fact at a position; as it is by default.

        Raises:
            NoHistoryError: there is no such position.
            StoreFormatError: the store is damaged.
        """
        if before is not None and not 0 <= before <= self.end:
            raise NoHistoryError(f"there is no position {before} in this store, which goes from 0 to {self.end}")
        data = WorldData(self.seed)
        snapshot = self._engine.snapshot_at(self.end if before is None else before)
        if snapshot is not None:
            data.begin(snapshot)
        data.fold(self.facts(data.pos, before), before)
        return data

    def components(self, entity: EntityData) -> JsonObject:
        """The fields of an entity's components, by tag."""
        return {tag: held.fields if not held.bursts else self._gathered(tag, held) for tag, held in entity.components.items()}

    def _gathered(self, tag: str, held: ComponentData) -> JsonObject:
        """Those of one that took in an answer, with the answer."""
        alone = WorldData(self.seed, entities={0: EntityData("", components={tag: held})})
        (component,) = alone.row(0, self._codecs).components
        return self._codecs.encode_component(component)[2]
