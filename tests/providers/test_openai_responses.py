"""Answers of the Responses protocol: the corpus of its own, what is kept of the items beside the text, and that nothing in a body raises."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.providers.families import RESPONSES
from tests.providers.wire import ABSENT, Case, Outcome, check_own, decode, own_cases, recorded_bodies, run_case, written

from ecs_agent.errors import ProviderError
from ecs_agent.providers.openai_responses.decoder import ResponsesDecoder
from ecs_agent.providers.openai_responses.input import InputWriter
from ecs_agent.streaming import fold
from ecs_agent.types import CitationPart, ImagePart, JsonObject, OpaquePart, ReasoningPart, TextPart, TokenLogprob, ToolCall

BODIES = recorded_bodies(RESPONSES)
COMPLETED: JsonObject = {"type": "response.completed", "response": {"id": "resp_1", "status": "completed"}}


def read(*events: JsonObject) -> Outcome:
    return decode([written(event, RESPONSES) for event in (*events, COMPLETED)], family=RESPONSES)


def done(item: JsonObject, place: int = 0) -> JsonObject:
    return {"type": "response.output_item.done", "output_index": place, "item": item}


def text(delta: str, **more: Any) -> JsonObject:
    return {"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0, "delta": delta, **more}


def annotation(**found: Any) -> JsonObject:
    return {"type": "response.output_text.annotation.added", "item_id": "m", "output_index": 0, "annotation": found}


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in own_cases(RESPONSES)])
def test_a_case_gives_what_it_must_event_by_event_and_at_once(case: Case) -> None:
    check_own(run_case(case, case.pieces), case.expect)
    check_own(run_case(case, [case.body]), case.expect)


class TestOrder:
    def test_each_item_stands_where_it_came(self) -> None:
        reasoning, search = {"type": "reasoning", "id": "r", "summary": []}, {"type": "web_search_call", "id": "w"}
        found = read(
            {"type": "response.reasoning_summary_text.delta", "item_id": "r", "output_index": 0, "summary_index": 0, "delta": "hm"},
            done(reasoning),
            done(search, 1),
            text("a", item_id="m", output_index=2),
            done({"type": "function_call", "id": "f", "call_id": "c", "name": "f", "arguments": "{}"}, 3),
        )
        assert found.result.message.parts == (
            ReasoningPart("hm"),
            OpaquePart("openai-responses", reasoning),
            OpaquePart("openai-responses", search),
            TextPart("a"),
            ToolCall("c", "f", {}),
        )

    def test_a_phase_stands_before_its_text(self) -> None:
        added = {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "id": "m", "phase": "commentary"}}
        assert read(added, text("a")).result.message.parts == (
            OpaquePart("openai-responses", {"type": "message", "phase": "commentary"}),
            TextPart("a"),
        )

    def test_a_phase_of_a_message_that_comes_whole_does_too(self) -> None:
        whole = {"type": "message", "id": "m", "phase": "final_answer", "content": [{"type": "output_text", "text": "a"}]}
        marked = OpaquePart("openai-responses", {"type": "message", "phase": "final_answer"})
        assert read(done(whole)).result.message.parts == (marked, TextPart("a"))
        assert read(text("a"), done(whole)).result.message.parts == (TextPart("a"),)

    def test_calls_whose_items_share_an_id_are_told_apart_by_their_call_ids(self) -> None:
        added = [
            {"type": "response.output_item.added", "item": {"type": "function_call", "id": "same", "call_id": call_id, "name": "f", "arguments": ""}}
            for call_id in ("a", "b")
        ]
        ends = [done({"type": "function_call", "id": "same", "call_id": call_id, "name": "f", "arguments": "{}"}) for call_id in ("a", "b")]
        assert read(added[0], ends[0], added[1], ends[1]).result.message.tool_calls == [ToolCall("a", "f", {}), ToolCall("b", "f", {})]

    def test_a_call_keeps_what_belongs_to_it_and_not_its_id(self) -> None:
        (call,) = read(
            done({"type": "function_call", "id": "f", "call_id": "c", "name": "f", "arguments": "{}", "namespace": "n"})
        ).result.message.parts
        assert call == ToolCall("c", "f", {}, opaque={"openai-responses": {"namespace": "n"}})

    @pytest.mark.skipif(not BODIES, reason=ABSENT)
    @pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in BODIES])
    def test_what_was_answered_is_what_is_sent_back(self, path: Any) -> None:
        """Items whose order or content servers change between stream and final response are compared without what they change."""
        body = path.read_bytes()
        sent = InputWriter(stored=True, refused=set()).items([decode([body], family=RESPONSES).result.message])
        kept = sorted(essence(item) for item in sent if item["type"] != "function_call_output")
        assert kept == sorted(essence(item) for item in final_output(body) if (item["type"], item.get("execution")) != ("tool_search_call", "client"))


def test_half_surrogate_pairs_in_an_answer_that_was_not_streamed_are_replaced() -> None:
    reasoning = {"type": "reasoning", "id": "r", "encrypted_content": "\ud83d"}
    cited = {"type": "output_text", "text": "x\ud83d", "annotations": [{"type": "url_citation", "url": "u\ud83d"}]}
    body = json.dumps({"object": "response", "status": "completed", "output": [reasoning, {"type": "message", "content": [cited]}]})
    assert decode([body.encode()], family=RESPONSES, content_type="application/json").result.message.parts == (
        OpaquePart("openai-responses", {**reasoning, "encrypted_content": "\ufffd"}),
        TextPart("x\ufffd"),
        CitationPart("u\ufffd", data={"type": "url_citation", "url": "u\ufffd"}),
    )


class TestDeltasThatSayNothing:
    """What comes only in the `done` is told from there, also behind a delta that was empty."""

    @pytest.mark.parametrize("more", [{}, {"logprobs": [1]}])
    def test_of_a_text(self, more: JsonObject) -> None:
        whole = {"type": "response.output_text.done", "item_id": "m", "output_index": 0, "content_index": 0, "text": "Hello"}
        assert read(text("", **more), whole).result.message.parts == (TextPart("Hello"),)

    def test_of_a_refusal(self) -> None:
        begun = {"type": "response.refusal.delta", "item_id": "m", "content_index": 0, "delta": ""}
        whole = {"type": "response.refusal.done", "item_id": "m", "content_index": 0, "refusal": "No."}
        assert read(begun, whole).result.message.refusal == "No."

    @pytest.mark.parametrize("kind", ["reasoning_text", "reasoning_summary_text"])
    def test_of_thoughts(self, kind: str) -> None:
        begun = {"type": f"response.{kind}.delta", "item_id": "r", "delta": ""}
        whole = {"type": f"response.{kind}.done", "item_id": "r", "text": "Hm."}
        assert read(begun, whole).result.message.reasoning == "Hm."


def final_output(body: bytes) -> list[JsonObject]:
    lines = [line[5:] for line in body.decode().splitlines() if line.startswith("data:") and '"response.completed"' in line]
    found: list[JsonObject] = json.loads(lines[-1])["response"]["output"]
    return found


def essence(item: JsonObject) -> str:
    """An item without ids that were not stored, statuses, and ciphers, which differ each time they are written."""
    match item["type"]:
        case "message":
            made: object = ([part["text"] for part in item["content"]], item.get("phase"))
        case "function_call":
            made = (item["call_id"], item["name"], json.loads(item["arguments"]), item.get("namespace"))
        case "reasoning":
            made = ([part["text"] for part in item["summary"]], [part["text"] for part in item.get("content") or ()], "encrypted_content" in item)
        case "compaction":
            made = item["id"]
        case _:
            made = {name: value for name, value in item.items() if value is not None}
    return repr((item["type"], made if not isinstance(made, dict) else sorted(made.items())))


class TestWhichItem:
    """An event's item is found by its id, else by its place, while that item goes on."""

    def test_a_place_that_is_used_again_is_another_item(self) -> None:
        first = {"type": "message", "content": [{"type": "output_text", "text": "a"}]}
        second = {"type": "response.output_text.done", "output_index": 0, "text": "b"}
        assert read(text("a", item_id=None), done(first), second).result.message.content == "ab"

    def test_an_id_that_is_new_is_another_item_where_no_place_says_otherwise(self) -> None:
        pieces = [{"type": "response.function_call_arguments.delta", "item_id": name, "delta": "{}"} for name in ("a", "b")]
        ends = [
            done({"type": "function_call", "id": name, "call_id": f"c{name}", "name": "f", "arguments": "{}"}, place)
            for place, name in enumerate("ab")
        ]
        assert read(*pieces, *ends).result.message.tool_calls == [ToolCall("ca", "f", {}), ToolCall("cb", "f", {})]

    def test_one_that_is_done_twice_is_kept_once(self) -> None:
        search = {"type": "web_search_call", "id": "w"}
        assert read(done(search), done(search)).result.message.parts == (OpaquePart("openai-responses", search),)

    def test_a_refusal_is_not_told_again_when_the_final_response_calls_its_item_otherwise(self) -> None:
        whole = {"type": "message", "id": "other", "content": [{"type": "refusal", "refusal": "No"}]}
        end = {"type": "response.completed", "response": {"status": "completed", "output": [{"type": "new", "id": "n"}, whole]}}
        assert read({"type": "response.refusal.delta", "item_id": "m", "output_index": 0, "delta": "No"}, end).result.message.refusal == "No"


