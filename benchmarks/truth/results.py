"""Verdicts that are kept, with the day and the versions they are of."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.contestants import Contestant
from benchmarks.results import FOLDER as FIGURES
from benchmarks.results import packages
from benchmarks.truth.judge import Verdict

FOLDER = FIGURES / "truth"


@dataclass(frozen=True, slots=True)
class Results:
    """One session; `verdicts` by who it is and by the scenario, `versions` by who it is."""

    date: str
    versions: dict[str, str]
    verdicts: dict[str, dict[str, list[Verdict]]]

    def save(self, path: Path) -> None:
        """Write them as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", "utf-8")


def load(path: Path) -> Results:
    """Read what `save` wrote."""
    saved: dict[str, Any] = json.loads(path.read_text("utf-8"))
    verdicts = {
        who: {scenario: [Verdict(**each) for each in found] for scenario, found in scenarios.items()}
        for who, scenarios in saved.pop("verdicts").items()
    }
    return Results(verdicts=verdicts, **saved)


def newest() -> Path:
    """The results that were saved last.

    Raises:
        FileNotFoundError: there are none.
    """
    saved = sorted(FOLDER.glob("*.json"))
    if not saved:
        raise FileNotFoundError("there are no results yet; play the scenarios with: python -m benchmarks.truth --save")
    return saved[-1]


def gather(verdicts: Mapping[str, Mapping[str, Sequence[Verdict]]], contestants: Sequence[Contestant]) -> Results:
    """Put verdicts together with the day and the versions."""
    versions = {who.name: f"{who.package} {packages(who)[who.package]}" for who in contestants if who.package and who.name in verdicts}
    found = {who: {scenario: list(each) for scenario, each in scenarios.items()} for who, scenarios in verdicts.items()}
    return Results(dt.datetime.now(dt.UTC).date().isoformat(), versions, found)
