"""A store once more, in another place: with any engine, and while somebody else writes the first one."""

from __future__ import annotations

from ecs_agent.errors import StoreInUseError
from ecs_agent.store.engine import Frame, JournalEngine, Snapshot

_FRAMES_AT_ONCE = 256


def copy_store(source: JournalEngine, target: JournalEngine) -> None:
    """Copy what a store holds at the moment: every fact, and the newest snapshot. Neither may be open; both are closed afterwards.

    Raises:
        StoreInUseError: the target holds something.
        StoreError: one cannot be read, the other cannot be written.
    """
    head = source.open()
    try:
        made = target.open()
        try:
            if made.next_pos or made.meta:
                raise StoreInUseError("a store is copied to a new place; this one holds a world")
            end = _copy(source, target, head.next_pos)
            newest = source.snapshot_at(end)
            if newest is not None and newest.pos > 0:
                target.write([], newest)
            target.put_meta(head.meta)
        finally:
            target.close()
        for _ in range(head.epoch - made.epoch):  # the next opening is to be a later one than all that wrote these facts
            target.open()
            target.close()
    finally:
        source.close()


def _copy(source: JournalEngine, target: JournalEngine, end: int) -> int:
    """Copy the frames, behind what the store began with; the position behind the last."""
    beginning: Snapshot | None = source.snapshot_at(0)
    if beginning is not None:
        target.write([], beginning)
    batch: list[Frame] = []
    copied = 0
    for frame in source.frames(0, end):
        batch.append(frame)
        copied = frame.end
        if len(batch) >= _FRAMES_AT_ONCE:
            target.write(batch)
            batch = []
    target.write(batch)
    return copied
