"""What a person sees of a run: the answer exactly, everything else in few quiet lines."""

from __future__ import annotations

import io
from collections.abc import Iterable

import pytest

from ecs_agent import (
    Finished,
    ReasoningDelta,
    RefusalDelta,
    RunCompleted,
    TextDelta,
    ToolCallStarted,
    ToolExecutionCompleted,
    ToolExecutionStarted,
)
from ecs_agent.agent import AgentEvent
from ecs_agent.cli.render import Transcript, failure_of, written_out
from ecs_agent.cli.terminal import Terminal
from ecs_agent.types import CompletionResult, EntityId, FinishReason, Message, Timing, ToolCall, Usage

ADD = ToolCall("call_1", "add", {"a": 2, "b": 3})
DONE = RunCompleted("idle", None, "…", None, 1)
ENTITY = EntityId(1)


def finished(reason: FinishReason | None = "stop", raw: str | None = None, timing: Timing | None = None, usage: Usage | None = None) -> Finished:
    return Finished(CompletionResult(Message("assistant", "…"), usage, reason, raw, timing))


def started(call: ToolCall) -> ToolExecutionStarted:
    return ToolExecutionStarted(ENTITY, call)


def completed(call: ToolCall, text: str, is_error: bool = False, seconds: float = 0.01) -> ToolExecutionCompleted:
    return ToolExecutionCompleted(ENTITY, call, text, is_error, seconds)


def shown(events: Iterable[AgentEvent], *, reasoning: bool = True, trim: bool = True) -> str:
    """The events on one plain screen."""
    file = io.StringIO()
    screen = Terminal(file, color=False)
    transcript = Transcript(screen, screen, screen, reasoning=reasoning, trim=trim)
    for event in events:
        transcript.show(event)
    transcript.end()
    return file.getvalue()


def test_text_is_shown_as_it_arrives() -> None:
    file = io.StringIO()
    screen = Terminal(file, color=False)
    transcript = Transcript(screen, screen, screen)
    for piece in ["Hel", "lo", " wor", "ld"]:
        before = file.getvalue()
        transcript.show(TextDelta(piece))
        assert file.getvalue() == before + piece


def test_an_answer_ends_with_one_newline() -> None:
    assert shown([TextDelta("no newline"), finished(), DONE]) == "no newline\n"
    assert shown([TextDelta("a newline\n"), finished(), DONE]) == "a newline\n"


def test_a_tool_call_and_its_result_are_one_line_each() -> None:
    events: list[AgentEvent] = [
        TextDelta("Let me see."),
        ToolCallStarted(0, "call_1", "add"),
        finished("tool_calls"),
        started(ADD),
        completed(ADD, "5"),
        TextDelta("Five."),
    ]
    assert shown(events) == "Let me see.\n→ add(a=2, b=3)\n← 5\nFive.\n"


def test_results_of_calls_at_the_same_time_say_whose_they_are() -> None:
    other = ToolCall("call_2", "now", {})
    events: list[AgentEvent] = [started(ADD), started(other), completed(other, "noon"), completed(ADD, "5")]
    assert shown(events) == "→ add(a=2, b=3)\n→ now()\n← now: noon\n← add: 5\n"


def test_a_failed_tool_is_marked_and_a_slow_one_says_how_long_it_took() -> None:
    events: list[AgentEvent] = [started(ADD), completed(ADD, "no such number", is_error=True), started(ADD), completed(ADD, "5", seconds=12.3)]
    assert shown(events).splitlines()[1::2] == ["✗ no such number", "← 5 (12 s)"]


def test_long_arguments_and_results_are_cut_and_put_on_one_line() -> None:
    call = ToolCall("call_1", "write", {"text": "line one\nline two " * 100})
    lines = shown([started(call), completed(call, "first\nsecond\n" + "x" * 1000)]).splitlines()
    assert len(lines) == 2
    assert all(len(line) == 200 and line.endswith("…") for line in lines)
    assert lines[1].startswith("← first second xxx")


def test_arguments_that_are_no_json_are_shown_as_they_came() -> None:
    assert written_out(ToolCall("1", "add", {}, raw_arguments="{'a': 2", arguments_error="not JSON")) == "add({'a': 2)"
    assert written_out(ToolCall("1", "say", {"text": "Grüße", "loud": True})) == 'say(text="Grüße", loud=true)'


def test_reasoning_stands_apart_from_the_answer() -> None:
    events: list[AgentEvent] = [ReasoningDelta("two and "), ReasoningDelta("three"), TextDelta("\n\nFive."), finished(), DONE]
    assert shown(events) == "two and three\nFive.\n"
    assert shown(events, reasoning=False) == "Five.\n"


