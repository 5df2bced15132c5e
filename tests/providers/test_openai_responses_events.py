"""The shortcut of the Responses codec: texts are read many at a time, and come out as if each had been looked at alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.providers.families import RESPONSES
from tests.providers.wire import decode, written

from ecs_agent.providers.openai_responses import decoder as openai_responses
from ecs_agent.providers.openai_responses.decoder import ResponsesDecoder
from ecs_agent.providers.openai_responses.events import UNNUMBERED, event_of, key_of, lenient, plain_texts
from ecs_agent.streaming.sse import Run


def text(delta: Any, number: Any = None, item: Any = "m", **more: Any) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "delta": delta, "sequence_number": number, "item_id": item, "obfuscation": "x" * 7, **more}


def run_of(*events: dict[str, Any]) -> Run:
    blocks = [json.dumps(event).encode() for event in events]
    return Run(b"\n".join(blocks), len(blocks))


def texts(*events: dict[str, Any], last: int = UNNUMBERED) -> list[str]:
    return [event.delta for event in plain_texts(run_of(*events), last)]


class TestWhatIsPlain:
    def test_texts_of_one_item_whose_numbers_rise(self) -> None:
        assert texts(text("a", 4), text("", 5), text("b", 9), last=3) == ["a", "", "b"]

    def test_texts_without_numbers(self) -> None:
        assert texts(text("a"), text("b"), last=3) == ["a", "b"]

    @pytest.mark.parametrize(
        "events",
        [
            [text("a", 3)],
            [text("a", 4), text("b", 4)],
            [text("a", 5), text("b", 4)],
            [text("a", 4), text("b")],
            [text("a"), text("b", 4)],
            [text("a", 4, "m"), text("b", 5, "n")],
            [text("a", 4, output_index=0), text("b", 5, output_index=1)],
            [text("a", 4, logprobs=[{"token": "a"}])],
            [text("a", 4, error={"message": "no"})],
            [text("a", 4, object="error")],
            [text("a", True)],
            [text(7, 4)],
            [text("a", 4) | {"type": "response.refusal.delta"}],
            [text("a", 4) | {"type": None}],
            [text("\ud83d", 4)],
        ],
        ids=[
            "known",
            "twice",
            "back",
            "one without",
            "one with",
            "two items",
            "two places",
            "logprobs",
            "error",
            "error by name",
            "bool",
            "number",
            "other",
            "untyped",
            "half",
        ],
    )
    def test_anything_else_is_not(self, events: list[dict[str, Any]]) -> None:
        assert texts(*events, last=3) == []

    def test_two_values_in_one_line_are_not(self) -> None:
        assert plain_texts(Run(run_of(text("a", 4)).lines * 2, 1), UNNUMBERED) == []


@pytest.mark.parametrize("name", ["event: response.output_text.delta\n", ""], ids=["named", "unnamed"])
def test_texts_are_not_looked_at_one_by_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = ResponsesDecoder()
    monkeypatch.setattr(openai_responses, "event_of", lambda _: pytest.fail("looked at"))
    a, b, c, d = (f"{name}data: {json.dumps(text(word, number))}\n\n".encode() for number, word in enumerate("abcd"))
    assert [delta.content for delta in [*decoder.feed(a + b + c), *decoder.feed(d)]] == ["a", "b", "c", "d"]


def test_a_text_that_is_no_utf_8_is_read_with_what_is_wrong_replaced() -> None:
    body = written(text("a"), RESPONSES) + written(text("X"), RESPONSES).replace(b"X", b"b\xff") + written(text("c"), RESPONSES)
    assert decode([body], family=RESPONSES).result.message.content == "ab\ufffdc"


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "", "é\n"]), st.none() | st.integers(0, 6), st.sampled_from(["m", "n"])), max_size=8))
def test_many_at_once_are_what_they_are_one_by_one(found: list[tuple[str, int | None, str]]) -> None:
    pieces = [written(text(*each), RESPONSES) for each in found]
    assert decode(pieces, family=RESPONSES).facts == decode([b"".join(pieces)], family=RESPONSES).facts


def test_what_an_event_says_of_itself() -> None:
    event = event_of(b'{"type": "x", "sequence_number": 3, "item_id": "i", "output_index": 2, "new": [1]}')
    assert event is not None
    assert (event.type, event.number, event.item_id, event.output_index) == ("x", 3, "i", 2)


@pytest.mark.parametrize("number", [None, -1, True, "3", 3.0])
def test_a_number_is_a_whole_one_from_zero_on(number: Any) -> None:
    assert lenient({"sequence_number": number}).number is None


def test_an_item_is_told_by_its_id_else_by_its_place() -> None:
    assert [key_of("i", 2), key_of("", 2), key_of(7, 2), key_of(None, "2")] == ["i", 2, 2, None]


def test_what_is_kept_as_it_stands_has_no_half_surrogate_pairs() -> None:
    event = lenient({"item": {"x": "\ud800"}, "delta": "\ud800", "zz": 1})
    assert (event.item, event.delta) == ({"x": "\ufffd"}, "\ud800")


@pytest.mark.parametrize("data", [b"[1]", b"7", b"{", b'{"delta": "\\ud800"}', b'{"type": "\xff"}'])
def test_what_no_fast_decoder_reads_is_no_event(data: bytes) -> None:
    assert event_of(data) is None


@pytest.mark.parametrize(
    "name", [b"event: response.output_text.delta\ndata: {", b'data: {"type":"response.output_text.delta",'], ids=["event", "JSON"]
)
def test_a_pair_that_was_cut_in_two_is_whole_wherever_the_event_has_its_name(name: bytes) -> None:
    halves = [name + b'"item_id":"m","output_index":0,"delta":"%s"}\n\n' % half for half in (b"a\\ud83d", b"\\ude00")]
    assert decode(halves, family=RESPONSES).result.message.content == "a\U0001f600"
