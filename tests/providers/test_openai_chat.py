"""The chat codec: bodies that are not streams, the phases of its life, and the promise that nothing is ever raised."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.providers.wire import decode, written

from ecs_agent.errors import MalformedResponseError, ProviderError, RateLimitError, ServerError, StreamInterruptedError
from ecs_agent.providers.openai_chat import decoder as openai_chat
from ecs_agent.providers.openai_chat.decoder import ChatDecoder
from ecs_agent.providers.wire.body_decoder import MAX_BODY
from ecs_agent.streaming import DecoderPhase
from ecs_agent.types import JsonObject, Message, StreamDelta, ToolCallFragment, Usage


@given(
    st.lists(st.binary(max_size=60), max_size=6),
    st.sampled_from(["eof", "reset"]),
    st.sampled_from(["text/event-stream", "application/json", "text/html", ""]),
)
def test_no_bytes_raise_anything(pieces: list[bytes], end: str, content_type: str) -> None:
    outcome = decode(pieces, end, content_type)
    assert outcome.error is not None or outcome.deltas


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=8) | st.sampled_from(["stop", "tool_calls", "{}", "f"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["choices", "index", "delta", "content", "tool_calls", "function", "name", "arguments", "id", "finish_reason", "usage", "prompt_tokens", "message",
         "reasoning", "reasoning_details", "text", "type", "x_groq", "function_call", "refusal"]), inner, max_size=4),
    max_leaves=14,
)  # fmt: skip


@given(st.lists(JSON, max_size=5))
def test_no_json_raises_anything(events: list[Any]) -> None:
    outcome = decode([f"data: {json.dumps(event)}\n\n".encode() for event in events])
    assert "".join(delta.content or "" for delta in outcome.deltas) == outcome.result.message.content


ARGUMENTS = st.dictionaries(
    st.text(max_size=4),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.sampled_from(["}", '{"', "\\", '"', "🎉", "\u2028"]),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
        max_leaves=5,
    ),
    max_size=3,
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a server writes its calls, as far as the rules can still tell one call from the next."""

    index: Literal["right", "odd", "first", "zero", "none"]
    ids: Literal["first", "every", "then empty", "empty", "absent"]
    names: Literal["first", "every", "then empty", "then null"]

    def fragment(self, place: int, name: str, piece: str, *, begins: bool) -> dict[str, Any]:
        made: dict[str, Any] = {"arguments": piece}
        if self.index in ("right", "odd", "zero") or (self.index == "first" and begins):
            made["index"] = {"odd": 2 * place + 1, "zero": 0}.get(self.index, place)
        if self.has_ids and (begins or self.ids == "every"):
            made["id"] = f"id{place}"
        elif self.ids == "empty" or (self.ids == "then empty" and not begins):
            made["id"] = ""
        if begins or self.names == "every":
            made["name"] = name
        elif self.names != "first":
            made["name"] = "" if self.names == "then empty" else None
        return made

    @property
    def has_ids(self) -> bool:
        return self.ids in ("first", "every", "then empty")

    @property
    def tells_calls_apart(self) -> bool:
        """Whether a call may begin without arguments; otherwise only closed arguments end the one before."""
        return self.has_ids or self.index in ("right", "odd", "first")

    @property
    def interleaves(self) -> bool:
        return self.index in ("right", "odd") or (self.index == "none" and self.ids == "every")


DIALECTS = st.builds(
    Dialect,
    st.sampled_from(["right", "odd", "first", "zero", "none"]),
    st.sampled_from(["first", "every", "then empty", "empty", "absent"]),
    st.sampled_from(["first", "every", "then empty", "then null"]),
)


@given(
    DIALECTS,
    st.lists(st.tuples(st.sampled_from(["f", "g", "look_up"]), ARGUMENTS), min_size=1, max_size=4),
    st.randoms(),
    st.sampled_from(["stop", "tool_calls"]),
)
def test_calls_come_out_as_they_went_in_whatever_the_dialect(
    dialect: Dialect, calls: list[tuple[str, JsonObject]], chance: Random, finish: str
) -> None:
    streams: list[list[dict[str, Any]]] = []
    for place, (name, arguments) in enumerate(calls):
        text = json.dumps(arguments, indent=chance.choice([None, 1]), ensure_ascii=chance.random() < 0.5)
        cuts = sorted(chance.choices(range(len(text) + 1), k=chance.randint(0, 3)))
        pieces = [text[a:b] for a, b in pairwise([0, *cuts, len(text)]) if a < b]
        if dialect.tells_calls_apart and chance.random() < 0.5:
            pieces = ["", *pieces, ""]
        streams.append([dialect.fragment(place, name, piece, begins=number == 0) for number, piece in enumerate(pieces)])
    fragments = [stream.pop(0) for stream in streams] if dialect.interleaves else []
    while streams := [stream for stream in streams if stream]:
        fragments.append((chance.choice(streams) if dialect.interleaves else streams[0]).pop(0))
    outcome = decode([written({"calls": [fragment]}) for fragment in fragments] + [written({"finish": finish})])
    found = outcome.result.message.tool_calls or []
    assert [(call.name, call.arguments, call.arguments_error) for call in found] == [(*call, None) for call in calls]
    assert len({call.id for call in found}) == len(calls)
    assert not dialect.has_ids or [call.id for call in found] == [f"id{place}" for place in range(len(calls))]
    assert outcome.result.finish_reason == "tool_calls"


