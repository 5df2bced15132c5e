"""An explained schedule as a Mermaid flowchart: systems in lanes by priority, arrows from who writes a component to whom it concerns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, groupby
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from ecs_agent.core.explain.explanation import ExplainedSystem, Explanation

MAX_ARROWS = 200
"""Arrows in a flowchart; more cannot be read, and Mermaid refuses 500."""

_MEANT = frozenset('"#&;<>`*|\\%{}')
_STYLES = (
    "classDef barrier fill:#fff1f2,stroke:#9f1239,stroke-width:3px,color:#9f1239",
    "classDef arrived stroke:#52606d,stroke-dasharray:5 4",
    "classDef ambiguous stroke:#b45309,stroke-width:2px",
)

Arrow: TypeAlias = tuple["ExplainedSystem", "ExplainedSystem", str, list[str]]


def mermaid(explanation: Explanation) -> str:
    """The flowchart. Solid arrows: writes what the other has. Dashed: what keeps the one away lets the other run. Double frames are world systems."""
    ids = {system.name: f"s{number}" for number, system in enumerate(explanation.systems)}
    lines = ["flowchart TD"]
    lanes = 0
    for priority, lane in groupby(explanation.systems, key=lambda system: system.priority):
        lines.append(f'    subgraph p{lanes}["priority {priority}"]')
        lines += [f"        {ids[system.name]}{_node(system)}" for system in lane]
        lines.append("    end")
        lanes += 1
    lines += [f"    p{number} ~~~ p{number + 1}" for number in range(lanes - 1)]
    arrows = _arrows(explanation.systems)
    lines += [f'    {ids[one.name]} {shaft}|"{_quoted(", ".join(words))}"| {ids[other.name]}' for one, other, shaft, words in arrows[:MAX_ARROWS]]
    if len(arrows) > MAX_ARROWS:
        lines.append(f"    %% and {len(arrows) - MAX_ARROWS} more arrows")
    contending = {name for ambiguity in explanation.ambiguities for name in (ambiguity.first, ambiguity.second)}
    kinds = {
        "barrier": [ids[system.name] for system in explanation.systems if system.barrier],
        "arrived": [ids[system.name] for system in explanation.systems if system.meets == "arrived"],
        "ambiguous": [ids[system.name] for system in explanation.systems if system.name in contending],
    }
    for style, (kind, members) in zip(_STYLES, kinds.items(), strict=True):
        lines += [f"    {style}", f"    class {','.join(members)} {kind}"] if members else []
    return "\n".join(lines) + "\n"


def _node(system: ExplainedSystem) -> str:
    label = f"{_quoted(system.name)}<br/>{_quoted(system.due)}"
    return f'["{label}"]' if system.meets is None else f'[["{label}"]]'


def _quoted(text: str) -> str:
    """Mermaid reads markup, Markdown and settings in labels; characters that mean something there are written as their numbers."""
    return "".join([f"#{ord(letter)};" if letter in _MEANT else letter for letter in text])


def _arrows(systems: Sequence[ExplainedSystem]) -> list[Arrow]:
    found: list[Arrow] = []
    for one, other in combinations(systems, 2):
        there, back = _flow(one, other), _flow(other, one)
        candidates: list[Arrow] = [
            (one, other, "<-->", [component for component in there if component in back]),
            (one, other, "-->", [component for component in there if component not in back]),
            (other, one, "-->", [component for component in back if component not in there]),
            (one, other, "-.->", _handed_over(one, other)),
            (other, one, "-.->", _handed_over(other, one)),
        ]
        found += [arrow for arrow in candidates if arrow[3]]
    return found


def _flow(writer: ExplainedSystem, other: ExplainedSystem) -> list[str]:
    """What the one writes and the other has in its signature."""
    touched = {use.component for use in other.uses}
    return [use.component for use in writer.uses if not use.read and use.component in touched]


def _handed_over(one: ExplainedSystem, other: ExplainedSystem) -> list[str]:
    """What keeps the one away and the other requires: while it is there, the other runs in the one's place."""
    required = {use.component for use in other.uses if not use.optional}
    return [component for component in one.without if component in required]
