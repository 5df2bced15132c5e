"""Agents without a socket: what a delta, a run with a tool call and an agent at rest cost beside the others, from one agent to thousands.

Every contestant gets the same plans, from a fake model in its own process, in turn with the others, round after round. The figure is the least of
its rounds, since whatever else the machine does can only add to it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace

from benchmarks.contestants import CREW, CREW_CONSUMED, CREW_STORED, CREW_WATCHED, OTHER_CREWS, OUR_CREWS, OURS, PLAIN, Contestant, Worker
from benchmarks.crew import Plan
from benchmarks.crew_worker import Figures, Job
from benchmarks.rows import Row

LIMIT = 60.0
"""Seconds to wait for one contestant in one round."""
PATIENCE = 20.0
"""Seconds after which a contestant is not asked for another round."""
STREAMS = ((1, 20_000), (100, 400), (1_000, 200), (5_000, 100))
"""How many agents, and how many deltas each of them gets."""
CREWS = (1, 100, 1_000, 5_000, 10_000)
"""How many agents, where each is asked once; the others take part up to `MOST`, and where they are weighed up to `MOST_WEIGHED`."""
MOST, MOST_WEIGHED = 1_000, 100
READ = 16
"""Deltas that come in one read, where they do not come one by one."""
ONE_BY_ONE, AT_ONCE, EACH_TURN = "one a wake-up", f"{READ} a read", "each of its 2 turns"
PROGRAM = "benchmarks.crew_worker"


@dataclass(slots=True)
class Score:
    """What a contestant did in its rounds, and why a round gave nothing."""

    contestant: Contestant
    plan: Plan
    limit: float
    rounds: list[Figures]
    failure: str = ""
    spent: float = 0.0

    def least(self, figure: Callable[[Figures], float | None]) -> float | None:
        """The least of the rounds in which there was something to measure."""
        return min([value for each in self.rounds if (value := figure(each)) is not None], default=None)

    def note(self) -> str:
        """What a reader must know, of the worst round."""
        notes = [self.failure] if self.failure else []
        if not all(each.done for each in self.rounds):
            notes.append(f"not done in {self.limit:g} s")
        delivered = min([each.delivered for each in self.rounds], default=0) / (self.plan.agents * self.plan.deltas)
        if self.rounds and delivered < 1:
            notes.append(f"{int(delivered * 1000) / 10:g}% delivered")
        return ", ".join(notes)


def compete(plan: Plan, contestants: Sequence[Contestant], rounds: int, *, weigh: bool = False, limit: float = LIMIT) -> list[Score]:
    """Let the contestants do the same in turn, round after round."""
    scores = [Score(contestant, plan, limit, []) for contestant in contestants]
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(contestant, PROGRAM)) for contestant in contestants]
        for _ in range(rounds):
            for score, worker in zip(scores, workers, strict=True):
                if score.spent < PATIENCE and not score.failure:
                    _take_part(score, worker, Job(plan, limit, weigh))
    return scores


def _take_part(score: Score, worker: Worker, job: Job) -> None:
    answer = worker.answer(asdict(job), job.limit)
    if isinstance(answer, str):
        score.failure = answer
        return
    figures = Figures(**answer)
    score.failure = figures.failure
    score.rounds.append(figures)
    score.spent += figures.wall
    print(f"  {job.plan}: {score.contestant.name}, {figures.wall:.1f} s", file=sys.stderr)


def rows_of(scores: Iterable[Score], name: str, unit: str, figure: Callable[[Score], float | None], floor: Contestant | None = None) -> list[Row]:
    """A row for each score, and its ratio to that of `floor`."""
    scores = list(scores)
    least = next((figure(score) for score in scores if score.contestant is floor), None)
    rows: list[Row] = []
    for score in scores:
        value = figure(score)
        rows.append(Row(name, value, unit, value / least if value is not None and least else None, score.contestant.name, score.note()))
    return rows


def agents(contestants: Sequence[Contestant] = OURS) -> list[Row]:
    """All of it, for this package and for those of the contestants that have agents."""
    names = {contestant.name for contestant in contestants}
    others = [crew for crew in OTHER_CREWS if crew.name in names]
    rows = [row for read in (1, READ) for row in deltas([*OUR_CREWS, *others] if read == 1 else OUR_CREWS, read)]
    rows += fairness([CREW_WATCHED, CREW_CONSUMED, *others])
    return [*rows, *runs([PLAIN, CREW], others), *memory([CREW], others), *waiting([PLAIN, CREW, *others])]


def deltas(contestants: Sequence[Contestant], read: int, streams: Sequence[tuple[int, int]] = STREAMS, rounds: int = 3) -> list[Row]:
    """What an agent adds to the fake model's cost of a delta, and how that grows with their number."""
    how = ONE_BY_ONE if read == 1 else AT_ONCE
    rows: list[Row] = []
    for count, each in streams:
        scores = compete(Plan(count, each, read), contestants, rounds)
        rows += rows_of(scores, f"a delta of {_agents(count)}: {how}", "µs CPU/delta", _added)
    return [*rows, *_growth(rows, contestants, streams, how)]


