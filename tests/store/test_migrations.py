"""Stores of older versions are brought up to date step by step, and each step is whole or not at all."""

from __future__ import annotations

import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

import pytest

from ecs_agent.errors import StoreFormatError
from ecs_agent.store.engine import Frame, Head, Snapshot, Version
from ecs_agent.store.migrations import APPLICATION_ID, STEPS, migrate, schema_version, transaction
from ecs_agent.store.sqlite_engine import SqliteEngine

VERSION_1 = f"""
    CREATE TABLE head (id INTEGER PRIMARY KEY CHECK (id = 1), openings INTEGER NOT NULL, process INTEGER NOT NULL);
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE frames (first_pos INTEGER PRIMARY KEY, count INTEGER NOT NULL, epoch INTEGER NOT NULL, time INTEGER NOT NULL,
                         checksum INTEGER, data BLOB);
    CREATE TABLE snapshots (id INTEGER PRIMARY KEY, pos INTEGER NOT NULL, checksum INTEGER NOT NULL, meta BLOB NOT NULL);
    CREATE TABLE versions (entity INTEGER, tag TEXT, snapshot INTEGER, adds INTEGER, version INTEGER, pos INTEGER, checksum INTEGER, data BLOB);
    CREATE INDEX snapshots_by_pos ON snapshots (pos);
    CREATE UNIQUE INDEX versions_by_component ON versions (entity, tag, snapshot);
    INSERT INTO head VALUES (1, 3, 4711);
    INSERT INTO meta VALUES ('seed', '7');
    INSERT INTO frames VALUES (0, 2, 2, 1000, {zlib.crc32(b'["a", "b"]', zlib.crc32(b"(0, 2, 2, 1000)"))}, CAST('["a", "b"]' AS BLOB));
    INSERT INTO snapshots VALUES (1, 2, {zlib.crc32(b"[]", zlib.crc32(b"(1, 2)"))}, CAST('[]' AS BLOB));
    INSERT INTO versions VALUES (5, 'Note', 1, 0, 4, 2, {zlib.crc32(b"[1]", zlib.crc32(b"(5, 0, 4, 2)Note"))}, CAST('[1]' AS BLOB));
    PRAGMA application_id = {APPLICATION_ID};
    PRAGMA user_version = 1;
"""
"""A store as the first version made it, with one of everything in it. It stays as it is when the tables change."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "world.db"


def test_a_store_of_version_1_can_be_read_and_written(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_1)
    engine = SqliteEngine(path)
    assert engine.open() == Head(3, 2, {"seed": "7"})
    assert list(engine.frames()) == [Frame(0, 2, 2, 1000, b'["a", "b"]')]
    assert engine.snapshot_at(2) == Snapshot(2, b"[]", [Version(5, "Note", 4, 2, b"[1]")])
    engine.write([Frame(2, 1, 3, 0, b"")], Snapshot(3, b"", [Version(5, "Note", 4, 3, b"[2]", adds=True)]))
    engine.close()


def add_a_column(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE frames ADD COLUMN size INTEGER")
    connection.execute("UPDATE frames SET size = length(data)")


def fail(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM frames")
    raise sqlite3.OperationalError("disk I/O error")


def test_steps_are_done_once_and_only_those_that_are_missing(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(VERSION_1)
        for _ in range(2):
            migrate(connection, "it", [*STEPS, add_a_column])
            assert schema_version(connection, "it", [*STEPS, add_a_column]) == len(STEPS) + 1
            assert connection.execute("SELECT first_pos, size FROM frames").fetchall() == [(0, 10)]


def test_a_step_that_fails_leaves_the_version_before(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(VERSION_1)
        with pytest.raises(sqlite3.OperationalError):
            migrate(connection, "it", [*STEPS, add_a_column, fail])
        assert connection.execute("PRAGMA user_version").fetchone() == (len(STEPS) + 1,)
        assert connection.execute("SELECT first_pos, size FROM frames").fetchall() == [(0, 10)]


def test_an_empty_file_has_no_version_and_gets_every_step(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert schema_version(connection, "it") == 0
        migrate(connection, "it")
        assert schema_version(connection, "it") == len(STEPS)


def test_there_is_no_way_back(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, "it", [*STEPS, add_a_column])
        with pytest.raises(StoreFormatError, match=f"it was made by a newer version .*version {len(STEPS) + 1}, this one knows {len(STEPS)}"):
            migrate(connection, "it")


def test_a_transaction_that_was_left_open_is_rolled_back_by_the_next(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("BEGIN")
        connection.execute("INSERT INTO t VALUES (1)")
        with transaction(connection):
            connection.execute("INSERT INTO t VALUES (2)")
        assert connection.execute("SELECT x FROM t").fetchall() == [(2,)]
