"""Events in runs: what a codec is given at once is what it would be given one by one, in the order of the body."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.streaming.test_sse import BODIES, in_two, one_by_one

from ecs_agent.errors import MalformedResponseError
from ecs_agent.streaming import ServerSentEvent, SSEDecoder
from ecs_agent.streaming.fold import TextDeltas
from ecs_agent.streaming.sse import Item, Run, StrayLine
from ecs_agent.types import StreamDelta

E1, E2, E3 = (b'data: {"n":%d}\n\n' % number for number in (1, 2, 3))


def items_of(pieces: Iterable[bytes], decoder: SSEDecoder | None = None) -> list[Item]:
    decoder = SSEDecoder() if decoder is None else decoder
    return [item for piece in pieces for item in decoder.feed_runs(piece)] + decoder.flush_runs()


def singly(items: Sequence[Item]) -> list[tuple[str, ...]]:
    """The items with their runs taken apart."""
    found: list[tuple[str, ...]] = []
    for item in items:
        if isinstance(item, Run):
            lines = item.lines.split(b"\n")
            assert len(lines) == item.events
            assert all(line.startswith(b"{") and line.endswith(b"}") for line in lines)
            found += [(item.type, line.decode(errors="replace"), "") for line in lines]
        elif isinstance(item, ServerSentEvent):
            found.append((item.event, item.data, item.id))
        elif isinstance(item, StrayLine):
            found.append((item.text,))
    return found


class TestWhatIsARun:
    def test_plain_events_of_one_read_are_one_run(self) -> None:
        assert SSEDecoder().feed_runs(E1 + E2 + E3) == [Run(b'{"n":1}\n{"n":2}\n{"n":3}', 3)]

    def test_so_is_one_alone(self) -> None:
        assert SSEDecoder().feed_runs(E1) == [Run(b'{"n":1}', 1)]

    def test_the_space_behind_the_colon_may_be_missing_and_the_run_says_so(self) -> None:
        assert SSEDecoder().feed_runs(b"data:{}\n\ndata:{}\n\n") == [Run(b"{}\n{}", 2, b"data:")]
        assert SSEDecoder().feed_runs(b"data: {}\n\n")[0] == Run(b"{}", 1, b"data: ")

    @pytest.mark.parametrize("between", [b"", b": c\n\n", b"data:[1]\n\n", b"data:{\ndata:}\n\n"])
    def test_it_says_so_wherever_it_stands(self, between: bytes) -> None:
        plain = b"data:{}\n\n"
        runs = [item for item in SSEDecoder().feed_runs(plain + plain + between + plain + between + plain + plain) if isinstance(item, Run)]
        assert {run.field for run in runs} == {b"data:"}
        assert sum(run.events for run in runs) == 5
        assert all(type(run.events) is int for run in runs)

    def test_they_are_not_decoded(self) -> None:
        assert SSEDecoder().feed_runs(b'data: {"\xff"}\n\n') == [Run(b'{"\xff"}', 1)]

    def test_single_events_of_it_are(self) -> None:
        assert [event.data for event in SSEDecoder().feed(b'data: {"a": 1, "b": 2}\n\n' * 2)] == ['{"a": 1, "b": 2}'] * 2
        assert SSEDecoder().feed('data: {"é"}\n\n'.encode() + b'data: {"\xff"}\n\n') == [
            ServerSentEvent(data='{"é"}'),
            ServerSentEvent(data='{"\ufffd"}'),
        ]

    @pytest.mark.parametrize(
        "other",
        [
            b"data: [DONE]\n\n",
            b"data: {\ndata: }\n\n",
            b"data: {}\ndata: {}\n\n",
            b"event: x\nid: 1\ndata: {}\nid\n\n",
            b"event: x\n\ndata: {}\nevent: y\n\n",
            b"event\ndata: {}\n\n",
            b"event: x\ndata: {\ndata: }\n\n",
            b"data: {}\nevent: x\n\n",
            b"data:  {}\n\n",
            b"data: {} \n\n",
            b"data: {]\n\n",
            b"data: [}\n\n",
            b"data: {\n\n",
            b"data: }\n\n",
            b": x\ndata: {}\n\n",
        ],
    )
    def test_what_is_no_plain_event_stands_between_two_runs(self, other: bytes) -> None:
        found = SSEDecoder().feed_runs(E1 + E2 + other + E3 + E1)
        assert [type(item) for item in found] == [Run, ServerSentEvent, Run]
        assert (found[0], found[2]) == (Run(b'{"n":1}\n{"n":2}', 2), Run(b'{"n":3}\n{"n":1}', 2))

    def test_events_whose_type_is_named_are_a_run_of_that_type(self) -> None:
        named = b'event: x\ndata: {"n":1}\n\n'
        run = Run(b'{"n":1}\n{"n":1}', 2, b"event: x\ndata: ", "x")
        assert SSEDecoder().feed_runs(named + named) == [run]
        assert SSEDecoder().feed_runs(E1 + named + named + E2 + named)[:2] == [Run(b'{"n":1}', 1), run]
        assert SSEDecoder().feed_runs(b"event:x\ndata:{}\n\n") == [Run(b"{}", 1, b"event:x\ndata:", "x")]
        assert SSEDecoder().feed_runs(b"event: \ndata: {}\n\n") == [Run(b"{}", 1, b"event: \ndata: ", "message")]
        assert SSEDecoder().feed_runs(b"event: \xff\ndata: {}\n\n") == [Run(b"{}", 1, b"event: \xff\ndata: ", "\ufffd")]

    def test_single_events_of_them_have_it(self) -> None:
        assert SSEDecoder().feed(b"event: x\ndata: {}\n\n" + E1) == [ServerSentEvent("x", "{}"), ServerSentEvent(data='{"n":1}')]

    def test_a_comment_between_events_leaves_one_run_on_each_side(self) -> None:
        assert SSEDecoder().feed_runs(E1 + E2 + b": x\n\n" + E3) == [Run(b'{"n":1}\n{"n":2}', 2), Run(b'{"n":3}', 1)]

    def test_an_event_behind_a_blank_line_too_many_stands_alone(self) -> None:
        assert SSEDecoder().feed_runs(E1 + b"\n" + E2 + E3) == [Run(b'{"n":1}', 1), ServerSentEvent(data='{"n":2}'), Run(b'{"n":3}', 1)]

    def test_an_event_that_began_before_is_no_part_of_a_run(self) -> None:
        decoder = SSEDecoder()
        decoder.feed_runs(b"data: {}\n")
        assert decoder.feed_runs(b"data: {}\n\n" + E1) == [ServerSentEvent(data="{}\n{}"), Run(b'{"n":1}', 1)]

    def test_a_type_that_came_before_holds_for_the_next_event_only(self) -> None:
        decoder = SSEDecoder()
        decoder.feed_runs(b"event: x\n")
        assert decoder.feed_runs(E1 + E2) == [ServerSentEvent("x", '{"n":1}'), Run(b'{"n":2}', 1)]

    def test_while_an_id_is_set_there_are_no_runs(self) -> None:
        decoder = SSEDecoder()
        assert decoder.feed_runs(b"id: 7\n\n" + E1) == [ServerSentEvent(data='{"n":1}', id="7")]
        assert decoder.feed_runs(E2) == [ServerSentEvent(data='{"n":2}', id="7")]
        assert decoder.feed_runs(b"id\n\n" + E3) == [Run(b'{"n":3}', 1)]

    def test_events_that_are_within_the_limit_each_may_be_beyond_it_together(self) -> None:
        assert singly(SSEDecoder(max_bytes=len(E1)).feed_runs(E1 + E2 + E3)) == [("message", f'{{"n":{number}}}', "") for number in (1, 2, 3)]

    def test_an_event_in_it_may_not(self) -> None:
        decoder = SSEDecoder(max_bytes=13)
        assert decoder.feed_runs(E1 + b'data: {"n":10}\n\n' + E2) == [Run(b'{"n":1}', 1)]
        with pytest.raises(MalformedResponseError):
            decoder.feed_runs(E3)


class TestStrayLines:
    def test_they_stand_where_they_came(self) -> None:
        assert SSEDecoder().feed_runs(E1 + b"oops\n" + E2 + b"again\n\n" + E3) == [
            Run(b'{"n":1}', 1),
            StrayLine("oops"),
            ServerSentEvent(data='{"n":2}'),
            StrayLine("again"),
            Run(b'{"n":3}', 1),
        ]

    def test_the_last_one_comes_at_the_end_before_an_event_that_lacks_its_blank_line(self) -> None:
        decoder = SSEDecoder()
        assert decoder.feed_runs(b"data: {}\noops") == []
        assert decoder.flush_runs() == [StrayLine("oops"), ServerSentEvent(data="{}")]

    def test_only_so_many_are_told(self) -> None:
        assert items_of([b"x\n" * 100]) == [StrayLine("x")] * 16


class TestRecognisedTexts:
    """A codec may recognise events at a glance; then they come as its deltas, and in no other order."""

    @staticmethod
    def decoder(*known: bytes) -> tuple[SSEDecoder, list[bytes]]:
        asked: list[bytes] = []

        def texts(blocks: bytes) -> TextDeltas | None:
            asked.append(blocks)
            return TextDeltas([StreamDelta(blocks.decode())]) if blocks in known else None

        return SSEDecoder(max_bytes=40, texts=texts), asked

    def test_it_is_asked_for_the_whole_events_of_a_read_up_to_the_last_blank_line(self) -> None:
        decoder, asked = self.decoder(E1[:-2], (E1 + E2)[:-2])
        assert decoder.feed_runs(E1) == [TextDeltas([StreamDelta(E1[:-2].decode())])]
        assert decoder.feed_runs(E1 + E2) == [TextDeltas([StreamDelta((E1 + E2)[:-2].decode())])]
        assert asked == [E1[:-2], (E1 + E2)[:-2]]

    def test_what_it_does_not_know_is_a_run_or_events(self) -> None:
        decoder, asked = self.decoder()
        assert decoder.feed_runs(E1) == [Run(b'{"n":1}', 1)]
        assert decoder.feed_runs(b"data: x\n\n") == [ServerSentEvent(data="x")]
        assert decoder.feed_runs(E2) == [Run(b'{"n":2}', 1)]
        assert asked[0] == E1[:-2]

    @pytest.mark.parametrize("before", [b"data: {}\n", b"event: x\n", b"id: 1\n\n", b"data: {", b"ev", b": x", b"data: x\r\n\r\nid: 1\r"])
    def test_it_is_not_asked_while_something_before_has_a_say(self, before: bytes) -> None:
        decoder, asked = self.decoder(E1[:-2])
        decoder.feed_runs(before)
        asked.clear()
        assert not any(isinstance(item, TextDeltas) for item in decoder.feed_runs(E1))
        assert E1[:-2] not in asked

    def test_nor_for_more_than_an_event_may_be(self) -> None:
        decoder, asked = self.decoder()
        assert singly(decoder.feed_runs(E1 * 4)) == [("message", '{"n":1}', "")] * 4
        assert singly(decoder.feed_runs(E1 * 4)) == [("message", '{"n":1}', "")] * 4
        assert all(len(blocks) <= 40 for blocks in asked)

    def test_events_that_end_in_crlf_are_asked_for_with_plain_line_ends(self) -> None:
        decoder, _ = self.decoder(E1[:-2])
        decoder.feed_runs(E2)
        assert decoder.feed_runs(E1.replace(b"\n", b"\r\n")) == [TextDeltas([StreamDelta(E1[:-2].decode())])]

    def test_so_are_events_of_one_read_that_end_in_different_ways(self) -> None:
        decoder, asked = self.decoder((E2 + E1)[:-2])
        decoder.feed_runs(E3)
        assert decoder.feed_runs(E2.replace(b"\n", b"\r\n") + E1) == [TextDeltas([StreamDelta((E2 + E1)[:-2].decode())])]
        assert not any(b"\r" in blocks for blocks in asked)

    def test_a_byte_order_mark_behind_the_first_of_them_is_none(self) -> None:
        decoder, _ = self.decoder(E1[:-2])
        assert decoder.feed_runs(E1) == [TextDeltas([StreamDelta(E1[:-2].decode())])]
        assert decoder.feed_runs(b"\xef\xbb\xbf" + E2) == [StrayLine('\ufeffdata: {"n":2}')]

    def test_half_an_event_behind_them_waits(self) -> None:
        decoder, _ = self.decoder(E1[:-2])
        assert decoder.feed_runs(E1 + b"data: x") == [TextDeltas([StreamDelta(E1[:-2].decode())])]
        assert decoder.feed_runs(b"\n\n") == [ServerSentEvent(data="x")]

    def test_the_rest_of_the_body_is_read_as_if_they_had_been_events(self) -> None:
        decoder, _ = self.decoder(E1[:-2])
        for _ in range(3):
            assert decoder.feed_runs(E1) == [TextDeltas([StreamDelta(E1[:-2].decode())])]
        assert decoder.feed_runs(b"id: 7\ndata: x\n\n") == [ServerSentEvent(data="x", id="7")]
        assert decoder.flush_runs() == []

    @pytest.mark.parametrize("body", [E1 + E2 + b": c\n\n" + E1 + b"data: [DONE]\n\n", E1 + b"x\n" + E2 + b"id: 1\n" + E1, b"\xef\xbb\xbf" + E1 + E1])
    def test_in_every_split_the_same_events_come_in_the_same_order(self, body: bytes) -> None:
        expected = singly(items_of([body]))
        for pieces in [*in_two(body), one_by_one(body), [body]]:
            decoder = SSEDecoder(texts=lambda blocks: TextDeltas([StreamDelta("1")]) if blocks == E1[:-2] else None)
            found: list[tuple[str, ...]] = []
            for item in items_of(pieces, decoder):
                found += [("message", '{"n":1}', "")] * len(item) if isinstance(item, TextDeltas) else singly([item])
            assert found == expected


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([E1, E2, b"data:{}\n\n", b": c\n\n", b"x\n"]) | BODIES, max_size=6).map(b"".join), st.data())
def test_runs_hold_what_single_events_would_in_any_split(body: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    whole = SSEDecoder()
    expected = [(event.event, event.data, event.id) for event in [*whole.feed(body), *whole.flush()]]
    found = singly(items_of(pieces))
    assert [item for item in found if len(item) == 3] == expected
    assert found == singly(items_of(one_by_one(body)))


@pytest.mark.parametrize("body", [E1 + E2 + E3, E1 + b": c\n\n" + E2, b'data: {"a":"\r"}\n\n' + E1, b'data: {"n":1}\r\r' + E2])
def test_lines_that_end_in_crlf_are_those_that_end_in_lf(body: bytes) -> None:
    """Whole events are read at a glance in both; a CR by itself is a line's end all the same."""
    for first in (E1, E1.replace(b"\n", b"\r\n")):
        expected = items_of([first, body])
        assert items_of([first, body.replace(b"\n", b"\r\n")]) == expected
        for pieces in in_two(first + body.replace(b"\n", b"\r\n")):
            assert singly(items_of(pieces)) == singly(expected)
