"""The shortcut for events that differ in nothing but their text: it says what a decoder says, or nothing."""

from __future__ import annotations

import json
import random
import re
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.providers.wire import decode

from ecs_agent.providers.openai_chat.chunk import plain_chunks
from ecs_agent.providers.wire.text_template import ATTEMPTS, TextTemplate
from ecs_agent.streaming.sse import Run

ENVELOPE = '{"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}]}'


def plain_texts(run: Run) -> list[str]:
    return [chunk.choices[0].delta.content for chunk in plain_chunks(run)]


def unlearned() -> TextTemplate:
    return TextTemplate(re.compile(rb'"content"\s*:\s*"'), plain_texts)


def event(text: str, envelope: str = ENVELOPE) -> bytes:
    """An event's bytes up to its blank line; the text stands in it as it is."""
    return b"data: " + (envelope % text).encode("utf-8", "surrogateescape")


def learned(text: str = "known", envelope: str = ENVELOPE, field: bytes = b"data: ") -> TextTemplate:
    template = unlearned()
    template.learn(Run((envelope % text).encode(), 1, field), text)
    return template


def texts(template: TextTemplate, *events: bytes) -> list[str | None] | None:
    found = template.texts(b"\n\n".join(events))
    return None if found is None else [delta.content for delta in found]


def test_it_knows_nothing_before_it_has_learned() -> None:
    assert texts(unlearned(), event("a")) is None
    assert unlearned().leading(Run(b'"XXXX', 1), 0) == ([], 0)


def test_events_that_differ_in_their_text_are_told_apart_without_decoding() -> None:
    assert texts(learned(), event("Hello"), event(" wörld"), event("")) == ["Hello", " wörld"]


def test_an_event_that_says_nothing_is_recognised_and_is_no_delta() -> None:
    assert texts(learned(), event("")) == []


@pytest.mark.parametrize(
    "other",
    [
        event("a", ENVELOPE.replace('"created":7', '"created":8')),
        event("a", ENVELOPE.replace('"finish_reason":null', '"finish_reason":"stop"')),
        event("a", ENVELOPE.replace('"finish_reason":null', '"finish_reason":true')),
        event('a"},"x":{"content":"b'),
        event("a\\x"),
        event("a\\ud800"),
        event("a\\"),
        event("a\tb"),
        event("a\nb"),
        event("a") + b" ",
        event("a")[:-1],
        b": comment\n" + event("a"),
        b"data: [DONE]",
        b"",
    ],
)
@pytest.mark.parametrize("place", range(3))
def test_anything_else_among_them_is_left_to_the_decoder(other: bytes, place: int) -> None:
    events = [event("a"), event("b")]
    events.insert(place, other)
    assert texts(learned(), *events) is None


def test_a_text_that_was_written_with_escapes_is_read_as_the_string_it_is() -> None:
    assert texts(learned(), event("a"), event("\\n\\u00e9\\\\"), event("b")) == ["a", "\n\u00e9\\", "b"]
    assert texts(learned(), event("a"), event("\\n\\u00e9"), event("b")) == ["a", "\n\u00e9", "b"]


def test_escapes_may_stand_in_any_of_many_events() -> None:
    events = [event("a\\nb"), event("c"), event("d\\te"), event("f\\\\g"), event("h"), event("\\u00e9")]
    assert texts(learned(), *events) == ["a\nb", "c", "d\te", "f\\g", "h", "é"]


@pytest.mark.parametrize("text", ["a\tb", "a\x00", "\udcff"])
def test_a_server_that_writes_what_no_string_may_hold_is_left_alone(text: str) -> None:
    template = learned()
    assert texts(template, event(text)) is None
    assert template.is_given_up
    assert texts(template, event("a")) is None


def test_where_escapes_stand_costs_no_second_look_at_the_rest() -> None:
    """A newline in each twentieth delta, as in any answer; what it costs is counted in searches."""
    template, events = learned(), [event("\\n" if number % 20 == 0 else "word") for number in range(2000)]
    calls = 0

    def count(_: object, kind: str, __: object) -> None:
        nonlocal calls
        calls += kind == "c_call"

    sys.setprofile(count)
    try:
        found = template.texts(b"\n\n".join(events))
    finally:
        sys.setprofile(None)
    assert found is not None
    assert len(found) == len(events)
    assert calls < 12 * len(events)


def test_an_end_that_overlaps_its_beginning_is_no_event() -> None:
    envelope = '{"choices":[{"delta":{"content":"%s"}}]}'
    whole = event("", envelope)
    assert texts(learned("x", envelope), whole[:-3]) is None
    assert texts(learned("x", envelope), whole[: whole.index(b'""') + 1]) is None


def test_a_character_that_is_cut_between_two_events_is_left_to_the_decoder() -> None:
    first, second = "é".encode().decode("utf-8", "surrogateescape"), b"\xc3".decode("utf-8", "surrogateescape")
    assert texts(learned(), event(first)) == ["é"]
    assert texts(learned(), event(second), event("\udca9")) is None


@pytest.mark.parametrize("field", [b"data: ", b"data:"])
def test_the_field_is_written_as_the_server_writes_it(field: bytes) -> None:
    template = learned(field=field)
    assert texts(template, field + event("a").removeprefix(b"data: ")) == ["a"]
    assert texts(template, (b"data:" if field == b"data: " else b"data: ") + event("a").removeprefix(b"data: ")) is None


def test_what_only_looks_like_the_field_from_its_middle_on_is_not_it() -> None:
    assert texts(learned(), event("a").replace(b"data: ", b"dada: ")) is None


