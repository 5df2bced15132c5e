"""The decoder of the Gemini protocol, beyond its corpus: against a second reading, there and back, quickly, and whatever comes."""

from __future__ import annotations

import json
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.providers.families import GEMINI
from tests.providers.wire import ABSENT, Case, decode, recorded_cases, splits

from ecs_agent.errors import ContentFilterError, ProviderError, RateLimitError, ServerError, StreamInterruptedError
from ecs_agent.providers.gemini_content.decoder import GeminiDecoder
from ecs_agent.providers.gemini_content.messages import contents_of
from ecs_agent.streaming.decoder import DecoderPhase
from ecs_agent.types import ImagePart, Message, OpaquePart, ReasoningPart, StreamDelta, TextPart, TokenLogprob, ToolCall, Usage

RECORDED = [case for case in recorded_cases() if case.family is GEMINI]


def event(*parts: Any, finish: str | None = None, **beside: Any) -> bytes:
    candidate = {"content": {"parts": list(parts), "role": "model"}, "index": 0} | ({"finishReason": finish} if finish else {})
    return b"data: " + json.dumps({"candidates": [candidate], **beside}).encode() + b"\n\n"


def read(*events: bytes) -> Any:
    return decode(events, family=GEMINI)


# A second reading, that shares nothing with the decoder: the JSON of every event, joined.


def joined(body: bytes) -> tuple[list[dict[str, Any]], dict[str, Any], str | None]:
    """All parts of candidate 0, its last usage and its finish reason."""
    parts: list[dict[str, Any]] = []
    usage: dict[str, Any] = {}
    finish = None
    for line in body.decode().splitlines():
        if line.startswith("data:"):
            chunk = json.loads(line[5:])
            candidate = chunk["candidates"][0]
            parts += candidate.get("content", {}).get("parts", [])
            usage = chunk.get("usageMetadata", usage)
            finish = candidate.get("finishReason", finish)
    return parts, usage, finish


def kind_of(part: dict[str, Any]) -> str:
    return "thought" if part.get("thought") else "text" if "text" in part else "call" if "functionCall" in part else "other"


@pytest.mark.skipif(not RECORDED, reason=ABSENT)
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in RECORDED])
class TestRecorded:
    def test_a_second_reading_finds_the_same(self, case: Case) -> None:
        parts, usage, finish = joined(case.body)
        outcome = read(case.body)
        message = outcome.result.message
        assert outcome.error is None
        assert message.content == "".join(part["text"] for part in parts if kind_of(part) == "text")
        assert message.reasoning == "".join(part["text"] for part in parts if kind_of(part) == "thought")
        assert [(call.name, call.arguments) for call in message.tool_calls or ()] == [
            (part["functionCall"]["name"], part["functionCall"]["args"]) for part in parts if kind_of(part) == "call"
        ]
        assert outcome.result.raw_finish_reason == finish == "STOP"
        assert outcome.result.usage is not None
        counted = sum(usage.get(f"{name}TokenCount", 0) for name in ("prompt", "toolUsePrompt", "candidates", "thoughts"))
        assert outcome.result.usage.total_tokens == usage.get("totalTokenCount", counted) == counted
        assert outcome.result.usage.prompt_tokens == sum(usage.get(f"{name}TokenCount", 0) for name in ("prompt", "toolUsePrompt"))

    def test_it_is_sent_back_as_it_came(self, case: Case) -> None:
        """The same parts in the same order with the same signatures; only unsigned texts that stand together are one, and thoughts are left out."""
        parts, _, _ = joined(case.body)
        sent = contents_of([read(case.body).result.message], media_in_results=True, stand_in=False)[0]["parts"]
        expected: list[dict[str, Any]] = []
        for unsigned, group in groupby(parts, key=lambda part: kind_of(part) in ("text", "thought") and "thoughtSignature" not in part):
            texts = list(group)
            text = "".join(part["text"] for part in texts if kind_of(part) == "text") if unsigned else ""
            expected += [] if unsigned and not text else [{"text": text}] if unsigned else texts
        assert sent == expected

    def test_its_citations_stand_where_its_text_says(self, case: Case) -> None:
        message = read(case.body).result.message
        for citation in message.citations:
            support = (citation.data or {}).get("groundingSupport")
            assert (citation.start is None) == (support is None)
            if support is not None:
                assert message.content[citation.start : citation.end] == support["segment"]["text"]


# There and back

