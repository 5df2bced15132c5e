"""History: the journal of a world, and with it what the world was at any time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, groupby
from operator import attrgetter

from ecs_agent.core.checkpoint import Checkpoint, SavedRow
from ecs_agent.core.collector import paused_gc
from ecs_agent.core.events import JournalFailed
from ecs_agent.core.log import Entry, Envelope
from ecs_agent.core.state import State
from ecs_agent.errors import NoHistoryError, StoreError, StoreFormatError, StoreInUseError, UnsavableError
from ecs_agent.store.codecs import Codecs
from ecs_agent.store.engine import Frame, JournalEngine
from ecs_agent.store.fact_data import FactData
from ecs_agent.store.facts import FactCodec
from ecs_agent.store.journal import Durability, Journal
from ecs_agent.store.rebuild import WorldData
from ecs_agent.store.versions import Versions, whole_snapshot
from ecs_agent.types import EntityId


class History(Journal):
    """A journal that knows what its facts are: it makes snapshots, and rebuilds state.

    Args:
        engine: where facts are stored.
        codecs: of components and events.
        durability: as of `Journal`.
        snapshot_every: facts between snapshots.
    """

    def __init__(self, engine: JournalEngine, codecs: Codecs, *, durability: Durability = "turn", snapshot_every: int = 20_000) -> None:
        self._codecs = codecs
        self._facts = FactCodec(codecs)
        self._versions = Versions(codecs, snapshot_every)
        self._state: State | None = None
        self._seed = ""
        self._older: list[tuple[int, str]] = []
        self._written: list[FactData] = []  # what was encoded last
        super().__init__(engine, self._encoded, self._decoded, durability=durability)

    # Facts

    def _encoded(self, entries: Sequence[Entry]) -> bytes:
        with paused_gc():
            facts = self._facts.write(entries)
            data = self._facts.encode(facts)
        self._written = facts
        return data

    def _framed(self) -> None:
        for fact in self._written:
            self._versions.note(fact)
        if self._versions.due and self._state is not None:
            self._snapshot_soon()

    def _decoded(self, frames: Iterable[Frame]) -> Iterator[Envelope]:
        for epoch, group in groupby(frames, attrgetter("epoch")):
            yield from self._facts.read(chain.from_iterable(self._facts.decode(frame.data) for frame in group), epoch)

    # Snapshots

    def _snapshot_soon(self) -> None:
        try:
            asyncio.get_running_loop().call_soon(self._snapshot)
        except RuntimeError:
            pass  # outside of a run nothing is in a hurry

    def _snapshot(self) -> None:
        if self._state is not None and not self._closed and self._versions.due:
            self._take_snapshot(self._state)

    def _take_snapshot(self, state: State) -> None:
        self.flush()
        if self.failed is not None or self.unsaved:
            self._versions.postpone()
            return
        try:
            snapshot = self._versions.take(state, self.next_pos)
        except UnsavableError as error:  # changed where nobody saw it, since facts are written already; they are the truth all the same
            self._versions.postpone()
            self._report_to(state, error)
        else:
            self.save(snapshot)

    async def aclose(self) -> None:
        """Write what is left, with a snapshot, so that the world opens at once; and close the engine."""
        if self._state is not None and not self._closed and not self._is_foreign():
            self._take_snapshot(self._state)
        await super().aclose()

    # What was

    def begin(self, state: State) -> Checkpoint | None:
        """Keep a world from now on.

        Returns:
            What it was when it was kept last; None for a new one.

        Raises:
            StoreFormatError: it cannot be read.
        """
        self._state = state
        self.on_failure = partial(self._report_to, state)
        seed = self.head.meta.get("seed")
        if seed is None:
            if self.head.next_pos:
                raise StoreFormatError("this store has facts and no seed; it was not made by open_world")
            self._seed = state.seed
            self._engine.put_meta({"seed": state.seed})
            return None
        self._seed = seed
        data = self._begun(self.next_pos)
        for entity, held in data.entities.items():
            self._versions.know(entity, held.components)
        data.fold(self._noting(data.pos), self.next_pos)
        saved = data.checkpoint(self._codecs)
        self._older = [
            (row.id, tag)
            for row in saved.rows
            for component in row.components
            for tag, version in [self._codecs.tag_of(type(component))]
            if data.entities[row.id].components[tag].version != version
        ]
        return saved

    def _noting(self, from_pos: int) -> Iterator[FactData]:
        """What is stored behind the newest snapshot. It belongs into the next one, as what comes from now on does."""
        for fact in self._stored(from_pos):
            if fact.pos >= from_pos:
                self._versions.note(fact)
            yield fact

    def adopt(self, state: State) -> None:
        """Have a new store begin with a world that comes from elsewhere.

        Raises:
            StoreInUseError: it is not new.
            UnsavableError: a component holds what is no data.
        """
        if self.head.next_pos or "seed" in self.head.meta:
            raise StoreInUseError("this store holds a world already; give the path of a new one")
        self._state, self._seed = state, state.seed
        snapshot = whole_snapshot(state, self._codecs, 0)
        self._engine.write([], snapshot)
        for version in snapshot.versions:
            self._versions.know(version.entity, [version.tag])
        self._engine.put_meta({"seed": state.seed})

    def renew(self, state: State) -> None:
        """Write components that were stored in an older version anew, so that what follows changes the new one."""
        for entity, tag in self._older:
            row = state.rows[EntityId(entity)]
            for component in [held for kind, held in row.components.items() if self._codecs.tag_of(kind)[0] == tag]:
                state.put(row, component, None)

    def state_at(self, pos: int) -> Checkpoint:
        """The state behind the fact at a position.

        Raises:
            NoHistoryError: there is no such position.
        """
        if not 0 <= pos < self.next_pos:
            raise NoHistoryError(f"there is no position {pos} in this world's log, which goes from 0 to {self.next_pos - 1}")
        return self._data(pos + 1).checkpoint(self._codecs)

    def row_at(self, entity: EntityId, seq: int) -> SavedRow:
        """One entity behind its fact number `seq`.

        Raises:
            NoHistoryError: it has no such fact.
        """
        before = self.next_pos
        while True:
            data = self._begun(before, only=entity)
            held = data.entities.get(entity)
            if held is None or held.seq <= seq or not data.pos:
                break
            before = data.pos - 1
        for fact in self._stored(data.pos):
            if (held := data.entities.get(entity)) is not None and held.seq == seq:
                break
            is_wanted = fact.entity == entity and fact.seq <= seq < fact.seq + fact.count
            data.fold([fact], fact.pos + seq - fact.seq + 1 if is_wanted else None)
        held = data.entities.get(entity)
        if held is None or held.seq != seq:
            raise NoHistoryError(f"entity {entity} has no fact number {seq}; its newest is {'unknown' if held is None else held.seq}")
        return data.row(entity, self._codecs)

    def _data(self, before: int) -> WorldData:
        """The world before the fact at a position."""
        data = self._begun(before)
        data.fold(self._stored(data.pos, before), before)
        return data

    def _begun(self, before: int, only: int | None = None) -> WorldData:
        """What is known of a position without facts: its newest snapshot."""
        data = WorldData(self._seed, only=only)
        snapshot = self._engine.snapshot_at(before)
        if snapshot is not None:
            data.begin(snapshot)
        return data

    def _stored(self, from_pos: int, to_pos: int | None = None) -> Iterator[FactData]:
        """Facts as data, from those that hold a position on."""
        self.flush()
        end = self.next_pos if to_pos is None else to_pos
        waiting = [frame for frame in self._backlog.frames if from_pos < frame.end and frame.first_pos < end]
        stored_end = min([end, *[frame.first_pos for frame in waiting[:1]]])
        for frame in chain(self._engine.frames(from_pos, stored_end), waiting):
            yield from self._facts.decode(frame.data)

    @staticmethod
    def _report_to(state: State, error: StoreError) -> None:
        state.report(JournalFailed(str(error)))
