"""A journal in a file of sqlite. Nothing else in the package knows sqlite.

One connection writes, another reads, so that reading does not wait for a write. What sqlite cannot see, that bytes of the file were damaged, is
seen by a checksum in each row. Other processes may read while one writes: `SqliteEngine(path, read_only=True)`.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import zlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from ecs_agent.errors import JournalError, StoreFormatError, StoreInUseError
from ecs_agent.store.engine import Frame, Head, Snapshot, Version, checked, groundless
from ecs_agent.store.migrations import STEPS, migrate, schema_version, transaction
from ecs_agent.store.store_lock import StoreLock, create_private

Synchronous: TypeAlias = Literal["OFF", "NORMAL", "FULL", "EXTRA"]

PAGE_BYTES: Final = 8192
"""Conversations are longer than sqlite's usual page."""

CHECKPOINT_PAGES: Final = 2000
"""How long the file of what was written last grows, 16 MiB, before it is brought into the database."""

BUSY_SECONDS: Final = 10.0
FRAMES_AT_ONCE: Final = 64
"""How many frames are read by one statement: a reader that takes its time must not keep sqlite from tidying up."""

MAX_POS: Final = 2**63 - 1

_FRAMES: Final = "SELECT first_pos, count, epoch, time, checksum, data FROM frames WHERE first_pos >= ? AND first_pos < ? ORDER BY first_pos LIMIT ?"
_VERSIONS: Final = """
    WITH whole AS (SELECT entity, tag, max(snapshot) AS since FROM versions WHERE snapshot <= ?1 AND NOT adds GROUP BY entity, tag)
    SELECT v.entity, v.tag, v.adds, v.version, v.pos, v.checksum, v.data
    FROM whole JOIN versions v ON v.entity = whole.entity AND v.tag = whole.tag AND v.snapshot BETWEEN whole.since AND ?1
    WHERE v.data IS NOT NULL ORDER BY v.entity, v.tag, v.snapshot"""

_DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
_REASONS: Final = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space",
    sqlite3.SQLITE_IOERR: "the disk failed or is full; look after it",
    sqlite3.SQLITE_READONLY: "it may not be written; make the file and its folder writable",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; look whether its folder exists and may be written",
    sqlite3.SQLITE_BUSY: "another program locks it; close that",
    sqlite3.SQLITE_LOCKED: "another program locks it; close that",
}