SIGNED = st.fixed_dictionaries({}, optional={"thoughtSignature": st.sampled_from(["S1", "S2"])})
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
TEXT = st.builds(lambda text, signed: {"text": text, **signed}, WORDS, SIGNED)
THOUGHT = st.builds(lambda text, signed: {"text": text, "thought": True, **signed}, WORDS, SIGNED)
IMAGE = st.builds(lambda signed: {"inlineData": {"mimeType": "image/png", "data": "eA=="}, **signed}, SIGNED)
CODE = st.builds(lambda signed: {"executableCode": {"code": "1"}, **signed}, SIGNED)
CALL = st.builds(
    lambda name, args, named, signed: {"functionCall": {**named, "name": name, "args": args}, **signed},
    st.sampled_from("fg"),
    st.dictionaries(WORDS, st.integers() | WORDS, max_size=2),
    st.fixed_dictionaries({}, optional={"id": st.sampled_from(["x", "y"])}),
    st.just({"thoughtSignature": "S"}),
)


@given(st.lists(st.lists(st.one_of(TEXT, THOUGHT, IMAGE, CODE), max_size=3), max_size=5), st.lists(CALL, max_size=3))
def test_what_was_decoded_goes_back_as_it_came(chunks: list[list[dict[str, Any]]], calls: list[dict[str, Any]]) -> None:
    """Calls come last here, since a message holds them together."""
    outcome = read(*[event(*parts) for parts in chunks], event(*calls, finish="STOP"))
    contents = contents_of([outcome.result.message], media_in_results=True, stand_in=False)
    sent = contents[0]["parts"] if contents else []
    came = [part for parts in chunks for part in parts] + calls
    assert [part for part in sent if kind_of(part) != "text" or "thoughtSignature" in part] == [
        part for part in came if kind_of(part) in ("other", "call") or "thoughtSignature" in part
    ]
    assert "".join(part["text"] for part in sent if kind_of(part) == "text") == "".join(part["text"] for part in came if kind_of(part) == "text")


# Whatever comes

ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**70) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
PLACES: list[list[str | int]] = [[name] for name in ("candidates", "usageMetadata", "promptFeedback", "error")]
PLACES += [["promptFeedback", "blockReason"], ["usageMetadata", "promptTokenCount"], ["candidates", 0]]
PLACES += [["candidates", 0, name] for name in ("index", "content", "finishReason", "groundingMetadata", "citationMetadata", "logprobsResult")]
PLACES += [["candidates", 0, "content", "parts"], ["candidates", 0, "content", "parts", 0]]
PART_FIELDS = ("text", "thought", "thoughtSignature", "functionCall", "inlineData", "executableCode")
PLACES += [["candidates", 0, "content", "parts", 0, name] for name in PART_FIELDS]
PLACES += [["candidates", 0, "content", "parts", 0, "functionCall", name] for name in ("name", "args", "id", "partialArgs", "willContinue")]
PLACES += [["candidates", 0, "content", "parts", 0, "inlineData", name] for name in ("mimeType", "data")]


def with_value(place: list[str | int], value: Any) -> dict[str, Any]:
    inner = value
    for step in reversed(place):
        inner = [inner] if isinstance(step, int) else {step: inner}
    found: dict[str, Any] = inner
    return found


@given(
    st.lists(st.builds(with_value, st.sampled_from(PLACES), ANY) | st.just({"candidates": [{"content": {"parts": [{"text": "a"}]}}]}), max_size=5),
    st.booleans(),
)
def test_any_value_at_any_place_is_at_worst_a_typed_error(events: list[dict[str, Any]], whole: bool) -> None:
    body = [b"data: " + json.dumps(found).encode() + b"\n\n" for found in events]
    if whole:
        body = [json.dumps(events).encode()]
    outcome = decode(body, content_type="application/json" if whole else "text/event-stream", family=GEMINI)
    assert outcome.error is None or isinstance(outcome.error, ProviderError)
    assert all(
        decode(split, content_type="application/json" if whole else "text/event-stream", family=GEMINI).facts == outcome.facts
        for split in splits(body, rounds=2)
    )
    contents_of([outcome.result.message], media_in_results=True, stand_in=True)


# By the way


def test_parts_come_in_the_order_of_the_answer() -> None:
    outcome = read(
        event(
            {"text": "Hm", "thought": True}, {"text": "a"}, {"executableCode": {"code": "1"}}, {"text": "b", "thoughtSignature": "S"}, finish="STOP"
        )
    )
    assert outcome.result.message.parts == (
        ReasoningPart("Hm"),
        TextPart("a"),
        OpaquePart("gemini", {"executableCode": {"code": "1"}}),
        TextPart("b"),
        OpaquePart("gemini", {"thoughtSignature": "S", "characters": 1}),
    )


