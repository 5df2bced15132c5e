"""The tables of a store in sqlite, and the steps from each version of them to the next.

A step is never changed once it was released, and there is none back: a store of a newer version is refused. Step i makes version i + 1.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Final, TypeAlias

from ecs_agent.errors import StoreFormatError

APPLICATION_ID: Final = 0x65637361
"""Says in a file's header that the tables are ours: "ecsa"."""

Step: TypeAlias = Callable[[sqlite3.Connection], object]


def _first_tables(connection: sqlite3.Connection) -> None:
    """Tables with row ids throughout, since rows that hold long data are slow to find in any other."""
    tables = (
        "head (id INTEGER PRIMARY KEY CHECK (id = 1), openings INTEGER NOT NULL, process INTEGER NOT NULL)",
        "meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
        "frames (first_pos INTEGER PRIMARY KEY, count INTEGER NOT NULL, epoch INTEGER NOT NULL, time INTEGER NOT NULL, checksum INTEGER, data BLOB)",
        "snapshots (id INTEGER PRIMARY KEY, pos INTEGER NOT NULL, checksum INTEGER NOT NULL, meta BLOB NOT NULL)",
        "versions (entity INTEGER, tag TEXT, snapshot INTEGER, adds INTEGER, version INTEGER, pos INTEGER, checksum INTEGER, data BLOB)",
    )
    for table in tables:
        connection.execute(f"CREATE TABLE {table}")
    connection.execute("CREATE INDEX snapshots_by_pos ON snapshots (pos)")
    connection.execute("CREATE UNIQUE INDEX versions_by_component ON versions (entity, tag, snapshot)")
    connection.execute("INSERT INTO head VALUES (1, 0, 0)")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


STEPS: Final[Sequence[Step]] = (_first_tables,)


def schema_version(connection: sqlite3.Connection, place: str, steps: Sequence[Step] = STEPS) -> int:
    """The version of the tables of a store; 0 for a file in which nothing is yet. Nothing is changed.

    Raises:
        StoreFormatError: it is another program's, or of a newer version.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        if application or version or connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            raise StoreFormatError(f"{place} is a database of another program and no store of ecs_agent; name another file")
        return 0
    if not 1 <= version <= len(steps):
        raise StoreFormatError(
            f"{place} was made by a newer version of ecs_agent (its tables are of version {version}, this one knows {len(steps)}); "
            f"update ecs_agent to open it"
        )
    return int(version)


def migrate(connection: sqlite3.Connection, place: str, steps: Sequence[Step] = STEPS) -> None:
    """Bring a store's tables to the newest version, each step in a transaction of its own.

    Raises:
        StoreFormatError: it is another program's, or of a newer version.
    """
    for version in range(schema_version(connection, place, steps), len(steps)):
        with transaction(connection):
            steps[version](connection)
            connection.execute(f"PRAGMA user_version = {version + 1}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[None]:
    """All of what is written in the block, or nothing."""
    if connection.in_transaction:
        connection.rollback()  # one that could not be rolled back when it failed
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        try:
            connection.rollback()
        except sqlite3.Error:
            pass  # the error that led here says more; the next transaction tries again
        raise
