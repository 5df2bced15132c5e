"""What stores a journal: the small protocol behind which sqlite, memory, or a server's database stands.

Rules that every engine keeps (`tests/store/engine_suite.py` holds them to it):
* A write is whole or not at all, also when the process is killed in it. When it raises, the store is as it was before, and the same write may be
  tried again.
* Positions have no gaps: a frame begins where the one before it ended.
* What is written is never changed. Data are bytes that the engine does not look into; it notices when they were damaged.
* One opening at a time may write. Its epoch is stored at once, so that no two openings share one.
* An engine raises `JournalError`, `StoreFormatError` and `StoreInUseError`, and ValueError for a write that breaks these rules; nothing else.

An engine is called from one thread at a time, except that `frames` and `snapshot_at` may run while another thread writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import msgspec


class Frame(msgspec.Struct, frozen=True):
    """Facts that became durable together: `count` of them, the first at `first_pos`; `time` is that of the last, UTC in nanoseconds."""

    first_pos: int
    count: int
    epoch: int
    time: int
    data: bytes

    @property
    def end(self) -> int:
        """The position behind the last fact."""
        return self.first_pos + self.count


class Version(msgspec.Struct, frozen=True):
    """A component of an entity as it is at `pos`. `version` is that of the shape of its data.

    `adds` says that it is not the whole component but something to add to the version before it, as the new messages of a conversation are.
    Data that are None say that the component is gone.
    """

    entity: int
    tag: str
    version: int
    pos: int
    data: bytes | None
    adds: bool = False


class Snapshot(msgspec.Struct, frozen=True):
    """The state behind the fact before `pos`: of each component that changed since the snapshot before this, one version.

    `meta` is whatever else belongs to the state.
    """

    pos: int
    meta: bytes
    versions: Sequence[Version]


class Head(msgspec.Struct, frozen=True):
    """What an engine knows when it was opened: how often it was before, the position of the next fact, and what was noted with `put_meta`."""

    epoch: int
    next_pos: int
    meta: Mapping[str, str]


class JournalEngine(Protocol):
    """Stores frames and snapshots in the order of their positions; the rules are those of the module."""

    @property
    def blocks(self) -> bool:
        """Whether `write` may wait for something, as for a disk: it is then called in a thread of its own."""
        ...

    def open(self) -> Head:
        """Begin. The epoch of this opening is stored before this returns.

        Raises:
            StoreInUseError: someone else has it open.
            StoreFormatError: it is no store of ours, a damaged one, or one of a newer version.
            JournalError: it cannot be reached.
        """
        ...

    def write(self, frames: Sequence[Frame], snapshot: Snapshot | None = None) -> None:
        """Store frames, and a snapshot behind them, in one transaction.

        A snapshot's `pos` is at most the end of these frames. It has at most one version of a component, and one that adds stands behind an
        earlier one that is not gone. Into an empty store a snapshot of any `pos` may be written without frames; facts then go on from there.

        Raises:
            JournalError: it could not be written.
            ValueError: frames or snapshot break the rules.
        """
        ...

    def frames(self, from_pos: int = 0, to_pos: int | None = None) -> Iterator[Frame]:
        """The frames that hold any position from `from_pos` to before `to_pos`, in order.

        Raises:
            StoreFormatError: one of them is damaged or missing.
        """
        ...

    def snapshot_at(self, pos: int) -> Snapshot | None:
        """The newest snapshot at or before a position, complete; None if there is none.

        For each component that exists then, its versions are those from which it can be built: the newest whole one and those that add to it,
        in this order, sorted by entity and tag.

        Raises:
            StoreFormatError: it is damaged.
        """
        ...

    def put_meta(self, values: Mapping[str, str]) -> None:
        """Note values under keys, in place of what stood there; all of them or none.

        Raises:
            JournalError: they could not be written.
        """
        ...

    def close(self) -> None:
        """Let go of everything. May be called again."""
        ...


def checked(frames: Sequence[Frame], snapshot: Snapshot | None, *, next_pos: int, snapshot_pos: int | None) -> int:
    """The position behind a write, after a look at whether it keeps the rules. For engines.

    Args:
        frames: what is to be written.
        snapshot: behind them.
        next_pos: where the store ends.
        snapshot_pos: that of its newest snapshot.

    Raises:
        ValueError: it breaks a rule.
    """
    end = next_pos
    for frame in frames:
        if frame.first_pos != end:
            raise ValueError(f"a frame begins at position {frame.first_pos}, but the journal ends at {end}")
        if frame.count < 1:
            raise ValueError(f"the frame at position {end} has {frame.count} facts; it needs at least one")
        end = frame.end
    if snapshot is None:
        return end
    is_empty = next_pos == 0 and snapshot_pos is None and not frames
    if (snapshot.pos > end and not is_empty) or snapshot.pos < (snapshot_pos or 0):
        raise ValueError(f"a snapshot at position {snapshot.pos} does not fit: the journal ends at {end}, the newest snapshot is at {snapshot_pos}")
    if len({(version.entity, version.tag) for version in snapshot.versions}) < len(snapshot.versions):
        raise ValueError(f"the snapshot at position {snapshot.pos} has two versions of one component")
    if any(version.adds and version.data is None for version in snapshot.versions):
        raise ValueError(f"the snapshot at position {snapshot.pos} has a version that adds nothing")
    return max(end, snapshot.pos)


def groundless(version: Version) -> ValueError:
    """The error of a version that adds to nothing."""
    return ValueError(f"a version of {version.tag} of entity {version.entity} adds to one that is not there")
