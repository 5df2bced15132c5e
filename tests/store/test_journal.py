"""The journal: when facts are written, what a commit promises, and what can be read."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.store.journal_parts import Engine, add, burst, decode, encode, fact, journal, payloads

from ecs_agent.errors import JournalError, LogTruncatedError
from ecs_agent.store.engine import Frame, Snapshot, Version
from ecs_agent.store.journal import BURST_FACTS, EXIT_FACTS, FRAME_ENTRIES, Journal
from ecs_agent.store.memory_engine import MemoryEngine
from ecs_agent.store.sqlite_engine import SqliteEngine
from ecs_agent.testing import run


@pytest.fixture(params=[False, True], ids=["in the calling thread", "in the writer's thread"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return Engine(blocks=request.param)


# When facts are written


def test_facts_of_one_turn_of_the_loop_are_one_frame(engine: Engine) -> None:
    async def main() -> None:
        async with journal(engine) as log:
            add(log, 1, 2)
            log.extend(burst(log, 3, 4))
            add(log, 5)
            assert engine.writes == []
            await asyncio.sleep(0.001)
            add(log, 6)
            await asyncio.sleep(0.001)
            assert [frames for frames, _ in engine.writes] == [[Frame(0, 5, 0, 77, engine.writes[0][0][0].data)], [engine.writes[1][0][0]]]
            assert engine.ends == [5, 6]
            assert engine.stored == [1, 2, 3, 4, 5, 6]
            assert log.committed == 6

    run(main)


def test_deltas_wait_for_more_of_them_but_not_long(engine: Engine) -> None:
    async def main() -> None:
        async with journal(engine) as log:
            for number in range(4):
                log.extend(burst(log, number))
                await asyncio.sleep(0.02)
            assert engine.ends == [3]
            await asyncio.sleep(0.05)
            assert engine.ends == [3, 4]

    run(main)


def test_deltas_go_with_the_next_other_fact(engine: Engine) -> None:
    async def main() -> None:
        async with journal(engine) as log:
            log.extend(burst(log, 1, 2))
            await asyncio.sleep(0.01)
            add(log, 3)
            await asyncio.sleep(0.001)
            assert engine.ends == [3]
            log.extend(burst(log, 4))
            await asyncio.sleep(0.045)
            assert engine.ends == [3]
            await asyncio.sleep(0.01)
            assert engine.ends == [3, 4]

    run(main)


def test_many_deltas_do_not_wait(engine: Engine) -> None:
    async def main() -> None:
        async with journal(engine) as log:
            for _ in range(BURST_FACTS // 16 + 1):
                log.extend(burst(log, *range(16)))
            await asyncio.sleep(0.001)
            assert engine.ends == [BURST_FACTS + 16]

    run(main)


def test_with_the_durability_event_deltas_do_not_wait(engine: Engine) -> None:
    async def main() -> None:
        async with journal(engine, durability="event") as log:
            for number in range(3):
                log.extend(burst(log, number))
                await asyncio.sleep(0.001)
            assert engine.ends == [1, 2, 3]

    run(main)


def test_with_the_durability_exit_nothing_is_written_before_the_end_unless_it_is_too_much(engine: Engine) -> None:
    async def main() -> None:
        log = journal(engine, durability="exit")
        add(log, 1)
        log.extend(burst(log, 2))
        await asyncio.sleep(1)
        assert engine.writes == []
        assert await log.commit() == 2
        assert engine.ends == [2]
        log.extend(burst(log, *range(EXIT_FACTS)))
        await asyncio.sleep(1)
        assert engine.ends == [2]
        add(log, 3)
        await asyncio.sleep(1)
        assert engine.ends == [2, EXIT_FACTS + 3]
        add(log, 4)
        await log.aclose()
        assert engine.ends == [2, EXIT_FACTS + 3, EXIT_FACTS + 4]

    run(main)


def test_a_wrong_durability_is_refused_before_anything_is_opened(engine: Engine) -> None:
    with pytest.raises(ValueError, match="event, turn or exit"):
        journal(engine, durability="always")
    with pytest.raises(ValueError, match="max_waiting is 0"):
        journal(engine, max_waiting=0)
    assert engine.open().epoch == 0


def test_facts_that_come_before_the_loop_are_written_with_the_first_that_come_in_it(engine: Engine) -> None:
    log = journal(engine)
    add(log, 1, 2)
    assert engine.writes == []

    async def main() -> None:
        log.extend(burst(log, 3))
        await asyncio.sleep(0.06)
        assert engine.ends == [3]
        await log.aclose()

    run(main)


def test_facts_that_come_without_a_loop_do_not_wait_in_any_number(engine: Engine) -> None:
    log = journal(engine)
    log.extend(burst(log, *range(EXIT_FACTS)))
    add(log, 1)
    log.close()
    assert [frame.end for frames, _ in engine.writes for frame in frames] == [EXIT_FACTS, EXIT_FACTS + 1]


def append_one(log: Journal) -> None:
    add(log, 1)


def extend_by_one(log: Journal) -> None:
    log.extend(burst(log, 1))


@pytest.mark.parametrize("first", [append_one, extend_by_one])
@pytest.mark.parametrize("second", [append_one, extend_by_one])
def test_a_loop_that_was_closed_with_a_flush_due_is_not_waited_for(
    engine: Engine, first: Callable[[Journal], None], second: Callable[[Journal], None]
) -> None:
    log = journal(engine)
    loop = asyncio.SelectorEventLoop()
    loop.call_soon(loop.stop)
    loop.call_soon(first, log)
    loop.run_forever()
    loop.close()
    assert engine.writes == []

    async def main() -> None:
        second(log)
        await asyncio.sleep(0.06)
        assert log.committed == log.next_pos == 2
        await log.aclose()

    run(main)


def test_a_flush_that_was_due_is_not_once_everything_was_flushed(engine: Engine) -> None:
    async def main() -> None:
        async with journal(engine) as log:
            log.extend(burst(log, 1))
            log.flush()
            await asyncio.sleep(0.03)
            log.extend(burst(log, 2))
            await asyncio.sleep(0.04)
            assert engine.ends == [1]
            await asyncio.sleep(0.02)
            assert engine.ends == [1, 2]

    run(main)


def test_a_flush_of_very_many_entries_is_several_frames_in_one_write(engine: Engine) -> None:
    async def main() -> None:
        async with journal(engine) as log:
            add(log, *range(FRAME_ENTRIES - 1))
            log.extend(burst(log, "a", "b"))
            add(log, "c")
            assert await log.commit() == FRAME_ENTRIES + 2
            ((frames, _),) = engine.writes
            assert [(frame.first_pos, frame.count) for frame in frames] == [(0, FRAME_ENTRIES + 1), (FRAME_ENTRIES + 1, 1)]
            assert payloads(log, FRAME_ENTRIES - 2) == [FRAME_ENTRIES - 2, "a", "b", "c"]

    run(main)


def test_nothing_wakes_up_when_nothing_happens() -> None:
    async def main() -> None:
        async with journal(MemoryEngine()) as log:
            add(log, 1)
            await asyncio.sleep(0.001)
            loop = asyncio.get_running_loop()
            assert len(loop._ready) == 0  # type: ignore[attr-defined]
            assert len(loop._scheduled) == 0  # type: ignore[attr-defined]

    run(main)


# Commits


def test_a_commit_waits_until_everything_before_it_is_stored(engine: Engine) -> None:
    async def main() -> None:
        async with journal(engine) as log:
            assert await log.commit() == 0
            add(log, 1, 2)
            assert await log.commit() == 2
            assert engine.stored == [1, 2]
            assert log.committed == 2
            assert await log.commit() == 2
            assert engine.attempts == 1

    run(main)


def test_commits_of_one_turn_share_one_write_and_end_in_order(engine: Engine) -> None:
    order: list[int] = []

    async def one(log: Journal, number: int) -> None:
        add(log, number)
        assert await log.commit() >= number + 1
        order.append(number)

    async def main() -> None:
        async with journal(engine) as log:
            await asyncio.gather(*[one(log, number) for number in range(100)])
            assert engine.ends == [100]
            assert order == list(range(100))

    run(main)


def test_what_waits_while_the_writer_is_busy_is_one_transaction() -> None:
    engine = Engine()

    async def main() -> None:
        async with journal(engine) as log:
            engine.gate.clear()
            for number in range(5):
                add(log, number)
                log.flush()
            engine.gate.set()
            assert await log.commit() == 5
            assert [len(frames) for frames, _ in engine.writes] in ([1, 4], [5], [2, 3], [3, 2], [4, 1])
            assert engine.stored == [0, 1, 2, 3, 4]

    run(main)


def test_a_cancelled_commit_harms_nobody() -> None:
    engine = Engine()

    async def main() -> None:
        log = journal(engine)
        engine.gate.clear()
        add(log, 1)
        first, second = asyncio.ensure_future(log.commit()), asyncio.ensure_future(log.commit())
        for _ in range(3):
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        assert first.cancelled()
        engine.gate.set()
        assert await second == 1
        assert engine.stored == [1]
        await log.aclose()

    asyncio.run(main())


def test_a_commit_whose_loop_is_gone_is_written_all_the_same() -> None:
    engine = Engine()
    log = journal(engine)

    async def main() -> None:
        engine.gate.clear()
        add(log, 1)
        task = asyncio.ensure_future(log.commit())
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()

    asyncio.run(main())
    engine.gate.set()
    log.close()
    assert engine.stored == [1]


def test_a_commit_that_waits_in_a_loop_that_was_closed_harms_nobody(engine: Engine) -> None:
    log = journal(engine)
    add(log, 1)
    loop = asyncio.SelectorEventLoop()
    task = loop.create_task(log.commit())
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    run(log.aclose)
    assert engine.stored == [1]


def test_a_commit_on_a_virtual_clock_does_not_see_what_the_thread_has_done_before_the_loop_is_told() -> None:
    async def main() -> None:
        async with journal(Engine()) as log:
            add(log, 1)
            await asyncio.sleep(0)
            while not log.committed:
                pass  # until the thread is through, however fast it is
            task = asyncio.ensure_future(log.commit())
            await asyncio.sleep(0)
            assert not task.done()
            assert await task == 1

    run(main)


def test_commits_in_one_loop_after_another(engine: Engine) -> None:
    log = journal(engine)

    async def main() -> int:
        add(log, 1)
        return await log.commit()

    assert [run(main), asyncio.run(main()), run(main)] == [1, 2, 3]
    log.close()


def test_on_a_virtual_clock_no_time_passes_while_the_thread_writes() -> None:
    engine = Engine()

    async def agent(log: Journal, number: int, seen: list[tuple[float, int]]) -> None:
        for step in range(3):
            await asyncio.sleep(0.01 * number)
            add(log, number * 10 + step)
            await log.commit()
            seen.append((round(asyncio.get_running_loop().time(), 6), number))

    async def main() -> list[tuple[float, int]]:
        seen: list[tuple[float, int]] = []
        async with journal(Engine()) as log:
            await asyncio.gather(*[agent(log, number, seen) for number in range(5)])
        return seen

    runs = [run(main) for _ in range(5)]
    assert all(each == runs[0] for each in runs)
    assert runs[0][-1] == (0.12, 4)
    assert engine.writes == []


def test_an_engine_that_does_not_block_needs_no_thread() -> None:
    async def main() -> None:
        before = threading.active_count()
        async with journal(MemoryEngine()) as log:
            add(log, 1)
            await log.commit()
            assert threading.active_count() == before

    run(main)


# Snapshots


def test_a_snapshot_is_stored_with_the_facts_before_it(engine: Engine) -> None:
    async def main() -> None:
        async with journal(engine) as log:
            add(log, 1, 2)
            snapshot = Snapshot(2, b"meta", [Version(1, "A", 1, 2, b"x")])
            log.save(snapshot)
            add(log, 3)
            log.save(Snapshot(3, b"", [Version(1, "A", 1, 3, b"y", adds=True)]))
            await log.commit()
            assert next(kept for _, kept in engine.writes if kept is not None) == snapshot
            assert engine.snapshot_at(2) == snapshot
            found = engine.snapshot_at(3)
            assert found is not None
            assert [version.data for version in found.versions] == [b"x", b"y"]

    run(main)


# Reading


def test_what_is_read_is_what_is_stored_what_is_being_written_and_what_still_waits() -> None:
    engine = Engine()

    async def main() -> None:
        async with journal(engine) as log:
            add(log, 0, 1)
            await log.commit()
            engine.gate.clear()
            add(log, 2)
            log.extend(burst(log, 3, 4))
            log.flush()
            add(log, 5)
            log.extend(burst(log, 6, 7))
            for start in range(9):
                assert payloads(log, start) == list(range(start, 8))
            reading = log.read()
            engine.gate.set()
            await log.commit()
            add(log, 8)
            assert len(list(reading)) == 8
            assert payloads(log) == list(range(9))

    run(main)


def test_a_journal_goes_on_where_the_store_ends_with_another_epoch(tmp_path: Path) -> None:
    async def main() -> None:
        for epoch in range(3):
            async with Journal(SqliteEngine(tmp_path / "world.db"), encode, decode) as log:
                assert (log.epoch, log.next_pos, log.committed) == (epoch, 2 * epoch, 2 * epoch)
                assert log.head.epoch == epoch
                add(log, epoch, "then")
                await log.commit()
                assert [each.epoch for each in log.read()] == [number for number in range(epoch + 1) for _ in range(2)]

    asyncio.run(main())


def test_what_the_store_does_not_hold_is_an_error_and_never_a_gap(engine: Engine) -> None:
    engine.open()
    MemoryEngine.write(engine, [], Snapshot(40, b"", []))
    engine.close()
    log = journal(engine)
    assert payloads(log, 40) == []
    with pytest.raises(LogTruncatedError, match="position 39 is not in the store"):
        log.read(39)
    add(log, "x")
    log.flush()
    log.flush()
    with pytest.raises(LogTruncatedError):
        log.read(0)
    assert payloads(log, 40) == ["x"]
    log.close()


# Closing


def test_closing_writes_what_waits_and_closes_the_engine(engine: Engine) -> None:
    async def main() -> None:
        log = journal(engine)
        add(log, 1)
        log.extend(burst(log, 2))
        await log.aclose()
        await log.aclose()
        log.close()
        assert engine.stored == [1, 2]
        assert engine.closed == 1

    run(main)


def test_closing_works_without_a_loop_too(engine: Engine) -> None:
    log = journal(engine)
    add(log, 1)
    log.close()
    log.close()
    assert (engine.stored, engine.closed) == ([1], 1)
    assert not any(thread.name == "ecs_agent-journal" for thread in threading.enumerate())


def test_closing_that_is_cancelled_goes_on() -> None:
    engine = Engine()

    async def main() -> None:
        log = journal(engine)
        engine.gate.clear()
        add(log, 1)
        task = asyncio.ensure_future(log.aclose())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        engine.gate.set()
        log._writer.join(5)

    asyncio.run(main())
    assert (engine.stored, engine.closed) == ([1], 1)


async def test_a_closed_journal_takes_nothing_in() -> None:
    log = journal(MemoryEngine())
    await log.aclose()
    add(log, 1)  # these are of a world that is closed: nobody keeps them, and nobody is harmed
    log.extend(burst(log, 1))
    for attempt in (log.read, log.flush, lambda: log.save(Snapshot(0, b"", []))):
        with pytest.raises(JournalError, match="the journal is closed; open the store again"):
            attempt()
    with pytest.raises(JournalError, match="closed"):
        await log.commit()
    assert log.next_pos == 0


def test_a_journal_that_is_dropped_unclosed_lets_the_store_go(engine: Engine) -> None:
    log = journal(engine)
    add(log, 1)
    log.flush()
    del log
    gc.collect()
    assert engine.stored == [1]
    assert engine.closed == 1
    assert not any(thread.name == "ecs_agent-journal" for thread in threading.enumerate())


LEAVES = """
import sys
sys.path[:0] = sys.argv[2:]
from ecs_agent.store.journal import Journal
from ecs_agent.store.sqlite_engine import SqliteEngine
from tests.store.journal_parts import add, decode, encode
log = Journal(SqliteEngine(sys.argv[1]), encode, decode)
add(log, *range(1000))
log.flush()
"""


def test_what_was_handed_over_is_written_when_a_program_just_ends(tmp_path: Path) -> None:
    path, root = str(tmp_path / "world.db"), str(Path(__file__).parents[2])
    subprocess.run([sys.executable, "-c", LEAVES, path, root], check=True)
    log = Journal(SqliteEngine(path), encode, decode)
    assert log.next_pos == 1000
    log.close()


FORKS = """
import asyncio, os, sys
sys.path[:0] = sys.argv[2:]
from ecs_agent.errors import JournalError
from ecs_agent.store.journal import Journal
from ecs_agent.store.sqlite_engine import SqliteEngine
from tests.store.journal_parts import add, decode, encode
log = Journal(SqliteEngine(sys.argv[1]), encode, decode)
add(log, 1)
log.flush()
while log.committed < 1: pass
if (child := os.fork()) == 0:
    add(log, 2)
    try:
        asyncio.run(log.commit())
    except JournalError as error:
        print(error, flush=True)
    log.close()
    log._writer.leave(log._process)
    os._exit(0)
os.waitpid(child, 0)
add(log, 3)
log.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_was_forked_off_has_no_journal(tmp_path: Path) -> None:
    path, root = str(tmp_path / "world.db"), str(Path(__file__).parents[2])
    told = subprocess.run([sys.executable, "-c", FORKS, path, root], check=True, capture_output=True, text=True).stdout
    assert "belongs to the process that this one was forked from" in told
    log = Journal(SqliteEngine(path), encode, decode)
    assert payloads(log) == [1, 3]
    log.close()


def test_appending_does_not_wait_for_a_store_that_is_slow() -> None:
    engine = Engine()

    async def main() -> None:
        log = journal(engine)
        engine.gate.clear()
        for number in range(1000):
            log.append(fact(log, number))
            await asyncio.sleep(0)
        assert engine.writes == []
        engine.gate.set()
        assert await log.commit() == 1000
        await log.aclose()

    asyncio.run(main())
