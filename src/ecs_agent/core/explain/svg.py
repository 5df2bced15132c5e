"""An explained schedule as a picture: systems in lanes by priority, each component a line across all lanes, barriers as bars.

A system has a mark on the line of each component in its signature, so the picture grows with the number of systems and not with that of the
pairs. It holds no script, no font and no link, and every name in it is escaped. Sizes are pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ecs_agent.core.explain.explanation import ExplainedSystem, Explanation

_COLOURS = ("#2563eb", "#c2410c", "#15803d", "#7c3aed", "#be185d", "#0e7490")
_GREY, _INK, _SOFT, _AMBER, _ROSE, _PALE = "#8b95a5", "#1f2933", "#52606d", "#b45309", "#9f1239", "#c5ccd6"

_FONT = 'font-family="system-ui, Helvetica, Arial, sans-serif" font-size="12"'
_NAME = 'font-size="14" font-weight="600"'

_MARGIN, _NODE_X, _NODE_HEIGHT, _GAP, _PADDING = 16, 108, 48, 14, 14
_PITCH = 30
"""Between two components."""
_LINE = 18
"""A line of text; one for each component's name above the lanes."""
_LETTER, _NAME_LETTER = 6.4, 8.7
"""How wide a letter is, in a common font that is a wide one: of the text, and of the name of a system."""
_NARROWEST, _WIDEST = 200, 350
"""The box of a system."""
_NOTED = 6
"""How many ambiguities are told below the lanes."""
_LEGEND = (("writes", "writes"), ("reads", "reads"), ("optional", "likewise, if it is there"), ("without", "kept away by it"))


@dataclass(frozen=True, slots=True)
class _Mark:
    """Where a system touches a component: `how` is "writes", "reads" or "without"."""

    y: int
    how: str
    optional: bool


