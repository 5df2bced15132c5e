"""The fold: the order of parts, what wins, when an answer is whole, and the law of merging."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_agent.streaming import Fold, ToolCallLog, fold, merge
from ecs_agent.streaming.fold import TextDeltas
from ecs_agent.types import (
    CompletionResult,
    FinishReason,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    StreamDelta,
    TextPart,
    Timing,
    ToolCall,
    ToolCallFragment,
    Usage,
)

OPAQUE = OpaquePart("openai-chat", {"signature": "s"})
CALL = ToolCall("c1", "search", {"q": 1})
OTHER = ToolCall("c2", "search", {"q": 2})
UNFINISHED = ToolCall("c3", "search", {"q": 1}, raw_arguments='{"q": 1')
REFUSED = ToolCall("c4", "search", {}, raw_arguments="{", arguments_error="no good")
END = StreamDelta(finish_reason="stop", final=True)


def parts_of(*deltas: StreamDelta) -> tuple[Part, ...]:
    return fold(deltas).message.parts


class TestParts:
    def test_nothing_folds_to_an_empty_interrupted_message(self) -> None:
        assert fold([]) == CompletionResult(Message("assistant", interrupted=True))

    def test_text_of_one_kind_is_one_part(self) -> None:
        assert parts_of(StreamDelta("a"), StreamDelta("b"), StreamDelta(usage=Usage(1, 1, 2)), StreamDelta("c")) == (TextPart("abc"),)
        assert parts_of(StreamDelta(reasoning="a"), StreamDelta(reasoning="b")) == (ReasoningPart("ab"),)
        assert parts_of(StreamDelta(refusal="a"), StreamDelta(refusal="b")) == (RefusalPart("ab"),)

    def test_parts_keep_the_order_in_which_they_began(self) -> None:
        deltas = [
            StreamDelta("a"),
            StreamDelta(reasoning="b"),
            StreamDelta("c"),
            StreamDelta(refusal="d"),
            StreamDelta(parts=(OPAQUE,)),
            StreamDelta("e"),
        ]
        assert parts_of(*deltas) == (TextPart("a"), ReasoningPart("b"), TextPart("c"), RefusalPart("d"), OPAQUE, TextPart("e"))

    def test_within_a_delta_the_order_is_reasoning_content_refusal_parts_calls(self) -> None:
        delta = StreamDelta("b", [CALL], reasoning="a", refusal="c", parts=(OPAQUE,))
        assert parts_of(delta) == (ReasoningPart("a"), TextPart("b"), RefusalPart("c"), OPAQUE, CALL)

    def test_text_goes_on_over_a_delta_that_begins_with_the_same_kind(self) -> None:
        assert parts_of(StreamDelta("a"), StreamDelta("b", refusal="c")) == (TextPart("ab"), RefusalPart("c"))

    def test_empty_text_is_no_part(self) -> None:
        assert parts_of(StreamDelta("", reasoning="", refusal=""), StreamDelta("", [])) == ()
        assert parts_of(StreamDelta("a"), StreamDelta("", reasoning=""), StreamDelta("b")) == (TextPart("ab"),)


class TestBatches:
    """Deltas of one read, taken at once."""

    def test_they_fold_as_they_do_one_by_one(self) -> None:
        folded = Fold()
        folded.extend([StreamDelta(reasoning="a"), StreamDelta("b"), StreamDelta(usage=Usage(1, 1, 2))])
        folded.extend(TextDeltas([StreamDelta("c"), StreamDelta("d")]))
        folded.extend([])
        folded.extend([StreamDelta(parts=(OPAQUE,)), END])
        assert folded.result() == CompletionResult(Message("assistant", parts=[ReasoningPart("a"), TextPart("bcd"), OPAQUE]), Usage(1, 1, 2), "stop")

    @pytest.mark.parametrize("before", [StreamDelta(), StreamDelta(reasoning="r"), StreamDelta(refusal="r"), StreamDelta(parts=(OPAQUE,))])
    def test_texts_behind_anything_else_begin_a_part(self, before: StreamDelta) -> None:
        at_once, one_by_one = Fold(), Fold()
        texts = TextDeltas([StreamDelta("a"), StreamDelta("b")])
        at_once.extend([before])
        at_once.extend(texts)
        for delta in [before, *texts]:
            one_by_one.add(delta)
        assert at_once.result() == one_by_one.result()
        assert at_once.result().message.content == "ab"

    def test_texts_behind_text_are_not_looked_at_one_by_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        folded = Fold()
        folded.add(StreamDelta("a"))
        monkeypatch.setattr(Fold, "add", lambda *_: pytest.fail("looked at"))
        folded.extend(TextDeltas([StreamDelta("b"), StreamDelta(""), StreamDelta("c")]))
        assert folded.result().message.content == "abc"

    def test_text_of_another_kind_in_the_same_delta_is_not_passed_over(self) -> None:
        assert parts_of(StreamDelta("a"), StreamDelta("b", reasoning="r")) == (TextPart("a"), ReasoningPart("r"), TextPart("b"))
        assert parts_of(StreamDelta("a"), StreamDelta("b", refusal="r")) == (TextPart("ab"), RefusalPart("r"))


class TestCalls:
    def test_calls_are_cumulative_so_later_ones_replace(self) -> None:
        assert parts_of(StreamDelta(tool_calls=[CALL]), StreamDelta(tool_calls=[CALL, OTHER]), END) == (CALL, OTHER)

    def test_calls_stand_where_the_first_of_them_appeared(self) -> None:
        deltas = [
            StreamDelta("a"),
            StreamDelta(tool_calls=[]),
            StreamDelta(tool_calls=[CALL]),
            StreamDelta("b"),
            StreamDelta(tool_calls=[CALL, OTHER]),
            END,
        ]
        assert parts_of(*deltas) == (TextPart("a"), CALL, OTHER, TextPart("b"))

    def test_until_the_answer_is_complete_a_call_that_is_not_whole_is_left_out(self) -> None:
        calls = StreamDelta(tool_calls=[CALL, UNFINISHED, REFUSED])
        assert parts_of(calls) == (CALL,)
        assert parts_of(calls, END) == (CALL, UNFINISHED, REFUSED)

    def test_a_lazy_view_folds_like_a_list(self) -> None:
        log = ToolCallLog()
        log.append(ToolCallFragment(0, "c1", "search", '{"q": '))
        early = StreamDelta(tool_calls=log.view())
        log.append(ToolCallFragment(0, arguments="1}"))
        assert parts_of(early) == ()
        assert parts_of(early, StreamDelta(tool_calls=log.view())) == (CALL,)


class TestTheRest:
    def test_the_last_usage_wins(self) -> None:
        first, last = Usage(1, 1, 2), Usage(5, 5, 10)
        folded = Fold()
        folded.add(StreamDelta(usage=first))
        assert folded.usage == first
        folded.add(StreamDelta("text"))
        folded.add(StreamDelta(usage=last))
        assert folded.usage == folded.result().usage == last

    def test_an_answer_is_interrupted_until_its_final_delta(self) -> None:
        folded = Fold()
        seen = []
        for delta in (StreamDelta("a"), StreamDelta(usage=Usage(1, 1, 2)), END):
            folded.add(delta)
            seen.append((folded.complete, folded.result().message.interrupted))
        assert seen == [(False, True), (False, True), (True, False)]
        assert folded.result() == CompletionResult(Message("assistant", "a"), Usage(1, 1, 2), "stop")

    def test_a_final_delta_with_an_unknown_reason_completes_and_keeps_the_servers_word(self) -> None:
        result = fold([StreamDelta("a"), StreamDelta(raw_finish_reason="tired", final=True)])
        assert (result.finish_reason, result.raw_finish_reason, result.message.interrupted) == (None, "tired", False)

    def test_a_finish_reason_completes_too_and_a_final_delta_without_one_keeps_it(self) -> None:
        result = fold([StreamDelta(finish_reason="length", raw_finish_reason="max_tokens"), StreamDelta(final=True)])
        assert (result.finish_reason, result.raw_finish_reason, result.message.interrupted) == ("length", "max_tokens", False)

    def test_the_result_can_be_asked_again_and_again_and_carries_the_timing_it_is_given(self) -> None:
        folded = Fold()
        folded.add(StreamDelta("a", [CALL]))
        assert folded.result() == folded.result()
        folded.add(StreamDelta("b"))
        assert folded.result(Timing(deltas=2)) == CompletionResult(
            Message("assistant", parts=[TextPart("a"), CALL, TextPart("b")], interrupted=True), timing=Timing(deltas=2)
        )

    def test_a_long_text_is_kept_in_pieces_and_joined_once(self) -> None:
        assert fold([StreamDelta("word ")] * 100_000).message.content == "word " * 100_000


TEXTS = st.none() | st.sampled_from(["", "a", "b"])
FINISHES: list[FinishReason | None] = [None, None, None, "stop", "length"]
PIECES = st.lists(st.builds(ToolCallFragment, st.integers(0, 1), arguments=st.sampled_from(["", "{"])), max_size=2).map(tuple)
DELTAS = st.builds(
    StreamDelta,
    content=TEXTS,
    tool_calls=st.sampled_from([None, None, [], [CALL], [CALL, OTHER], [CALL, UNFINISHED]]),
    finish_reason=st.sampled_from(FINISHES),
    usage=st.sampled_from([None, None, Usage(1, 1, 2), Usage(2, 2, 4)]),
    reasoning=TEXTS,
    refusal=TEXTS,
    tool_fragments=PIECES,
    parts=st.sampled_from([(), (), (OPAQUE,), (OPAQUE, OPAQUE)]),
    raw_finish_reason=st.none() | st.just("end"),
    final=st.sampled_from([False, False, False, True]),
)
SPARSE_DELTAS = st.one_of(
    TEXTS.map(StreamDelta),
    TEXTS.map(lambda text: StreamDelta(reasoning=text)),
    TEXTS.map(lambda text: StreamDelta(refusal=text)),
    st.sampled_from([[CALL], [CALL, OTHER]]).map(lambda calls: StreamDelta(tool_calls=calls)),
    st.just(StreamDelta(parts=(OPAQUE,))),
    DELTAS,
)


class TestMerging:
    @settings(max_examples=120, deadline=None)
    @given(SPARSE_DELTAS, SPARSE_DELTAS)
    def test_a_merged_delta_folds_as_the_two_do(self, earlier: StreamDelta, later: StreamDelta) -> None:
        merged = merge(earlier, later)
        if merged is not None:
            assert fold([merged]) == fold([earlier, later])
            assert merged.tool_fragments == earlier.tool_fragments + later.tool_fragments

    @settings(max_examples=50, deadline=None)
    @given(st.lists(SPARSE_DELTAS, max_size=8))
    def test_merging_whatever_can_be_merged_changes_no_fold(self, deltas: list[StreamDelta]) -> None:
        cumulative = with_growing_calls(deltas)
        merged: list[StreamDelta] = []
        for delta in cumulative:
            one = merge(merged[-1], delta) if merged else None
            merged[-1:] = [one] if one is not None else [*merged[-1:], delta]
        assert fold(merged) == fold(cumulative)

    @settings(max_examples=50, deadline=None)
    @given(SPARSE_DELTAS, SPARSE_DELTAS)
    def test_merging_changes_neither_of_the_two(self, earlier: StreamDelta, later: StreamDelta) -> None:
        before = repr((earlier, later))
        merge(earlier, later)
        assert repr((earlier, later)) == before

    def test_text_joins_text_and_the_later_calls_usage_and_finish_stand(self) -> None:
        earlier = StreamDelta("a", [CALL], usage=Usage(1, 1, 2))
        assert merge(StreamDelta("a"), StreamDelta("b", reasoning=None)) == StreamDelta("ab")
        assert merge(earlier, StreamDelta(tool_calls=[CALL, OTHER], usage=Usage(2, 2, 4))) == StreamDelta("a", [CALL, OTHER], usage=Usage(2, 2, 4))
        assert merge(earlier, END) == StreamDelta("a", [CALL], "stop", Usage(1, 1, 2), final=True)

    def test_two_deltas_stay_two_where_their_order_would_be_lost(self) -> None:
        assert merge(StreamDelta("a"), StreamDelta(reasoning="b")) is None
        assert merge(StreamDelta(tool_calls=[CALL]), StreamDelta("b")) is None
        assert merge(StreamDelta(parts=(OPAQUE,)), StreamDelta(refusal="b")) is None

    def test_a_delta_without_text_of_any_kind_stands_in_nobodys_way(self) -> None:
        usage = Usage(1, 1, 2)
        for later in (
            StreamDelta(reasoning="b"),
            StreamDelta("b"),
            StreamDelta(refusal="b"),
            StreamDelta(parts=(OPAQUE,)),
            StreamDelta(tool_calls=[CALL]),
        ):
            assert merge(StreamDelta(usage=usage), later) == replace(later, usage=usage)
            assert merge(later, StreamDelta(usage=usage)) == replace(later, usage=usage)

    def test_nothing_is_merged_into_an_end(self) -> None:
        assert merge(END, StreamDelta()) is None
        assert merge(StreamDelta(final=True), StreamDelta()) is None
        assert merge(StreamDelta(finish_reason="stop"), StreamDelta()) is None


def with_growing_calls(deltas: list[StreamDelta]) -> list[StreamDelta]:
    """The deltas with `tool_calls` as a provider sends them: never fewer than before."""
    most: list[ToolCall] = []
    grown: list[StreamDelta] = []
    for delta in deltas:
        if delta.tool_calls is not None and len(delta.tool_calls) >= len(most):
            most = list(delta.tool_calls)
        calls = most if delta.tool_calls is not None else None
        grown.append(
            StreamDelta(
                delta.content,
                calls,
                delta.finish_reason,
                delta.usage,
                delta.reasoning,
                delta.refusal,
                delta.tool_fragments,
                delta.parts,
                delta.raw_finish_reason,
                delta.final,
            )
        )
    return grown
