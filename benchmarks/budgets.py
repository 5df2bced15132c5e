"""What this project allows itself to cost, and whether figures keep to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.agents import AT_ONCE, CREWS, EACH_TURN, ONE_BY_ONE, STREAMS
from benchmarks.contestants import AIOHTTP, CREW, CREW_CONSUMED, CREW_STORED, CREW_WATCHED, FLOOR, MSGSPEC, PLAIN, PROVIDER, Contestant
from benchmarks.rows import Row


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit for one figure.

    Args:
        row: what its name begins with.
        limit: of the value, or of its ratio to `over`.
        who: whose figure.
        over: whose figure of the same name it is compared with.
        ends: what follows the name of the load, where several figures were taken of it.
        whole: `row` is all of its name.
    """

    row: str
    limit: float
    who: Contestant = PROVIDER
    over: Contestant | None = None
    ends: str = ""
    whole: bool = False

    def _means(self, name: str) -> bool:
        load, colon, figure = name.partition(":")
        return (load == self.row if self.whole else load.startswith(self.row)) and colon + figure == self.ends

    def judge(self, rows: Iterable[Row]) -> Verdict | None:
        """Hold it against figures; None where they lack what it is about."""
        meant = [row for row in rows if self._means(row.name)]
        own = next((row for row in meant if row.who == self.who.name), None)
        if own is None:
            return None
        value = own.value
        if self.over is not None:
            other = next((row.value for row in meant if row.who == self.over.name), None)
            if not other:
                return None
            value = value / other if value is not None else None
        return Verdict(self, own, value)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A figure and its budget; `value` is None when there was nothing to measure."""

    budget: Budget
    row: Row
    value: float | None

    @property
    def is_kept(self) -> bool:
        """Within the limit, and nothing was lost on the way."""
        return self.value is not None and self.value <= self.budget.limit and not self.row.note


WATCHED = ((CREW, 1.5, (AT_ONCE,)), (CREW_WATCHED, 6.0, (AT_ONCE,)), (CREW_CONSUMED, 8.0, (ONE_BY_ONE,)))
"""Who watches, what a delta may then add to the model's own cost, and how the deltas come: as a server sends them, many a read; a consumer of its
own is held to the dearest way, a wake-up each."""
AGENTS = (
    *[Budget(f"a delta of {agents:,} agent", limit, who, ends=f": {how}") for who, limit, hows in WATCHED for how in hows for agents, _ in STREAMS],
    *[Budget("growth of that", 2.5, who, ends=f": {how}") for who, _, hows in WATCHED for how in hows],
    *[Budget("a journal adds to a delta of 1,000 agent", limit, CREW_STORED, ends=f": {how}") for how, limit in ((AT_ONCE, 1.5), (ONE_BY_ONE, 7.0))],
    *[
        Budget(f"a run with one tool call, {agents} agents", limit, who, ends=ends)
        for who, limit in ((CREW, 40.0), (CREW_STORED, 90.0))
        for agents in ("1,000", "10,000")
        for ends in ("", f": {EACH_TURN}")
    ],
    *[Budget(f"memory of an agent at rest, {agents:,} agent", 4_000.0, CREW) for agents in CREWS],
    Budget("200 agents, 50 ms a response", 1.3, CREW, over=PLAIN, ends=": wall time"),
)
"""A turn is one response of the model and the calls it asked for; the run with a tool call has two, and the budget of one is held against both."""
BUDGETS = (
    Budget("one stream of", 2.0, over=FLOOR),
    Budget("one stream of", 1.5, over=AIOHTTP),
    Budget("one varied stream of", 2.0, over=FLOOR),
    Budget("one varied stream of", 1.5, over=AIOHTTP),
    Budget("one stream, each of", 1.3, over=FLOOR),
    Budget("1,000 streams, a delta each", 1.5, over=FLOOR),
    Budget("1,000 streams, a delta each", 1.25, ends=": wall time over nominal"),
    Budget("5,000 streams of", 1.3, over=AIOHTTP, ends=": wall time"),
    Budget("memory of one of", 40.0),
    *AGENTS,
    *[Budget(f"{what} 1,000 agents of 50 messages", 3.0, over=MSGSPEC) for what in ("save", "load")],
    *[Budget(f"a committed step in the journal, {when}", 250.0) for when in ("the first", "after")],
    *[Budget(f"a fork of an agent of 1,000 messages{where}", 100.0, whole=True) for where in ("", ", with a journal")],
    Budget("query 100,000 entities, 1 % match, clean", 10.0),
    Budget("query 100,000 entities, 50 % match, clean", 300.0),
    Budget("query 100,000 entities, 50 % match, after a change", 25_000.0),
    Budget("a tick of 10 no-op entity systems", 30.0, whole=True),
    Budget("a tick of 10 no-op world systems", 30.0),
    Budget("longest pause by the collector", 20.0, ends=": while each answers, Runner(tune_gc=True)"),
    Budget("import", 60.0, whole=True),
)
