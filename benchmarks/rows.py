"""What a benchmark returns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One figure.

    Args:
        name: what was measured.
        value: the figure, the median of several rounds; None when there is none, and `note` says why.
        unit: of the value.
        ratio: against the floor measured in the same run; None where there is no floor.
        who: whose figure it is.
        note: what a reader must know: not everything delivered, failures, fewer rounds.
    """

    name: str
    value: float | None
    unit: str
    ratio: float | None = None
    who: str = "ecs_agent"
    note: str = ""

    def __str__(self) -> str:
        value = "-" if self.value is None else f"{self.value:.2f}"
        ratio = f"{self.ratio:7.2f} x floor" if self.ratio is not None else " " * 15
        return f"{self.name:<58} {self.who:<26} {value:>10} {self.unit:<14} {ratio}  {self.note}".rstrip()
