"""That one world at a time writes a store in a file."""

from __future__ import annotations

import os
import sqlite3
from typing import Final

from ecs_agent.errors import StoreInUseError

PRIVATE: Final = 0o600
"""The mode of the files of a store: conversations are nobody else's business."""


class StoreLock:
    """Holds a lock on `path`-lock until it is released or the process is gone, however it ends. The file stays; it is empty.

    The lock is the exclusive one of an sqlite database in which nothing ever stands: it works on every system that sqlite does, also between
    worlds of one process, and children that a process forks off do not inherit it.

    Args:
        path: of the store.

    Raises:
        StoreInUseError: somebody holds it.
        sqlite3.Error: the file cannot be had.
    """

    def __init__(self, path: str) -> None:
        lock = f"{path}-lock"
        create_private(lock)
        self._connection = sqlite3.connect(lock, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            self._connection.execute("PRAGMA journal_mode = OFF")
            self._connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            self._connection.close()
            if is_busy(error):
                raise StoreInUseError(f"the store {path} is open for writing in another world or process; close that first") from error
            raise

    def release(self) -> None:
        """Let others in."""
        self._connection.close()


def create_private(path: str) -> None:
    """Make an empty file that its owner alone reads, if there is none.

    One that exists is not even opened: closing a file drops all locks that this process holds on it.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, PRIVATE))
    except FileExistsError:
        pass


def is_busy(error: sqlite3.Error) -> bool:
    """Whether somebody else holds what was asked for."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