class TestCitations:
    def test_positions_count_from_the_beginning_of_the_message(self) -> None:
        second = {"type": "response.content_part.added", "item_id": "m", "output_index": 0, "content_index": 1, "part": {"type": "output_text"}}
        cited = annotation(type="url_citation", url="https://x.example", title="X", start_index=0, end_index=2)
        found = read(text("one "), text("more "), second, text("two", content_index=1), cited)
        assert found.result.message.citations == [CitationPart("https://x.example", "X", "", 9, 11, cited["annotation"])]

    def test_a_file_is_named_by_its_name(self) -> None:
        one = annotation(type="file_citation", file_id="f", filename="a.txt", index=3)
        two = annotation(type="container_file_citation", file_id="g", filename="b.png", start_index=1, end_index=2)
        three = annotation(type="file_path", file_id="h", index=None)
        assert [(part.url, part.title, part.start, part.end) for part in read(text("text"), one, two, three).result.message.citations] == [
            ("", "a.txt", 3, 3),
            ("", "b.png", 1, 2),
            ("", "", None, None),
        ]

    def test_one_that_is_repeated_counts_once_and_one_that_comes_only_with_the_item_counts_too(self) -> None:
        first, second = ({"type": "url_citation", "url": url, "start_index": 0, "end_index": 1} for url in ("https://a.example", "https://b.example"))
        whole = {"type": "message", "id": "m", "content": [{"type": "output_text", "text": "t", "annotations": [first, second]}]}
        found = read(text("t"), annotation(**first), done(whole))
        assert [part.url for part in found.result.message.citations] == ["https://a.example", "https://b.example"]

    def test_texts_of_whole_parts_count_too(self) -> None:
        cited = {"type": "url_citation", "url": "https://a.example", "start_index": 0, "end_index": 1}
        parts = [{"type": "output_text", "text": "ab"}, {"type": "output_text", "text": "c", "annotations": [cited]}]
        assert [part.start for part in read(done({"type": "message", "content": parts})).result.message.citations] == [2]


