"""The table as a person reads it: on a small screen, worst first, nothing that text of others could do to the terminal."""

from __future__ import annotations

import io

import msgspec
import pytest
from rich.console import Console

from ecs_agent.cli.agent_table import AgentTable, summary_line
from ecs_agent.telemetry import AgentPhase, AgentStats, crew_summary
from ecs_agent.types import EntityId, Usage

IDLE = AgentStats(EntityId(1), "", "m", AgentPhase.IDLE, 1, 5, False, 0.1, 20.0, 0.0, 0.2, Usage(10, 5, 15), 0, None, "idle", None)


def agent(number: int, phase: AgentPhase, **fields: object) -> AgentStats:
    reason = fields.pop("reason", "idle" if phase is AgentPhase.IDLE else None)
    return msgspec.structs.replace(IDLE, entity=EntityId(number), phase=phase, reason=reason, **fields)


def drawn(*stats: AgentStats, width: int = 80, height: int = 24, seconds: float | None = None, styled: bool = False) -> list[str]:
    """The lines of the table, without the blanks behind them."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=styled, color_system="standard" if styled else None, width=width, height=height, legacy_windows=False)
    console.print(AgentTable(list(stats), seconds=seconds))
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_a_person_reads_who_does_what_and_how_far_all_are() -> None:
    assert drawn(
        agent(1, AgentPhase.IDLE, name="anna"),
        agent(2, AgentPhase.STREAMING, name="ben", turn=2, tokens=1204, estimated=True, tokens_per_second=57.2, first_token=0.42),
        agent(3, AgentPhase.FAILED, tokens=None, usage=None, tokens_per_second=None, error="the connection was lost", reason="failed"),
        agent(4, AgentPhase.TOOLS, tools_running=2, tokens_per_second=None, first_token=2.34, parent=EntityId(2)),
        seconds=12.3,
        width=90,
    ) == [
        "4 agents: 1 failed, 1 streaming, 1 running tools, 1 idle · 57 tokens/s · 12 s",
        "━━━━━━━━━───────── 2 of 4 done (1 failed, 1 idle) · 30 tokens in, 15 out",
        "agent    phase            turn  tokens  tok/s   first     gap",
        "agent 3  failed              1                 0.10 s  0.20 s  the connection was lost",
        "ben      streaming           2  ~1,204     57  0.42 s  0.20 s  m",
        "agent 4  running 2 tools     1       5          2.3 s  0.20 s  child of 2 · m",
        "anna     idle                1       5     20  0.10 s  0.20 s  m",
    ]


def test_what_needs_attention_comes_first() -> None:
    stats = [
        agent(1, AgentPhase.NEW),
        agent(2, AgentPhase.IDLE),
        agent(3, AgentPhase.ENDED, reason="max_turns"),
        agent(4, AgentPhase.READY),
        agent(5, AgentPhase.AT_BARRIER),
        agent(6, AgentPhase.WAITING, reason="waiting_input"),
        agent(17, AgentPhase.QUEUED),
        agent(7, AgentPhase.RUNNING),
        agent(8, AgentPhase.ASKED, stalled=2.0),
        agent(9, AgentPhase.TOOLS, tools_running=1),
        agent(10, AgentPhase.STREAMING, stalled=9.0),
        agent(11, AgentPhase.RETRYING, error="busy"),
        agent(12, AgentPhase.ASKED, stalled=11.0),
        agent(13, AgentPhase.STREAMING, stalled=33.0),
        agent(14, AgentPhase.FAILED, error="no", reason="failed"),
        agent(15, AgentPhase.QUARANTINED, error="too often", reason="quarantined"),
        agent(16, AgentPhase.IDLE, reason="interrupted"),
    ]
    assert [(row.agent, row.phase) for row in AgentTable(stats).rows(99)] == [
        ("agent 15", "quarantined"),
        ("agent 14", "failed"),
        ("agent 13", "stalled for 33 s"),
        ("agent 12", "no answer for 11 s"),
        ("agent 11", "retrying"),
        ("agent 10", "streaming"),
        ("agent 9", "running 1 tool"),
        ("agent 8", "waiting for the model"),
        ("agent 7", "running"),
        ("agent 17", "waiting for a permit"),
        ("agent 6", "waiting for input"),
        ("agent 5", "at a barrier"),
        ("agent 4", "ready"),
        ("agent 3", "ended"),
        ("agent 16", "idle"),
        ("agent 2", "idle"),
        ("agent 1", "new"),
    ]


def test_agents_of_one_kind_keep_their_places() -> None:
    stats = [agent(number, AgentPhase.STREAMING, tokens=99 - number) for number in range(30, 0, -1)]
    assert [row.agent for row in AgentTable(stats).rows(3)] == ["agent 1", "agent 2", "agent 3"]


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("height", [6, 10, 24])
@pytest.mark.parametrize("count", [0, 1, 5, 200])
def test_it_fits_the_screen(width: int, height: int, count: int) -> None:
    stats = [agent(number, AgentPhase.STREAMING, name="名前" * 20, error="long " * 99, stalled=99.0) for number in range(count)]
    lines = drawn(*stats, width=width, height=height)
    assert len(lines) <= height
    assert max(Console().render_str(line).cell_len for line in lines) <= width


def test_what_does_not_fit_is_counted() -> None:
    lines = drawn(*[agent(number, AgentPhase.IDLE) for number in range(200)])
    assert len(lines) == 24
    assert lines[-1] == "and 180 more"


@pytest.mark.parametrize(
    ("width", "titles"),
    [(30, "agent phase"), (50, "agent phase tokens"), (60, "agent phase tokens tok/s"), (100, "agent phase turn tokens tok/s first gap")],
)
def test_a_narrow_screen_has_fewer_columns(width: int, titles: str) -> None:
    assert " ".join(drawn(agent(1, AgentPhase.IDLE), width=width)[2].split()) == titles


def test_a_column_in_which_nothing_would_stand_is_left_out() -> None:
    assert "first" not in drawn(agent(1, AgentPhase.IDLE, first_token=None))[2]


@pytest.mark.parametrize("field", ["name", "model", "error"])
def test_text_of_others_stays_text(field: str) -> None:
    evil = "\x1b[2J\x1b]0;owned\x07ev\x07il\nnext [bold]line[/]\u202e"
    kind = agent(1, AgentPhase.FAILED, error="no", reason="x") if field == "error" else agent(1, AgentPhase.IDLE)
    lines = drawn(msgspec.structs.replace(kind, **{field: evil}), width=120, styled=True)
    text = "\n".join(lines)
    assert "ev␇il next [bold]line[/]" in text
    assert len(lines) == 4
    assert not {"\x07", "\u202e"} & set(text)
    assert "\x1b[2J" not in text
    assert "\x1b]" not in text


def test_a_reason_of_others_stays_text_in_the_totals() -> None:
    assert "\x1b" not in summary_line(crew_summary([agent(1, AgentPhase.ENDED, reason="a\x1b[2Jb\n_c")]), 1)


def test_errors_are_red_and_idle_agents_dim() -> None:
    lines = drawn(agent(1, AgentPhase.FAILED, error="no", reason="failed"), agent(2, AgentPhase.IDLE), styled=True)
    assert "\x1b[31mfailed" in lines[3]
    assert "\x1b[2midle" in lines[4]


def test_without_agents_it_says_so() -> None:
    assert drawn(seconds=3) == ["no agents · 3 s", "──────────────── 0 of 0 done"]


def test_one_line_says_it_all() -> None:
    stats = [agent(1, AgentPhase.IDLE), agent(2, AgentPhase.ASKED, stalled=12.0), agent(3, AgentPhase.IDLE, usage=Usage(1, 2, 3, 1, estimated=True))]
    assert summary_line(crew_summary(stats), 61.2) == (
        "3 agents: 1 waiting for the model, 2 idle · 1 stalled · 61 s · 2 of 3 done (2 idle) · about 21 tokens in (1 cached), 12 out"
    )


def test_a_single_agent_is_no_crowd() -> None:
    assert summary_line(crew_summary([agent(1, AgentPhase.IDLE)]), 1).startswith("1 agent: 1 idle")
