"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from ecs_agent.errors import JournalError, StoreFormatError


def write_file(path: Path, content: bytes) -> None:
    """Write a file so that whoever opens it finds the old content or the new, also after a crash. Only its owner may read it.

    Raises:
        JournalError: it could not be written; what stood there before still does.
    """
    name = None
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.replace(name, path)
        name = None
        _sync_folder(path.parent)
    except OSError as error:
        raise JournalError(f"{path} could not be written: {error.strerror or error}; what stood there before is unchanged") from error
    finally:
        if name is not None:
            with suppress(OSError):
                os.unlink(name)


def _sync_folder(folder: Path) -> None:
    """Make the new name safe as well, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_file(path: Path) -> bytes:
    """A file's content.

    Raises:
        FileNotFoundError: there is no such file.
        StoreFormatError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreFormatError(f"{path} cannot be read: {error.strerror or error}") from error
