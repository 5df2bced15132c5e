"""The answer that is arriving: merged pieces have the same fold, and cost the text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.components import StreamStateComponent
from ecs_agent.components.reasoning import COMPACT_AT, _merged
from ecs_agent.streaming import fold
from ecs_agent.types import StreamDelta, ToolCall, Usage

DELTAS = st.lists(
    st.one_of(
        st.text("ab", min_size=1, max_size=3).map(StreamDelta),
        st.text("ab", min_size=1, max_size=3).map(lambda text: StreamDelta(reasoning=text)),
        st.just(StreamDelta(tool_calls=[ToolCall("c", "f", {"a": 1})])),
        st.just(StreamDelta(usage=Usage(1, 1, 2))),
        st.just(StreamDelta()),
    ),
    max_size=12,
)


@given(DELTAS)
def test_merging_changes_nothing_that_is_folded(deltas: list[StreamDelta]) -> None:
    merged = _merged(deltas)
    assert len(merged) <= len(deltas)
    assert fold(merged) == fold(deltas)


def test_a_long_answer_keeps_a_block_for_some_hundred_pieces() -> None:
    state = StreamStateComponent(1)
    for number in range(10 * COMPACT_AT):
        state.add([StreamDelta("x") if number % 2 else StreamDelta(reasoning="y") if number % 100 == 0 else StreamDelta("z")])
    assert len(state.deltas) < 2 * COMPACT_AT
    assert state.result().message.content.count("x") == 5 * COMPACT_AT
