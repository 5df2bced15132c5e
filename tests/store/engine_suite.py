"""What every engine of journals has to do. A new one makes a subclass of `EngineSuite` in its tests and says how a store is opened anew."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecs_agent.errors import JournalError, StoreInUseError
from ecs_agent.store.engine import Frame, Head, JournalEngine, Snapshot, Version


class Store(Protocol):
    """A place where a store is."""

    def engine(self) -> JournalEngine:
        """An engine on the store, not opened yet; another one each time, unless the store is the engine."""
        ...


def frames(*counts: int, start: int = 0, epoch: int = 0) -> list[Frame]:
    """Frames of so many facts, one behind the other."""
    positions = accumulate(counts, initial=start)
    return [Frame(pos, count, epoch, 1_000 + pos, b"facts from %d" % pos) for pos, count in zip(positions, counts, strict=False)]


def whole(entity: int, tag: str, pos: int, data: bytes = b"all") -> Version:
    return Version(entity, tag, 1, pos, data)


def added(entity: int, tag: str, pos: int, data: bytes = b"more") -> Version:
    return Version(entity, tag, 1, pos, data, adds=True)


def gone(entity: int, tag: str, pos: int) -> Version:
    return Version(entity, tag, 1, pos, None)


def versions(engine: JournalEngine, pos: int) -> Sequence[Version]:
    snapshot = engine.snapshot_at(pos)
    return [] if snapshot is None else list(snapshot.versions)


class EngineSuite:
    """The tests. `new_store` is called for each; what it leaves behind is the subclass's to clean up."""

    def new_store(self) -> Store:
        raise NotImplementedError

    @pytest.fixture
    def store(self) -> Store:
        return self.new_store()

    @pytest.fixture
    def engine(self, store: Store) -> Iterator[JournalEngine]:
        engine = store.engine()
        engine.open()
        yield engine
        engine.close()

    # Opening

    def test_a_new_store_is_empty(self, store: Store) -> None:
        engine = store.engine()
        assert engine.open() == Head(epoch=0, next_pos=0, meta={})
        assert list(engine.frames()) == []
        assert engine.snapshot_at(0) is None
        engine.close()

    def test_every_opening_has_an_epoch_of_its_own_even_if_nothing_is_written(self, store: Store) -> None:
        epochs: list[int] = []
        for _ in range(3):
            engine = store.engine()
            epochs.append(engine.open().epoch)
            engine.close()
        assert epochs == [0, 1, 2]

    def test_only_one_may_write(self, store: Store, engine: JournalEngine) -> None:
        with pytest.raises(StoreInUseError):
            store.engine().open()
        engine.write(frames(1))

    def test_a_refused_opening_uses_up_no_epoch(self, store: Store) -> None:
        engine = store.engine()
        engine.open()
        with pytest.raises(StoreInUseError):
            store.engine().open()
        engine.close()
        again = store.engine()
        assert again.open().epoch == 1
        again.close()

    def test_what_was_written_is_there_after_opening_again(self, store: Store, engine: JournalEngine) -> None:
        written, snapshot = frames(2, 3), Snapshot(5, b"meta", [whole(1, "A", 5)])
        engine.write(written, snapshot)
        engine.put_meta({"seed": "7"})
        engine.close()
        again = store.engine()
        assert again.open() == Head(epoch=1, next_pos=5, meta={"seed": "7"})
        assert list(again.frames()) == written
        assert again.snapshot_at(5) == snapshot
        again.write(frames(1, start=5, epoch=1))
        with pytest.raises(ValueError, match="snapshot at position 4 does not fit"):
            again.write([], Snapshot(4, b"", []))
        again.close()

    def test_a_closed_engine_says_so(self, store: Store) -> None:
        engine = store.engine()
        for _ in range(2):
            with pytest.raises(JournalError, match="closed"):
                engine.write(frames(1))
            with pytest.raises(JournalError, match="closed"):
                list(engine.frames())
            with pytest.raises(JournalError, match="closed"):
                engine.snapshot_at(0)
            with pytest.raises(JournalError, match="closed"):
                engine.put_meta({})
            engine.open()
            engine.close()
            engine.close()

    # Frames

    def test_frames_are_found_by_any_of_their_positions(self, engine: JournalEngine) -> None:
        written = frames(1, 3, 2, 5)
        engine.write(written[:2])
        engine.write(written[2:])
        for start in range(13):
            assert list(engine.frames(start)) == [frame for frame in written if frame.end > start]
            for stop in range(13):
                expected = [frame for frame in written if frame.end > start and frame.first_pos < stop and start < stop]
                assert list(engine.frames(start, stop)) == expected

    def test_many_frames_come_in_order(self, engine: JournalEngine) -> None:
        written = frames(*[1 + number % 3 for number in range(300)])
        engine.write(written)
        assert list(engine.frames()) == written
        assert list(engine.frames(100, 500)) == [frame for frame in written if frame.end > 100 and frame.first_pos < 500]

    @pytest.mark.parametrize("data", [b"", b"\x00\xff not text", b"x" * 3_000_000])
    def test_data_are_any_bytes(self, engine: JournalEngine, data: bytes) -> None:
        frame = Frame(0, 1, 0, 0, data)
        engine.write([frame], Snapshot(1, data, [whole(1, "A", 1, data)]))
        assert list(engine.frames()) == [frame]
        assert engine.snapshot_at(1) == Snapshot(1, data, [whole(1, "A", 1, data)])

    @pytest.mark.parametrize("wrong", [frames(1, start=3), frames(1, start=1), [*frames(1, start=2), *frames(1, start=4)], frames(0, start=2)])
    def test_a_frame_that_does_not_fit_is_refused_with_all_that_came_with_it(self, engine: JournalEngine, wrong: list[Frame]) -> None:
        engine.write(frames(2))
        with pytest.raises(ValueError, match="frame"):
            engine.write(wrong, Snapshot(2, b"", [whole(1, "A", 2)]))
        assert list(engine.frames()) == frames(2)
        assert engine.snapshot_at(9) is None
        engine.write(frames(1, start=2))

    def test_a_reader_sees_whole_writes_while_another_thread_writes(self, engine: JournalEngine) -> None:
        done = threading.Event()

        def write() -> None:
            for number in range(150):
                engine.write(frames(1, 1, start=2 * number))
            done.set()

        thread = threading.Thread(target=write)
        thread.start()
        lengths: list[int] = []
        while not done.is_set():
            seen = list(engine.frames())
            assert [frame.first_pos for frame in seen] == list(range(len(seen)))
            lengths.append(len(seen))
        thread.join()
        assert lengths == sorted(lengths)
        assert all(length % 2 == 0 for length in lengths)
        assert len(list(engine.frames())) == 300

    # Snapshots

    def test_a_snapshot_is_found_from_its_position_on(self, engine: JournalEngine) -> None:
        engine.write(frames(4), Snapshot(4, b"one", []))
        engine.write(frames(4, start=4), Snapshot(8, b"two", []))
        found = [snapshot.meta if (snapshot := engine.snapshot_at(pos)) is not None else None for pos in (0, 3, 4, 7, 8, 99)]
        assert found == [None, None, b"one", b"one", b"two", b"two"]

    def test_components_that_did_not_change_come_from_earlier_snapshots(self, engine: JournalEngine) -> None:
        engine.write(frames(1), Snapshot(1, b"", [whole(2, "B", 1), whole(1, "A", 1)]))
        engine.write(frames(1, start=1), Snapshot(2, b"", [whole(1, "A", 2, b"new")]))
        assert versions(engine, 1) == [whole(1, "A", 1), whole(2, "B", 1)]
        assert versions(engine, 2) == [whole(1, "A", 2, b"new"), whole(2, "B", 1)]

    def test_what_adds_to_a_component_comes_behind_it(self, engine: JournalEngine) -> None:
        engine.write(frames(1), Snapshot(1, b"", [whole(1, "A", 1)]))
        engine.write([], Snapshot(1, b"", [added(1, "A", 1, b"x")]))
        engine.write(frames(1, start=1), Snapshot(2, b"", [added(1, "A", 2, b"y")]))
        assert versions(engine, 2) == [whole(1, "A", 1), added(1, "A", 1, b"x"), added(1, "A", 2, b"y")]
        engine.write(frames(1, start=2), Snapshot(3, b"", [whole(1, "A", 3, b"all anew")]))
        assert versions(engine, 3) == [whole(1, "A", 3, b"all anew")]
        assert versions(engine, 2)[-1] == added(1, "A", 2, b"y")

    def test_a_component_that_is_gone_is_in_earlier_snapshots_only(self, engine: JournalEngine) -> None:
        engine.write(frames(1), Snapshot(1, b"", [whole(1, "A", 1), whole(1, "B", 1)]))
        engine.write(frames(1, start=1), Snapshot(2, b"", [gone(1, "A", 2)]))
        engine.write(frames(1, start=2), Snapshot(3, b"", [whole(1, "A", 3)]))
        assert [len(versions(engine, pos)) for pos in (1, 2, 3)] == [2, 1, 2]
        assert versions(engine, 2) == [whole(1, "B", 1)]

    def test_a_store_may_begin_with_a_snapshot(self, store: Store, engine: JournalEngine) -> None:
        engine.write([], Snapshot(40, b"", [whole(1, "A", 40)]))
        engine.write(frames(2, start=40))
        engine.close()
        again = store.engine()
        assert again.open().next_pos == 42
        assert list(again.frames()) == frames(2, start=40)
        again.close()

    @pytest.mark.parametrize(
        ("snapshot", "message"),
        [
            (Snapshot(5, b"", []), "does not fit"),
            (Snapshot(2, b"", []), "does not fit"),
            (Snapshot(4, b"", [whole(1, "A", 4), added(1, "A", 4)]), "two versions of one component"),
            (Snapshot(4, b"", [added(1, "B", 4)]), "B of entity 1 adds to one that is not there"),
            (Snapshot(4, b"", [whole(1, "Z", 4), added(1, "Gone", 4)]), "Gone of entity 1 adds to one that is not there"),
            (Snapshot(4, b"", [Version(1, "A", 1, 4, None, adds=True)]), "adds nothing"),
        ],
    )
    def test_a_snapshot_that_does_not_fit_is_refused_with_its_frames(self, engine: JournalEngine, snapshot: Snapshot, message: str) -> None:
        engine.write(frames(1), Snapshot(1, b"", [whole(1, "A", 1), whole(1, "Gone", 1)]))
        engine.write(frames(2, start=1), Snapshot(3, b"kept", [gone(1, "Gone", 3)]))
        with pytest.raises(ValueError, match=message):
            engine.write(frames(1, start=3), snapshot)
        kept = engine.snapshot_at(99)
        assert kept is not None
        assert (kept.meta, kept.versions) == (b"kept", [whole(1, "A", 1)])
        engine.write(frames(1, start=3), Snapshot(4, b"", [added(1, "A", 4)]))

    @settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.differing_executors])  # it is run by each engine's class
    @given(st.lists(st.dictionaries(st.tuples(st.integers(1, 3), st.sampled_from("AB")), st.sampled_from(["whole", "adds", "gone"]), max_size=4)))
    def test_snapshots_are_what_all_versions_up_to_them_say(self, steps: list[dict[tuple[int, str], str]]) -> None:
        engine = self.new_store().engine()
        engine.open()
        model: dict[tuple[int, str], list[Version]] = {}
        expected: list[list[Version]] = []
        for pos, step in enumerate(steps):
            changed: list[Version] = []
            for (entity, tag), what in step.items():
                version = Version(entity, tag, 1, pos, None if what == "gone" else b"%d" % pos, adds=what == "adds" and (entity, tag) in model)
                model[entity, tag] = [*model[entity, tag], version] if version.adds else [version]
                if version.data is None:
                    del model[entity, tag]
                changed.append(version)
            engine.write(frames(1, start=pos), Snapshot(pos, b"", changed))
            expected.append([version for key in sorted(model) for version in model[key]])
        assert [versions(engine, pos) for pos in range(len(steps))] == expected
        engine.close()

    # Meta

    def test_meta_is_put_in_place_of_what_stood_there(self, store: Store, engine: JournalEngine) -> None:
        engine.put_meta({"a": "1", "b": "2"})
        engine.put_meta({"b": "3", "": "ü"})
        engine.close()
        again = store.engine()
        assert again.open().meta == {"a": "1", "b": "3", "": "ü"}
        again.close()
