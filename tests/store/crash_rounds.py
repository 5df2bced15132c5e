"""Kills processes that write a journal, at moments that a seed draws, and looks at what is left. Run by `test_crash.py` in a process of its own,
since a process that forks must not have threads.

A writer appends stretches of 1 to 5 facts, now and then with a snapshot, and says over a pipe what was acknowledged. After each kill the store has
to open, to hold everything acknowledged and whole stretches only, and to go on from there.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from random import Random

import msgspec

from ecs_agent.core.log import Entry, Envelope, EventKind
from ecs_agent.store.engine import Frame, Snapshot, Version
from ecs_agent.store.journal import Journal
from ecs_agent.store.sqlite_engine import SqliteEngine
from ecs_agent.types import EntityId


def encode(entries: Iterable[Entry]) -> bytes:
    return msgspec.json.encode([[entry.pos, *entry.payloads()] for entry in entries])


def decode(frames: Iterable[Frame]) -> Iterator[Envelope]:
    for frame in frames:
        for pos, payload in msgspec.json.decode(frame.data):
            yield Envelope(frame.epoch, pos, None, 0, 0, 0, 0, None, EventKind.DERIVED, "Fact", 1, 0, payload)


def stretch(log: Journal, random: Random) -> None:
    """Append facts that belong together: each says where its stretch began and how long it is."""
    start, length = log.next_pos, random.randint(1, 5)
    for _ in range(length):
        payload = [start, length, "x" * random.choice([10, 10, 3000])]
        log.append(Envelope(log.epoch, log.next_pos, EntityId(1), 1, 0, 0, 0, None, EventKind.DERIVED, "Fact", 1, 0, payload))


async def write(path: str, pipe: int, random: Random) -> None:
    engine = SqliteEngine(path)
    log = Journal(engine, encode, decode)
    has_snapshot = engine.snapshot_at(log.next_pos) is not None
    while True:
        stretch(log, random)
        if random.random() < 0.1:
            mark = b"%d" % log.next_pos
            log.save(Snapshot(log.next_pos, mark, [Version(1, "A", 1, log.next_pos, mark, adds=has_snapshot)]))
            has_snapshot = True
        if random.random() < 0.5:
            os.write(pipe, b"%d\n" % await log.commit())
        else:
            await asyncio.sleep(0)


def killed(path: str, seed: int) -> int:
    """Have a process write until it is killed, and return the position that it was told last to be safe."""
    random = Random(seed)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            asyncio.run(write(path, writing, random))
        finally:
            traceback.print_exc()
            os._exit(1)
    os.close(writing)
    time.sleep(random.uniform(0.0, 0.08))  # chance decides what the process is at when it is killed
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the writer ended by itself"
    with os.fdopen(reading, "rb") as told:
        lines = told.read().split(b"\n")  # what comes behind the last line's end was not told
    return int(lines[-2]) if len(lines) > 1 else 0


def check(path: str, acknowledged: int) -> int:
    """See that a store is what a killed process may leave behind, and return where it ends."""
    engine = SqliteEngine(path)
    head = engine.open()
    assert head.next_pos >= acknowledged, f"{acknowledged} was acknowledged, {head.next_pos} is left"
    facts = list(decode(engine.frames()))
    assert [fact.pos for fact in facts] == list(range(head.next_pos))
    pos = 0
    while pos < head.next_pos:
        start, length, _ = facts[pos].payload
        assert [fact.payload[:2] for fact in facts[pos : pos + length]] == [[pos, length]] * length == [[start, length]] * length
        pos += length
    snapshot = engine.snapshot_at(head.next_pos)
    assert snapshot is None or snapshot.meta == snapshot.versions[-1].data == b"%d" % snapshot.pos
    engine.close()
    return head.next_pos


def main(folder: str, seed: int, rounds: int) -> None:
    path, acknowledged, ends = str(Path(folder) / "world.db"), 0, [0]
    for number in range(rounds):
        acknowledged = max(acknowledged, killed(path, seed * 1000 + number))
        ends.append(check(path, acknowledged))
    assert ends == sorted(ends)
    sys.stdout.write(f"{acknowledged} {ends[-1]} {sum(one < other for one, other in pairwise(ends))}\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
