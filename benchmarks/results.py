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
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.contestants import Contestant
from benchmarks.rows import Row
from benchmarks.server import ROOT

FOLDER = ROOT / "benchmarks" / "results"
LOAD = "load before"
SESSIONS = "; "
"""Stands between the commands of one day, as it would in a shell."""
OWN_PACKAGES = ("ecs-agent", "aiohttp", "msgspec", "jiter", "pydantic")
LIST_PACKAGES = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"


@dataclass(frozen=True, slots=True)
class Results:
    """A day of measuring, in one session or several (each is in `command`); `rows` by the name of their group, `versions` by whose environment it is.

    `dates` are the days of groups that were not measured on this day but taken over from an earlier one.
    """

    date: str
    command: str
    machine: dict[str, str]
    versions: dict[str, dict[str, str]]
    rows: dict[str, list[Row]]
    dates: dict[str, str] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write them as JSON. Groups of the same day, and of the day measured last, that were not measured again are taken over."""
        path.parent.mkdir(exist_ok=True)
        earlier = sorted([each for each in path.parent.glob("*.json") if each.name <= path.name])
        found = self if not earlier else self.over(load(earlier[-1]))
        path.write_text(json.dumps(asdict(found), indent=1, ensure_ascii=False) + "\n", "utf-8")

    def over(self, older: Results) -> Results:
        """These, and what only an older session has."""
        command, machine = self.command, self.machine
        if older.date == self.date and not older.rows.keys() <= self.rows.keys():
            commands = older.command.split(SESSIONS)
            command = SESSIONS.join([*commands, *([] if command in commands else [command])])
            machine = {**machine, LOAD: max(older.machine[LOAD], machine[LOAD], key=float)}
        dates = {group: older.dates.get(group, older.date) for group in older.rows if group not in self.rows}
        dates = {group: date for group, date in dates.items() if date != self.date}
        return Results(self.date, command, machine, {**older.versions, **self.versions}, {**older.rows, **self.rows}, dates)


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
        machine={**machine(), LOAD: f"{load_before:.2f}"},
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
