"""The engine in a file: what every engine does, and what may befall a file."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.store.engine_suite import EngineSuite, Store, added, frames, gone, whole

from ecs_agent.errors import JournalError, StoreFormatError, StoreInUseError
from ecs_agent.store.engine import Frame, Head, JournalEngine, Snapshot
from ecs_agent.store.migrations import APPLICATION_ID
from ecs_agent.store.sqlite_engine import SqliteEngine

NEEDS_UNIX = pytest.mark.skipif(sys.platform == "win32", reason="needs modes, limits and signals of Unix")


class InFile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def engine(self) -> JournalEngine:
        return SqliteEngine(self.path)


class TestSqliteEngine(EngineSuite):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        self.root, self.count = tmp_path_factory.mktemp("stores"), 0

    def new_store(self) -> Store:
        self.count += 1
        return InFile(self.root / f"{self.count}.db")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "world.db"


@pytest.fixture
def engine(path: Path) -> Iterator[SqliteEngine]:
    engine = SqliteEngine(path)
    engine.open()
    yield engine
    engine.close()


def filled(path: Path) -> None:
    """Make a store with three frames, two snapshots and a note."""
    engine = SqliteEngine(path)
    engine.open()
    engine.write(frames(2, 3), Snapshot(5, b"the meta", [whole(1, "A", 5, b"the whole"), whole(1, "B", 5)]))
    engine.write(frames(1, start=5), Snapshot(6, b"", [added(1, "A", 6, b"the rest"), gone(1, "B", 6)]))
    engine.put_meta({"seed": "7"})
    engine.close()


def read_all(path: Path) -> tuple[Head, list[Frame], Snapshot | None]:
    engine = SqliteEngine(path, read_only=True)
    try:
        return engine.open(), list(engine.frames()), engine.snapshot_at(99)
    finally:
        engine.close()


def sql(path: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement).fetchall()


# The file


@NEEDS_UNIX
def test_nobody_but_the_owner_may_read_it(path: Path, engine: SqliteEngine) -> None:
    engine.write(frames(1))
    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(["world.db", "world.db-lock", "world.db-shm", "world.db-wal"], 0o600)


@NEEDS_UNIX
def test_the_mode_of_a_file_that_is_there_is_left_alone(path: Path) -> None:
    path.touch()
    path.chmod(0o640)
    filled(path)
    assert path.stat().st_mode & 0o777 == 0o640


def test_it_is_one_that_any_tool_for_sqlite_can_look_into(path: Path) -> None:
    filled(path)
    assert sql(path, "PRAGMA application_id") == [(APPLICATION_ID,)]
    assert sql(path, "PRAGMA journal_mode") == [("wal",)]
    assert sql(path, "SELECT first_pos, count, CAST(data AS TEXT) FROM frames") == [
        (0, 2, "facts from 0"),
        (2, 3, "facts from 2"),
        (5, 1, "facts from 5"),
    ]


def test_after_closing_all_is_in_the_one_file(path: Path, tmp_path: Path) -> None:
    filled(path)
    assert sorted(file.name for file in path.parent.iterdir()) == ["world.db", "world.db-lock"]
    copy = tmp_path / "elsewhere" / "copy.db"
    copy.parent.mkdir()
    shutil.copy(path, copy)
    assert read_all(copy) == read_all(path)


def test_how_often_sqlite_waits_for_the_disk_can_be_chosen(path: Path) -> None:
    for level, number in (("OFF", 0), ("NORMAL", 1), ("FULL", 2), ("EXTRA", 3)):
        engine = SqliteEngine(path, synchronous=level)  # type: ignore[arg-type]
        engine.open()
        assert engine._writer is not None
        assert engine._writer.execute("PRAGMA synchronous").fetchone() == (number,)
        engine.close()
    with pytest.raises(ValueError, match="knows OFF, NORMAL"):
        SqliteEngine(path, synchronous="normal")  # type: ignore[arg-type]


def test_an_empty_file_becomes_a_store(path: Path) -> None:
    path.touch()
    filled(path)
    assert read_all(path)[0].next_pos == 6


def test_one_that_was_cut_off_while_it_was_made_becomes_a_store(path: Path) -> None:
    sql(path, "PRAGMA journal_mode = WAL")
    assert path.stat().st_size > 0
    filled(path)
    assert read_all(path)[0].next_pos == 6


def test_odd_names_are_names(tmp_path: Path) -> None:
    for name in ("with space.db", "a?mode=memory&x#y.db", "100%41.db", "-ü'\".db", ":memory:"):
        filled(tmp_path / name)
        assert (tmp_path / name).is_file()
        assert read_all(tmp_path / name)[0].next_pos == 6


# What is no store


def test_a_file_of_something_else_is_refused_and_not_touched(path: Path) -> None:
    path.write_text("Dear diary, this is no database. " * 100)
    before = path.read_bytes()
    for read_only in (False, True):
        with pytest.raises(StoreFormatError, match="no store of ecs_agent"):
            SqliteEngine(path, read_only=read_only).open()
    assert path.read_bytes() == before


@pytest.mark.parametrize("statement", ["CREATE TABLE mine (x)", "PRAGMA application_id = 7", "PRAGMA user_version = 1"])
def test_a_database_of_another_program_is_refused_and_not_touched(path: Path, statement: str) -> None:
    sql(path, statement)
    before = path.read_bytes()
    for read_only in (False, True):
        with pytest.raises(StoreFormatError, match="of another program"):
            SqliteEngine(path, read_only=read_only).open()
    assert path.read_bytes() == before


def test_a_store_of_a_newer_version_is_refused_and_not_touched(path: Path) -> None:
    filled(path)
    sql(path, "PRAGMA user_version = 7")
    before = path.read_bytes()
    for read_only in (False, True):
        with pytest.raises(StoreFormatError, match=r"made by a newer version .*of version 7.*update ecs_agent"):
            SqliteEngine(path, read_only=read_only).open()
    assert path.read_bytes() == before


def test_an_opening_that_was_refused_holds_nothing(path: Path) -> None:
    filled(path)
    sql(path, "PRAGMA user_version = 7")
    refused = SqliteEngine(path)
    with pytest.raises(StoreFormatError):
        refused.open()
    sql(path, "PRAGMA user_version = 1")
    sql(path, "UPDATE head SET openings = 'x'")
    late = SqliteEngine(path)
    with pytest.raises(StoreFormatError):
        late.open()
    sql(path, "UPDATE head SET openings = 4")
    engine = SqliteEngine(path)
    assert engine.open().epoch == 4
    engine.close()
    assert late._lock is refused._lock is None


def test_a_store_that_is_not_there_is_not_made_by_looking(path: Path) -> None:
    with pytest.raises(StoreFormatError, match="there is no store at"):
        SqliteEngine(path, read_only=True).open()
    assert list(path.parent.iterdir()) == []


def test_an_empty_store_has_to_be_opened_for_writing_first(path: Path) -> None:
    path.touch()
    with pytest.raises(StoreFormatError, match="open it for writing once"):
        SqliteEngine(path, read_only=True).open()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="its folder does not exist"):
        SqliteEngine(tmp_path / "nowhere" / "world.db").open()
    with pytest.raises(JournalError, match="could not be opened"):
        SqliteEngine(tmp_path).open()


# Damage


def damage(path: Path, before: bytes, after: bytes) -> None:
    content = path.read_bytes()
    assert content.count(before) == 1
    path.write_bytes(content.replace(before, after))


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        (b"facts from 2", b"facts frOm 2", "the frame at position 2 "),
        (b"facts from 5", b"facts from 4", "the frame at position 5 "),
        (b"the whole", b"the hole!", "A of entity 1, as it was at position 5,"),
        (b"the rest", b"the best", "A of entity 1, as it was at position 6,"),
    ],
)
def test_a_changed_byte_is_noticed_and_its_place_named(path: Path, before: bytes, after: bytes, named: str) -> None:
    filled(path)
    damage(path, before, after)
    with pytest.raises(StoreFormatError, match=named):
        read_all(path)


def test_what_stands_before_the_damage_can_be_read(path: Path) -> None:
    filled(path)
    damage(path, b"facts from 2", b"facts frOm 2")
    engine = SqliteEngine(path)
    engine.open()
    reading = engine.frames()
    assert next(reading) == frames(2)[0]
    assert list(engine.frames(5)) == frames(1, start=5)
    engine.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE frames SET count = 4 WHERE first_pos = 2",
        "UPDATE frames SET count = 'x'",
        "UPDATE frames SET epoch = 1.5",
        "UPDATE frames SET time = 0",
        "UPDATE frames SET data = 'text'",
        "UPDATE frames SET data = NULL",
        "UPDATE frames SET checksum = NULL",
        "DELETE FROM frames WHERE first_pos = 2",
        "UPDATE snapshots SET pos = 5, meta = 'x'",
        "UPDATE snapshots SET pos = 3",
        "UPDATE versions SET tag = tag || 'C'",
        "UPDATE versions SET adds = 'x' WHERE data IS NOT NULL",
        "UPDATE versions SET version = 2",
        "UPDATE versions SET pos = 7",
        "DELETE FROM head",
        "UPDATE head SET openings = 'x'",
        "DROP TABLE meta",
    ],
)
def test_rows_that_somebody_changed_are_noticed(path: Path, statement: str) -> None:
    filled(path)
    sql(path, statement)
    with pytest.raises((StoreFormatError, JournalError)):
        read_all(path)


def test_missing_facts_are_named(path: Path) -> None:
    filled(path)
    sql(path, "DELETE FROM frames WHERE first_pos = 2")
    with pytest.raises(StoreFormatError, match="facts from position 2 to 4 are missing"):
        read_all(path)


@pytest.mark.parametrize("part", [0.1, 0.3, 0.5, 0.9])
def test_a_file_that_was_cut_is_noticed(path: Path, part: float) -> None:
    filled(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    for read in (read_all, filled):
        with pytest.raises(StoreFormatError):
            read(path)


def test_any_page_may_be_overwritten_and_no_foreign_error_escapes(path: Path) -> None:
    filled(path)
    content = path.read_bytes()
    found = 0
    for start in range(0, len(content), 512):
        path.write_bytes(content[:start] + b"\xa5" * 512 + content[start + 512 :])
        try:
            assert read_all(path)[0].next_pos == 6
        except (StoreFormatError, JournalError):
            found += 1
    assert found > 3


# One at a time


def test_another_world_of_the_process_is_told_so(path: Path, engine: SqliteEngine) -> None:
    for name in (path, os.path.relpath(path)):
        with pytest.raises(StoreInUseError, match="in another world of this process"):
            SqliteEngine(name).open()
    with pytest.raises(StoreInUseError, match="open here already"):
        engine.open()
    engine.write(frames(1))


OPEN = """
import sys
from ecs_agent.errors import StoreInUseError
from ecs_agent.store.engine import Frame
from ecs_agent.store.sqlite_engine import SqliteEngine
engine = SqliteEngine(sys.argv[1])
try:
    print(engine.open().epoch, flush=True)
