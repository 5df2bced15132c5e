"""The log of a world that is stored: facts are gathered, and a thread writes them behind the world's back.

Rules:
* Appending costs a list's append. A *flush* takes everything so far and makes one transaction of it, between stretches of code and never in one,
  so that what belongs together is stored together.
* Acknowledged is what was appended before a `commit` that returned. It survives the end of the process at any moment after.
* A failed write loses nothing: what waits is tried again at every flush and commit until it is written; commits fail as long as it is not.
* What waits has a limit, `max_waiting`. A journal that reaches it breaks off: what came before is still written if that becomes possible, what
  comes after is not, and every commit fails. The store then holds a past of the world that is whole.
* A fact that is no data cannot be written. What becomes of it is told in `salvage`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Final, Literal, Self, TypeAlias

from ecs_agent.core.log import Burst, Entry, Envelope
from ecs_agent.errors import JournalError, LogTruncatedError, StoreError, UnsavableError
from ecs_agent.store.backlog import Backlog
from ecs_agent.store.engine import Frame, JournalEngine, Snapshot
from ecs_agent.store.salvage import Salvage
from ecs_agent.store.writer import Job, Waiter, Writer
from ecs_agent.types import EntityId

Durability: TypeAlias = Literal["event", "turn", "exit"]

BURST_DELAY: Final = 0.05
"""Seconds that deltas wait for more of them."""

BURST_FACTS: Final = 4096
"""How many deltas do not wait any longer."""

EXIT_FACTS: Final = 65_536
"""How many facts are written even before the exit."""

FRAME_ENTRIES: Final = 4096
"""A flush of more entries is several frames in one transaction, since whoever reads takes a frame at a time."""

_NEVER: Final = sys.maxsize


class Journal:
    """A `Log` over an engine, which it opens, and closes at its end.

    Attributes:
        head: what the engine knew when it was opened.
        epoch: how often it was opened before.
        next_pos: the position the next fact gets.
        on_failure: called once whenever writing begins to fail, for each fact that is lost, and when the journal breaks off.

    Args:
        engine: where facts are stored.
        encode: a frame's data. It is called on the loop's thread, soon after the entries were appended.
        decode: the facts of frames, which follow each other.
        durability: when facts that nobody commits are written. "turn": at the end of each turn of the event loop, except that bursts wait up to
            50 ms for more. "event": bursts do not wait. "exit": at the end, and whenever 65,536 have gathered. `commit` writes in any case.
            Facts that come while no event loop runs wait for one, or for as many.
        max_waiting: bytes that may wait for the engine.
        on_failure: see there.

    Raises:
        StoreError: the engine cannot be opened.
    """

    keeps_changes = True

    def __init__(
        self,
        engine: JournalEngine,
        encode: Callable[[Sequence[Entry]], bytes],
        decode: Callable[[Iterable[Frame]], Iterator[Envelope]],
        *,
        durability: Durability = "turn",
        max_waiting: int = 256 << 20,
        on_failure: Callable[[StoreError], object] | None = None,
    ) -> None:
        if durability not in {"event", "turn", "exit"}:
            raise ValueError(f"durability is {durability!r}; it is event, turn or exit")
        if max_waiting < 1:
            raise ValueError(f"max_waiting is {max_waiting}; some bytes have to wait")
        self.on_failure = on_failure
        self._engine, self._decode, self._durability, self._max_waiting = engine, decode, durability, max_waiting
        self._process = os.getpid()
        self.head = engine.open()
        self.epoch = self.head.epoch
        self.next_pos = self._flushed = self._handed = self._heard = self.head.next_pos
        self._writer = Writer(engine, self.next_pos)
        self._salvage = Salvage(encode)
        self._entries: list[Entry] = []
        self._waiters: list[Waiter] = []
        self._backlog = Backlog()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due: asyncio.Handle | None = None
        self._fact_due = self._burst_due = 0
        self._reported = 0
        self._broken: StoreError | None = None
        self._closed = False
        self._finalizer = weakref.finalize(self, self._writer.leave, self._process)
        self._rest()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def committed(self) -> int:
        """The position behind the last fact that is durable."""
        return self._writer.committed

    @property
    def failed(self) -> StoreError | None:
        """Why facts cannot be written at the moment, or at all any more; None if they can."""
        return self._broken or self._writer.error

    @property
    def unsaved(self) -> dict[tuple[EntityId | None, type], UnsavableError]:
        """Components whose state in the journal is not their state, and why. Whoever stores one as a whole, in a snapshot, takes it out."""
        return self._salvage.unsaved

    def append(self, envelope: Envelope) -> None:
        """Take the next fact. One that comes after the end is dropped: its world is closed."""
        if (self.next_pos >= self._fact_due or ((loop := self._loop) is not None and loop.is_closed())) and not self._arrange(0.0):
            return
        self.next_pos += 1
        self._entries.append(envelope)

    def extend(self, burst: Burst) -> None:
        """Take the next facts, which arrived together."""
        if (self.next_pos >= self._burst_due or ((loop := self._loop) is not None and loop.is_closed())) and not self._arrange(BURST_DELAY):
            return
        self.next_pos += len(burst.items)
        self._entries.append(burst)

    def read(self, from_pos: int = 0) -> Iterator[Envelope]:
        """The facts from a position on: those that are stored, and those that wait to be.

        Raises:
            JournalError: the journal is closed.
            LogTruncatedError: the store begins behind this position.
            StoreFormatError: a frame is damaged.
        """
        self._check_usable()
        entries = list(self._entries)
        waiting = [frame for frame in self._backlog.frames if frame.end > from_pos]
        stored_end = self._backlog.frames[0].first_pos if self._backlog.frames else self._handed
        stored = self._engine.frames(from_pos, stored_end)
        first: list[Frame] = []
        if from_pos < stored_end:
            first = [frame for frame in [next(stored, None)] if frame is not None]
            if not first or first[0].first_pos > from_pos:
                raise LogTruncatedError(f"position {from_pos} is not in the store, which begins later; read from a later one")
        return chain(
            (fact for fact in self._decode(chain(first, stored, waiting)) if fact.pos >= from_pos),
            (fact for entry in entries for fact in _facts(entry, from_pos)),
        )

    async def commit(self, entity: EntityId | None = None) -> int:
        """Wait until everything appended so far is durable, and return the position behind it. Commits of one turn of the loop are one write.

        A cancelled commit is written all the same.

        Args:
            entity: whose components have to be savable; None for everybody's.

        Raises:
            JournalError: it could not be written, the journal broke off, or is closed.
            UnsavableError: something that should be in the journal is no data; see `salvage`. An event is missed by one commit, a component by all
                until it can be written.
        """
        self._check_usable()
        loop, end = asyncio.get_running_loop(), self.next_pos
        if self._broken is not None:
            raise _again(self._broken)
        if (self._heard if hasattr(loop, "outside") else self._writer.committed) < end:
            waiter: Waiter = loop.create_future()
            self._waiters.append(waiter)
            self._arrange(0.0)
            error = await waiter
            if error is not None:
                raise _again(error)
        self._check_saved(entity)
        return end

    def flush(self) -> None:
        """Hand everything so far to the writer, without waiting for it.

        Raises:
            JournalError: the journal is closed.
        """
        self._check_usable()
        self._flush()

    def save(self, snapshot: Snapshot) -> None:
        """Hand over a snapshot of now, behind everything so far; without waiting for it.

        Raises:
            JournalError: the journal is closed.
        """
        self._check_usable()
        self._flush(snapshot)

    async def aclose(self) -> None:
        """Write what waits, and close the engine. It is closed in any case, also when this is cancelled. May be called again.

        Raises:
            JournalError: not everything could be written. What could not is lost; `commit` before, to be able to try again.
            UnsavableError: something that should be in the journal is no data.
        """
        if not self._closed and not self._is_foreign():
            waiter: Waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            self._finish()
            await waiter
            self._conclude()

    def close(self) -> None:
        """The same without an event loop, or blocking it."""
        if not self._closed and not self._is_foreign():
            self._finish()
            self._conclude()

    # When

    def _arrange(self, delay: float) -> bool:
        """Have a flush come, after a delay if it is for a burst that may wait; False when the journal is closed and takes no facts any more."""
        if self._closed:
            return False
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            if self.next_pos - self._flushed >= EXIT_FACTS:
                self._flush()
            return True
        if self._due is not None:
            self._due.cancel()
        self._loop = loop
        if delay and self._durability == "turn" and self.next_pos - self._flushed < BURST_FACTS:
            self._due = loop.call_later(delay, self._flush)
            self._burst_due = self._flushed + BURST_FACTS
        else:
            self._due = loop.call_soon(self._flush)
            self._fact_due = self._burst_due = _NEVER
        return True

    def _rest(self) -> None:
        """Nothing is due until the next fact."""
        if self._due is not None:
            self._due.cancel()
        self._due = self._loop = None
        self._fact_due = self._burst_due = self._flushed + EXIT_FACTS if self._durability == "exit" else 0

    # Writing

    def _flush(self, snapshot: Snapshot | None = None, *, final: bool = False) -> None:
        if self._closed or self._is_foreign():
            return
        entries, self._entries = self._entries, []
        waiters, self._waiters = self._waiters, []
        frames = self._frames(entries)
        self._flushed = self.next_pos
        self._rest()
        if frames:
            self._handed = frames[-1].end
        if self._broken is not None:
            snapshot = None
        if frames or waiters or snapshot is not None or final or self._writer.error is not None:
            self._hand_over(Job(frames, snapshot, self._handed, self._over, waiters, final=final))
        self._backlog.add(frames, self._writer.committed)
        if self._backlog.size > self._max_waiting and self._broken is None:
            error = self._writer.error
            self._break_off(f"{self._backlog.size} bytes wait to be written, which is too much" + (f": {error}" if error else ""), error)
        news, self._salvage.news = self._salvage.news, []
        for error in news:
            self._report(error)

    def _frames(self, entries: list[Entry]) -> list[Frame]:
        """Entries as frames; none once the journal broke off."""
        frames: list[Frame] = []
        if self._broken is not None:
            return frames
        for start in range(0, len(entries), FRAME_ENTRIES):
            part = entries[start : start + FRAME_ENTRIES]
            pos = frames[-1].end if frames else self._flushed
            end = self.next_pos if start + FRAME_ENTRIES >= len(entries) else entries[start + FRAME_ENTRIES].pos
            try:
                data = self._salvage.encode(part)
            except Exception as error:  # noqa: BLE001 - not even what stands for lost facts can be written
                self._break_off(f"facts cannot be encoded ({type(error).__name__}: {error})", error)
                break
            frames.append(Frame(pos, end - pos, self.epoch, part[-1].time, data))
            self._framed()
        return frames

    def _framed(self) -> None:
        """What was encoded last is in a frame now; for who follows what is stored. What holds a fact that is no data is encoded more than once."""

    def _hand_over(self, job: Job) -> None:
        loop = _running_loop() or (job.waiters[-1].get_loop() if job.waiters else None)
        if not self._engine.blocks:
            pass  # it is over at once
        elif loop is None:
            if self._writer.error is not None:
                self._report_failure(self._writer.error)
        elif (outside := getattr(loop, "outside", None)) is None:
            job.tell = loop.call_soon_threadsafe
        else:  # a loop on virtual time has to know, or its clock would run ahead of the thread
            done: Waiter = loop.create_future()
            job.waiters.append(done)
            job.tell = outside(done)
        self._writer.put(job)

    def _over(self, end: int, waiters: list[Waiter], error: StoreError | None) -> None:
        """A job was written or failed; on the loop's thread."""
        if error is None:
            self._heard = max(self._heard, end)
        for waiter in waiters:
            if not waiter.done() and not waiter.get_loop().is_closed():
                waiter.set_result(error or (self._broken if end < self._flushed else None))
        if error is not None:
            self._report_failure(error)

    def _break_off(self, reason: str, cause: Exception | None) -> None:
        self._broken = JournalError(f"the journal broke off at position {self.next_pos}: {reason}; close the world and open the store again")
        self._broken.__cause__ = cause
        self._report(self._broken)

    # Errors

    def _report_failure(self, error: StoreError) -> None:
        """Report that writing fails, once until it succeeds again."""
        if self._reported != self._writer.failures:
            self._reported = self._writer.failures
            self._report(error)

    def _report(self, error: StoreError) -> None:
        if self.on_failure is not None:
            self.on_failure(error)

    def _is_foreign(self) -> bool:
        """Whether this is a process that was forked off: the thread is not here, and the files are the parent's."""
        return os.getpid() != self._process

    def _check_usable(self) -> None:
        if self._closed:
            raise JournalError("the journal is closed; open the store again to go on")
        if self._is_foreign():
            raise JournalError("the journal belongs to the process that this one was forked from; open another store here")

    def _check_saved(self, entity: EntityId | None) -> None:
        salvage = self._salvage
        for owner in list(salvage.lost):
            if entity is None or owner == entity:
                raise _again(salvage.lost.pop(owner))
        for (owner, _), error in salvage.unsaved.items():
            if entity is None or owner == entity:
                raise _again(error)

    # Closing

    def _finish(self) -> None:
        self._flush(final=True)
        self._rest()
        self._closed = True
        self._finalizer.detach()

    def _conclude(self) -> None:
        self._writer.join()
        error = self.failed
        if error is not None:
            raise JournalError(f"the journal was closed before everything was written: {error}") from error
        self._check_saved(None)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _facts(entry: Entry, from_pos: int) -> Iterator[Envelope]:
    return iter((entry,) if entry.pos >= from_pos else ()) if isinstance(entry, Envelope) else entry.facts(max(0, from_pos - entry.pos))


def _again(error: StoreError) -> StoreError:
    """The same error for one more who is to have it, as one that is raised collects what it passes."""
    copy = type(error)(*error.args)
    copy.__cause__ = error
    return copy
