"""What a benchmark returns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One figure; `ratio` is against the floor measured in the same run, None where there is no floor."""

    name: str
    value: float
    unit: str
    ratio: float | None = None

    def __str__(self) -> str:
        ratio = f"{self.ratio:8.2f} x floor" if self.ratio is not None else ""
        return f"{self.name:<88} {self.value:10.2f} {self.unit:<14}{ratio}"
