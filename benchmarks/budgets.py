"""What this project allows itself to cost, and whether figures keep to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.contestants import AIOHTTP, FLOOR, PROVIDER, Contestant
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
    Budget("what 1 agent adds, no subscriber", 1.5),
    Budget("what 1,000 agents add, no subscriber", 1.5),
    Budget("what 5,000 agents add, no subscriber", 1.5),
    Budget("what 1 agent adds, one subscriber", 6.0),
    Budget("what 1,000 agents add, one subscriber", 6.0),
    Budget("what 5,000 agents add, one subscriber", 6.0),
    Budget("a run with one tool call, 1,000 agents", 40.0),
    Budget("memory of an agent at rest, 1,000 agents", 4_000.0),
    Budget("query 100,000 entities, 1 % match, clean", 10.0),
    Budget("query 100,000 entities, 50 % match, clean", 300.0),
    Budget("query 100,000 entities, 50 % match, after a change", 25_000.0),
    Budget("import", 60.0, whole=True),
)
"""The agents' own rows stand beside the provider's in the table of streams; what they add is measured without a socket."""
