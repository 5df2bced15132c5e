"""Deltas as JSON data: runs of text in one, calls by the fragments that say them, and all of it exact, whoever cut it into pieces."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.providers.wire import Case, own_cases, run_case
from tests.streaming.drawn_values import deltas, fragments, hostile, plain_deltas

from ecs_agent.providers.script import moves
from ecs_agent.store.json_text import dumps, loads
from ecs_agent.streaming import ToolCallLog, fold
from ecs_agent.streaming.delta_data import DeltaReader, DeltaWriter, deltas_to_data
from ecs_agent.streaming.delta_run import runs
from ecs_agent.streaming.fold import TextDeltas
from ecs_agent.testing.script_draw import random_script
from ecs_agent.types import JsonObject, StreamDelta, TokenLogprob, ToolCall, ToolCallFragment, Usage


def there_and_back(pieces: list[list[StreamDelta]]) -> list[StreamDelta]:
    """Written and read piece by piece, as an attempt is."""
    writer, reader = DeltaWriter(), DeltaReader()
    return [delta for piece in pieces for delta in reader.read(loads(dumps(writer.write(piece))))]


def in_pieces(of: list[StreamDelta], cuts: list[int]) -> list[list[StreamDelta]]:
    places = [0, *sorted(cut % (len(of) + 1) for cut in cuts), len(of)]
    return [of[start:end] for start, end in pairwise(places)]


def call_deltas(pieces: list[ToolCallFragment], log: ToolCallLog | None = None, at_once: int = 1) -> list[StreamDelta]:
    """What a decoder makes of fragments: each delta has its own, and all calls so far."""
    log = ToolCallLog() if log is None else log
    made: list[StreamDelta] = []
    for start in range(0, len(pieces), at_once):
        new = tuple(pieces[start : start + at_once])
        for fragment in new:
            log.append(fragment)
        made.append(StreamDelta(tool_calls=log.view(), tool_fragments=new))
    return made


def long_call(pieces: int) -> list[ToolCallFragment]:
    return [ToolCallFragment(0, "c1", "write", '{"text": "'), *[ToolCallFragment(0, arguments="word ")] * pieces, ToolCallFragment(0, arguments='"}')]


def size(data: object) -> int:
    return len(json.dumps(data))


@given(st.lists(plain_deltas | deltas, max_size=6), st.lists(st.integers(0, 99), max_size=3))
def test_every_delta_comes_back_equal(drawn: list[StreamDelta], cuts: list[int]) -> None:
    assert there_and_back(in_pieces(drawn, cuts)) == drawn


@given(st.lists(fragments, max_size=12), st.integers(1, 4), st.lists(st.integers(0, 99), max_size=3), st.sets(st.integers(0, 11)))
def test_calls_so_far_come_back_whether_they_were_read_or_not(pieces: list[ToolCallFragment], at_once: int, cuts: list[int], read: set[int]) -> None:
    made = call_deltas(pieces, at_once=at_once)
    for place in read:
        if place < len(made):
            list(made[place].tool_calls or ())
    assert there_and_back(in_pieces(made, cuts)) == made


@pytest.mark.parametrize("seed", range(40))
def test_whole_answers_come_back(seed: int) -> None:
    answer = [move for move in moves(random_script(seed), by=3) if isinstance(move, StreamDelta)]
    back = there_and_back(in_pieces(answer, [3, 5]))
    assert back == answer
    assert fold(back) == fold(answer)


@pytest.mark.parametrize("case", own_cases(), ids=lambda case: str(case.id))
def test_what_the_chat_decoder_makes_comes_back(case: Case) -> None:
    made = run_case(case, [case.body]).deltas
    assert there_and_back(in_pieces(made, [2, 7])) == made


def test_a_run_of_texts_is_one_entry() -> None:
    made = [StreamDelta("Hello"), StreamDelta(""), StreamDelta(" you")]
    assert deltas_to_data(made) == [{"text": "Hello you", "lengths": [5, 0, 4]}]
    assert deltas_to_data(TextDeltas(made)) == [{"text": "Hello you", "lengths": [5, 0, 4]}]
    assert deltas_to_data([StreamDelta("Hello")]) == deltas_to_data(TextDeltas([StreamDelta("Hello")])) == [{"text": "Hello"}]
    assert deltas_to_data([]) == deltas_to_data(TextDeltas()) == []


def test_a_run_of_reasoning_is_one_entry() -> None:
    made = [
        StreamDelta(reasoning="hm,"),
        StreamDelta(reasoning=" yes"),
        StreamDelta("So"),
        StreamDelta(reasoning="ah"),
        StreamDelta("a", reasoning="b"),
    ]
    data = deltas_to_data(made)
    assert data == [{"reasoning": "hm, yes", "lengths": [3, 4]}, {"text": "So"}, {"reasoning": "ah"}, {"content": "a", "reasoning": "b"}]
    assert DeltaReader().read(data) == made


def test_what_only_claims_to_be_text_is_written_as_what_it_is() -> None:
    made = TextDeltas([StreamDelta("a"), StreamDelta(None)])
    assert deltas_to_data(made) == [{"text": "a"}, {}]


def test_only_fields_that_are_not_as_they_begin_are_written() -> None:
    made = StreamDelta(reasoning="hm", usage=Usage(1, 2, 3), final=True, finish_reason="stop", logprobs=(TokenLogprob("a", -0.5),))
    assert deltas_to_data([made]) == [
        {
            "finish_reason": "stop",
            "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
            "reasoning": "hm",
            "final": True,
            "logprobs": [{"token": "a", "logprob": -0.5}],
        }
    ]


def test_calls_cost_their_text_and_not_the_square_of_it() -> None:
    short, long = (size(deltas_to_data(call_deltas(long_call(pieces)))) for pieces in (300, 3000))
    assert long < 11 * short


@pytest.mark.parametrize("at_once", [1, 3, 200, 255, 300, 600])
def test_that_is_so_however_many_come_at_once(at_once: int) -> None:
    made = call_deltas(long_call(1500), at_once=at_once)
    data = deltas_to_data(made)
    assert all(isinstance(entry["tool_calls"], int) for entry in data)
    assert there_and_back([made]) == made


def test_several_long_calls_at_once_come_back() -> None:
    pieces = [ToolCallFragment(index % 3, None, None, "x") for index in range(1000)]
    made = call_deltas(pieces)
    data = deltas_to_data(made)
    assert all(isinstance(entry["tool_calls"], int) for entry in data)
    assert there_and_back(in_pieces(made, [100, 511, 770])) == made


def test_merged_deltas_are_written_by_their_fragments_too() -> None:
    made = [run.delta() for run in runs([*call_deltas(long_call(600)), StreamDelta("and"), StreamDelta(usage=Usage(1, 1, 2))])]
    data = deltas_to_data(made)
    assert [type(entry.get("tool_calls")) for entry in data] == [int] * sum(delta.tool_calls is not None for delta in made) + [type(None)] * sum(
        delta.tool_calls is None for delta in made
    )
    assert there_and_back([made]) == made


def test_fragments_without_a_view_count_with_the_next_one() -> None:
    log = ToolCallLog()
    first = ToolCallFragment(0, "c1", "look", "{")
    log.append(first)
    (later,) = call_deltas([ToolCallFragment(0, arguments="}")], log)
    made = [StreamDelta(tool_fragments=(first,)), later]
    assert deltas_to_data(made)[1]["tool_calls"] == 2
    assert there_and_back([made]) == made


def test_writing_reads_no_calls() -> None:
    """Parsing them would cost as much as the whole answer."""
    made = call_deltas(long_call(20))
    deltas_to_data(made)
    log = ToolCallLog()
    for fragment in long_call(20):
        log.append(fragment)
    unread = log.view()
    unread_slots = [getattr(delta.tool_calls, "_calls", "gone") for delta in made]
    assert unread_slots == [getattr(unread, "_calls", "gone")] * len(made)


OTHER_CALLS: list[Any] = [(ToolCall("a", "b", {"c": 1}),), [ToolCall("a", "b")], (), []]


@pytest.mark.parametrize("calls", OTHER_CALLS)
def test_calls_that_no_fragments_say_are_written_out(calls: Any) -> None:
    made = [StreamDelta(tool_calls=calls, tool_fragments=(ToolCallFragment(0, "a", "b"),))]
    back = there_and_back([made])
    assert back == made
    assert type(back[0].tool_calls) is type(calls)


def test_a_view_that_says_more_than_the_fragments_is_written_out() -> None:
    log = ToolCallLog()
    log.append(ToolCallFragment(0, "a", "b", '{"x": 1}'))
    made = [StreamDelta(tool_calls=log.view(), tool_fragments=())]
    assert deltas_to_data(made)[0]["tool_calls"] == [{"id": "a", "name": "b", "arguments": {"x": 1}}]
    assert there_and_back([made]) == made


def test_a_view_of_another_log_is_written_out() -> None:
    one, other = call_deltas([ToolCallFragment(0, "a", "b", "{"), ToolCallFragment(0, arguments="}")]), ToolCallLog()
    other.append(ToolCallFragment(0, "a", "b", "{"))
    other.append(ToolCallFragment(0, arguments="]"))
    made = [one[0], StreamDelta(tool_calls=other.view(), tool_fragments=one[1].tool_fragments)]
    assert isinstance(deltas_to_data(made)[1]["tool_calls"], list)
    assert there_and_back([made]) == made


def test_a_fragment_that_a_full_log_took_unseen_is_not_passed_over() -> None:
    pieces = long_call(800)
    made = call_deltas(pieces, at_once=100)
    hidden = [*made[:2], StreamDelta(tool_calls=made[-1].tool_calls, tool_fragments=made[-1].tool_fragments)]
    assert isinstance(deltas_to_data(hidden)[2]["tool_calls"], list)
    assert there_and_back([hidden]) == hidden


def test_a_view_that_grew_by_something_else_than_its_delta_says_is_written_out() -> None:
    made = call_deltas([ToolCallFragment(0, "a", "b", "{"), ToolCallFragment(0, arguments="}"), ToolCallFragment(0, arguments=" ")])
    lying = [made[0], StreamDelta(tool_calls=made[1].tool_calls, tool_fragments=(ToolCallFragment(0, arguments="]"),)), made[2]]
    assert [isinstance(entry["tool_calls"], int) for entry in deltas_to_data(lying)] == [True, False, False]
    assert there_and_back([lying]) == lying


def test_what_a_full_log_took_between_two_views_is_not_passed_over() -> None:
    pieces = [ToolCallFragment(0, arguments=str(place)) for place in range(520)]
    log = ToolCallLog()
    made: list[StreamDelta] = []
    for place, fragment in enumerate(pieces):
        log.append(fragment)
        if place == 9:
            made.append(StreamDelta(tool_calls=log.view(), tool_fragments=tuple(pieces[:10])))
    made.append(StreamDelta(tool_calls=log.view(), tool_fragments=tuple(pieces[10:256] + pieces[512:])))
    assert [isinstance(entry["tool_calls"], int) for entry in deltas_to_data(made)] == [True, False]
    assert there_and_back([made]) == made


def test_the_last_attempts_calls_are_not_the_next_ones() -> None:
    """A list may hold deltas of one attempt after those of another, and be written from there on by somebody new."""
    first, second = call_deltas(long_call(3)), call_deltas([ToolCallFragment(0, "z", "other", "{}")])
    data: list[JsonObject] = [*DeltaWriter().write(first), *DeltaWriter().write(second), *DeltaWriter().write(call_deltas(long_call(2)))]
    assert DeltaReader().read(data) == [*first, *second, *call_deltas(long_call(2))]


def test_a_reader_that_begins_behind_a_snapshot_is_told_what_came_before() -> None:
    made = call_deltas(long_call(10))
    writer = DeltaWriter()
    writer.write(made[:6])
    assert DeltaReader(before=made[:6]).read(writer.write(made[6:])) == made[6:]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (None, "not a list"), ({}, "not a list"), ([3], "StreamDelta is a int"), ([{"mood": 1}], "field 'mood'"),
        ([{"text": 3}], "run of texts"), ([{"text": "a", "more": 1}], "run of texts"), ([{"text": "ab", "lengths": [1]}], "lengths"),
        ([{"text": "ab", "lengths": [3, -1]}], "lengths"), ([{"text": "a", "lengths": [True]}], "lengths"), ([{"text": "a", "lengths": 1}], "lengths"), ([{"lengths": [1]}], "reasoning, lengths"),
        ([{"reasoning": "a", "lengths": [2]}], "lengths"), ([{"reasoning": "a", "lengths": [1], "final": True}], "reasoning, lengths"),
        ([{"tool_calls": 1}], "0 fragments"), ([{"tool_calls": -1}], "0 fragments"), ([{"tool_calls": True}], "0 fragments"),
        ([{"tool_calls": {"a": 1}}], "object"), ([{"tool_calls": {"list": 1}}], "object"), ([{"tool_calls": "x"}], "fragments were read"),
        ([{"tool_calls": [3]}], "ToolCall is a int"), ([{"tool_fragments": 3}], "StreamDelta.tool_fragments is a int, not a list"),
        ([{"tool_fragments": [{}]}], "ToolCallFragment has no field 'index'"), ([{"finish_reason": "tired"}], "StreamDelta.finish_reason is 'tired'"),
        ([{"logprobs": [{"token": "a", "logprob": "x"}]}], "TokenLogprob.logprob is a str"), ([{"usage": 3}], "Usage is a int"),
        ([{"final": 1}], "StreamDelta.final is a int"), ([{"parts": [{"tag": "?"}]}], "tag"), ([{"content": 1}], "StreamDelta.content is a int"),
    ],
)  # fmt: skip
def test_damaged_data_is_refused_with_a_sentence(data: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        DeltaReader().read(data)


def test_a_run_where_one_delta_is_expected_is_refused() -> None:
    assert DeltaReader().read_one({"text": "a"}) == StreamDelta("a")
    assert DeltaReader().read_one({"text": "a", "lengths": [1]}) == StreamDelta("a")
    with pytest.raises(ValueError, match="2 texts"):
        DeltaReader().read_one({"text": "ab", "lengths": [1, 1]})


@given(
    st.lists(
        hostile
        | st.fixed_dictionaries(
            {},
            optional={"text": hostile, "lengths": hostile, "tool_calls": hostile, "tool_fragments": st.lists(hostile), "logprobs": st.lists(hostile)},
        ),
        max_size=3,
    )
)
def test_whatever_data_there_is_only_a_value_error_comes(data: Any) -> None:
    try:
        DeltaReader().read(data)
    except ValueError:
        pass


@pytest.mark.parametrize(
    ("delta", "sentence"),
    [
        (StreamDelta(3), "StreamDelta.content is a int"),  # type: ignore[arg-type]
        (StreamDelta("a", parts=3), "StreamDelta.parts is a int, not a tuple"),  # type: ignore[arg-type]
        (StreamDelta("a", finish_reason="tired"), "StreamDelta.finish_reason is 'tired'"),  # type: ignore[arg-type]
        (StreamDelta(final=1), "StreamDelta.final is a int"),  # type: ignore[arg-type]
        (StreamDelta(final=0), "StreamDelta.final is a int"),  # type: ignore[arg-type]
        (StreamDelta(logprobs=(TokenLogprob("a", "x"),)), "logprob is a str"),  # type: ignore[arg-type]
    ],
)
def test_what_no_delta_may_hold_is_refused(delta: StreamDelta, sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        deltas_to_data([delta])


def test_a_log_probability_may_be_infinite() -> None:
    made = [StreamDelta("a", logprobs=(TokenLogprob("a", float("-inf")), TokenLogprob("b", 0)))]
    back = there_and_back([made])
    assert back == made
    assert type(back[0].logprobs[1].logprob) is int