def test_a_call_keeps_its_signature_and_its_id_and_an_image_is_followed_by_its_own() -> None:
    image = {"inlineData": {"mimeType": "image/jpeg", "data": "eA=="}, "thoughtSignature": "T"}
    message = read(event(image, {"functionCall": {"id": "x", "name": "f", "args": {}}, "thoughtSignature": "S"}, finish="STOP")).result.message
    assert message.parts == (
        ImagePart(data=b"x", media_type="image/jpeg"),
        OpaquePart("gemini", {"thoughtSignature": "T"}),
        ToolCall("x", "f", {}, opaque={"gemini": {"thoughtSignature": "S", "id": "x"}}),
    )


def test_a_call_without_an_id_has_one_from_its_first_delta_on() -> None:
    outcome = read(event({"functionCall": {"name": "f"}}, {"functionCall": {"name": "f"}}))
    assert isinstance(outcome.error, StreamInterruptedError)
    assert [call.id for call in outcome.result.message.tool_calls or ()] == ["call_0", "call_1"]


def test_an_id_may_be_made_otherwise() -> None:
    decoder = GeminiDecoder(call_id="call_7_{}".format)
    [called] = decoder.feed(event({"functionCall": {"name": "f"}}))
    assert called.tool_calls == [ToolCall("call_7_0", "f", {})]


def test_a_call_may_lack_anything_but_not_both_name_and_arguments() -> None:
    calls: list[Any] = [{"id": "x", "name": "f"}, {"name": "g", "args": "{}"}, {"args": {"a": "é"}}, {"id": "y"}, {}, {"args": {}}, 7]
    outcome = read(event(*[{"functionCall": call} for call in calls], finish="STOP"))
    assert outcome.result.message.parts == (ToolCall("x", "f", {}), ToolCall("call_1", "g", {}), ToolCall("call_2", "", {"a": "é"}))
    assert [fragment.arguments for delta in outcome.deltas for fragment in delta.tool_fragments] == ["{}", "{}", '{"a": "é"}']


def test_each_part_of_an_event_is_a_delta() -> None:
    outcome = read(event({"text": "a"}, {"text": "Hm", "thought": True}, {"text": ""}, {"text": "b"}, finish="STOP"))
    final = StreamDelta(finish_reason="stop", raw_finish_reason="STOP", final=True)
    assert outcome.deltas == [StreamDelta("a"), StreamDelta(reasoning="Hm"), StreamDelta("b"), final]


@pytest.mark.parametrize("text", [{}, {"text": None}])
@pytest.mark.parametrize("thought", [{}, {"thought": True}])
def test_a_signature_alone_is_that_of_an_empty_text(text: dict[str, Any], thought: dict[str, Any]) -> None:
    kept = OpaquePart("gemini", {"thoughtSignature": "S", "characters": 0, **thought})
    assert read(event({"thoughtSignature": "S", **text, **thought}, finish="STOP")).result.message.parts == (kept,)


def test_an_answer_goes_on_behind_a_finish_that_says_nothing() -> None:
    outcome = read(event({"text": "a"}, {"text": "b"}, finish="FINISH_REASON_UNSPECIFIED"), event({"text": "c"}, finish="MAX_TOKENS"))
    assert (outcome.result.message.content, outcome.result.finish_reason, outcome.result.raw_finish_reason) == ("abc", "length", "MAX_TOKENS")


def test_log_probabilities_are_those_of_their_delta() -> None:
    chosen = {"chosenCandidates": [{"token": "a", "logProbability": -0.5}]}
    candidate = {"content": {"parts": [{"text": "a"}]}, "logprobsResult": chosen, "finishReason": "STOP"}
    assert read(b"data: " + json.dumps({"candidates": [candidate]}).encode() + b"\n\n").result.logprobs == (TokenLogprob("a", -0.5),)


def test_an_error_says_how_long_to_wait() -> None:
    failure = {"code": 429, "message": "Resource has been exhausted.", "status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": "7.5s"}]}
    error = read(b"data: " + json.dumps({"error": failure}).encode() + b"\n\n").error
    assert isinstance(error, RateLimitError)
    assert error.retry_after == 7.5


@pytest.mark.parametrize(
    ("feedback", "sentence"),
    [
        ({"blockReason": "SAFETY"}, "the provider's filter blocked the prompt (SAFETY); rephrase it"),
        ({"blockReason": "OTHER", "blockReasonMessage": "It is rude."}, "the provider's filter blocked the prompt (OTHER); rephrase it: It is rude."),
    ],
)
def test_a_prompt_that_was_blocked_is_refused_with_what_the_server_says_of_it(feedback: dict[str, Any], sentence: str) -> None:
    error = read(b"data: " + json.dumps({"promptFeedback": feedback}).encode() + b"\n\n").error
    assert (type(error), str(error)) == (ContentFilterError, sentence)


