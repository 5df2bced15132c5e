"""Threads for tools that block.

The standard library's pool waits at interpreter exit for whatever still runs in it, so one stuck tool would keep a process from ending. These
threads are daemons: a call that is given up is left behind and counted, and the process may end.
"""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, TypeVar

from ecs_agent.errors import ToolError, ToolTimeoutError

T = TypeVar("T")

_CLOSING_WAIT = 0.1


class ToolThreads:
    """Up to `size` threads, started when needed and kept until `aclose`; it belongs to whoever makes it.

    Attributes are read at any time: `abandoned` counts the calls that were given up while they ran, `stuck` those of them that still occupy
    a thread, `busy` the threads that run something.
    """

    def __init__(self, size: int = 32) -> None:
        if size < 1:
            raise ValueError(f"size is {size}; a pool needs at least one thread")
        self._queue = _Queue(size)
        # Threads know the queue only, so a pool that is dropped without aclose lets them go, too.
        self._finalizer = weakref.finalize(self, self._queue.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def abandoned(self) -> int:
        """How many calls were given up, by timeout or cancel, while they ran."""
        return self._queue.abandoned

    @property
    def stuck(self) -> int:
        """How many threads are occupied by calls that were given up."""
        return self._queue.stuck

    @property
    def busy(self) -> int:
        """How many threads run something."""
        return self._queue.busy

    async def run(self, function: Callable[[], T], *, timeout: float, name: str = "The call") -> T:
        """Call `function` in a thread, in a copy of the current context, and return its result.

        The time limit includes the wait for a free thread. When it passes, or the task is cancelled, the call is dropped if it had not begun;
        otherwise it runs on, unheard.

        Args:
            function: what may block.
            timeout: seconds.
            name: how errors call it.

        Raises:
            ToolTimeoutError: the time passed.
            ToolError: the pool is closed.
            BaseException: what the function raised.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_Ended | None] = loop.create_future()
        outside = getattr(loop, "outside", None)  # a loop on virtual time has to know, or its clock would run ahead of the thread
        job = _Job(partial(copy_context().run, function), future, loop.call_soon_threadsafe if outside is None else outside(future))
        self._queue.put(job)
        timer = loop.call_later(timeout, _deliver, job.future, None)
        try:
            ended = await job.future
        except asyncio.CancelledError:
            self._queue.give_up(job)
            raise
        finally:
            timer.cancel()
        if ended is None:
            raise ToolTimeoutError(self._too_late(timeout, name, begun=self._queue.give_up(job)))
        if ended.error is not None:
            try:
                raise ended.error
            finally:
                del ended  # its traceback leads back here
        return ended.value  # type: ignore[no-any-return]

    def _too_late(self, timeout: float, name: str, *, begun: bool) -> str:
        if begun:
            return f"{name} took longer than {timeout:g} s; its result will be dropped."
        return (
            f"{name} found no free thread within {timeout:g} s: all {self._queue.size} are busy, "
            f"{self._queue.stuck} of them with calls that were given up and do not end."
        )

    async def aclose(self) -> None:
        """End idle threads, drop what waits, and leave behind what runs. May be called again."""
        self._finalizer.detach()
        self._queue.close()
        deadline = time.monotonic() + _CLOSING_WAIT
        for thread in self._queue.idle_threads():  # they have nothing to do but to end: microseconds
            thread.join(max(0.0, deadline - time.monotonic()))


@dataclass(frozen=True, slots=True)
class _Ended:
    value: Any
    error: BaseException | None


@dataclass(slots=True, eq=False)
class _Job:
    work: Callable[[], Any]
    future: asyncio.Future[_Ended | None]
    tell: Callable[..., object]
    running: bool = False
    abandoned: bool = False

    def post(self, ended: _Ended) -> None:
        """Hand the result to the loop, from any thread."""
        try:
            self.tell(_deliver, self.future, ended)
        except RuntimeError:
            pass  # the loop was closed: nobody waits any more


def _deliver(future: asyncio.Future[_Ended | None], ended: _Ended | None) -> None:
    if not future.done():
        future.set_result(ended)


class _Queue:
    """What waits and what runs; every method may be called from any thread.

    The lock is re-entrant because the garbage collector may run `close` in a thread that holds it.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.abandoned = self.stuck = self.busy = 0
        self._wake = threading.Condition(threading.RLock())
        self._waiting: deque[_Job] = deque()
        self._idle: dict[threading.Thread, None] = {}
        self._started = 0
        self._closed = False

    def put(self, job: _Job) -> None:
        with self._wake:
            if self._closed:
                raise ToolError("The tool threads are closed.")
            if len(self._idle) <= len(self._waiting) and self._started < self.size:
                threading.Thread(target=_work, args=(self,), name=f"ecs_agent-tool-{self._started + 1}", daemon=True).start()
                self._started += 1
            self._waiting.append(job)
            self._wake.notify()

    def take(self) -> _Job | None:
        """Wait for work; None says that the thread shall end."""
        this = threading.current_thread()
        with self._wake:
            self._idle[this] = None
            while not self._waiting and not self._closed:
                self._wake.wait()
            if not self._waiting:
                return None  # it stays among the idle, where `aclose` finds it to wait for its end
            del self._idle[this]
            job = self._waiting.popleft()
            job.running = True
            self.busy += 1
            return job

    def finish(self, job: _Job) -> None:
        with self._wake:
            self._idle[threading.current_thread()] = None  # before the result is told, or the next call would start a thread for nothing
            job.running = False
            self.busy -= 1
            self.stuck -= job.abandoned

    def give_up(self, job: _Job) -> bool:
        """Nobody waits for this job any more; returns whether it had begun."""
        with self._wake:
            if job in self._waiting:
                self._waiting.remove(job)
                return False
            self.abandoned += 1
            if job.running:
                job.abandoned = True
                self.stuck += 1
            return True

    def close(self) -> None:
        with self._wake:
            self._closed = True
            dropped, self._waiting = self._waiting, deque()
            self._wake.notify_all()
        for job in dropped:
            job.post(_Ended(None, ToolError("The tool threads were closed before the call began.")))

    def idle_threads(self) -> list[threading.Thread]:
        with self._wake:
            return list(self._idle)


def _work(queue: _Queue) -> None:
    while (job := queue.take()) is not None:
        try:
            ended = _Ended(job.work(), None)
        except BaseException as error:  # noqa: BLE001 - SystemExit and KeyboardInterrupt, too, are for the caller to judge
            ended = _Ended(None, error)
        queue.finish(job)
        job.post(ended)
        del job, ended  # an idle thread keeps nothing alive
