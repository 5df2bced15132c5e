"""Figures that are kept: with the day, the machine and the versions they were measured with."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.contestants import Contestant
from benchmarks.rows import Row
from benchmarks.server import ROOT

FOLDER = ROOT / "benchmarks" / "results"
OWN_PACKAGES = ("ecs-agent", "aiohttp", "msgspec", "jiter", "pydantic")
LIST_PACKAGES = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"


@dataclass(frozen=True, slots=True)
class Results:
    """One session of measuring; `rows` by the name of their group, `versions` by whose environment it is."""

    date: str
    command: str
    machine: dict[str, str]
    versions: dict[str, dict[str, str]]
    rows: dict[str, list[Row]]

    def save(self, path: Path) -> None:
        """Write them as JSON. Groups that stand there already and were not measured again are kept."""
        if path.exists():
            older = load(path)
            command = self.command if older.rows.keys() <= self.rows.keys() else older.command
            merged = Results(self.date, command, self.machine, {**older.versions, **self.versions}, {**older.rows, **self.rows})
            path.unlink()
            merged.save(path)
            return
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", "utf-8")


def load(path: Path) -> Results:
    """Read what `save` wrote."""
    saved: dict[str, Any] = json.loads(path.read_text("utf-8"))
    rows = {group: [Row(**row) for row in rows] for group, rows in saved.pop("rows").items()}
    return Results(rows=rows, **saved)


def newest() -> Path:
    """The results that were saved last.

    Raises:
        FileNotFoundError: there are none.
    """
    saved = sorted(FOLDER.glob("*.json"))
    if not saved:
        raise FileNotFoundError("there are no results yet; measure with: make bench-peers")
    return saved[-1]


def gather(rows: Mapping[str, Sequence[Row]], contestants: Sequence[Contestant], command: str, load_before: float) -> Results:
    """Put figures together with what they were measured on.

    Args:
        rows: by group.
        contestants: who took part.
        command: how it was called.
        load_before: how busy the machine was when it began; figures of a busy one are worth little.
    """
    return Results(
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        command=command,
        machine={**machine(), "load before": f"{load_before:.2f}"},
        versions={contestant.name: packages(contestant) for contestant in contestants if contestant.package},
        rows={group: list(found) for group, found in rows.items()},
    )


def machine() -> dict[str, str]:
    """What the figures depend on."""
    cpuinfo = Path("/proc/cpuinfo")
    model = re.search(r"^model name\s*: (.*)$", cpuinfo.read_text("utf-8"), re.MULTILINE) if cpuinfo.exists() else None
    return {
        "CPU": model[1].strip() if model else platform.machine(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def packages(contestant: Contestant) -> dict[str, str]:
    """The versions of what is installed for a contestant."""
    if contestant.environment is None:
        return {name: version(name) for name in OWN_PACKAGES}
    listed = subprocess.run([str(contestant.python), "-c", LIST_PACKAGES], cwd=tempfile.gettempdir(), capture_output=True, text=True, check=True)
    packages: dict[str, str] = json.loads(listed.stdout)
    return {name: packages[name] for name in sorted(packages, key=str.lower) if name not in {"pip", "setuptools"}}