def journal(count: int = 1_000, each: int = 200, counts: Sequence[int] = (1_000, 10_000), rounds: int = 3) -> list[Row]:
    """What a journal adds to a delta, and a run with a tool call in a world that has one."""
    rows: list[Row] = []
    for read, how in ((1, ONE_BY_ONE), (READ, AT_ONCE)):
        name = f"a delta of {_agents(count)}: {how}"
        without, stored = rows_of(compete(Plan(count, each, read), [CREW, CREW_STORED], rounds), name, "µs CPU/delta", _added)
        added = stored.value - without.value if stored.value is not None and without.value is not None else None
        notes = ", ".join(dict.fromkeys([row.note for row in (without, stored) if row.note]))
        rows += [stored, Row(f"a journal adds to {name}", added, stored.unit, who=CREW_STORED.name, note=notes)]
    return [*rows, *[row for row in runs([PLAIN, CREW_STORED], [], counts, rounds) if row.who == CREW_STORED.name]]


def _growth(rows: Sequence[Row], contestants: Sequence[Contestant], streams: Sequence[tuple[int, int]], how: str) -> list[Row]:
    found: list[Row] = []
    few, many = streams[0][0], streams[-1][0]
    for contestant in contestants:
        first, *_, last = [row for row in rows if row.who == contestant.name]
        ratio = last.value / first.value if first.value and last.value is not None else None
        notes = ", ".join(dict.fromkeys([row.note for row in (first, last) if row.note]))
        found.append(Row(f"growth of that from {few:,} to {_agents(many)}: {how}", ratio, "x", who=contestant.name, note=notes))
    return found


def _added(score: Score) -> float | None:
    """Above the bare model. Each has its least on its own: that of their differences would be of a round in which the bare one was disturbed."""
    cpu = score.least(lambda figures: figures.cpu / figures.delivered if figures.delivered else None)
    bare = score.least(lambda figures: figures.bare / (score.plan.agents * score.plan.deltas))
    return (cpu - bare) * 1e6 if cpu is not None and bare is not None else None


def fairness(contestants: Sequence[Contestant], count: int = 1_000, each: int = 50) -> list[Row]:
    """How far the foremost agent is ahead of the hindmost when it has all of its answer: 1 where all keep step."""
    rows: list[Row] = []
    for read, how in ((1, ONE_BY_ONE), (READ, AT_ONCE)):
        scores = compete(Plan(count, each, read), contestants, 1)
        rows += rows_of(scores, f"most over least received, {_agents(count)}: {how}", "x", _spread)
    return [replace(row, note=row.note or "the hindmost had nothing yet") if row.value is None else row for row in rows]


def _spread(score: Score) -> float | None:
    return score.least(lambda figures: figures.most / figures.least if figures.least else None)


def runs(ours: Sequence[Contestant], others: Sequence[Contestant], counts: Sequence[int] = CREWS, rounds: int = 3) -> list[Row]:
    """A run of two turns: the model asks for a tool, the tool is called, the model answers."""
    rows: list[Row] = []
    for count in counts:
        scores = compete(Plan(count, tool=True), [*ours, *(others if count <= MOST else ())], rounds)
        name = f"a run with one tool call, {_agents(count)}"
        rows += rows_of(scores, name, "µs CPU/run", _of_a_run, PLAIN)
        rows += rows_of(scores, f"{name}: {EACH_TURN}", "µs CPU/turn", _of_a_turn, PLAIN)
    return rows


def _of_a_run(score: Score) -> float | None:
    return score.least(lambda figures: figures.cpu / figures.delivered * 1e6 if figures.done and figures.delivered else None)


def _of_a_turn(score: Score) -> float | None:
    run = _of_a_run(score)
    return None if run is None else run / 2


def memory(ours: Sequence[Contestant], others: Sequence[Contestant], counts: Sequence[int] = CREWS) -> list[Row]:
    """What an agent with a tool holds before it was ever asked, and once it was: by tracemalloc, in a process and a pass of its own."""
    rows: list[Row] = []
    for count in counts:
        scores = compete(Plan(count, tool=True, apart=True), [*ours, *(others if count <= MOST_WEIGHED else ())], 1, weigh=True)
        rows += rows_of(scores, f"memory of an agent at rest, {_agents(count)}", "bytes", _at_rest)
        rows += rows_of(scores, f"memory of an agent after that run, {_agents(count)}", "bytes", _after_run)
    return rows


def _at_rest(score: Score) -> float | None:
    return score.least(lambda figures: figures.at_rest)


def _after_run(score: Score) -> float | None:
    return score.least(lambda figures: figures.after_run)


def waiting(contestants: Sequence[Contestant], count: int = 200, latency: float = 0.05, rounds: int = 3) -> list[Row]:
    """The same run, with a model that takes its time: nothing but waiting for it should take time."""
    scores = compete(Plan(count, latency=latency, tool=True), contestants, rounds)
    return rows_of(scores, f"{_agents(count)}, {latency * 1e3:g} ms a response: wall time", "ms", _wall, PLAIN)


def _wall(score: Score) -> float | None:
    return score.least(lambda figures: figures.wall * 1e3 if figures.done else None)


def _agents(count: int) -> str:
    return f"{count:,} agent{'s' * (count > 1)}"