@dataclass(frozen=True, slots=True)
class _Track:
    """A component as a line down the picture; it flows when somebody writes what concerns somebody else."""

    component: str
    x: int
    top: int
    colour: str
    flows: bool
    marks: tuple[_Mark, ...]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where everything stands."""

    node_width: int
    width: int
    top: int
    lanes: tuple[tuple[int, int, int], ...]
    middles: tuple[int, ...]
    tracks: tuple[_Track, ...]

    @property
    def bottom(self) -> int:
        """Where the lanes end."""
        return self.lanes[-1][2] if self.lanes else self.top

    @property
    def edge(self) -> int:
        """Where the boxes of the systems end."""
        return _NODE_X + self.node_width


def svg(explanation: Explanation) -> str:
    """The picture."""
    layout = _laid_out(explanation.systems)
    notes = _notes(explanation, layout)
    height = layout.bottom + _MARGIN + len(notes) * _LINE
    contending = {name for ambiguity in explanation.ambiguities for name in (ambiguity.first, ambiguity.second)}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {layout.width} {height}" width="{layout.width}" height="{height}" {_FONT} role="img">',
        "<title>The schedule: systems in lanes by priority, and the components that they touch</title>",
        f'<rect width="{layout.width}" height="{height}" fill="#ffffff"/>',
        *_legend(),
        *[part for lane in layout.lanes for part in _lane(lane, layout.width)],
        *[part for track in layout.tracks for part in _line(track, layout.bottom)],
        *[
            part
            for system, middle in zip(explanation.systems, layout.middles, strict=True)
            for part in (_box(system, middle, layout, system.name in contending) if not system.barrier else _bar(system, middle, layout))
        ],
        *[part for track in layout.tracks for mark in track.marks for part in _mark(mark, track.x, track.colour)],
        *notes,
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _laid_out(systems: Sequence[ExplainedSystem]) -> _Layout:
    names = _by_flow(systems)
    top = _MARGIN + _LINE * max(len(names), len(_LEGEND) + 2)
    y, lanes, middles = top, list[tuple[int, int, int]](), list[int]()
    for priority, lane in groupby(systems, key=lambda system: system.priority):
        start, y = y, y + _PADDING
        for _ in lane:
            middles.append(y + _NODE_HEIGHT // 2)
            y += _NODE_HEIGHT + _GAP
        y += _PADDING - _GAP
        lanes.append((priority, start, y))
    node_width = min(
        _WIDEST, max([_NARROWEST, *[24 + ceil(max(16 + len(s.name) * _NAME_LETTER, len(s.due) * _LETTER)) for s in systems if not s.barrier]])
    )
    first = _NODE_X + node_width + 40
    tracks: list[_Track] = []
    for place, (name, flows) in enumerate(names):
        marks = tuple([mark for system, middle in zip(systems, middles, strict=True) for mark in _marks(system, middle, name)])
        colour = _COLOURS[place % len(_COLOURS)] if flows else _GREY
        tracks.append(_Track(name, first + place * _PITCH, _MARGIN + place * _LINE, colour, flows, marks))
    ends = [track.x + 24 + round(len(track.component) * _LETTER) for track in tracks]
    bars = [_NODE_X + 40 + round(min(_WIDEST, len(s.name) * _NAME_LETTER) + len(s.due) * _LETTER) for s in systems if s.barrier]
    return _Layout(node_width, max([620, *ends, *bars]) + _MARGIN, top, tuple(lanes), tuple(middles), tuple(tracks))


def _by_flow(systems: Sequence[ExplainedSystem]) -> list[tuple[str, bool]]:
    """All components in signatures, those first that one system writes and another is concerned with."""
    touched: dict[str, set[str]] = {}
    written: dict[str, set[str]] = {}
    for system in systems:
        for component in (*[use.component for use in system.uses], *system.without):
            touched.setdefault(component, set()).add(system.name)
        for use in system.uses:
            if not use.read:
                written.setdefault(use.component, set()).add(system.name)
    found = [(component, component in written and len(users) > 1) for component, users in touched.items()]
    return [*[item for item in found if item[1]], *sorted([item for item in found if not item[1]])]


def _marks(system: ExplainedSystem, middle: int, component: str) -> list[_Mark]:
    marks = [_Mark(middle, "reads" if use.read else "writes", use.optional) for use in system.uses if use.component == component]
    return marks or [_Mark(middle, "without", optional=False) for kind in system.without if kind == component]


def _lane(lane: tuple[int, int, int], width: int) -> list[str]:
    priority, top, bottom = lane
    return [
        f'<rect x="{_MARGIN}" y="{top + 2}" width="{width - 2 * _MARGIN}" height="{bottom - top - 4}" rx="8" fill="#f4f6f9"/>',
        f'<text x="{_MARGIN + 10}" y="{(top + bottom) // 2 + 4}" fill="{_SOFT}">priority {priority}</text>',
    ]


def _line(track: _Track, bottom: int) -> list[str]:
    """A thin line with the component's name on top, and a thick one between those among whom it flows, with arrows towards who takes it."""
    weight = ' font-weight="600"' if track.flows else ""
    ends = [mark.y for mark in track.marks]
    parts = [
        f'<line x1="{track.x}" y1="{track.top + 4}" x2="{track.x}" y2="{max(ends, default=bottom)}" stroke="{track.colour}" opacity="0.55"/>',
        f'<text x="{track.x + 7}" y="{track.top + 10}" fill="{track.colour if track.flows else _SOFT}"{weight}>{escape(track.component)}</text>',
    ]
    if not track.flows:
        return parts
    parts.append(f'<line x1="{track.x}" y1="{min(ends)}" x2="{track.x}" y2="{max(ends)}" stroke="{track.colour}" stroke-width="3"/>')
    writers = [mark.y for mark in track.marks if mark.how == "writes"]
    for y in ends:
        if min(writers) < y:
            parts.append(_arrow(track, y - 8, -8))
        if max(writers) > y:
            parts.append(_arrow(track, y + 8, 8))
    return parts


def _arrow(track: _Track, tip: int, away: int) -> str:
    return f'<path d="M{track.x} {tip} l-6 {away} h12 z" fill="{track.colour}"/>'