class TestBodiesThatAreNoStreams:
    def test_a_whole_answer(self) -> None:
        body = json.dumps(
            {
                "choices": [
                    {
                        "message": {"content": "Hi", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]},
                        "finish_reason": "tool_calls",
                    }
                ]
            }
        )
        outcome = decode([body.encode()], content_type="application/json; charset=utf-8")
        assert outcome.error is None
        assert (outcome.result.message.content, outcome.result.finish_reason) == ("Hi", "tool_calls")
        assert len(outcome.result.message.tool_calls or []) == 1

    def test_a_whole_answer_that_calls_itself_a_stream(self) -> None:
        outcome = decode([b'{"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}'])
        assert (outcome.error, outcome.result.message.content) == (None, "Hi")

    def test_an_error_with_status_200(self) -> None:
        outcome = decode([b'{"error": {"message": "Rate limit reached"}}'], content_type="application/json")
        assert isinstance(outcome.error, RateLimitError)

    @pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "text/event-stream", "application/json", ""])
    def test_a_page_of_a_proxy(self, content_type: str) -> None:
        outcome = decode([b"<!doctype html><html><body>Sign in</body></html>"], content_type=content_type)
        assert isinstance(outcome.error, MalformedResponseError)
        assert "web page" in str(outcome.error)

    @pytest.mark.parametrize(
        "body", [b"", b"7", b"[]", b"{}", b'{"choices": []}', b'{"choices": "x"}', b'{"choices": [null]}', b'{"choices": [{}]}', b"not json"]
    )
    def test_json_that_is_no_answer(self, body: bytes) -> None:
        assert isinstance(decode([body], content_type="application/json").error, MalformedResponseError)

    def test_a_body_without_end_is_given_up(self) -> None:
        decoder = ChatDecoder("application/json")
        decoder.feed(b"x" * MAX_BODY)
        assert decoder.error is None
        decoder.feed(b"x")
        assert isinstance(decoder.error, MalformedResponseError)

    def test_a_cut_whole_answer(self) -> None:
        assert isinstance(decode([b'{"choices": ['], "reset", "application/json").error, StreamInterruptedError)


def test_a_line_without_end_is_given_up() -> None:
    decoder = ChatDecoder()
    decoder.feed(b"data: " + b"x" * MAX_BODY)
    assert isinstance(decoder.error, MalformedResponseError)
    assert decoder.phase is DecoderPhase.ENDED


def test_after_the_end_nothing_comes_any_more() -> None:
    decoder = ChatDecoder()
    decoder.feed(written({"delta": {"content": "a"}}) + written({"finish": "stop"}) + b"data: [DONE]\n\n")
    assert decoder.phase is DecoderPhase.ENDED
    assert (decoder.feed(written({"delta": {"content": "b"}})), decoder.eof(), decoder.cut()) == ([], [], [])


def test_the_finish_is_held_back_until_the_tail_is_over() -> None:
    decoder = ChatDecoder()
    decoder.feed(written({"delta": {"content": "a"}}))
    phases = [decoder.phase]
    assert decoder.feed(written({"finish": "stop"})) == []
    phases.append(decoder.phase)
    (final,) = decoder.cut()
    phases.append(decoder.phase)
    assert phases == [DecoderPhase.OPEN, DecoderPhase.TAIL, DecoderPhase.ENDED]
    assert (final.final, final.finish_reason, final.usage) == (True, "stop", None)


def test_ids_of_calls_without_one_come_from_outside() -> None:
    decoder = ChatDecoder(call_id=lambda slot: f"call_7_{slot}")
    decoder.feed(written({"delta": {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]}}) + written({"finish": "stop"}))
    (final,) = decoder.eof()
    assert [call.id for call in final.tool_calls or ()] == ["call_7_0"]


