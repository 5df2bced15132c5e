"""Unfold: the fold of its deltas is the answer."""

from __future__ import annotations

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.streaming.fold import fold
from ecs_agent.streaming.unfold import unfold
from ecs_agent.types import (
    CitationPart,
    CompletionResult,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    TokenLogprob,
    ToolCall,
    Usage,
)

KINDS = [
    TextPart("hm"),
    ReasoningPart("so"),
    ReasoningPart("so", {"signature": "x"}),
    RefusalPart("no"),
    CitationPart("https://example.com"),
    ImagePart(data=b"i"),
    OpaquePart("a", {"b": 1}),
]


def answer(*parts: Part) -> CompletionResult:
    return CompletionResult(Message("assistant", parts=parts), Usage(1, 2, 3, cached_tokens=1), "length", "max", logprobs=(TokenLogprob("a", -0.5),))


@given(st.lists(st.sampled_from(KINDS), max_size=8), st.integers(0, 8), st.integers(0, 2))
def test_the_fold_of_the_deltas_is_the_answer(parts: list[Part], place: int, calls: int) -> None:
    folded = [part for part, same in groupby(parts) for part in ([part] if isinstance(part, TextPart | RefusalPart) else same)]
    folded = [part for index, part in enumerate(folded) if part != ReasoningPart("so") or part not in folded[max(0, index - 1) : index]]
    folded[place:place] = [ToolCall(f"c{number}", "f", {"a": number}) for number in range(calls)]
    if calls and 0 < place < len(folded) - calls and folded[place - 1] == folded[place + calls]:
        return  # a text goes on behind the calls; in a fold it is one
    result = answer(*folded)
    deltas = unfold(result)
    assert fold(deltas) == result
    assert [delta.final for delta in deltas] == [False] * (len(deltas) - 1) + [True]


def test_as_few_deltas_as_keep_the_order() -> None:
    call = ToolCall("c", "f")
    assert len(unfold(answer(ReasoningPart("a"), TextPart("b"), RefusalPart("c"), CitationPart("d"), ImagePart(url="e"), call, call))) == 1
    assert len(unfold(answer(TextPart("b"), ReasoningPart("a"), TextPart("c")))) == 2
    assert len(unfold(answer())) == 1


@pytest.mark.parametrize(("parts", "finish"), [([TextPart("a")], "stop"), ([ToolCall("c", "f")], "tool_calls")])
def test_an_answer_without_a_finish_gets_one(parts: list[Part], finish: str) -> None:
    assert unfold(CompletionResult(Message("assistant", parts=parts)))[-1].finish_reason == finish


def test_texts_that_follow_each_other_become_one() -> None:
    assert fold(unfold(answer(TextPart("a"), TextPart("b")))).message.parts == (TextPart("ab"),)


def test_calls_that_stand_apart_are_told_one_after_the_other() -> None:
    first, second, third = [ToolCall(f"c{number}", "f") for number in range(3)]
    deltas = unfold(answer(first, TextPart("a"), second, TextPart("b"), third))
    assert [delta.tool_calls for delta in deltas] == [[first], [first, second], [first, second, third]]


def test_a_refusal_is_told_as_one() -> None:
    (delta,) = unfold(answer(RefusalPart("no")))
    assert (delta.refusal, delta.parts) == ("no", ())
