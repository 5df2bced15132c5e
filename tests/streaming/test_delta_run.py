"""Runs of deltas: the same fold as their parts, cut only where `merge` cuts, and at a cost that is linear."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.streaming import fold, merge
from ecs_agent.streaming.delta_run import runs
from ecs_agent.types import (
    CitationPart,
    StreamDelta,
    TokenLogprob,
    ToolCall,
    ToolCallFragment,
    Usage,
)

TEXT = st.sampled_from([None, "", "a", "bc"])
DELTA = st.builds(
    StreamDelta,
    content=TEXT,
    reasoning=st.sampled_from([None, None, "r", ""]),
    refusal=st.sampled_from([None, None, None, "no"]),
    tool_calls=st.sampled_from([None, None, [ToolCall("c", "f", {})]]),
    tool_fragments=st.sampled_from([(), (), (ToolCallFragment(0, "c", "f", "{"),)]),
    parts=st.sampled_from([(), (), (CitationPart(url="http://a"),)]),
    usage=st.sampled_from([None, None, Usage(1, 2, 3)]),
    logprobs=st.sampled_from([(), (), (TokenLogprob("a", -0.5),)]),
    final=st.sampled_from([False, False, False, True]),
    finish_reason=st.sampled_from([None, None, None, "length"]),
    raw_finish_reason=st.sampled_from([None, None, "stop"]),
)
DELTAS = st.lists(st.one_of(st.builds(StreamDelta, content=st.sampled_from(["a", "bc"])), DELTA), max_size=25)


@given(DELTAS)
def test_runs_have_the_fold_of_their_deltas_and_each_says_for_how_many_it_stands(deltas: list[StreamDelta]) -> None:
    cut = list(runs(deltas))
    assert sum(run.count for run in cut) == len(deltas)
    start = 0
    for run in cut:
        assert fold([run.delta()]) == fold(deltas[start : start + run.count])
        start += run.count
    assert fold([run.delta() for run in cut]) == fold(deltas)


@given(DELTAS)
def test_they_are_what_merging_one_after_another_gives(deltas: list[StreamDelta]) -> None:
    expected: list[StreamDelta] = []
    for delta in deltas:
        together = merge(expected[-1], delta) if expected else None
        expected[-1:] = [together] if together is not None else [*expected[-1:], delta]
    assert [said(run.delta()) for run in runs(deltas)] == [said(delta) for delta in expected]


def said(delta: StreamDelta) -> StreamDelta:
    """The delta, in which no text and empty text are the same."""
    return replace(delta, content=delta.content or None, reasoning=delta.reasoning or None, refusal=delta.refusal or None)


def test_no_deltas_are_no_runs() -> None:
    assert list(runs([])) == []


def test_each_kind_of_text_is_joined_by_itself_and_what_is_not_there_stays_away() -> None:
    thoughts = next(iter(runs([StreamDelta(reasoning="a"), StreamDelta(reasoning="b"), StreamDelta(reasoning="c")]))).delta()
    assert (thoughts.reasoning, thoughts.content, thoughts.refusal) == ("abc", None, None)
    refused = next(iter(runs([StreamDelta(refusal="a"), StreamDelta(refusal="b")]))).delta()
    assert (refused.reasoning, refused.content, refused.refusal) == (None, None, "ab")
    said = next(iter(runs([StreamDelta("a"), StreamDelta("b", usage=Usage(1, 2, 3))]))).delta()
    assert (said.reasoning, said.content, said.refusal) == (None, "ab", None)


@pytest.mark.parametrize("end", [StreamDelta("b", final=True), StreamDelta("b", finish_reason="length"), StreamDelta("b", raw_finish_reason="max")])
def test_a_text_that_ends_an_answer_is_not_joined_as_if_it_were_nothing_else(end: StreamDelta) -> None:
    (run,) = runs([StreamDelta("a"), end])
    assert run.delta() == replace(end, content="ab")


def test_a_delta_without_anything_stays_one() -> None:
    (run,) = runs([StreamDelta()])
    assert run.delta() == StreamDelta()