class TestImages:
    @pytest.mark.parametrize(("form", "media"), [(None, "image/png"), ("webp", "image/webp"), ("svg", "image/svg+xml")])
    def test_an_image_stands_behind_its_item_which_does_not_hold_it_twice(self, form: str | None, media: str) -> None:
        item = {"type": "image_generation_call", "id": "ig", "result": b64encode(b"pixels").decode(), "output_format": form}
        partial = {"type": "response.image_generation_call.partial_image", "item_id": "ig", "partial_image_b64": "AAAA"}
        rest = {name: value for name, value in item.items() if name != "result"}
        assert read(partial, done(item)).result.message.parts == (OpaquePart("openai-responses", rest), ImagePart(data=b"pixels", media_type=media))

    @pytest.mark.parametrize("result", [None, "", "no base64!", 7])
    def test_what_is_no_image_stays_in_its_item(self, result: Any) -> None:
        item = {"type": "image_generation_call", "id": "ig", "result": result}
        assert read(done(item)).result.message.parts == (OpaquePart("openai-responses", item),)


class TestLogprobs:
    ENTRY: ClassVar[JsonObject] = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -1.0, "bytes": None}]}
    TOLD = (TokenLogprob("a", -0.5, b"a", (TokenLogprob("b", -1.0),)),)

    def test_they_come_with_their_deltas(self) -> None:
        found = read(text("a", logprobs=[self.ENTRY]), text("b"))
        assert (found.result.logprobs, found.deltas[0].logprobs, found.result.message.content) == (self.TOLD, self.TOLD, "ab")

    def test_or_with_a_text_that_comes_whole(self) -> None:
        whole = {"type": "response.output_text.done", "item_id": "m", "output_index": 0, "text": "a", "logprobs": [self.ENTRY]}
        assert read(whole).result.logprobs == self.TOLD


