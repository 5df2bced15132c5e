"""A journal in memory: for tests, and for worlds that want history and no file."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter

from ecs_agent.errors import JournalError, StoreInUseError
from ecs_agent.store.engine import Frame, Head, Snapshot, Version, checked, groundless


class MemoryEngine:
    """Keeps frames and snapshots in lists. What it holds outlives `close`, so that a world can be opened from it again."""

    blocks = False

    def __init__(self) -> None:
        self._openings = 0
        self._open = False
        self._next_pos = 0
        self._frames: list[Frame] = []
        self._snapshots: list[Snapshot] = []
        self._existing: set[tuple[int, str]] = set()
        self._meta: dict[str, str] = {}

    def open(self) -> Head:
        """Begin once more.

        Raises:
            StoreInUseError: it is open.
        """
        if self._open:
            raise StoreInUseError("this store in memory is open in another world; close that first")
        self._open = True
        self._openings += 1
        return Head(self._openings - 1, self._next_pos, dict(self._meta))

    def write(self, frames: Sequence[Frame], snapshot: Snapshot | None = None) -> None:
        """Keep frames and a snapshot.

        Raises:
            JournalError: it is closed.
            ValueError: they break the rules.
        """
        self._check_open()
        newest = self._snapshots[-1].pos if self._snapshots else None
        next_pos = checked(frames, snapshot, next_pos=self._next_pos, snapshot_pos=newest)
        if snapshot is not None:
            for version in snapshot.versions:
                if version.adds and (version.entity, version.tag) not in self._existing:
                    raise groundless(version)
            for version in snapshot.versions:
                (self._existing.discard if version.data is None else self._existing.add)((version.entity, version.tag))
            self._snapshots.append(snapshot)
        self._frames += frames
        self._next_pos = next_pos

    def frames(self, from_pos: int = 0, to_pos: int | None = None) -> Iterator[Frame]:
        """The frames that hold any of these positions, as they are now."""
        self._check_open()
        start = bisect_right(self._frames, from_pos, key=attrgetter("end"))
        stop = len(self._frames) if to_pos is None else max(start, bisect_right(self._frames, to_pos - 1, key=attrgetter("first_pos")))
        return iter(self._frames[start:stop] if to_pos is None or to_pos > from_pos else [])

    def snapshot_at(self, pos: int) -> Snapshot | None:
        """The newest snapshot at or before a position, complete."""
        self._check_open()
        count = bisect_right(self._snapshots, pos, key=attrgetter("pos"))
        if not count:
            return None
        versions: dict[tuple[int, str], list[Version]] = {}
        for snapshot in self._snapshots[:count]:
            for version in snapshot.versions:
                key = version.entity, version.tag
                if version.adds:
                    versions[key].append(version)
                elif version.data is None:
                    versions.pop(key, None)
                else:
                    versions[key] = [version]
        newest = self._snapshots[count - 1]
        return Snapshot(newest.pos, newest.meta, [version for key in sorted(versions) for version in versions[key]])

    def put_meta(self, values: Mapping[str, str]) -> None:
        """Note values under keys.

        Raises:
            JournalError: it is closed.
        """
        self._check_open()
        self._meta.update(values)

    def close(self) -> None:
        """Have the next `open` begin once more."""
        self._open = False

    def _check_open(self) -> None:
        if not self._open:
            raise JournalError("the store in memory is closed; open it again to use it")
