"""A crew in a process of its own: reads jobs from standard input, a JSON object a line, and answers each with its figures.

Run as `python -m benchmarks.crew_worker MODULE`, by whichever Python has what the module needs; each kind of run is tried once, with two agents,
before anything is measured. CPU time is that of the whole process.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import IO, cast

from benchmarks.crew import PIECE, Contestant, Plan, side_by_side
from benchmarks.worker import alone


@dataclass(frozen=True, slots=True)
class Job:
    """What to have done, and how long to wait for it. `weigh` measures the memory of agents instead of their time."""

    plan: Plan
    limit: float
    weigh: bool = False


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of a job. Times are in seconds, memory in bytes for each agent.

    `bare` is the CPU time of as many answers of the fake model, read by plain tasks. `least` and `most` are the deltas that the hindmost and the
    foremost agent had received when the first had all of its own.
    """

    done: bool
    delivered: int = 0
    wall: float = 0.0
    cpu: float = 0.0
    bare: float = 0.0
    least: int = 0
    most: int = 0
    at_rest: float | None = None
    after_run: float | None = None
    failure: str = ""


class Tally:
    """How much text each agent has got; counted by its length, so that pieces may arrive joined."""

    def __init__(self, plan: Plan) -> None:
        self._received = [0] * plan.agents
        self._whole = len(plan.text)
        self._at_first_end: tuple[int, int] | None = None

    def take(self, number: int, text: str) -> None:
        """Count a piece in."""
        self._received[number] += len(text)
        if self._at_first_end is None and self._received[number] >= self._whole:
            self._at_first_end = min(self._received), max(self._received)

    def delivered(self) -> int:
        """How many deltas have arrived."""
        return sum(self._received) // len(PIECE)

    def spread(self) -> tuple[int, int]:
        """The deltas of the hindmost and of the foremost when the first had all; nothing when nobody ever had."""
        least, most = self._at_first_end or (0, 0)
        return least // len(PIECE), most // len(PIECE)


async def measure(contestant: Contestant, job: Job, report: Callable[[Figures], object]) -> None:
    """Do a job, and report before the agents are closed: that may take longer than anybody waits."""
    if job.weigh:
        report(await _weigh(contestant, job.plan))
        return
    plan, tally = job.plan, Tally(job.plan)
    bare = await _bare(contestant, replace(plan, latency=0.0))
    async with contestant.crew(plan, tally.take) as run:
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        running = asyncio.ensure_future(run())
        await asyncio.wait([running], timeout=job.limit)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        error = running.exception() if running.done() else None
        failure = f"{type(error).__name__}: {error}"[:200] if error else ""
        report(Figures(running.done(), tally.delivered(), wall, cpu, bare, *tally.spread(), failure=failure))


async def _bare(contestant: Contestant, plan: Plan) -> float:
    """What it costs to read as many streams of text from the fake model, side by side."""
    tally = Tally(plan)
    gc.collect()
    started = time.process_time()
    await side_by_side(lambda _: contestant.bare(plan, tally.take), plan.agents)()
    return time.process_time() - started


async def _weigh(contestant: Contestant, plan: Plan) -> Figures:
    """What each further agent holds: a crew less a crew of one, whose world, model and caches are counted there."""
    tracemalloc.start()
    await _held(contestant, replace(plan, agents=1))  # what is only made once is made now
    rest_of_one, run_of_one, _ = await _held(contestant, replace(plan, agents=1))
    rest, run, delivered = await _held(contestant, replace(plan, agents=plan.agents + 1))
    tracemalloc.stop()
    return Figures(True, delivered - plan.deltas, at_rest=(rest - rest_of_one) / plan.agents, after_run=(run - run_of_one) / plan.agents)


async def _held(contestant: Contestant, plan: Plan) -> tuple[int, int, int]:
    """Bytes that a crew holds before and after it was run, and what was delivered."""
    tally = Tally(plan)
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    async with contestant.crew(plan, tally.take) as run:
        gc.collect()
        at_rest = tracemalloc.get_traced_memory()[0] - before
        remembered = await run()
        await asyncio.sleep(0)  # what ended in this turn of the loop lets go
        gc.collect()
        after_run = tracemalloc.get_traced_memory()[0] - before
        del remembered
    return at_rest, after_run, tally.delivered()


def serve(contestant: Contestant, answers: IO[str]) -> None:
    """Do the jobs of standard input, until it ends or one was not done: what is still running then may take for ever to end."""

    def answer(figures: Figures) -> None:
        print(json.dumps(asdict(figures)), file=answers, flush=True)
        if not figures.done:
            os._exit(0)

    for number, line in enumerate(sys.stdin):
        asked = json.loads(line)
        job = Job(**{**asked, "plan": Plan(**asked["plan"])})
        if number == 0:
            for plan in (Plan(2, 3, 1), Plan(2, tool=True)):
                asyncio.run(measure(contestant, Job(plan, 30), lambda _: None))
        asyncio.run(measure(contestant, job, answer))


if __name__ == "__main__":
    answers_of_this_process = alone()
    serve(cast("Contestant", importlib.import_module(sys.argv[1])), answers_of_this_process)