def _box(system: ExplainedSystem, middle: int, layout: _Layout, contends: bool) -> list[str]:
    x, y, room = _NODE_X + 12, middle - _NODE_HEIGHT // 2, layout.node_width - 24
    furthest = max([track.x for track in layout.tracks if any(mark.y == middle for mark in track.marks)], default=layout.edge)
    size = f'x="{_NODE_X}" y="{y}" width="{layout.node_width}" height="{_NODE_HEIGHT}" rx="7"'
    frame = f'stroke="{_AMBER if contends else _PALE}" stroke-width="1.5"' + (' stroke-dasharray="5 4"' if system.meets else "")
    parts = [
        f'<line x1="{layout.edge}" y1="{middle}" x2="{furthest}" y2="{middle}" stroke="{_PALE}" stroke-width="1.5"/>',
        "<g>",
        f"<title>{_told(system)}</title>",
        f'<rect {size} fill="#ffffff" {frame}/>',
        f'<text x="{x}" y="{middle - 4}" {_NAME} fill="{_INK}">{_cut(system.name, room - 16, _NAME_LETTER)}</text>',
        f'<text x="{x}" y="{middle + 14}" fill="{_SOFT}">{_cut(system.due, room, _LETTER)}</text>',
        "</g>",
    ]
    if contends:
        parts.append(f'<text x="{layout.edge - 16}" y="{middle - 3}" font-size="16" font-weight="700" fill="{_AMBER}">!</text>')
    return parts


def _bar(system: ExplainedSystem, middle: int, layout: _Layout) -> list[str]:
    return [
        "<g>",
        f"<title>{_told(system)}</title>",
        f'<rect x="{_NODE_X}" y="{middle - 15}" width="{layout.width - _NODE_X - _MARGIN}" height="30" fill="{_ROSE}"/>',
        f'<text x="{_NODE_X + 12}" y="{middle + 5}" fill="#ffffff"><tspan {_NAME}>{_cut(system.name, _WIDEST, _NAME_LETTER)}</tspan>',
        f'<tspan dx="12">{escape(system.due)}</tspan></text>',
        "</g>",
    ]


def _told(system: ExplainedSystem) -> str:
    return escape("; ".join([f"{system.name}, {system.due}", *[f"{kind} {what}" for kind, what in system.access]]))


def _mark(mark: _Mark, x: int, colour: str) -> list[str]:
    if mark.how == "without":
        cross = f"M{x - 5} {mark.y - 5} l10 10 m0 -10 l-10 10"
        return [
            f'<circle cx="{x}" cy="{mark.y}" r="8" fill="#f4f6f9"/>',
            f'<path d="{cross}" stroke="{colour}" stroke-width="2.5" fill="none"/>',
        ]
    radius = 4 if mark.optional else 6
    fill = colour if mark.how == "writes" else "#ffffff"
    return [f'<circle cx="{x}" cy="{mark.y}" r="{radius}" fill="{fill}" stroke="{colour}" stroke-width="2"/>']


def _legend() -> list[str]:
    parts = [f'<text x="{_MARGIN}" y="{_MARGIN + 12}" font-size="15" font-weight="700" fill="{_INK}">Schedule</text>']
    for place, (kind, words) in enumerate(_LEGEND, 1):
        y = _MARGIN + 12 + place * _LINE
        marks = [("reads", _MARGIN + 22), ("writes", _MARGIN + 8)] if kind == "optional" else [(kind, _MARGIN + 8)]
        parts += [part for how, x in marks for part in _mark(_Mark(y - 4, how, kind == "optional"), x, _SOFT)]
        parts.append(f'<text x="{_MARGIN + 34}" y="{y}" fill="{_SOFT}">{words}</text>')
    return parts


def _notes(explanation: Explanation, layout: _Layout) -> list[str]:
    told = [
        f"! {one.first} and {one.second}: only the order of registration decides about {', '.join(one.components)}" for one in explanation.ambiguities
    ]
    more = len(told) + explanation.more_ambiguities - _NOTED
    lines = told[:_NOTED] + ([f"! and {more} more"] if more > 0 else [])
    x, y, room = _MARGIN + 10, layout.bottom + _MARGIN, layout.width - 3 * _MARGIN
    return [f'<text x="{x}" y="{y + place * _LINE}" fill="{_AMBER}">{_cut(line, room, _LETTER)}</text>' for place, line in enumerate(lines)]


def _cut(text: str, room: float, letter: float) -> str:
    """A text as it fits, escaped; all of it stands in the tooltip."""
    most = int(room / letter)
    return escape(text if len(text) <= most else text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}")
