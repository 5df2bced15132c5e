"""Counting what has arrived of open answers: exact, and cheap however often one asks."""

from __future__ import annotations

import pytest

from ecs_agent.components import StreamStateComponent
from ecs_agent.components.reasoning import COMPACT_AT
from ecs_agent.telemetry.open_answers import OpenAnswers
from ecs_agent.types import EntityId, StreamDelta, ToolCallFragment

ONE = EntityId(1)


def arrived(*texts: str) -> StreamStateComponent:
    state = StreamStateComponent(1)
    state.add([StreamDelta(text) for text in texts])
    return state


@pytest.mark.parametrize(
    "delta",
    [
        StreamDelta("four"),
        StreamDelta(reasoning="four"),
        StreamDelta(refusal="four"),
        StreamDelta(tool_fragments=(ToolCallFragment(0, arguments="four"),)),
    ],
)
def test_everything_that_a_model_writes_counts(delta: StreamDelta) -> None:
    state = StreamStateComponent(1)
    state.add([delta])
    assert OpenAnswers().characters(ONE, state) == 4


def test_what_was_counted_is_not_looked_at_again() -> None:
    answers, state = OpenAnswers(), arrived("one", "two")
    assert answers.characters(ONE, state) == 6
    answers.forget_the_closed()
    state.deltas[0] = StreamDelta("not looked at")
    state.add([StreamDelta("three")])
    assert answers.characters(ONE, state) == 11


def test_blocks_are_counted_once_when_they_are_made() -> None:
    answers, state = OpenAnswers(), arrived("one")
    assert answers.characters(ONE, state) == 3
    answers.forget_the_closed()
    state.add([StreamDelta("ab")] * COMPACT_AT)
    assert state.merged > 0
    assert answers.characters(ONE, state) == 3 + 2 * COMPACT_AT


def test_the_next_answer_of_an_agent_is_counted_from_its_begin() -> None:
    answers = OpenAnswers()
    assert answers.characters(ONE, arrived("a long answer")) == 13
    answers.forget_the_closed()
    assert answers.characters(ONE, arrived("short")) == 5


def test_answers_that_nobody_asks_for_any_more_are_forgotten() -> None:
    answers, state = OpenAnswers(), arrived("one")
    answers.characters(ONE, state)
    answers.forget_the_closed()
    answers.forget_the_closed()
    state.deltas[0] = StreamDelta("looked at again")
    assert answers.characters(ONE, state) == 15