class TestStoredResponses:
    def test_the_id_of_a_response_that_the_server_keeps_is_the_last_part(self) -> None:
        decoder = ResponsesDecoder(after="digest")
        deltas = [*decoder.feed(written(text("a"), RESPONSES) + written(COMPLETED, RESPONSES)), *decoder.eof()]
        kept = OpaquePart("openai-responses", {"type": "response", "id": "resp_1", "after": "digest"})
        assert fold(deltas).message.parts == (TextPart("a"), kept)

    @pytest.mark.parametrize("response", [{"status": "completed"}, {"status": "completed", "id": 7}])
    def test_one_without_an_id_is_not_kept(self, response: JsonObject) -> None:
        decoder = ResponsesDecoder(after="digest")
        assert fold(decoder.feed(written({"type": "response.completed", "response": response}, RESPONSES))).message.parts == ()


NAMES = sorted(
    {*ResponsesDecoder._HANDLERS, "response.created", "response.completed", "response.incomplete", "response.failed", "error", "response.x"}
)
KINDS = ["message", "function_call", "reasoning", "image_generation_call", "custom_tool_call", "new"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.sampled_from(["", "a", "m", "c", "\ud83d", "\ude00", *KINDS]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "id", "call_id", "name", "summary", "content", "arguments", "result", "phase"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)
FIELDS = ["sequence_number", "item_id", "output_index", "content_index", "summary_index", "delta", "text", "refusal", "arguments", "item", "part",
          "annotation", "logprobs", "response", "error", "object", "code", "message"]  # fmt: skip
ITEMS = st.fixed_dictionaries(
    {"type": st.sampled_from(KINDS)}, optional=dict.fromkeys(("id", "call_id", "name", "content", "summary", "arguments", "result"), VALUES)
)
EVENTS = st.fixed_dictionaries(
    {"type": st.sampled_from(NAMES)},
    optional={name: ITEMS | VALUES if name == "item" else VALUES for name in FIELDS},
)


@given(st.lists(EVENTS, max_size=8), st.booleans())
def test_events_of_any_shape_and_order_raise_nothing_and_fail_only_with_typed_errors(events: list[JsonObject], at_once: bool) -> None:
    pieces = [written(event, RESPONSES) for event in events]
    found = decode([b"".join(pieces)] if at_once else pieces, family=RESPONSES)
    assert found.error is None or isinstance(found.error, ProviderError)
    assert len([delta for delta in found.deltas if delta.final]) == (0 if found.error else 1)
    sent = InputWriter(stored=False, refused=set()).items([found.result.message])
    json.dumps(sent).encode()


@given(st.lists(EVENTS, max_size=8))
def test_they_come_out_alike_whether_they_come_one_by_one_or_at_once(events: list[JsonObject]) -> None:
    pieces = [written(event, RESPONSES) for event in events]
    assert repr(decode(pieces, family=RESPONSES).facts) == repr(decode([b"".join(pieces)], family=RESPONSES).facts)  # a NaN is not itself


@given(VALUES)
def test_a_body_that_is_any_json_value_fails_only_with_typed_errors(value: Any) -> None:
    for body in (value, {"object": "response", "status": "completed", "output": value}, {"output": [value, {"type": "message", "content": value}]}):
        found = decode([json.dumps(body).encode()], content_type="application/json", family=RESPONSES)
        assert found.error is None or isinstance(found.error, ProviderError)
