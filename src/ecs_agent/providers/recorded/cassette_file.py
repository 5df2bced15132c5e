"""The file of a cassette while it is recorded: lines are appended beside an earlier file, which is replaced at the end at once, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from ecs_agent.errors import StoreError
from ecs_agent.providers.recorded.cassette_line import VERSION, Header
from ecs_agent.providers.recorded.request_data import to_json


class CassetteFile:
    """Appends to `<path>.part`. What goes wrong is kept for `close`, since a recording never disturbs what it records.

    Args:
        path: where the file is to stand in the end.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._part = path.with_name(f"{path.name}.part")
        self._failure: Exception | None = None
        self._begun = False

    def append(self, *lines: msgspec.Struct) -> None:
        """Write lines, behind the header if they are the first."""
        if self._failure is not None:
            return
        mode, written = ("ab", lines) if self._begun else ("wb", (Header(version=VERSION), *lines))
        self._begun = True
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._part.open(mode) as file:
                file.write(b"".join([to_json(line) + b"\n" for line in written]))
        except (OSError, TypeError, ValueError, RecursionError) as error:
            self.spoil(error)

    def spoil(self, failure: Exception) -> None:
        """The recording lacks something, so it is not to be used."""
        self._failure = self._failure or failure

    def close(self) -> None:
        """Put the file in its place.

        Raises:
            StoreError: something could not be written, or recorded.
        """
        if not self._begun:
            self.append()
        if self._failure is None:
            try:
                self._put_in_place()
            except OSError as error:
                self.spoil(error)
        if self._failure is not None:
            raise StoreError(f"the cassette {self.path} could not be recorded, and is as it was before: {self._failure}") from self._failure

    def _put_in_place(self) -> None:
        with self._part.open("rb+") as file:
            os.fsync(file.fileno())
        self._part.replace(self.path)
