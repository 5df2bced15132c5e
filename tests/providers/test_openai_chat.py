"""The chat codec: our own corpus in every split, bodies that are not streams, and the promise that nothing is ever raised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.providers.wire import Outcome, decode, splits

from ecs_agent.errors import MalformedResponseError, RateLimitError, StreamInterruptedError
from ecs_agent.providers.openai_chat import MAX_BODY, ChatDecoder
from ecs_agent.streaming import DecoderPhase

CORPUS: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "corpus" / "openai_chat.json").read_text("utf-8"))


def written(event: Any) -> bytes:
    if isinstance(event, str):
        return event.encode()
    if "delta" in event or "finish" in event:
        event = {"choices": [{"index": 0, "delta": event.get("delta", {}), "finish_reason": event.get("finish")}]}
    return f"data: {json.dumps(event)}\n\n".encode()


@pytest.mark.parametrize("case", [pytest.param(case, id=f"{case['rule']} {case['name']}") for case in CORPUS])
def test_our_corpus(case: dict[str, Any]) -> None:
    pieces = [written(event) for event in case["events"]]
    outcome = decode(pieces, case.get("end", "eof"))
    check(outcome, case["expect"])
    for split in splits(pieces, rounds=10):
        assert decode(split, case.get("end", "eof")).facts == outcome.facts


def check(outcome: Outcome, expect: dict[str, Any]) -> None:
    message = outcome.result.message
    assert (str(outcome.error.kind) if outcome.error else None) == expect.get("error"), outcome.error
    assert message.content == expect.get("text", "")
    assert message.reasoning == expect.get("reasoning", "")
    assert message.refusal == expect.get("refusal", "")
    assert outcome.result.finish_reason == expect.get("finish")
    assert outcome.result.raw_finish_reason == expect.get("raw", outcome.result.raw_finish_reason)
    usage = outcome.result.usage
    assert (usage and [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens]) == expect.get("usage")
    assert all(word in repr(message.parts) for word in expect.get("opaque", []))
    calls = message.tool_calls or []
    assert len({call.id for call in calls}) == len(calls)
    for call, (call_id, name, arguments) in zip(calls, expect.get("calls", []), strict=True):
        assert call_id in ("*", call.id)
        assert call.name == name
        assert (call.arguments if call.arguments_error is None else None) == arguments
    finals = [delta for delta in outcome.deltas if delta.final]
    assert len(finals) == (0 if outcome.error else 1)


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