def test_a_refusal_is_an_answer() -> None:
    assert shown([RefusalDelta("I will not."), finished(), DONE]) == "I will not.\n"


def test_empty_lines_at_the_beginning_are_left_out_only_when_asked() -> None:
    events: list[AgentEvent] = [TextDelta("\n"), TextDelta("\nHello\n\nyou")]
    assert shown(events) == "Hello\n\nyou\n"
    assert shown(events, trim=False) == "\n\nHello\n\nyou\n"


def test_an_escape_sequence_is_neutralised_also_when_it_is_split_over_deltas() -> None:
    events: list[AgentEvent] = [TextDelta(piece) for piece in ["safe \x1b", "]0;ti", "tle\x07", "text \x1b[3", "1mred"]]
    assert shown(events) == "safe text red\n"


def test_an_escape_sequence_in_a_tool_is_neutralised() -> None:
    call = ToolCall("call_1", "say\x1b[2J", {"text\x9b1m": "\x1b[31mred\u202e"})
    text = shown([started(call), completed(call, "\x1b]0;title\x07done\x1b[0m"), completed(call, "\x1b[2Jbad", is_error=True)])
    assert not any(character in text for character in "\x1b\x9b\u202e\x07")
    assert "← done" in text


def test_what_a_sequence_held_back_is_shown_when_the_answer_ends() -> None:
    assert shown([TextDelta("cut \x1b[3"), finished(), DONE]) == "cut ␛[3\n"


@pytest.mark.parametrize(
    ("reason", "raw", "note"),
    [
        ("length", "length", "note: the answer was cut at the token limit"),
        ("content_filter", "content_filter", "note: the answer was cut by the provider's content filter"),
        (None, "eos\x1b[31m", "note: the answer ended for a reason of the provider's own: eos"),
    ],
)
def test_an_answer_that_is_not_whole_says_so(reason: FinishReason | None, raw: str, note: str) -> None:
    assert shown([TextDelta("half"), finished(reason, raw), DONE]) == f"half\n{note}\n"


def test_an_empty_answer_is_said_to_be_one() -> None:
    assert shown([finished(), RunCompleted("idle", None, "", None, 1)]) == "(no answer)\n"


def test_quiet_shows_the_answer_and_what_makes_it_incomplete() -> None:
    out, alarms = io.StringIO(), io.StringIO()
    transcript = Transcript(Terminal(out, color=False), None, Terminal(alarms, color=False), trim=False)
    events: list[AgentEvent] = [ReasoningDelta("hm"), TextDelta("a"), started(ADD), completed(ADD, "5"), TextDelta("b"), finished("length"), DONE]
    for event in events:
        transcript.show(event)
    transcript.end()
    assert out.getvalue() == "a\nb\n"
    assert alarms.getvalue() == "note: the answer was cut at the token limit\n"


def statistics(*events: Finished) -> str:
    screen = Terminal(io.StringIO(), color=False)
    transcript = Transcript(screen, screen, screen)
    for event in events:
        transcript.show(event)
    return transcript.statistics()


def test_statistics_tell_the_first_wait_the_last_speed_and_all_tokens() -> None:
    first = finished("tool_calls", timing=Timing(0.4242, tokens_per_second=30.0), usage=Usage(100, 10, 110))
    last = finished(timing=Timing(0.1, tokens_per_second=56.7), usage=Usage(1200, 20, 1220, cached_tokens=64))
    assert statistics(first, last) == "0.42 s to first token · 57 tokens/s · 1,300 tokens in (64 cached), 30 out"


def test_statistics_say_only_what_is_known() -> None:
    assert statistics(finished()) == ""
    assert statistics(finished(timing=Timing(3.21))) == "3.2 s to first token"
    assert statistics(finished(usage=Usage(7, 1, 8, estimated=True))) == "about 7 tokens in, 1 out"


@pytest.mark.parametrize(
    ("reason", "detail", "failure"),
    [
        ("idle", None, None),
        ("interrupted", "stopped by its user", None),
        ("terminal", "max_turns", "the limit of turns for one input is reached"),
        ("terminal", "something\nelse", "the agent ended: something else"),
        ("quarantined", None, "the agent ended: quarantined"),
    ],
)
def test_a_run_that_did_not_reach_its_answer_says_why(reason: str, detail: str | None, failure: str | None) -> None:
    assert failure_of(RunCompleted(reason, detail, "", None, 1)) == failure