except StoreInUseError as error:
    print(error, flush=True)
else:
    engine.write([Frame(0, 1, 0, 0, b"of the other")])
    print("written", flush=True)
    sys.stdin.read()
"""


def run_child(code: str, *arguments: str | Path) -> str:
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=True).stdout


def test_another_process_is_told_which_one_has_it(path: Path, engine: SqliteEngine) -> None:
    assert f"is open for writing in process {os.getpid()}; close that first" in run_child(OPEN, path)


def test_a_second_try_in_this_process_does_not_let_others_in(path: Path, engine: SqliteEngine) -> None:
    with pytest.raises(StoreInUseError):
        SqliteEngine(path).open()
    assert "is open for writing" in run_child(OPEN, path)


def test_a_killed_process_holds_nothing_and_what_it_wrote_is_there(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", OPEN, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert [child.stdout.readline() for _ in range(2)] == ["0\n", "written\n"]
        with pytest.raises(StoreInUseError, match=f"process {child.pid}"):
            SqliteEngine(path).open()
        child.kill()
        child.wait()
    engine = SqliteEngine(path)
    assert engine.open() == Head(1, 1, {})
    assert [frame.data for frame in engine.frames()] == [b"of the other"]
    engine.close()


FORK = """
import os, sys
from ecs_agent.errors import JournalError, StoreInUseError
from ecs_agent.store.engine import Frame
from ecs_agent.store.sqlite_engine import SqliteEngine
engine = SqliteEngine(sys.argv[1])
engine.open()
if (child := os.fork()) == 0:
    for attempt in (lambda: engine.write([Frame(0, 1, 0, 0, b"")]), lambda: list(engine.frames())):
        try:
            attempt()
        except JournalError as error:
            print(error, flush=True)
    engine.close()
    print("closed" if engine._writer is None else "not touched", flush=True)
    os._exit(0)
