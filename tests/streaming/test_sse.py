"""Server-sent events: the decoder against a naive reading of the standard, in every split, and the bounds that are ours."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ecs_agent.errors import MalformedResponseError
from ecs_agent.streaming import ServerSentEvent, SSEDecoder

STREAMS = Path(__file__).parents[2].parent / "shared" / "streams"


class Outcome(NamedTuple):
    """What a body came to."""

    events: list[tuple[str, str, str]]
    last_event_id: str
    retry: int | None


def reference(body: bytes) -> Outcome:
    """Section 9.2.6 of the standard, read aloud over the whole body, then our rule for an event that lacks its blank line."""
    *lines, unfinished = re.split("\r\n|\r|\n", body.decode("utf-8", "replace").removeprefix("\ufeff"))
    events: list[tuple[str, str, str]] = []
    data, event_type, event_id, last_event_id, retry = "", "", "", "", None

    def dispatch() -> None:
        nonlocal data, event_type, last_event_id
        last_event_id = event_id
        if data:
            events.append((event_type or "message", data[:-1], last_event_id))
        data, event_type = "", ""

    def process(line: str) -> None:
        nonlocal data, event_type, event_id, retry
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data += value + "\n"
        elif field == "event":
            event_type = value
        elif field == "id" and "\0" not in value:
            event_id = value
        elif field == "retry" and re.fullmatch("[0-9]{1,15}", value):
            retry = int(value)

    for line in lines:
        if line:
            process(line)
        else:
            dispatch()
    process(unfinished)
    if data.strip() == "[DONE]" or is_json_object(data):
        dispatch()
    return Outcome(events, last_event_id, retry)


def is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text.strip()), dict)
    except ValueError:
        return False


def decoded(pieces: Iterable[bytes]) -> Outcome:
    decoder = SSEDecoder()
    events: list[ServerSentEvent] = []
    for piece in pieces:
        events += decoder.feed(piece)
    events += decoder.flush()
    return Outcome([(event.event, event.data, event.id) for event in events], decoder.last_event_id, decoder.retry)


def data_of(*pieces: bytes) -> list[str]:
    return [data for _, data, _ in decoded(pieces).events]


def in_two(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    return ((body[:at], body[at:]) for at in range(len(body) + 1))


def one_by_one(body: bytes) -> list[bytes]:
    return [body[at : at + 1] for at in range(len(body))]


TOKENS = [
    *(
        b"data",
        b"event",
        b"id",
        b"retry",
        b"data: x",
        b"data: [DONE]",
        b'data: {"a": 1}',
        b"data:{",
        b"data:}",
        b"id: 7",
        b"event: ping",
        b"retry: 10",
    ),
    *(b":", b" ", b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n", b"\n\r", b"\0", b"1", b"x", b"\xef\xbb\xbf", b"\xef", b"\xbb", b"\xbf"),
    *("é".encode(), b"\xc3", b"\x85", "\u2028".encode(), b"\x0b", b"\xff", b"\xf0\x9f\x98"),
]
BODIES = st.lists(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=3)), max_size=30).map(b"".join)


@st.composite
def pieces_of_bodies(draw: st.DrawFn) -> list[bytes]:
    body = draw(BODIES)
    cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=8)))
    return [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]


class TestTheStandard:
    @settings(max_examples=200, deadline=None)
    @given(pieces_of_bodies())
    @example([b"\xef", b"\xbb", b"\xbfdata: x\r", b"", b"\n\r", b"\ndata: y"])
    @example([b"data: x\n\nid: 1\ndata: {}"])
    @example([b"event: e\n", b"\ndata: x\n\n"])
    def test_any_body_in_any_split_reads_as_the_whole_body_does_by_the_standard(self, pieces: list[bytes]) -> None:
        assert decoded(pieces) == reference(b"".join(pieces))

    @settings(max_examples=60, deadline=None)
    @given(BODIES)
    def test_byte_by_byte_is_no_different(self, body: bytes) -> None:
        assert decoded(one_by_one(body)) == reference(body)

    @pytest.mark.parametrize(
        "around",
        [(b"", b"data: a\n\ndata: b\n\n"), (b"da", b"ta: a\n\n"), (b"data: a", b"b\r\n\r\nid: c\n\ndata: d\n\n"), (b"id: a", b"b\ndata\n\n")],
    )
    def test_every_byte_value_at_every_split_of_a_small_body(self, around: tuple[bytes, bytes]) -> None:
        before, after = around
        for value in range(256):
            body = before + bytes([value]) + after
            expected = reference(body)
            for pieces in in_two(body):
                assert decoded(pieces) == expected

    def test_lines_end_at_lf_cr_and_crlf_and_a_crlf_may_be_cut(self) -> None:
        body = b"data: a\r\ndata: b\r\rdata: c\n\ndata: d\r\n\r\n"
        for pieces in [*in_two(body), (body,), one_by_one(body)]:
            assert data_of(*pieces) == ["a\nb", "c", "d"]

    def test_an_event_is_handed_out_with_the_cr_that_ends_it_and_the_late_lf_is_no_second_blank_line(self) -> None:
        decoder = SSEDecoder()
        assert [event.data for event in decoder.feed(b"data: a\r\n\r")] == ["a"]
        assert decoder.feed(b"") == []
        assert decoder.feed(b"\ndata: b\n") == []
        assert [event.data for event in decoder.feed(b"\n")] == ["b"]

    def test_no_other_character_ends_a_line(self) -> None:
        text = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg"
        assert data_of(f"data: {text}\n\n".encode()) == [text]

    def test_one_byte_order_mark_at_the_start_is_skipped_however_it_is_cut(self) -> None:
        for pieces in in_two(b"\xef\xbb\xbfdata: a\n\n"):
            assert data_of(*pieces) == ["a"]
        assert data_of(b"\xef\xbb\xbf", b"\xef\xbb\xbfdata: a\n\n") == []
        assert data_of(b"data: a\n\n\xef\xbb\xbfdata: b\n\n") == ["a"]

    def test_a_byte_order_mark_alone_is_nothing(self) -> None:
        decoder = SSEDecoder()
        assert decoder.feed(b"\xef\xbb\xbf") == decoder.flush() == []
        assert decoder.stray == []

    def test_half_a_byte_order_mark_is_an_ordinary_line(self) -> None:
        decoder = SSEDecoder()
        assert decoder.feed(b"\xef\xbb") == []
        assert decoder.flush() == []
        assert decoder.stray == ["\ufffd"]

    def test_a_character_cut_in_the_middle_is_whole_and_invalid_bytes_are_replaced(self) -> None:
        for pieces in in_two("data: é😀\n\n".encode()):
            assert data_of(*pieces) == ["é😀"]
        assert data_of(b"data: \xff\xc3\n\n") == ["\ufffd\ufffd"]

    def test_comments_say_nothing_even_inside_an_event(self) -> None:
        assert data_of(b": hello\n\n:\ndata: a\n:data: no\ndata: b\n\n") == ["a\nb"]

    def test_one_space_behind_the_colon_is_dropped_and_a_field_needs_no_colon(self) -> None:
        assert data_of(b"data:a\n\ndata:  b\n\ndata\n\ndata\ndata\n\n") == ["a", " b", "", "\n"]

    def test_the_event_type_holds_for_one_event_and_goes_with_a_blank_line_that_has_no_data(self) -> None:
        assert decoded([b"event: ping\ndata: 1\n\ndata: 2\n\nevent: lost\n\ndata: 3\n\n"]).events == [
            ("ping", "1", ""),
            ("message", "2", ""),
            ("message", "3", ""),
        ]

    def test_the_id_stays_for_later_events_and_one_with_nul_is_ignored(self) -> None:
        assert decoded([b"id: 1\ndata: a\n\nid: 2\0\ndata: b\n\nid\ndata: c\n\n"]).events == [
            ("message", "a", "1"),
            ("message", "b", "1"),
            ("message", "c", ""),
        ]

    def test_an_id_that_was_taken_back_is_no_longer_the_last_one_in_any_split(self) -> None:
        body = b"id: 7\n\nid\ndata: {}\n\n"
        for pieces in [*in_two(body), one_by_one(body), (b"id: 7\n\n", b"id\n", b"data: {}\n\n")]:
            assert decoded(pieces).last_event_id == ""

    def test_an_id_counts_once_its_block_is_dispatched(self) -> None:
        decoder = SSEDecoder()
        decoder.feed(b"id: 1\n")
        assert decoder.last_event_id == ""
        decoder.feed(b"\n")
        assert decoder.last_event_id == "1"

    @pytest.mark.parametrize(
        ("line", "retry"),
        [
            (b"retry: 1500", 1500),
            (b"retry:0", 0),
            (b"retry", None),
            (b"retry: -1", None),
            (b"retry: 1.5", None),
            ("retry: ²".encode(), None),
            (b"retry: " + b"9" * 15, 999_999_999_999_999),
            (b"retry: " + b"9" * 16, None),
        ],
    )
    def test_retry_is_taken_when_it_is_a_plain_number(self, line: bytes, retry: int | None) -> None:
        assert decoded([line + b"\n"]).retry == retry

    def test_a_retry_of_thousands_of_digits_leaves_the_one_before(self) -> None:
        assert decoded([b"retry: 5\nretry: " + b"1" * 10_000 + b"\n"]).retry == 5


class TestTheEndOfTheBody:
    @pytest.mark.parametrize("data", ["[DONE]", " [DONE] ", "{}", '{"a": [1]}'])
    @pytest.mark.parametrize("end", ["", "\n", "\r", "\r\n"])
    def test_an_event_without_its_blank_line_counts_when_it_is_done_or_a_json_object(self, data: str, end: str) -> None:
        assert data_of(f"data:{data}{end}".encode()) == [data.removeprefix(" ")]

    @pytest.mark.parametrize(
        "data", ["", "text", "[1]", "1", '{"a": 1', '{"a": 1}}', "{'a': 1}", "null", "[DONE", pytest.param('{"a":' * 100_000, id="very deep")]
    )
    def test_any_other_one_is_dropped(self, data: str) -> None:
        assert data_of(f"data: {data}".encode()) == []
        assert data_of(f"data: {data}\n".encode()) == []

    def test_it_keeps_its_type_its_id_and_its_other_lines(self) -> None:
        assert decoded([b'event: e\nid: 1\ndata: {"a":\ndata: 1}']) == Outcome([("e", '{"a":\n1}', "1")], "1", None)

    def test_what_is_dropped_leaves_no_id_and_no_data_behind(self) -> None:
        decoder = SSEDecoder()
        decoder.feed(b"id: 1\ndata: half")
        assert decoder.flush() == []
        assert decoder.last_event_id == ""
        assert decoder.flush() == []

    def test_an_event_that_was_handed_out_is_not_handed_out_again(self) -> None:
        decoder = SSEDecoder()
        assert len(decoder.feed(b"data: {}\n\n")) == 1
        assert decoder.flush() == []

    def test_nothing_comes_of_nothing(self) -> None:
        assert decoded([]) == decoded([b""]) == Outcome([], "", None)


class TestBounds:
    def test_an_event_of_ten_megabytes_arrives_in_pieces(self) -> None:
        text = "0123456789" * 1_000_000
        body = f"data: {text}\n\n".encode()
        size = 64 * 1024
        assert data_of(*[body[at : at + size] for at in range(0, len(body), size)]) == [text]

    def test_a_hundred_thousand_comments_cost_nothing_to_keep(self) -> None:
        decoder = SSEDecoder(max_bytes=64)
        for _ in range(100):
            assert decoder.feed(b": keep-alive\n\n" * 1000) == []
        assert [event.data for event in decoder.feed(b"data: a\n\n")] == ["a"]
        assert decoder.stray == []

    @pytest.mark.parametrize(
        "pieces", [[b"data: 12345\n"], [b"data: ", b"12345"], [b": 123456789"], [b"x" * 11 + b"\n"], [b"\n\n" + b"x" * 11 + b"\n\n"]]
    )
    def test_a_line_over_the_limit_is_refused(self, pieces: list[bytes]) -> None:
        decoder = SSEDecoder(max_bytes=10)
        *first, last = pieces
        for piece in first:
            assert decoder.feed(piece) == []
        with pytest.raises(MalformedResponseError, match="a line of more than 10 bytes"):
            decoder.feed(last)

    def test_a_line_of_exactly_the_limit_is_not(self) -> None:
        decoder = SSEDecoder(max_bytes=10)
        assert [event.data for event in decoder.feed(b"data: 1234\n\n" * 3)] == ["1234"] * 3
        assert [event.data for piece in one_by_one(b"data: 1234\n\n") for event in decoder.feed(piece)] == ["1234"]

    def test_an_event_whose_lines_together_are_over_the_limit_is_refused(self) -> None:
        decoder = SSEDecoder(max_bytes=20)
        assert decoder.feed(b"data: 1234\ndata: 1234\n\n") != []
        assert decoder.feed(b"data: 1234\ndata: 1234\n") == []
        with pytest.raises(MalformedResponseError, match="an event of more than 20 bytes"):
            decoder.feed(b"data\n")

    def test_the_last_line_may_be_the_one_too_many(self) -> None:
        decoder = SSEDecoder(max_bytes=20)
        assert decoder.feed(b"data: 1234\ndata: 1234\ndata") == []
        for _ in range(2):
            with pytest.raises(MalformedResponseError, match="an event of more than 20 bytes"):
                decoder.flush()

    def test_a_refused_body_stays_dead(self) -> None:
        decoder = SSEDecoder(max_bytes=10)
        for _ in range(3):
            with pytest.raises(MalformedResponseError):
                decoder.feed(b"x" * 11)
            with pytest.raises(MalformedResponseError):
                decoder.feed(b"\n\ndata: a\n\n")
            with pytest.raises(MalformedResponseError):
                decoder.flush()

    @pytest.mark.parametrize("after", [b"x" * 11, b"x" * 11 + b"\n", b"x" * 11 + b"\nx\ndata: b\n\ndata: c\n\n", b"data: 1\ndata: 2\ndata: b\n\n"])
    def test_events_before_it_are_returned_first_and_none_after_it(self, after: bytes) -> None:
        decoder = SSEDecoder(max_bytes=10)
        assert [event.data for event in decoder.feed(b"data: a\n\n" + after)] == ["a"]
        with pytest.raises(MalformedResponseError):
            decoder.feed(b"")

    @settings(max_examples=80, deadline=None)
    @given(pieces_of_bodies())
    def test_what_a_bound_refuses_does_not_depend_on_the_split(self, pieces: list[bytes]) -> None:
        assert bounded(pieces) == bounded([b"".join(pieces)])

    @settings(max_examples=80, deadline=None)
    @given(st.lists(st.binary(max_size=40), max_size=6), st.integers(0, 30))
    def test_random_bytes_raise_nothing_else(self, pieces: list[bytes], max_bytes: int) -> None:
        decoder = SSEDecoder(max_bytes)
        for step in [*[lambda piece=piece: decoder.feed(piece) for piece in pieces], decoder.flush]:
            try:
                assert all(type(event) is ServerSentEvent for event in step())
            except MalformedResponseError as error:
                assert error.status is None
                assert not error.retryable


def bounded(pieces: list[bytes]) -> tuple[list[ServerSentEvent], bool]:
    decoder = SSEDecoder(max_bytes=12)
    events: list[ServerSentEvent] = []
    try:
        for piece in pieces:
            events += decoder.feed(piece)
        events += decoder.flush()
    except MalformedResponseError:
        return events, True
    return events, False


class TestStrayLines:
    def test_lines_that_are_no_field_are_kept_as_they_came(self) -> None:
        decoder = SSEDecoder()
        decoder.feed(b'{"error": "no"}\n<html>\ndata : x\nerror: {}\n: comment\n\n')
        assert decoder.stray == ['{"error": "no"}', "<html>", "data : x", "error: {}"]

    def test_the_last_line_is_kept_without_an_end(self) -> None:
        decoder = SSEDecoder()
        decoder.feed(b"Bad Gateway")
        assert decoder.stray == []
        decoder.flush()
        assert decoder.stray == ["Bad Gateway"]

    def test_no_more_than_sixteen(self) -> None:
        decoder = SSEDecoder()
        decoder.feed(b"".join(b"line %d\n" % number for number in range(1000)))
        assert decoder.stray == [f"line {number}" for number in range(16)]

    def test_no_more_than_64_kib_of_them(self) -> None:
        decoder = SSEDecoder()
        decoder.feed(b"x" * 60_000 + b"\n" + b"y" * 60_000 + b"\nz\n")
        assert [len(line) for line in decoder.stray] == [60_000, 64 * 1024 - 60_000]


def cases() -> list[Any]:
    paths = sorted((STREAMS / "cases").glob("*.json"))
    found = [(path.stem, json.loads(path.read_bytes())) for path in paths]
    params = [pytest.param(case, id=name) for name, case in found if case["family"] == "sse"]
    return params or [pytest.param({}, marks=pytest.mark.skip(reason="the shared wire cases are not here"))]


@pytest.mark.parametrize("case", cases())
def test_a_shared_case_reads_as_expected_in_its_own_split_as_one_piece_and_byte_by_byte(case: dict[str, Any]) -> None:
    chunks = [base64.b64decode(chunk) for chunk in case["chunks"]]
    body, expect = b"".join(chunks), case["expect"]
    for pieces in (chunks, [body], one_by_one(body)):
        outcome = decoded(pieces)
        assert outcome.events == [(event["event"], event["data"], event["id"]) for event in expect["events"]]
        assert expect["retry"] in (None, outcome.retry)
        assert expect["last_event_id"] in (None, outcome.last_event_id)
