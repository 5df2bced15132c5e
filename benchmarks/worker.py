"""A contestant in a process of its own: reads jobs from standard input, a JSON object a line, and answers each with its figures.

Run as `python -m benchmarks.worker MODULE`, by whichever Python has what the module needs; the module is imported, and one short stream read,
before anything is measured. CPU time is that of the whole process, from the request to the last delta.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import ipaddress
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, cast

from benchmarks.asking import Ask, Contestant, Take
from benchmarks.limits import raise_descriptor_limit

WARM_UP = "/50-0/"


@dataclass(frozen=True, slots=True)
class Job:
    """What to ask for: so many streams at once of `base_url`, and how long to wait for them."""

    base_url: str
    streams: int
    paced: bool
    limit: float
    hold: bool = False  # measure the memory of open streams instead of reading them to their end


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of a job. Times are in seconds, memory in bytes for each open stream."""

    done: bool
    delivered: int
    wall: float
    cpu: float
    latencies: tuple[float, float, float] | None = None  # p50, p99 and the longest
    memory: float | None = None
    failures: dict[str, int] | None = None


class Tally:
    """Counts what arrives. Text that arrives joined counts as the deltas it was made of."""

    def __init__(self, paced: bool) -> None:
        self.texts: list[str] = []
        self.latencies: list[int] = []
        self.take: Take = self._stamped if paced else self.texts.append

    def _stamped(self, text: str) -> None:
        now = time.monotonic_ns()
        self.texts.append(text)
        self.latencies += [now - int(sent) for sent in text.split()]

    def delivered(self) -> int:
        """How many deltas have arrived."""
        return sum(text.count(" ") for text in self.texts)

    def percentiles(self) -> tuple[float, float, float] | None:
        """Half of the deltas arrived within the first, 99 of 100 within the second, all within the third."""
        if not self.latencies:
            return None
        ordered = sorted(self.latencies)
        p50, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.99))
        return p50 / 1e9, p99 / 1e9, ordered[-1] / 1e9


async def measure(contestant: Contestant, job: Job, report: Callable[[Figures], object]) -> None:
    """Do a job, and report before the client is closed: that may take longer than anybody waits."""
    async with contestant.connect(job.base_url) as ask:
        report(await (_hold(ask, job) if job.hold else _read(ask, job)))


async def _read(ask: Ask, job: Job) -> Figures:
    tally, failures = Tally(job.paced), Counter[str]()
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    asking = asyncio.ensure_future(ask(job.streams, tally.take))
    await asyncio.wait([asking], timeout=job.limit)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if asking.done():
        error = asking.exception()
        failures = asking.result() if error is None else Counter([f"{type(error).__name__}: {error}"[:200]])
    return Figures(asking.done(), tally.delivered(), wall, cpu, tally.percentiles() if job.paced else None, None, dict(failures))


async def _hold(ask: Ask, job: Job) -> Figures:
    """Measure when each stream has got its first delta; nobody has got a second by then."""
    tally = Tally(paced=False)
    gc.collect()
    before, wall, cpu = _resident(), time.perf_counter(), time.process_time()
    asking = asyncio.ensure_future(ask(job.streams, tally.take))
    deadline = wall + job.limit
    while len(tally.texts) < job.streams and not asking.done() and time.perf_counter() < deadline:  # noqa: ASYNC110 - adds nothing to a delta
        await asyncio.sleep(0.05)
    gc.collect()
    memory = (_resident() - before) / max(1, len(tally.texts))
    open_streams = len(tally.texts)
    asking.cancel()
    await asyncio.wait([asking], timeout=5)
    return Figures(open_streams == job.streams, open_streams, time.perf_counter() - wall, time.process_time() - cpu, None, memory)


def _resident() -> int:
    """Bytes of memory that this process occupies."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def stay_on_this_machine(event: str, arguments: tuple[object, ...]) -> None:
    """Refuse whatever would leave the machine: telemetry, price lists, tokenizers."""
    if event == "socket.connect":
        address = arguments[1]  # a path, for a socket of this machine
        if isinstance(address, tuple) and not ipaddress.ip_address(str(address[0])).is_loopback:
            raise RuntimeError("benchmarks stay on this machine")
    elif event == "socket.getaddrinfo" and arguments[0] not in {"127.0.0.1", b"127.0.0.1", "localhost", None}:
        raise RuntimeError("benchmarks stay on this machine")


def serve(contestant: Contestant, answers: IO[str]) -> None:
    """Do the jobs of standard input, until it ends or one was not done: what is still running then may take for ever to end."""

    def answer(figures: Figures) -> None:
        print(json.dumps(asdict(figures)), file=answers, flush=True)
        if not figures.done:
            os._exit(0)

    for number, line in enumerate(sys.stdin):
        job = Job(**json.loads(line))
        if number == 0:
            warm_up = Job(job.base_url.replace(f"/{job.base_url.split('/')[3]}/", WARM_UP), 1, paced=False, limit=30)
            asyncio.run(measure(contestant, warm_up, lambda _: None))
        asyncio.run(measure(contestant, job, answer))


def alone() -> IO[str]:
    """Keep to this machine, and standard output for the answers, which it returns: some packages print."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.addaudithook(stay_on_this_machine)
    return answers


def main() -> None:
    """Serve."""
    answers = alone()
    raise_descriptor_limit()
    serve(cast("Contestant", importlib.import_module(sys.argv[1])), answers)


if __name__ == "__main__":
    main()