os.waitpid(child, 0)
engine.write([Frame(0, 1, 0, 0, b"the parent's")])
try:
    SqliteEngine(sys.argv[1]).open()
except StoreInUseError:
    print("still held", flush=True)
"""


@NEEDS_UNIX
def test_a_child_that_was_forked_off_can_do_no_harm(path: Path) -> None:
    lines = run_child(FORK, path).splitlines()
    assert "the process that this one was forked from" in lines[0]
    assert lines[2:] == ["not touched", "still held"]
    assert [frame.data for frame in read_all(path)[1]] == [b"the parent's"]


# Looking on


def test_a_reader_sees_what_a_writer_has_written_and_takes_nothing_from_it(path: Path, engine: SqliteEngine) -> None:
    reader = SqliteEngine(path, read_only=True)
    assert reader.open() == Head(0, 0, {})
    for pos in range(3):
        engine.write(frames(1, start=pos))
        assert len(list(reader.frames())) == pos + 1
    with pytest.raises(JournalError, match="opened for reading only"):
        reader.write(frames(1, start=3))
    with pytest.raises(JournalError, match="opened for reading only"):
        reader.put_meta({"a": "b"})
    reader.close()
    engine.close()
    assert engine.open().epoch == 1


@NEEDS_UNIX
@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_store_can_be_read_where_nothing_may_be_written(path: Path) -> None:
    filled(path)
    expected = read_all(path)
    path.chmod(0o400)
    path.parent.chmod(0o500)
    try:
        assert read_all(path) == expected
        with pytest.raises(JournalError, match="may not be written|cannot be opened"):
            SqliteEngine(path).open()
    finally:
        path.parent.chmod(0o700)


# When the disk fails


def limit_pages(engine: SqliteEngine, count: int) -> None:
    assert engine._writer is not None
    engine._writer.execute(f"PRAGMA max_page_count = {count}")


def test_a_full_disk_is_an_error_that_says_what_to_do_and_leaves_the_state_before(path: Path, engine: SqliteEngine) -> None:
    engine.write(frames(1))
    limit_pages(engine, 20)
    big = Frame(1, 1, 0, 0, os.urandom(500_000))
    for _ in range(3):
        with pytest.raises(JournalError, match=r"the disk is full; free some space; it is as it was before") as caught:
            engine.write([big], Snapshot(2, b"", [whole(1, "A", 2)]))
        assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
    assert list(engine.frames()) == frames(1)
    assert engine.snapshot_at(9) is None
    limit_pages(engine, 1_000_000)
    engine.write([big], Snapshot(2, b"", [whole(1, "A", 2)]))
    engine.close()
    assert read_all(path)[1] == [*frames(1), big]


LIMITED = """
import resource, sys
from ecs_agent.errors import JournalError
from ecs_agent.store.engine import Frame
from ecs_agent.store.sqlite_engine import SqliteEngine
engine = SqliteEngine(sys.argv[1])
engine.open()
engine.write([Frame(0, 1, 0, 0, b"before")])
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
frame = Frame(1, 1, 0, 0, b"x" * 1_000_000)
for _ in range(2):
    try:
        engine.write([frame])
    except JournalError as error:
        print(error, flush=True)