A, B, FINISH, DONE = written({"delta": {"content": "a"}}), written({"delta": {"content": "b"}}), written({"finish": "stop"}), b"data: [DONE]\n\n"
COUNTED = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
FAILURE = b'data: {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}\n\n'


def said(error: ProviderError | None, kind: type[ProviderError], words: str) -> bool:
    return type(error) is kind and str(error) == words


class TestWhatAFailureSays:
    """One sentence each, that says what happened."""

    def test_a_body_that_ends_or_breaks_off_early(self) -> None:
        assert said(decode([A]).error, StreamInterruptedError, "the body ended before the answer did; what had arrived is kept as the partial result")
        lost = "the connection was lost in the middle of the answer; what had arrived is kept as the partial result"
        assert said(decode([A], "reset").error, StreamInterruptedError, lost)
        assert said(decode([DONE]).error, StreamInterruptedError, "the server ended the answer before it began")

    def test_what_is_no_json(self) -> None:
        outcome = decode([b"data: " + b"x" * 300 + b"\n\n"])
        assert said(outcome.error, MalformedResponseError, f"the server sent an event that is not JSON: '{'x' * 200}'")

    def test_what_is_no_answer(self) -> None:
        outcome = decode([b'{"x": "' + b"x" * 300 + b'"}'], content_type="application/json")
        assert said(outcome.error, MalformedResponseError, f'the answer is not one of the chat protocol: \'{{"x": "{"x" * 193}\'')

    @pytest.mark.parametrize("body", [b"<html>", b"data: <html>\n\n", b" \n<!doctype html>"])
    def test_a_page(self, body: bytes) -> None:
        words = "the server answered with a web page instead of an answer; base_url is probably wrong, or a proxy stands in between"
        assert said(decode([body]).error, MalformedResponseError, words)

    @pytest.mark.parametrize(
        ("body", "label"),
        [
            (A, "text/event-stream"),
            (A.rstrip(), "text/event-stream"),
            (b'{"choices": [{"message": {"content": "a"}}]}', "application/json"),
        ],
    )
    def test_what_is_nested_too_deeply_for_us(self, body: bytes, label: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def texts_of(_content: object) -> tuple[str, str]:
            raise RecursionError

        monkeypatch.setattr(openai_chat, "texts_of", texts_of)
        monkeypatch.setattr(openai_chat, "plain_chunks", lambda _run: [])
        words = "the server sent JSON that is nested too deeply to be an answer"
        assert said(decode([body], content_type=label).error, MalformedResponseError, words)

    def test_a_body_without_end(self) -> None:
        decoder = ChatDecoder("application/json")
        decoder.feed(b"x" * (MAX_BODY + 1))
        assert said(decoder.error, MalformedResponseError, "the answer is larger than 33554432 bytes; it was given up")
        assert decoder.phase is DecoderPhase.ENDED

    def test_a_finish_that_is_none(self) -> None:
        assert said(decode([A, written({"finish": "error"})]).error, ServerError, "the server gave the answer up with 'error'; asking again may help")


@pytest.mark.parametrize("label", ["text/html", "TEXT/HTML", " text/html ; charset=utf-8"])
def test_what_is_labelled_as_a_page_is_given_up_before_it_is_read(label: str) -> None:
    decoder = ChatDecoder(label)
    assert (decoder.phase, decoder.feed(A)) == (DecoderPhase.ENDED, [])
    assert "web page" in str(decoder.error)


@pytest.mark.parametrize("label", ["text/plain; of=text/html", "text/html5", ""])
def test_any_other_label_is_not(label: str) -> None:
    assert ChatDecoder(label).phase is DecoderPhase.OPEN


def test_a_body_that_is_an_answer_is_not_kept() -> None:
    decoder = ChatDecoder()
    decoder.feed(b'{"choices": []}\n\n' + A)
    assert decoder._beginning.whole is None


def test_an_event_that_becomes_too_large_with_the_last_line_of_the_body() -> None:
    decoder = ChatDecoder()
    half = b"data: " + b"x" * (MAX_BODY // 2)
    decoder.feed(half + b"\n" + half)
    assert decoder.error is None
    assert decoder.eof() == []
    assert isinstance(decoder.error, MalformedResponseError)


def test_of_two_failures_in_one_chunk_the_first_is_told() -> None:
    chunk = b'data: {"choices": [{"error": {"code": 429}}, {"error": {"code": 500}}, {"finish_reason": "error"}]}\n\n'
    assert isinstance(decode([A, chunk]).error, RateLimitError)


class TestUsageOfAnAnswerThatFails:
    """What was counted was spent."""

    @pytest.mark.parametrize("last", [FAILURE, b"", b"x\n", written({"finish": "error"})])
    @pytest.mark.parametrize("end", ["eof", "reset"])
    def test_it_is_told_at_the_end(self, last: bytes, end: str) -> None:
        outcome = decode([written({"delta": {"content": "a"}, "usage": COUNTED}), last], end)
        assert outcome.error is not None
        assert outcome.deltas == [StreamDelta("a"), StreamDelta(usage=Usage(1, 2, 3))]

    def test_without_any_nothing_is_told(self) -> None:
        assert decode([A, FAILURE]).deltas == [StreamDelta("a")]

    def test_an_answer_that_does_not_fail_tells_it_with_its_end(self) -> None:
        deltas = decode([written({"delta": {"content": "a"}, "usage": COUNTED}), B, FINISH]).deltas
        assert [delta.usage for delta in deltas] == [None, None, Usage(1, 2, 3)]


@pytest.mark.parametrize(
    ("words", "finish", "raw"),
    [
        (["stop", "end_turn"], "stop", "stop"),
        (["stop", "length", "stop"], "length", "length"),
        (["length", "content_filter"], "length", "length"),
    ],
)
def test_the_first_finish_counts_unless_it_is_a_stop_that_something_else_follows(words: list[str], finish: str | None, raw: str) -> None:
    result = decode([A, *[written({"finish": word}) for word in words], DONE]).result
    assert (result.finish_reason, result.raw_finish_reason) == (finish, raw)


def test_an_end_without_a_finish_has_no_reason() -> None:
    final = decode([A, DONE]).deltas[-1]
    assert (final.final, final.finish_reason, final.raw_finish_reason) == (True, None, None)


def test_a_whole_answer_behind_a_byte_order_mark() -> None:
    body = b'\xef\xbb\xbf{"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}'
    assert [decode([body], content_type=label).result.message.content for label in ("application/json", "text/event-stream")] == ["Hi", "Hi"]


def test_an_object_that_is_no_answer_is_malformed_whatever_its_label() -> None:
    assert isinstance(decode([b'{"x": 1}']).error, MalformedResponseError)
    assert isinstance(decode([b'{"x": ']).error, StreamInterruptedError)


def test_the_old_function_call_is_a_call_and_nothing_is_added_to_it_or_to_what_comes_behind_it() -> None:
    events = [written({"delta": {"function_call": {"name": "f", "arguments": piece}}}) for piece in ("{", "}")]
    *deltas, final = decode([*events, A, written({"delta": {"content": "b", "function_call": "x"}}), FINISH]).deltas
    assert [delta.tool_fragments for delta in deltas] == [(ToolCallFragment(0, None, "f", "{"),), (ToolCallFragment(0, arguments="}"),), (), ()]
    assert [(call.name, call.arguments, call.opaque) for call in final.tool_calls or ()] == [("f", {}, None)]


class TestHalvesAtTheEnd:
    """Half a surrogate pair waits for its other half as long as anything may come, and is told with the end."""

    @pytest.mark.parametrize("kind", ["content", "reasoning", "refusal"])
    def test_of_any_text(self, kind: str) -> None:
        *_, final = decode([written({"delta": {kind: "x\ud83d"}}), FINISH]).deltas
        assert (final.final, final.content, final.reasoning, final.refusal) == (
            True, *["\ufffd" if kind == name else None for name in ("content", "reasoning", "refusal")],
        )  # fmt: skip

    def test_of_arguments(self) -> None:
        call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"a": "\ud83d'}}
        *_, final = decode([written({"calls": [call]}), written({"delta": {"tool_calls": [call]}}), written({"finish": "length"})]).deltas
        assert final.tool_fragments == (ToolCallFragment(0, arguments="\ufffd"),)
        assert decode([A, FINISH]).deltas[-1].tool_fragments == ()

    def test_text_behind_the_finish_comes_behind_it(self) -> None:
        events = [A, written({"delta": {"content": "\ud83d"}}), FINISH, B, B]
        assert decode(events).result.message.content == decode([b"".join(events)]).result.message.content == "a\ufffdbb"
        assert decode([*events[:3], written({"delta": {"content": "\ude00"}})]).result.message.content == "a😀"


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content", "refusal"])
@pytest.mark.parametrize("odd", [7, True, {"a": 1}, ["a"]])
def test_what_should_be_text_and_is_not_is_nothing(name: str, odd: Any) -> None:
    outcome = decode([written({"delta": {name: odd, "content": "a"}}), FINISH])
    assert (outcome.error, outcome.result.message) == (None, Message("assistant", "a"))