class SqliteEngine:
    """Keeps a journal in one file, made with the rights of its owner alone. Beside it stand `path`-wal, -shm and -lock.

    Args:
        path: of the file.
        synchronous: when sqlite waits for the disk. With "NORMAL" nothing is lost when the process is killed; when the machine itself goes down,
            the last moments before may be missing, and the store is whole. "FULL" keeps these, too, at the price of the disk's time per commit.
            "OFF" may leave a damaged file when the machine goes down.
        read_only: for tools that look into a store that somebody else may be writing. It takes no lock and begins no epoch.
    """

    blocks = True

    def __init__(self, path: str | os.PathLike[str], *, synchronous: Synchronous = "NORMAL", read_only: bool = False) -> None:
        if synchronous not in {"OFF", "NORMAL", "FULL", "EXTRA"}:
            raise ValueError(f"synchronous is {synchronous!r}; sqlite knows OFF, NORMAL, FULL and EXTRA")
        self.path = os.path.realpath(path)  # one lock for all names of a file
        self._synchronous = synchronous
        self._read_only = read_only
        self._lock: StoreLock | None = None
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._writing, self._reading = threading.Lock(), threading.Lock()
        self._process = 0
        self._inode = 0
        self._next_pos = 0
        self._snapshot_pos: int | None = None

    def open(self) -> Head:
        """Begin.

        Raises:
            StoreInUseError: it is open for writing elsewhere.
            StoreFormatError: it is no store of ours, a damaged one, one of a newer version, or, if only read, not there.
            JournalError: the file cannot be made or opened.
        """
        if self._reader is not None:
            raise StoreInUseError(f"the store {self.path} is open here already; close that first")
        self._process = os.getpid()
        try:
            with self._translated("opened"):
                return self._open_to_read() if self._read_only else self._open_to_write()
        except BaseException:
            self.close()
            raise

    def write(self, frames: Sequence[Frame], snapshot: Snapshot | None = None) -> None:
        """Store frames and a snapshot in one transaction.

        Raises:
            JournalError: they could not be written. The store is as it was before; the write may be tried again.
            ValueError: they break the rules of `JournalEngine`.
        """
        with self._writing, self._translated("written"):
            connection = self._to_write()
            next_pos = checked(frames, snapshot, next_pos=self._next_pos, snapshot_pos=self._snapshot_pos)
            with transaction(connection):
                connection.executemany("INSERT INTO frames VALUES (?, ?, ?, ?, ?, ?)", [_frame_row(frame) for frame in frames])
                if snapshot is not None:
                    _insert_snapshot(connection, snapshot)
            self._next_pos = next_pos
            if snapshot is not None:
                self._snapshot_pos = snapshot.pos

    def frames(self, from_pos: int = 0, to_pos: int | None = None) -> Iterator[Frame]:
        """The frames that hold any of these positions.

        Raises:
            StoreFormatError: one of them is damaged or missing.
        """
        stop = MAX_POS if to_pos is None else to_pos
        if stop <= from_pos:
            return
        start = self._select("SELECT max(first_pos) FROM frames WHERE first_pos <= ?", from_pos)[0][0]
        end: int | None = None
        start = from_pos if start is None else start
        while rows := self._select(_FRAMES, start, stop, FRAMES_AT_ONCE):
            for row in rows:
                frame = self._frame(row)
                if end is not None and frame.first_pos != end:
                    raise StoreFormatError(f"in the store {self.path} the facts from position {end} to {frame.first_pos - 1} are missing")
                start = end = frame.end
                if end > from_pos:
                    yield frame

    def snapshot_at(self, pos: int) -> Snapshot | None:
        """The newest snapshot at or before a position, complete.

        Raises:
            StoreFormatError: it is damaged.
        """
        rows = self._select("SELECT id, pos, checksum, meta FROM snapshots WHERE pos <= ? ORDER BY pos DESC, id DESC LIMIT 1", pos)
        if not rows:
            return None
        number, at, checksum, meta = rows[0]
        if not isinstance(meta, bytes) or _checksum(meta, number, at) != checksum:
            raise self._damaged(f"the snapshot at position {at}")
        return Snapshot(at, meta, [self._version(row) for row in self._select(_VERSIONS, number)])

    def put_meta(self, values: Mapping[str, str]) -> None:
        """Note values under keys.

        Raises:
            JournalError: they could not be written.
        """
        with self._writing, self._translated("written"):
            connection = self._to_write()
            with transaction(connection):
                connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(values.items()))

    def close(self) -> None:
        """Close the file, and let others in. In a process that was forked off nothing happens: what is open is the parent's."""
        if os.getpid() != self._process:
            return
        with self._writing, self._reading:
            reader, self._reader = self._reader, None
            writer, self._writer = self._writer, None
            lock, self._lock = self._lock, None
            for connection in (reader, writer):  # the one that writes at last, since it tidies up
                if connection is not None:
                    connection.close()
            if lock is not None:
                lock.release()

    # Opening

    def _open_to_write(self) -> Head:
        if not Path(self.path).parent.is_dir():
            raise JournalError(f"the store {self.path} cannot be made: its folder does not exist; make it first")
        create_private(self.path)
        wal = Path(f"{self.path}-wal")
        is_settled = not wal.exists() or not wal.stat().st_size  # all is in the one file
        self._reader = self._connect("rw")
        schema_version(self._reader, self.path)  # before anything is changed in what may be another program's
        try:
            self._lock = StoreLock(self.path)
        except StoreInUseError:
            raise StoreInUseError(f"the store {self.path} is open for writing in {self._holder(self._reader)}; close that first") from None
        if is_settled:
            self._check_size(self._reader)
        self._writer = writer = self._connect("rw")
        writer.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute(f"PRAGMA synchronous = {self._synchronous}")
        writer.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        writer.execute(f"PRAGMA journal_size_limit = {4 * CHECKPOINT_PAGES * PAGE_BYTES}")
        migrate(writer, self.path)
        self._inode = os.stat(self.path).st_ino
        head = self._head(writer)
        with transaction(writer):
            writer.execute("UPDATE head SET openings = openings + 1, process = ?", (self._process,))
        self._next_pos = head.next_pos
        return Head(head.epoch + 1, head.next_pos, head.meta)

    def _open_to_read(self) -> Head:
        if not Path(self.path).is_file():
            raise StoreFormatError(f"there is no store at {self.path}; look for it elsewhere")
        try:
            self._reader = reader = self._connect("ro")
            version = schema_version(reader, self.path)
        except sqlite3.OperationalError as error:
            if _code(error) not in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY} or Path(f"{self.path}-wal").exists():
                raise
            # In a folder that may not be written sqlite cannot agree with writers on anything, and need not: there can be none.
            if self._reader is not None:
                self._reader.close()
            self._reader = reader = self._connect("ro&immutable=1")
            version = schema_version(reader, self.path)
        if version != len(STEPS):
            raise StoreFormatError(f"the store {self.path} is empty or of an older version; open it for writing once, which brings it up to date")
        return self._head(reader)

    def _connect(self, mode: str) -> sqlite3.Connection:
        """A connection that any thread may use; one at a time, see to that."""
        uri = f"{Path(self.path).as_uri()}?mode={mode}"
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
        except BaseException:
            connection.close()
            raise
        return connection

    def _head(self, connection: sqlite3.Connection) -> Head:
        """What is stored; its epoch is that of the last opening."""
        (openings,) = connection.execute("SELECT openings FROM head").fetchone() or (None,)
        if not isinstance(openings, int):
            raise self._damaged("its head")
        last = connection.execute("SELECT * FROM frames ORDER BY first_pos DESC LIMIT 1").fetchone()
        (self._snapshot_pos,) = connection.execute("SELECT max(pos) FROM snapshots").fetchone()
        next_pos = max(self._frame(last).end if last else 0, self._snapshot_pos or 0)
        return Head(openings - 1, next_pos, dict(connection.execute("SELECT key, value FROM meta ORDER BY key")))

    def _check_size(self, connection: sqlite3.Connection) -> None:
        """See whether the end of the file is missing, which sqlite would notice when it looks there and no earlier."""
        (pages,), (size,) = (connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size"))
        if pages * size > os.stat(self.path).st_size:
            raise StoreFormatError(f"the end of the store {self.path} is missing; use a copy of it")

    def _holder(self, connection: sqlite3.Connection) -> str:
        try:
            (process,) = connection.execute("SELECT process FROM head").fetchone()
        except (sqlite3.Error, TypeError):
            return "another process"  # it has just made it
        return "another world of this process" if process == self._process else f"process {process}"

    # Writing and reading

    def _to_write(self) -> sqlite3.Connection:
        if self._writer is None:
            reason = "was opened for reading only" if self._reader is not None else "is closed"
            raise JournalError(f"the store {self.path} {reason}; open it for writing")
        if os.getpid() != self._process:
            raise JournalError(f"the store {self.path} was opened by the process that this one was forked from; open it anew")
        try:
            moved = os.stat(self.path).st_ino != self._inode
        except OSError:
            moved = True
        if moved:  # sqlite would write on, into a file that nobody can find any more
            raise JournalError(f"the store {self.path} was moved, replaced or deleted while it is open; put it back, or open it anew")
        return self._writer

    def _select(self, statement: str, *arguments: int) -> list[Any]:
        with self._reading, self._translated("read"):
            if self._reader is None or os.getpid() != self._process:
                raise JournalError(f"the store {self.path} is closed; open it to read it")
            return self._reader.execute(statement, arguments).fetchall()

    def _frame(self, row: Any) -> Frame:
        first_pos, count, epoch, time, checksum, data = row
        numbers = first_pos, count, epoch, time
        if not isinstance(data, bytes) or not _are_whole(numbers) or _checksum(data, *numbers) != checksum or count < 1:
            raise self._damaged(f"the frame at position {first_pos}")
        return Frame(*numbers, data)

    def _version(self, row: Any) -> Version:
        entity, tag, adds, version, pos, checksum, data = row
        numbers = entity, adds, version, pos
        if not isinstance(data, bytes) or not isinstance(tag, str) or not _are_whole(numbers) or _checksum(data, *numbers, tag=tag) != checksum:
            raise self._damaged(f"{tag} of entity {entity}, as it was at position {pos},")
        return Version(entity, tag, version, pos, data, adds=bool(adds))

    # Errors

    def _damaged(self, what: str) -> StoreFormatError:
        return StoreFormatError(f"{what} in the store {self.path} is damaged; use a copy of it, or what stands before")

    @contextmanager
    def _translated(self, done: str) -> Generator[None]:
        """Turn sqlite's errors into ours."""
        try:
            yield
        except sqlite3.Error as error:
            code = _code(error)
            if code in _DAMAGED:
                raise StoreFormatError(f"{self.path} is no store of ecs_agent, or a damaged one ({error}); use a copy of it") from error
            raise JournalError(f"the store {self.path} could not be {done}: {_REASONS.get(code, error)}; it is as it was before") from error
        except OSError as error:
            raise JournalError(f"the store {self.path} could not be {done}: {error.strerror}; it is as it was before") from error


def _code(error: sqlite3.Error) -> int:
    """Sqlite's primary result code; 0 for errors that are not sqlite's."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _insert_snapshot(connection: sqlite3.Connection, snapshot: Snapshot) -> None:
    for version in snapshot.versions:
        if version.adds:
            before = "SELECT data IS NOT NULL FROM versions WHERE entity = ? AND tag = ? ORDER BY snapshot DESC LIMIT 1"
            if connection.execute(before, (version.entity, version.tag)).fetchone() != (1,):
                raise groundless(version)
    (number,) = connection.execute("SELECT coalesce(max(id), 0) + 1 FROM snapshots").fetchone()
    meta = bytes(snapshot.meta)
    connection.execute("INSERT INTO snapshots VALUES (?, ?, ?, ?)", (number, snapshot.pos, _checksum(meta, number, snapshot.pos), meta))
    connection.executemany("INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [_version_row(version, number) for version in snapshot.versions])


def _frame_row(frame: Frame) -> tuple[object, ...]:
    numbers = frame.first_pos, frame.count, frame.epoch, frame.time
    return *numbers, _checksum(frame.data, *numbers), frame.data


def _version_row(version: Version, snapshot: int) -> tuple[object, ...]:
    adds = int(version.adds)
    checksum = _checksum(version.data or b"", version.entity, adds, version.version, version.pos, tag=version.tag)
    return version.entity, version.tag, snapshot, adds, version.version, version.pos, checksum, version.data


def _checksum(data: bytes, *numbers: int, tag: str = "") -> int:
    return zlib.crc32(data, zlib.crc32(f"{numbers}{tag}".encode("utf-8", "surrogatepass")))


def _are_whole(numbers: tuple[object, ...]) -> bool:
    return all(isinstance(number, int) for number in numbers)
