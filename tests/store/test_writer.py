"""The writer of a journal: who is told what, and how often."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.store.engine_suite import frames
from tests.store.journal_parts import Engine

from ecs_agent.errors import JournalError, StoreError
from ecs_agent.store.writer import Job, Waiter, Writer

FULL = JournalError("the disk is full")


class Told:
    """What jobs report, with the number of those who wait."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int, StoreError | None]] = []

    def __call__(self, end: int, waiters: list[Waiter], error: StoreError | None) -> None:
        self.calls.append((end, len(waiters), error))


def at_once(callback: Callable[..., object], *args: object) -> None:
    callback(*args)


def job(pos: int, told: Told, waiters: list[Waiter], *, final: bool = False) -> Job:
    return Job(frames(1, start=pos), None, pos + 1, told, waiters, at_once, final)


async def test_a_job_that_fails_is_told_so_once_however_often_it_is_tried() -> None:
    engine, told, waiter = Engine(blocks=False), Told(), asyncio.get_running_loop().create_future()
    engine.open()
    engine.errors = [FULL] * 3
    writer = Writer(engine, 0)
    for pos in range(4):
        writer.put(job(pos, told, [waiter]))
    assert told.calls == [(1, 1, FULL), (2, 1, FULL), (3, 1, FULL), (4, 1, None)]
    assert (writer.committed, writer.error, writer.failures) == (4, None, 1)


async def test_a_job_for_which_nobody_waits_is_told_of_when_it_fails_only() -> None:
    engine, told = Engine(blocks=False), Told()
    engine.open()
    engine.errors = [FULL]
    writer = Writer(engine, 0)
    for pos in range(3):
        writer.put(job(pos, told, []))
    assert told.calls == [(1, 0, FULL)]


def test_a_thread_is_there_from_the_first_job_to_the_final_one() -> None:
    engine, told = Engine(), Told()
    engine.open()
    writer = Writer(engine, 0)
    writer.join()
    writer.put(job(0, told, []))
    writer.put(job(1, told, [], final=True))
    writer.join()
    assert (engine.stored_ends, engine.closed, writer.committed) == ([1, 2], 1, 2)


def test_what_is_left_in_another_process_is_left_alone() -> None:
    engine = Engine()
    engine.open()
    writer = Writer(engine, 0)
    writer.leave(process=-1)
    assert engine.closed == 0
