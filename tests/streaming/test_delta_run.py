"""Runs of deltas: the same fold as their parts, cut only where `merge` cuts, and at a cost that is linear."""

from __future__ import annotations

from dataclasses import replace

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
