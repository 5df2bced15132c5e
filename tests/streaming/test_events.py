"""Typed events: what each delta stands for."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_agent.streaming import (
    CitationReceived,
    EventTranslator,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    StreamEvent,
    TextDelta,
    ToolCallCompleted,
    ToolCallDelta,
    ToolCallLog,
    ToolCallStarted,
    UsageReported,
    fold,
)
from ecs_agent.types import CitationPart, CompletionResult, Message, OpaquePart, StreamDelta, ToolCall, ToolCallFragment, Usage

CALL = ToolCall("c1", "search", {"q": 1})
OTHER = ToolCall("c2", "open", {"q": 2})
UNFINISHED = ToolCall("c2", "open", {}, raw_arguments='{"q"')


def events_of(*deltas: StreamDelta) -> list[StreamEvent]:
    translator = EventTranslator()
    return [event for delta in deltas for event in translator.translate(delta)]


def test_text_of_each_kind_is_an_event_of_its_own_in_the_order_of_the_fold() -> None:
    assert events_of(StreamDelta("b", reasoning="a", refusal="c")) == [ReasoningDelta("a"), TextDelta("b"), RefusalDelta("c")]


def test_a_source_is_an_event_and_other_parts_are_none() -> None:
    citation = CitationPart("https://example.org/")
    assert events_of(StreamDelta("a", parts=(citation, OpaquePart("test", {})))) == [TextDelta("a"), CitationReceived(citation)]


def test_an_empty_delta_is_no_event() -> None:
    assert events_of(StreamDelta(), StreamDelta("", [], reasoning="", refusal="")) == []


def test_usage_is_reported_each_time_the_provider_tells_it() -> None:
    assert events_of(StreamDelta(usage=Usage(1, 0, 1)), StreamDelta("a", usage=Usage(1, 1, 2))) == [
        UsageReported(Usage(1, 0, 1)),
        TextDelta("a"),
        UsageReported(Usage(1, 1, 2)),
    ]


def test_the_final_delta_finishes_with_the_whole_result() -> None:
    usage = Usage(1, 1, 2)
    end = StreamDelta(finish_reason="stop", usage=usage, raw_finish_reason="eos", final=True)
    assert events_of(StreamDelta("a"), StreamDelta("b"), end)[-2:] == [
        UsageReported(usage),
        Finished(CompletionResult(Message("assistant", "ab"), usage, "stop", "eos")),
    ]


def test_an_end_of_unknown_reason_finishes_too_and_so_does_a_reason_that_is_not_marked_final() -> None:
    assert events_of(StreamDelta(final=True)) == [Finished(CompletionResult(Message("assistant")))]
    assert events_of(StreamDelta(finish_reason="length")) == [Finished(CompletionResult(Message("assistant"), None, "length"))]


def test_an_answer_without_an_end_never_finishes() -> None:
    assert events_of(StreamDelta("a", [CALL])) == [TextDelta("a"), ToolCallStarted(0, "c1", "search")]


def test_a_call_starts_grows_and_is_completed_at_the_end() -> None:
    log = ToolCallLog()
    deltas = []
    for fragment in (ToolCallFragment(0, "c1", "search"), ToolCallFragment(0, arguments='{"q":'), ToolCallFragment(0, arguments=" 1}")):
        log.append(fragment)
        deltas.append(StreamDelta(tool_calls=log.view(), tool_fragments=(fragment,)))
    end = StreamDelta(tool_calls=log.final("tool_calls", str), finish_reason="tool_calls", final=True)
    assert events_of(*deltas, end) == [
        ToolCallStarted(0, "c1", "search"),
        ToolCallDelta(0, '{"q":'),
        ToolCallDelta(0, " 1}"),
        ToolCallCompleted(0, CALL),
        Finished(fold([*deltas, end])),
    ]


def test_a_call_whose_name_and_id_come_later_starts_without_them() -> None:
    log = ToolCallLog()
    log.append(ToolCallFragment(0, arguments="{"))
    begun = StreamDelta(tool_calls=log.view(), tool_fragments=(ToolCallFragment(0, arguments="{"),))
    assert events_of(begun) == [ToolCallStarted(0, "", ""), ToolCallDelta(0, "{")]


def test_a_delta_may_begin_several_calls_and_each_begins_once() -> None:
    pieces = (ToolCallFragment(0, "c1", "search", '{"q": 1}'), ToolCallFragment(1, "c2", "open", '{"q": 2}'))
    assert events_of(StreamDelta(tool_calls=[CALL, OTHER], tool_fragments=pieces), StreamDelta(tool_calls=[CALL, OTHER])) == [
        ToolCallStarted(0, "c1", "search"),
        ToolCallStarted(1, "c2", "open"),
        ToolCallDelta(0, '{"q": 1}'),
        ToolCallDelta(1, '{"q": 2}'),
    ]


def test_cumulative_calls_without_fragments_are_enough() -> None:
    deltas = [
        StreamDelta(tool_calls=[CALL]),
        StreamDelta(tool_calls=[CALL, UNFINISHED]),
        StreamDelta(tool_calls=[CALL, OTHER], finish_reason="tool_calls", final=True),
    ]
    assert events_of(*deltas) == [
        ToolCallStarted(0, "c1", "search"),
        ToolCallStarted(1, "c2", "open"),
        ToolCallCompleted(0, CALL),
        ToolCallCompleted(1, OTHER),
        Finished(fold(deltas)),
    ]


def test_calls_that_come_whole_with_the_end_start_and_complete_at_once() -> None:
    end = StreamDelta("a", [CALL], "tool_calls", final=True)
    assert events_of(end) == [TextDelta("a"), ToolCallStarted(0, "c1", "search"), ToolCallCompleted(0, CALL), Finished(fold([end]))]


def test_calls_are_completed_by_an_end_of_unknown_reason_and_by_a_reason_that_is_not_marked_final() -> None:
    for end in (StreamDelta(tool_calls=[CALL], final=True), StreamDelta(tool_calls=[CALL], finish_reason="tool_calls")):
        assert events_of(end)[:2] == [ToolCallStarted(0, "c1", "search"), ToolCallCompleted(0, CALL)]


def test_a_call_that_must_not_run_is_completed_with_its_error() -> None:
    log = ToolCallLog()
    log.append(ToolCallFragment(0, "c1", "search", "{"))
    (call,) = log.final("length", str)
    assert ToolCallCompleted(0, call) in events_of(StreamDelta(tool_calls=[call], finish_reason="length", final=True))
    assert call.arguments_error


TEXTS = st.none() | st.sampled_from(["", "a", "b"])
DELTAS = st.builds(StreamDelta, content=TEXTS, reasoning=TEXTS, refusal=TEXTS, tool_calls=st.sampled_from([None, [], [CALL], [CALL, OTHER]]))


@settings(max_examples=50, deadline=None)
@given(st.lists(DELTAS, max_size=8))
def test_the_texts_of_the_events_are_the_texts_of_the_result_and_calls_start_in_order(deltas: list[StreamDelta]) -> None:
    events = events_of(*deltas, StreamDelta(final=True))
    message = fold(deltas).message
    assert "".join([event.text for event in events if isinstance(event, TextDelta)]) == message.content
    assert "".join([event.text for event in events if isinstance(event, ReasoningDelta)]) == message.reasoning
    assert "".join([event.text for event in events if isinstance(event, RefusalDelta)]) == message.refusal
    begun = [event.index for event in events if isinstance(event, ToolCallStarted)]
    assert begun == list(range(max([len(delta.tool_calls or ()) for delta in deltas], default=0)))
    assert [type(event) for event in events].count(Finished) == 1
    assert isinstance(events[-1], Finished)


def test_the_view_of_all_calls_is_not_read_while_they_begin() -> None:
    """Reading it parses every call so far, which at each new call would cost the square of them."""
    translator, log, events = EventTranslator(), ToolCallLog(), []
    for index in range(300):
        fragment = ToolCallFragment(index, f"c{index}", "f", "{}")
        log.append(fragment)
        view = log.view()
        events += translator.translate(StreamDelta(tool_calls=view, tool_fragments=(fragment,)))
        assert view._calls is None  # type: ignore[attr-defined]  # the view says itself whether it was read
    assert [(event.index, event.id) for event in events if isinstance(event, ToolCallStarted)] == [(index, f"c{index}") for index in range(300)]
