"""Draw what a delta costs as an SVG: `python -m benchmarks.plot RESULTS PICTURE`, in the environment that has matplotlib."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl  # type: ignore[import-not-found]  # stands in an environment of its own
from matplotlib.figure import Figure  # type: ignore[import-not-found]  # likewise

PANELS = (
    ("one stream of", "one stream at full speed"),
    ("one stream, each of", "one stream, a packet per delta"),
    ("1,000 streams, a delta each", "1,000 streams, a delta per 20 ms"),
)
OURS, FLOOR, OTHER, TEXT, FAINT = "#0b7a75", "#9aa5b1", "#d9a25f", "#1f2933", "#7b8794"
FLOORS = ("raw socket", "aiohttp")
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "benchmarks",  # the same figures give the same file
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": TEXT,
}


def draw(rows: list[dict[str, Any]], subtitle: str, path: Path) -> None:
    """Draw bars for who reads, by CPU time of a delta, from the cheapest to the dearest in the first panel; all panels have one scale."""
    panels = [(title, {row["who"]: row for row in rows if row["name"].startswith(start) and ":" not in row["name"]}) for start, title in PANELS]
    panels = [(title, found) for title, found in panels if found]
    names = sorted({who: None for _, found in panels for who in found}, key=lambda who: _rank(who, panels[0][1]))
    values = [row["value"] for _, found in panels for row in found.values() if row["value"]]
    figure = Figure(figsize=(12, 0.95 + 0.36 * len(names)), facecolor="white")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, (title, found) in zip(axes, panels, strict=True):
        axis.set_xscale("log")
        axis.set_xlim(min(values) / 2, max(values) * 4)
        _bars(axis, names, found)
        _dress(axis, title, names)
    figure.suptitle("CPU time of a delta in µs, on a logarithmic scale: shorter is better", x=0.01, ha="left", fontsize=12, fontweight="bold")
    figure.text(0.01, 0.015, subtitle, fontsize=7.5, color=FAINT)
    figure.tight_layout(rect=(0, 0.04, 1, 0.98), w_pad=1.5)
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    drawn = path.read_text("utf-8").replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")
    path.write_text("\n".join(line.rstrip() for line in drawn.splitlines()) + "\n", "utf-8")


def _rank(who: str, found: dict[str, dict[str, Any]]) -> tuple[int, float]:
    """The floors first, then this package, then the others by what they cost."""
    kind = 0 if who in FLOORS else 1 if who.startswith("ecs_agent") else 2
    return kind, (found[who]["value"] if who in found else None) or float("inf")


def _bars(axis: Any, names: list[str], found: dict[str, dict[str, Any]]) -> None:
    left = axis.get_xlim()[0]
    for place, who in enumerate(names):
        row = found.get(who, {"value": None, "note": ""})
        value = row["value"]
        colour = FLOOR if who in FLOORS else OURS if who.startswith("ecs_agent") else OTHER
        if value:
            axis.barh(place, value - left, left=left, height=0.66, color=colour, zorder=2)
        told = f"{value:,.{0 if value >= 99.95 else 1 if value >= 9.95 else 2}f}" if value else "nothing delivered"
        place_of_text = {"xy": (value or left, place), "xytext": (4, 0), "textcoords": "offset points", "va": "center"}
        axis.annotate(told + (" *" if value and row["note"] else ""), **place_of_text, fontsize=8.5, color=TEXT if value else FAINT)


def _dress(axis: Any, title: str, names: list[str]) -> None:
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.set_title(title, loc="left", fontsize=9.5, pad=8)
    axis.set_yticks(range(len(names)), names)
    for label, who in zip(axis.get_yticklabels(), names, strict=False):  # only the first panel has them
        label.set_fontweight("bold" if who.startswith("ecs_agent") else "normal")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.tick_params(axis="both", which="both", length=0)
    axis.tick_params(axis="x", labelsize=7.5, labelcolor=FAINT)
    axis.grid(axis="x", color="#e4e7eb", linewidth=0.8, zorder=0)
    for side in ("top", "right", "bottom"):
        axis.spines[side].set_visible(False)
    axis.spines["left"].set_color(FLOOR)


def main() -> None:
    """Draw the picture of a results file."""
    found = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    machine = found["machine"]
    measured_on = f"{found['date']}, {machine['cores']} cores of {machine['CPU']}, {machine['Python']}"
    subtitle = f"{measured_on}.   * not everything was delivered: see the table"
    mpl.rcParams.update(STYLE)
    draw([row for rows in found["rows"].values() for row in rows], subtitle, Path(sys.argv[2]))


if __name__ == "__main__":
    main()