def test_a_content_that_is_not_the_answers_is_not_taken_for_it() -> None:
    envelope = '{"note":{"content":"same"},"choices":[{"delta":{"content" :\t"s\\u0061me"}}]} %s'.replace(" %s", "")
    run = Run(envelope.encode(), 1)
    assert plain_chunks(run)[0].choices[0].delta.content == "same"
    template = unlearned()
    template.learn(run, "same")
    assert texts(template, b"data: " + envelope.replace('"content":"same"', '"content":"other"').encode()) is None
    assert texts(template, b"data: " + envelope.encode()) is None


@pytest.mark.parametrize("text", ["", 'say "a"', "tab\there", "back\\slash"])
def test_from_a_text_that_needs_escapes_nothing_is_learned(text: str) -> None:
    template = unlearned()
    template.learn(Run((ENVELOPE % json.dumps(text)[1:-1]).encode(), 1), text)
    assert texts(template, event("a")) is None


def test_a_server_that_changes_every_event_is_left_alone_after_some_attempts() -> None:
    template = unlearned()
    for number in range(ATTEMPTS):
        template.learn(Run((ENVELOPE.replace("7", str(number)) % "a").encode(), 1), "a")
    template.learn(Run((ENVELOPE % "a").encode(), 1), "a")
    assert texts(template, event("a")) is None


def test_it_is_given_up_after_so_many_attempts_and_no_fewer() -> None:
    template = unlearned()
    for number in range(ATTEMPTS):
        assert not template.is_given_up
        template.learn(Run((f'{ENVELOPE[:-1]},"n":{number}}}' % "a").encode(), 1), "a")
        assert texts(template, event("a", f'{ENVELOPE[:-1]},"n":{number + 1}}}')) is None
    assert template.is_given_up


def test_it_learns_from_the_last_event_of_a_run() -> None:
    template = unlearned()
    lines = [(envelope % "a").encode() for envelope in (ENVELOPE.replace("7", "1"), ENVELOPE.replace("7", "2"), ENVELOPE)]
    template.learn(Run(b"\n".join(lines), 3), "a")
    assert texts(template, event("b")) == ["b"]
    assert texts(template, event("b", ENVELOPE.replace("7", "2"))) is None


class TestTheFirstEventsOfARun:
    """Of many events those at the beginning may be known although not all are."""

    OTHER = (ENVELOPE.replace("null", "true") % "x").encode()  # as long as the others behind its text

    @staticmethod
    def known(text: str) -> bytes:
        return (ENVELOPE % text).encode()

    def test_they_are_told_with_the_place_of_the_next_event(self) -> None:
        for events, told in (([self.known("a"), self.known("b"), self.OTHER], 2), ([self.known("a"), self.OTHER, self.known("b")], 1)):
            run = Run(b"\n".join(events), 3)
            deltas, at = learned().leading(run, 0)
            assert [delta.content for delta in deltas] == ["a", "b"][:told]
            assert run.lines[at:] == b"\n".join(events[told:])

    def test_from_any_event_on(self) -> None:
        run = Run(b"\n".join([self.OTHER, self.known("a"), self.OTHER]), 3)
        deltas, at = learned().leading(run, len(self.OTHER) + 1)
        assert ([delta.content for delta in deltas], run.lines[at:]) == (["a"], self.OTHER)

    def test_all_of_them_may_be_known(self) -> None:
        run = Run(self.known("a") + b"\n" + self.known("b"), 2)
        deltas, at = learned().leading(run, 0)
        assert ([delta.content for delta in deltas], at) == (["a", "b"], len(run.lines))

    @pytest.mark.parametrize("first", [OTHER, b'{"x": 1}', (ENVELOPE % "a\\x").encode(), (ENVELOPE % "a").encode() + b" ", b'{"id":"'])
    def test_where_the_first_is_not_none_is(self, first: bytes) -> None:
        run = Run(first + b"\n" + self.known("a"), 2)
        assert learned().leading(run, 0) == ([], 0)
        assert unlearned().leading(run, 0) == ([], 0)


def test_a_template_that_serves_is_learned_anew_as_often_as_needed() -> None:
    template = unlearned()
    for number in range(3 * ATTEMPTS):
        envelope = ENVELOPE.replace("7", str(number))
        template.learn(Run((envelope % "a").encode(), 1), "a")
        assert texts(template, event("b", envelope)) == ["b"]


EVENTS = st.lists(
    st.one_of(
        st.text(max_size=6).map(lambda text: {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}),
        st.sampled_from(["a", "b", "né", ""]).map(lambda text: {"created": 1, "choices": [{"index": 0, "delta": {"content": text}}]}),
        st.sampled_from(["a", ""]).map(lambda text: {"choices": [{"index": 0, "delta": {"content": "x", "reasoning": text}}]}),
        st.just({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]}}]}),
        st.just({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
    ),
    max_size=40,
)


@given(EVENTS, st.integers(0, 2**32), st.booleans())
def test_an_answer_is_the_same_with_it_and_without_it(events: list[dict[str, Any]], seed: int, ascii_only: bool) -> None:
    body = b"".join(f"data: {json.dumps(each, ensure_ascii=ascii_only)}\n\n".encode("utf-8", "replace") for each in events)
    chance = random.Random(seed)
    cuts = sorted(chance.sample(range(len(body) + 1), min(len(body), 5)))
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    by_event = [line + b"\n\n" for line in body.split(b"\n\n")[:-1]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TextTemplate, "texts", lambda *_: None)
        expected = decode([body])
    assert decode(pieces).facts == decode(by_event).facts == decode([body]).facts == expected.facts
