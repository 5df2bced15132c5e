"""Streams over real sockets: what a delta costs alone and among thousands, how late it comes, and what an open stream holds in memory.

All contestants read the answers of one server, in turn, round after round; a figure is the median of its rounds.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks.contestants import AGENT, FLOOR, OURS, Contestant, Worker
from benchmarks.limits import raise_descriptor_limit
from benchmarks.rows import Row
from benchmarks.server import running
from benchmarks.worker import Figures, Job

LIMIT = 60.0
"""Seconds to wait for one contestant in one round."""
PATIENCE = 30.0
"""Seconds after which a contestant is not asked for another round."""
CPU = "µs CPU/delta"


@dataclass(frozen=True, slots=True)
class Load:
    """So many streams at once, each of so many deltas, one each so many microseconds or all at once for 0."""

    name: str
    streams: int
    deltas: int
    interval: int = 0
    hold: bool = False
    varied: bool = False

    @property
    def expected(self) -> int:
        return self.streams * self.deltas

    @property
    def nominal(self) -> float:
        """Seconds that the slowest server-side timetable takes."""
        return self.deltas * self.interval / 1e6

    def job(self, address: str, limit: float) -> Job:
        plan = f"{self.deltas}-{self.interval}{'-varied' * self.varied}"
        return Job(f"{address}/{plan}/v1", self.streams, bool(self.interval) and not self.hold, limit, self.hold)


@dataclass(slots=True)
class Score:
    """What a contestant did in its rounds, and why a round gave nothing."""

    contestant: Contestant
    limit: float
    rounds: list[Figures]
    failure: str = ""
    spent: float = 0.0

    def median(self, figure: Callable[[Figures], float | None]) -> float | None:
        """The median over the rounds in which there was something to measure."""
        values = [value for each in self.rounds if (value := figure(each)) is not None]
        return statistics.median(values) if values else None

    def note(self, load: Load) -> str:
        """What a reader must know: of the worst round, since a median hides what failed once."""
        notes = [self.failure] if self.failure else []
        if not self.rounds:
            return ", ".join(notes)
        if not all(each.done for each in self.rounds):
            notes.append(f"not done in {self.limit:g} s")
        delivered = min(each.delivered for each in self.rounds) / (load.streams if load.hold else load.expected)
        if delivered < 1:
            notes.append(f"{int(delivered * 1000) / 10:g}% delivered")
        worst = max((each.failures or {} for each in self.rounds), key=lambda failures: sum(failures.values()))
        notes += [f"{count} x {name.partition(':')[0]}" for name, count in worst.items()]
        return ", ".join(notes)


def compete(load: Load, contestants: Sequence[Contestant], rounds: int, limit: float = LIMIT) -> list[Score]:
    """Let the contestants read the same load in turn, round after round."""
    scores = [Score(contestant, limit, []) for contestant in contestants]
    with ExitStack() as stack:
        address = stack.enter_context(running())
        workers = [stack.enter_context(Worker(contestant)) for contestant in contestants]
        for _ in range(rounds):
            for score, worker in zip(scores, workers, strict=True):
                if score.spent > PATIENCE or score.failure:
                    continue
                outcome = worker.do(load.job(address, limit))
                if isinstance(outcome, str):
                    score.failure = outcome
                else:
                    score.rounds.append(outcome)
                    score.spent += outcome.wall
                    print(f"  {load.name}: {score.contestant.name}, {outcome.wall:.1f} s", file=sys.stderr)
                if load.hold:
                    worker.stop()  # what it still holds would count as there before
    return scores


def _rows(load: Load, scores: Sequence[Score], name: str, unit: str, figure: Callable[[Figures], float | None]) -> list[Row]:
    floor = next((score.median(figure) for score in scores if score.contestant is FLOOR), None)
    rows: list[Row] = []
    for score in scores:
        value = score.median(figure)
        ratio = value / floor if value is not None and floor else None
        rows.append(Row(name, value, unit, ratio, score.contestant.name, score.note(load)))
    return rows


def _cpu(figures: Figures) -> float | None:
    return figures.cpu / figures.delivered * 1e6 if figures.delivered else None


def _wall(figures: Figures, scale: float) -> float | None:
    """The wall time, of who got to the end."""
    return figures.wall * scale if figures.done and figures.delivered else None


def one_stream(contestants: Sequence[Contestant] = OURS, deltas: int = 20_000, rounds: int = 7) -> list[Row]:
    """One stream at full speed: of chunks that differ in their text alone, as those of most servers, and of such that differ in more."""
    loads = (Load(f"one stream of {deltas:,} deltas", 1, deltas), Load(f"one varied stream of {deltas:,} deltas", 1, deltas, varied=True))
    return [row for load in loads for row in _rows(load, compete(load, contestants, rounds), load.name, CPU, _cpu)]


def packets(contestants: Sequence[Contestant] = OURS, deltas: int = 1_000, interval: int = 2_000, rounds: int = 5) -> list[Row]:
    """One stream whose deltas arrive one by one, so that each wakes its reader."""
    load = Load(f"one stream, each of {deltas:,} deltas in its own packet", 1, deltas, interval)
    return _rows(load, compete(load, contestants, rounds), load.name, CPU, _cpu)


def many_streams(
    contestants: Sequence[Contestant] = OURS, streams: Sequence[int] = (1, 100, 1_000, 5_000), deltas: int = 50, rounds: int = 5
) -> list[Row]:
    """Many streams at once, each at full speed: connecting and asking count."""
    most = raise_descriptor_limit() - 100
    rows: list[Row] = []
    for count in streams:
        load = Load(f"{min(count, most):,} stream{'s' * (count > 1)} of {deltas} deltas", min(count, most), deltas)
        scores = compete(load, contestants, rounds)
        rows += _rows(load, scores, load.name, CPU, _cpu)
        rows += _rows(load, scores, f"{load.name}: wall time", "ms", lambda each: _wall(each, 1e3))
    return rows


def paced_streams(
    contestants: Sequence[Contestant] = OURS, streams: int = 1_000, deltas: int = 100, interval: int = 20_000, rounds: int = 3
) -> list[Row]:
    """Many streams at the pace of a model, and how long after it was sent a delta is in the reader's hands."""
    load = Load(f"{streams:,} streams, a delta each {interval / 1e3:g} ms", streams, deltas, interval)
    scores = compete(load, contestants, rounds)
    rows = _rows(load, scores, load.name, CPU, _cpu)
    rows += _rows(load, scores, f"{load.name}: wall time over nominal", "x", lambda each: _wall(each, 1 / load.nominal))
    seen = [score for score in scores if score.contestant is not AGENT]  # nobody watches these agents, so no delta arrives anywhere
    rows += _rows(load, seen, f"{load.name}: added latency p50", "ms", lambda each: each.latencies[0] * 1e3 if each.latencies else None)
    rows += _rows(load, seen, f"{load.name}: added latency p99", "ms", lambda each: each.latencies[1] * 1e3 if each.latencies else None)
    return rows


def memory(contestants: Sequence[Contestant] = OURS, streams: int = 1_000, rounds: int = 3) -> list[Row]:
    """What an open stream holds, by the resident memory of the process when each has its first delta."""
    load = Load(f"memory of one of {streams:,} open streams", streams, 3, 60_000_000, hold=True)
    scores = compete(load, [contestant for contestant in contestants if contestant is not AGENT], rounds)
    return _rows(load, scores, load.name, "kB", lambda each: each.memory / 1e3 if each.memory is not None else None)