def test_an_event_that_is_called_an_error_is_one_whatever_stands_in_it() -> None:
    outcome = read(event({"text": "a"}), b"event: error\n" + event({"text": "b"}, finish="STOP"))
    assert (outcome.result.message.content, type(outcome.error)) == ("a", ServerError)


def test_an_error_may_come_bare() -> None:
    outcome = read(event({"text": "a"}), b'data: {"code": 429, "message": "Too many requests", "status": "RESOURCE_EXHAUSTED"}\n\n')
    assert (outcome.result.message.content, type(outcome.error)) == ("a", RateLimitError)


def test_words_beside_candidates_are_no_error() -> None:
    """Some gateways say with each chunk that all is well."""
    said: dict[str, Any] = {"code": 0, "message": "ok"}
    whole = json.dumps({"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}], **said}).encode()
    for outcome in (
        read(event({"text": "a"}, finish="STOP", **said)),
        read(event({"text": "a\ud83d"}, **said), event({"text": "\ude00"}, finish="STOP", **said)),
        decode([whole], content_type="application/json", family=GEMINI),
    ):
        assert (outcome.result.message.content.removesuffix("\U0001f600"), outcome.error) == ("a", None)


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert read(event({"text": "a"}) + event({"text": "b?"}, finish="STOP").replace(b"?", b"\xff")).result.message.content == "ab\ufffd"


@pytest.mark.parametrize(
    ("found", "text", "kind", "sentence"),
    [
        (
            [{"candidates": [{"content": {"parts": [{"text": "a"}]}}]}, {"error": {"code": 503, "message": "Down", "status": "UNAVAILABLE"}}],
            "a",
            "server",
            'the server failed; try again later: "Down UNAVAILABLE"',
        ),
        (
            [{"candidates": [{"content": {"parts": [{"text": "a"}]}}]}, 7],
            "a",
            "stream_interrupted",
            "the chunks ended before the answer did; what had arrived is kept as the partial result",
        ),
        (7, "", "malformed", "the answer is not one of the Gemini protocol: '7'"),
    ],
)
def test_a_body_that_was_not_streamed_may_fail_as_well(found: Any, text: str, kind: str, sentence: str) -> None:
    outcome = decode([json.dumps(found).encode()], content_type="application/json", family=GEMINI)
    assert (outcome.result.message.content, outcome.error and outcome.error.kind, str(outcome.error)) == (text, kind, sentence)


def test_what_was_counted_before_a_failure_is_part_of_what_arrived() -> None:
    counts = {"promptTokenCount": 2, "candidatesTokenCount": 1, "totalTokenCount": 3}
    outcome = read(event({"text": "a"}, usageMetadata=counts), event({"text": "b"}))
    assert (outcome.result.message.content, outcome.result.usage) == ("ab", Usage(2, 1, 3))
    assert outcome.error is not None


def test_the_answer_is_over_when_its_usage_came_after_the_finish() -> None:
    decoder = GeminiDecoder()
    decoder.feed(event({"text": "a"}, finish="STOP"))
    assert decoder.phase is DecoderPhase.TAIL
    [final] = decoder.feed(b'data: {"usageMetadata": {"promptTokenCount": 1, "totalTokenCount": 1}}\n\n')
    assert (final.final, final.usage, decoder.phase) == (True, Usage(1, 0, 1), DecoderPhase.ENDED)


def test_plain_chunks_of_one_read_are_decoded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = GeminiDecoder()
    decoder.feed(event({"text": "a"}))
    monkeypatch.setattr(GeminiDecoder, "_event", None)
    counted = [event({"text": f"{n} "}, usageMetadata={"promptTokenCount": 1, "candidatesTokenCount": n}).replace(b"\n", b"\r\n") for n in range(9)]
    assert [delta.content for delta in decoder.feed(b"".join(counted))] == [f"{n} " for n in range(9)]
    [usage] = decoder.cut()
    assert usage.usage == Usage(1, 8, 9)


def test_json_that_is_nested_too_deeply_is_malformed() -> None:
    deep = "[" * 100_000 + "]" * 100_000
    error = read(b'data: {"candidates": ' + deep.encode() + b"}\n\n").error
    assert error is not None
    assert error.kind == "malformed"


def test_a_message_of_another_family_is_understood() -> None:
    said = Message("assistant", parts=[ReasoningPart("hm", {"anthropic": {"signature": "S"}}), TextPart("a")])
    assert contents_of([said], media_in_results=True, stand_in=True) == [{"role": "model", "parts": [{"text": "a"}]}]