print([frame.data for frame in engine.frames()], flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
engine.write([frame])
print(len(list(engine.frames())), flush=True)
"""


@NEEDS_UNIX
def test_a_file_that_may_not_grow_is_an_error_and_the_next_write_tries_again(path: Path) -> None:
    *errors, kept, count = run_child(LIMITED, path).splitlines()
    assert len(errors) == 2
    assert all("could not be written: the disk" in error for error in errors)
    assert (kept, count) == ("[b'before']", "2")
    assert read_all(path)[0].next_pos == 2


def remove(path: Path) -> None:
    path.unlink()


def move(path: Path) -> None:
    path.rename(path.with_name("moved.db"))


def replace(path: Path) -> None:
    other = path.with_name("other.db")
    filled(other)
    other.replace(path)


@NEEDS_UNIX
@pytest.mark.parametrize("befall", [remove, move, replace])
def test_a_file_that_is_no_longer_there_is_not_written_on(path: Path, engine: SqliteEngine, befall: Callable[[Path], None]) -> None:
    engine.write(frames(1))
    befall(path)
    with pytest.raises(JournalError, match="was moved, replaced or deleted"):
        engine.write(frames(1, start=1))


def test_a_file_that_was_put_back_is_written_on(path: Path, engine: SqliteEngine) -> None:
    move(path)
    with pytest.raises(JournalError):
        engine.write(frames(1))
    path.with_name("moved.db").rename(path)
    engine.write(frames(1))
    assert list(engine.frames()) == frames(1)


def test_another_program_that_locks_the_file_is_waited_for_and_then_told(path: Path, engine: SqliteEngine) -> None:
    assert engine._writer is not None
    engine._writer.execute("PRAGMA busy_timeout = 1")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="another program locks it; close that"):
            engine.write(frames(1))
        other.execute("ROLLBACK")
        engine.write(frames(1))
