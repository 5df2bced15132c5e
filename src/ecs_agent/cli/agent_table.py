"""The table of agents: who needs attention comes first, and what does not fit is counted."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style

from ecs_agent.cli.sanitize import one_line
from ecs_agent.telemetry import STALLED_AFTER, AgentPhase, AgentStats, CrewSummary, crew_summary
from ecs_agent.types import Usage

_ATTENTION: Mapping[AgentPhase, int] = {
    phase: rank
    for rank, phase in enumerate(
        [
            AgentPhase.QUARANTINED,
            AgentPhase.FAILED,
            AgentPhase.RETRYING,
            AgentPhase.STREAMING,
            AgentPhase.TOOLS,
            AgentPhase.ASKED,
            AgentPhase.RUNNING,
            AgentPhase.QUEUED,
            AgentPhase.WAITING,
            AgentPhase.AT_BARRIER,
            AgentPhase.READY,
            AgentPhase.ENDED,
            AgentPhase.IDLE,
            AgentPhase.NEW,
        ]
    )
}
_STALLED_RANK = _ATTENTION[AgentPhase.FAILED] + 0.5

_WORDS: Mapping[AgentPhase, str] = {
    AgentPhase.ASKED: "waiting for the model",
    AgentPhase.TOOLS: "running tools",
    AgentPhase.QUEUED: "waiting for a permit",
    AgentPhase.AT_BARRIER: "at a barrier",
    AgentPhase.WAITING: "waiting for input",
}

_STYLES: Mapping[AgentPhase, str] = {
    AgentPhase.QUARANTINED: "red",
    AgentPhase.FAILED: "red",
    AgentPhase.RETRYING: "yellow",
    AgentPhase.STREAMING: "green",
    AgentPhase.TOOLS: "cyan",
    AgentPhase.WAITING: "yellow",
    AgentPhase.ENDED: "yellow",
    AgentPhase.IDLE: "dim",
    AgentPhase.NEW: "dim",
}

_LONGEST_CELL = 200
_GUTTER = "  "


@dataclass(frozen=True, slots=True)
class Row:
    """An agent as it is shown; the texts are safe for a terminal."""

    agent: str
    phase: str
    style: str
    turn: str
    tokens: str
    rate: str
    first: str
    gap: str
    note: str


@dataclass(frozen=True, slots=True)
class _Column:
    """A column: how wide it may grow, and from which width of the screen on it is shown at all."""

    title: str
    read: Callable[[Row], str]
    widest: int
    from_width: int = 0
    right: bool = True


_PHASE = _Column("phase", lambda row: row.phase, 24, right=False)
_FIGURES = (
    _Column("turn", lambda row: row.turn, 5, 70),
    _Column("tokens", lambda row: row.tokens, 10, 44),
    _Column("tok/s", lambda row: row.rate, 7, 56),
    _Column("first", lambda row: row.first, 8, 64),
    _Column("gap", lambda row: row.gap, 8, 90),
)


class AgentTable:
    """A rich renderable of the agents of a world: totals, progress, and as many agents as fit, by what needs attention.

    Args:
        stats: what `agent_stats` said.
        seconds: how long it has been going on; None does not say.
        stalled_after: seconds of silence after which an answer is called stalled.
        height: lines that may be used; None for those of the console.
    """

    def __init__(
        self, stats: Sequence[AgentStats], *, seconds: float | None = None, stalled_after: float = STALLED_AFTER, height: int | None = None
    ) -> None:
        self._stats = stats
        self._seconds = seconds
        self._stalled_after = stalled_after
        self._height = height
        self.summary = crew_summary(stats, stalled_after=stalled_after)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it in the room there is. By hand: rich's own tables take ten times as long, and this is drawn while agents wait for the loop."""
        height, width = self._height or options.height or console.size.height, options.max_width
        yield from _line((totals(self.summary, self._seconds), "bold"), width=width)
        yield from _progress(self.summary, width)
        rows = self.rows(max(1, height - 4))
        if rows:
            yield from _table(rows, width)
        hidden = len(self._stats) - len(rows)
        if hidden:
            yield from _line((f"and {hidden:,} more", "dim"), width=width)

    def rows(self, most: int) -> list[Row]:
        """The agents that need attention most, as they are shown."""
        first = heapq.nsmallest(most, self._stats, key=self._attention)
        return [_row(each, stalled=each.stalled >= self._stalled_after) for each in first]

    def _attention(self, each: AgentStats) -> tuple[float, float, int]:
        """Errors, then stalled answers, the longest silence first, then those at work, those that wait, those at rest."""
        if each.stalled >= self._stalled_after and not each.phase.is_error:
            return _STALLED_RANK, -each.stalled, each.entity
        rank = float(_ATTENTION[each.phase])
        if each.phase is AgentPhase.IDLE and each.reason == "interrupted":
            rank = _ATTENTION[AgentPhase.ENDED] + 0.5
        return rank, 0.0, each.entity


