"""The thread that writes a journal: it takes whatever waits when it is free, and writes that in one transaction."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Final, TypeAlias

from ecs_agent.errors import JournalError, StoreError
from ecs_agent.store.engine import Frame, JournalEngine, Snapshot

TRANSACTION_BYTES: Final = 8 << 20
"""How much is written at once, jobs being whole: while a disk is full, each attempt tries this much again and not all that waits."""

LEAVING_SECONDS: Final = 5.0

Waiter: TypeAlias = "asyncio.Future[StoreError | None]"


@dataclass(slots=True, eq=False)
class Job:
    """What one flush hands over, and who waits until everything before `end` is durable.

    When it was written or failed, `tell` is called, in the writer's thread, with `ended`, `end`, the waiters and the error. It is not called when
    it was written and nobody waits. `final` says that the engine is closed behind it.
    """

    frames: Sequence[Frame]
    snapshot: Snapshot | None
    end: int
    ended: Callable[[int, list[Waiter], StoreError | None], object]
    waiters: list[Waiter] = field(default_factory=list[Waiter])
    tell: Callable[..., object] | None = None
    final: bool = False


class Writer:
    """Writes jobs in their order. What fails is kept and written before the next job.

    The thread is a daemon, starts with the first job, and knows the journal only by the jobs in hand, so that one that is dropped unclosed goes.
    An engine that does not block needs no thread: a job is over when `put` returns.

    Attributes:
        committed: the position behind the last durable fact. Set by the thread.
        error: why the last attempt failed; None if it did not. Set by the thread.
        failures: how often writing began to fail.
    """

    def __init__(self, engine: JournalEngine, committed: int) -> None:
        self.committed = committed
        self.error: StoreError | None = None
        self.failures = 0
        self._engine = engine
        self._held: list[Job] = []
        self._queue: SimpleQueue[Job] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def put(self, job: Job) -> None:
        """Hand a job over."""
        if not self._engine.blocks:
            job.tell = _at_once
        if not self._engine.blocks or (job.final and self._thread is None and not job.frames):
            self._work([job])
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="ecs_agent-journal", daemon=True)
            self._thread.start()
        self._queue.put(job)

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end of the thread, which comes behind the final job."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def leave(self, process: int) -> None:
        """Write what was handed over and close the engine, for a journal that nobody closed; unless it is that of a parent process."""
        if os.getpid() == process:
            self.put(Job((), None, self.committed, _nobody, final=True))
            self.join(LEAVING_SECONDS)

    def _run(self) -> None:
        final = False
        while not final:
            jobs = [self._queue.get()]
            try:
                while True:
                    jobs.append(self._queue.get_nowait())
            except Empty:
                pass
            final = jobs[-1].final
            self._work(jobs)
            del jobs  # a thread that waits keeps nothing alive

    def _work(self, jobs: list[Job]) -> None:
        held = self._held
        held += jobs
        while held:
            batch = self._next_batch()
            if not self._write(batch):
                break
            del held[: len(batch)]
            if batch[-1].final:
                self._engine.close()
            _tell(batch, None)
        if held:
            if held[-1].final:
                self._engine.close()
            _tell(held, self.error)

    def _next_batch(self) -> list[Job]:
        size = 0
        for count, job in enumerate(self._held, start=1):
            size += sum(len(frame.data) for frame in job.frames)
            if job.snapshot is not None or size >= TRANSACTION_BYTES:  # a transaction has one snapshot, behind its frames
                return self._held[:count]
        return self._held[:]

    def _write(self, batch: list[Job]) -> bool:
        frames = [frame for job in batch for frame in job.frames]
        snapshot = batch[-1].snapshot
        failed = self.error is not None
        try:
            if frames or snapshot is not None:
                self._engine.write(frames, snapshot)
        except StoreError as error:
            self.error = error
        except Exception as error:  # noqa: BLE001 - an engine of somebody else's; what waits for it must hear of it
            self.error = JournalError(f"the journal could not be written: {type(error).__name__}: {error}")
            self.error.__cause__ = error
        else:
            self.error = None
            self.committed = max(self.committed, batch[-1].end)
            return True
        self.failures += not failed
        return False


def _tell(jobs: list[Job], error: StoreError | None) -> None:
    """Have everyone know who does not yet. A job that failed is told so once; it is tried again all the same."""
    for job in jobs:
        tell, job.tell = job.tell, None
        waiters, job.waiters = job.waiters, []
        if tell is not None and (waiters or error is not None):
            try:
                tell(job.ended, job.end, waiters, error)
            except RuntimeError:
                pass  # the loop was closed: nobody waits any more


def _at_once(callback: Callable[..., object], *args: object) -> None:
    callback(*args)


def _nobody(end: int, waiters: list[Waiter], error: StoreError | None) -> None:
    """To whom the end of a journal is told that is gone."""
