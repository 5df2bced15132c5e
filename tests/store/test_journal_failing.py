"""The journal when its store fails: nothing is lost, nobody waits for ever, and everybody is told."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import msgspec
import pytest
from tests.store.journal_parts import Engine, add, burst, decode, encode, fact, journal, payloads

from ecs_agent.core.change import Change, Dropped, Edited, Put, Replaced
from ecs_agent.core.log import Envelope
from ecs_agent.errors import JournalError, StoreError, StoreFormatError, UnsavableError
from ecs_agent.store.engine import Snapshot
from ecs_agent.store.journal import Journal
from ecs_agent.store.sqlite_engine import SqliteEngine
from ecs_agent.testing import run
from ecs_agent.types import EntityId

FULL = JournalError("the disk is full")


@pytest.fixture(params=[False, True], ids=["in the calling thread", "in the writer's thread"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return Engine(blocks=request.param)


def test_a_commit_fails_and_the_next_writes_what_waited(engine: Engine) -> None:
    failures: list[StoreError] = []

    async def main() -> None:
        async with journal(engine, failures) as log:
            engine.errors = [FULL, FULL]
            for number in range(2):
                add(log, number)
                with pytest.raises(JournalError, match="the disk is full"):
                    await log.commit()
                assert log.failed is FULL
                assert log.committed == 0
            assert payloads(log) == [0, 1]
            add(log, 2)
            assert await log.commit() == 3
            assert engine.stored == [0, 1, 2]
            assert log.failed is None
            assert failures == [FULL]

    run(main)


def test_everyone_who_waits_is_told_with_an_error_of_his_own(engine: Engine) -> None:
    async def one(log: Journal) -> int:
        add(log, 1)
        return await log.commit()

    async def main() -> None:
        async with journal(engine) as log:
            engine.errors = [FULL]
            errors = await asyncio.gather(*[one(log) for _ in range(3)], return_exceptions=True)
            assert [str(error) for error in errors] == ["the disk is full"] * 3
            assert len({id(error) for error in errors}) == 3
            assert await log.commit() == 3

    run(main)


def test_failures_are_told_once_until_writing_works_again(engine: Engine) -> None:
    failures: list[StoreError] = []

    async def main() -> None:
        async with journal(engine, failures) as log:
            for _ in range(2):
                engine.errors = [FULL] * 3
                for number in range(4):
                    add(log, number)
                    await asyncio.sleep(0.001)
            assert failures == [FULL, FULL]
            assert await log.commit() == 8
            assert engine.attempts == 8

    run(main)


def test_a_flush_without_new_facts_tries_again(engine: Engine) -> None:
    async def main() -> None:
        async with journal(engine) as log:
            engine.errors = [FULL]
            add(log, 1)
            await asyncio.sleep(0.001)
            assert log.failed is FULL
            log.flush()
            await asyncio.sleep(0.001)
            assert engine.stored == [1]
            assert log.failed is None

    run(main)


def test_without_a_loop_failures_are_told_at_the_next_flush() -> None:
    engine, failures = Engine(), list[StoreError]()
    log = journal(engine, failures)
    engine.errors = [FULL]
    add(log, 1)
    log.flush()
    while engine.attempts < 1 or log.failed is None:
        pass  # until the thread has failed
    assert failures == []
    add(log, 2)
    log.flush()
    assert failures == [FULL]
    log.close()
    assert engine.stored == [1, 2]


def test_errors_of_an_engine_that_are_none_of_ours_become_ours(engine: Engine) -> None:
    async def main() -> None:
        async with journal(engine) as log:
            cause = ZeroDivisionError("division by zero")
            engine.errors = [cause, StoreFormatError("it is damaged")]
            add(log, 1)
            with pytest.raises(JournalError, match="could not be written: ZeroDivisionError: division by zero"):
                await log.commit()
            assert log.failed is not None
            assert log.failed.__cause__ is cause
            with pytest.raises(StoreFormatError, match="it is damaged"):
                await log.commit()
            assert await log.commit() == 1

    run(main)


def test_a_snapshot_that_could_not_be_written_is_written_with_its_facts(engine: Engine) -> None:
    async def main() -> None:
        async with journal(engine) as log:
            engine.errors = [FULL]
            add(log, 1)
            log.save(Snapshot(1, b"one", []))
            await asyncio.sleep(0.001)
            add(log, 2)
            log.save(Snapshot(2, b"two", []))
            await log.commit()
            assert [(frames[-1].end, snapshot and snapshot.meta) for frames, snapshot in engine.writes] == [(1, b"one"), (2, b"two")]

    run(main)


def test_closing_says_what_was_not_written_and_closes_all_the_same(engine: Engine) -> None:
    async def main() -> None:
        log = journal(engine)
        engine.errors = [FULL]
        add(log, 1)
        with pytest.raises(JournalError, match="closed before everything was written: the disk is full"):
            await log.aclose()
        await log.aclose()
        assert engine.closed == 1

    run(main)
    log = journal(engine)
    engine.errors = [FULL]
    add(log, 1)
    with pytest.raises(JournalError, match="closed before everything was written"):
        log.close()
    assert engine.closed == 2


def test_after_a_long_failure_what_waits_is_written_in_pieces(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecs_agent.store.writer.TRANSACTION_BYTES", 100)

    async def main() -> None:
        async with journal(engine) as log:
            engine.errors = [FULL] * 9
            for number in range(10):
                add(log, number)
                await asyncio.sleep(0.001)
            await log.commit()
            assert engine.stored == list(range(10))
            assert 1 < len(engine.writes) < 10

    run(main)


# Too much waits


def test_a_journal_breaks_off_when_too_much_waits_and_what_came_before_is_kept(engine: Engine) -> None:
    failures: list[StoreError] = []

    async def main() -> None:
        log = journal(engine, failures, max_waiting=1000)
        engine.errors = [FULL] * 1000
        last = 0
        while log._broken is None:
            add(log, "x" * 100)
            await asyncio.sleep(0.001)
            last = log.next_pos
        assert [type(error) for error in failures] == [JournalError, JournalError]
        assert str(failures[1]).startswith(f"the journal broke off at position {last}: ")
        assert "bytes wait to be written, which is too much: the disk is full; close the world" in str(failures[1])
        add(log, *range(1000))
        assert log.next_pos == last + 1000
        with pytest.raises(JournalError, match="broke off"):
            await log.commit()
        await asyncio.sleep(0.001)
        assert log._entries == []
        assert log._backlog.size < 1500
        log.save(Snapshot(log.next_pos, b"", []))
        engine.errors = []
        log.flush()
        await asyncio.sleep(0.001)
        with pytest.raises(JournalError, match="broke off"):
            await log.commit()
        assert engine.ends[-1] == last == log.committed
        assert engine.snapshot_at(last + 1000) is None
        with pytest.raises(JournalError, match="closed before everything was written: the journal broke off"):
            await log.aclose()
        assert len(failures) == 2

    run(main)


def test_what_was_written_does_not_wait(engine: Engine) -> None:
    async def main() -> None:
        async with journal(engine, max_waiting=1000) as log:
            for _ in range(50):
                add(log, "x" * 100)
                await log.commit()
            assert log.failed is None

    run(main)


def test_who_waits_when_the_journal_breaks_off_is_told(engine: Engine) -> None:
    async def main() -> None:
        log = journal(engine, max_waiting=100)
        engine.errors = [FULL] * 2
        add(log, "x" * 200)
        with pytest.raises(JournalError):
            await log.commit()
        with pytest.raises(JournalError, match="broke off"):
            await log.commit()
        with pytest.raises(JournalError, match="broke off"):
            await log.aclose()

    run(main)


# What is no data


class Socket:
    """No data."""


class Note:
    """A component."""


def put(log: Journal, value: object, entity: int = 1) -> None:
    log.append(_changed(log, Put(Note, ("text",), (value,)), entity))


def edit(log: Journal, value: object, entity: int = 1) -> None:
    log.append(_changed(log, Edited(Note, (Replaced("text", value),)), entity))


def _changed(log: Journal, change: Change, entity: int) -> Envelope:
    return msgspec.structs.replace(fact(log, "it changed", entity), change=change)


def test_an_event_that_is_no_data_is_missed_by_one_commit_and_everyone_elses_is_stored(engine: Engine) -> None:
    failures: list[StoreError] = []

    async def main() -> None:
        async with journal(engine, failures) as log:
            add(log, 1)
            add(log, Socket(), entity=2)
            add(log, 3)
            assert await log.commit(EntityId(1)) == 3
            with pytest.raises(UnsavableError, match="Socket is no data"):
                await log.commit()
            assert await log.commit() == 3
            assert [stored if isinstance(stored, int) else stored["unsaved"] for stored in engine.stored] == [1, "Socket", 3]
            assert [str(error) for error in failures] == ["Socket is no data"]

    run(main)


def test_a_component_that_is_no_data_fails_every_commit_of_its_entity_until_it_is_data(engine: Engine) -> None:
    async def main() -> None:
        async with journal(engine) as log:
            put(log, Socket(), entity=2)
            put(log, "fine", entity=1)
            for _ in range(2):
                for entity in (EntityId(2), None):
                    with pytest.raises(UnsavableError, match="Socket is no data"):
                        await log.commit(entity)
            assert await log.commit(EntityId(1)) == 2
            assert list(log.unsaved) == [(2, Note)]
            put(log, "data again", entity=2)
            assert await log.commit() == 3
            assert log.unsaved == {}

    run(main)


def test_closing_tells_of_components_that_are_not_in_the_store(engine: Engine) -> None:
    async def main() -> None:
        log = journal(engine)
        put(log, Socket())
        with pytest.raises(UnsavableError):
            await log.aclose()
        assert engine.closed == 1
        assert engine.ends == [1]

    run(main)


def test_facts_that_cannot_be_told_of_at_all_break_the_journal_off(engine: Engine) -> None:
    failures: list[StoreError] = []

    def broken(entries: object) -> bytes:
        raise KeyError("bug")

    async def main() -> None:
        log = Journal(engine, broken, decode, on_failure=failures.append)
        add(log, 1)
        with pytest.raises(JournalError, match="facts cannot be encoded .*bug"):
            await log.commit()
        assert "broke off at position" in str(failures[0])
        with pytest.raises(JournalError, match="broke off"):
            await log.aclose()
        assert engine.closed == 1

    run(main)


def test_a_component_may_be_taken_out_by_whoever_stored_it_otherwise(engine: Engine) -> None:
    async def main() -> None:
        async with journal(engine) as log:
            put(log, Socket())
            with pytest.raises(UnsavableError):
                await log.commit()
            del log.unsaved[EntityId(1), Note]
            log.append(_changed(log, Dropped(Note), 1))
            assert await log.commit() == 2

    run(main)


def test_a_disk_that_is_really_full_and_then_is_not(tmp_path: Path) -> None:
    engine, failures = SqliteEngine(tmp_path / "world.db"), list[StoreError]()

    async def main() -> None:
        async with Journal(engine, encode, decode, on_failure=failures.append) as log:
            assert engine._writer is not None
            add(log, "before")
            await log.commit()
            engine._writer.execute("PRAGMA max_page_count = 20")
            log.extend(burst(log, *[os.urandom(50_000).hex() for _ in range(4)]))
            for _ in range(2):
                with pytest.raises(JournalError, match="the disk is full; free some space"):
                    await log.commit()
            assert log.committed == 1
            engine._writer.execute("PRAGMA max_page_count = 100000")
            add(log, "after")
            assert await log.commit() == 6
            assert len(failures) == 1

    asyncio.run(main())
    with_all = Journal(SqliteEngine(tmp_path / "world.db"), encode, decode)
    assert payloads(with_all)[-1] == "after"
    with_all.close()