def totals(summary: CrewSummary, seconds: float | None = None) -> str:
    """All agents in one line: how many, what they do, how fast."""
    phases = [f"{count:,} {_word(phase)}" for phase in _ATTENTION if (count := summary.phases.get(phase, 0))]
    parts = [f"{summary.agents:,} agent{'' if summary.agents == 1 else 's'}: {', '.join(phases)}" if phases else "no agents"]
    if summary.stalled:
        parts.append(f"{summary.stalled:,} stalled")
    if summary.tokens_per_second:
        parts.append(f"{_short(summary.tokens_per_second)} tokens/s")
    if seconds is not None:
        parts.append(f"{seconds:.0f} s")
    return " · ".join(parts)


def progress(summary: CrewSummary) -> str:
    """How far they are: agents at rest of all, why they rest, and what it took."""
    reasons = ", ".join([f"{count:,} {one_line(reason, 40).replace('_', ' ')}" for reason, count in sorted(summary.reasons.items(), key=_most_first)])
    parts = [f"{summary.done:,} of {summary.agents:,} done" + (f" ({reasons})" if reasons else "")]
    if summary.usage is not None:
        parts.append(_usage(summary.usage))
    return " · ".join(parts)


def summary_line(summary: CrewSummary, seconds: float) -> str:
    """Everything in one line, for where no table can be drawn."""
    return f"{totals(summary, seconds)} · {progress(summary)}"


def _most_first(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _usage(usage: Usage) -> str:
    about = "about " if usage.estimated else ""
    cached = f" ({usage.cached_tokens:,} cached)" if usage.cached_tokens else ""
    return f"{about}{usage.prompt_tokens:,} tokens in{cached}, {usage.completion_tokens:,} out"


def _progress(summary: CrewSummary, width: int) -> Iterator[Segment]:
    length = min(20, max(4, width // 5))
    filled = length * summary.done // summary.agents if summary.agents else 0
    return _line(("━" * filled, "green"), ("─" * (length - filled), "dim"), (f" {progress(summary)}", ""), width=width)


def _table(rows: Sequence[Row], width: int) -> Iterator[Segment]:
    figures = [column for column in _FIGURES if column.from_width <= width and any(column.read(row) for row in rows)]
    columns = [_Column("agent", lambda row: row.agent, max(8, width // 4), right=False), _PHASE, *figures]
    widths = [min(column.widest, max([cell_len(text) for text in (column.title, *map(column.read, rows))])) for column in columns]
    yield from _line(
        *[(_fitted(column.title, each, right=column.right) + _GUTTER, "dim") for column, each in zip(columns, widths, strict=True)], width=width
    )
    for row in rows:
        styles = ["", row.style, *[""] * len(figures)]
        cells = [_fitted(column.read(row), each, right=column.right) + _GUTTER for column, each in zip(columns, widths, strict=True)]
        yield from _line(*zip(cells, styles, strict=True), (row.note, ""), width=width)


def _line(*pieces: tuple[str, str], width: int) -> Iterator[Segment]:
    """Pieces of text with their styles on one line; what does not fit is cut off."""
    for text, style in pieces:
        shown = _fitted(text, min(width, cell_len(text)))
        width -= cell_len(shown)
        yield Segment(shown, Style.parse(style))
    yield Segment.line()


def _fitted(text: str, width: int, *, right: bool = False) -> str:
    """A text of exactly this width, in the cells of a terminal."""
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + "…" if width > 0 else ""
    return " " * (width - length) + text if right else text + " " * (width - length)


def _row(each: AgentStats, *, stalled: bool) -> Row:
    style = _STYLES.get(each.phase, "")
    if stalled and not each.phase.is_error:
        style = "magenta"
    return Row(
        agent=one_line(each.name, _LONGEST_CELL) or f"agent {each.entity}",
        phase=_phase(each, stalled=stalled),
        style=style,
        turn=str(each.turn) if each.turn else "",
        tokens=f"{'~' if each.estimated else ''}{each.tokens:,}" if each.tokens is not None else "",
        rate=_short(each.tokens_per_second) if each.tokens_per_second is not None else "",
        first=f"{_short(each.first_token)} s" if each.first_token is not None else "",
        gap=f"{_short(each.longest_gap)} s" if each.longest_gap is not None else "",
        note=" · ".join(_notes(each)),
    )


def _phase(each: AgentStats, *, stalled: bool) -> str:
    if stalled and each.phase is AgentPhase.STREAMING:
        return f"stalled for {each.stalled:.0f} s"
    if stalled and each.phase is AgentPhase.ASKED:
        return f"no answer for {each.stalled:.0f} s"
    if each.phase is AgentPhase.TOOLS and each.tools_running:
        return f"running {each.tools_running} tool{'' if each.tools_running == 1 else 's'}"
    return _word(each.phase)


def _notes(each: AgentStats) -> Iterator[str]:
    if each.error is not None:
        yield one_line(each.error, _LONGEST_CELL)
    elif each.reason is not None and each.reason not in ("idle", "waiting_input"):
        yield one_line(each.reason, _LONGEST_CELL).replace("_", " ")
    if each.parent is not None:
        yield f"child of {each.parent}"
    if each.model and each.error is None:
        yield one_line(each.model, _LONGEST_CELL)


def _word(phase: AgentPhase) -> str:
    return _WORDS.get(phase, phase.value)


def _short(number: float) -> str:
    """Two digits that matter."""
    return f"{number:.2f}" if number < 1 else f"{number:.1f}" if number < 10 else f"{number:,.0f}"
