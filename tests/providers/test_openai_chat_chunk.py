"""Chunks as they are read from bytes: by the type for plain text, by the general one, or leniently; all three agree where they all read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.providers.wire import decode, written

from ecs_agent.providers.openai_chat.chunk import (
    Choice,
    Chunk,
    Delta,
    PlainChoice,
    PlainChunk,
    PlainDelta,
    chunk_of,
    lenient,
    plain_chunks,
)
from ecs_agent.streaming.json_edge import NOT_JSON, parsed
from ecs_agent.streaming.sse import Run


def run_of(*lines: str | bytes, events: int | None = None) -> Run:
    return Run(b"\n".join([line.encode() if isinstance(line, str) else line for line in lines]), len(lines) if events is None else events)


def plain(delta: dict[str, Any], choice: dict[str, Any] | None = None, chunk: dict[str, Any] | None = None) -> list[str]:
    """The texts that the plain reading finds in such a chunk."""
    found = {"choices": [{"index": 0, "delta": delta} | (choice or {})]} | (chunk or {})
    return [read.choices[0].delta.content for read in plain_chunks(run_of(json.dumps(found)))]


SOMETHING: list[Any] = ["x", {}, [{}], 0, True]
TEXT = '{"choices": [{"delta": {"content": "a"}}]}'


class TestPlain:
    def test_all_chunks_of_a_run_are_read_at_once(self) -> None:
        assert [chunk.choices[0].delta.content for chunk in plain_chunks(run_of(TEXT, TEXT.replace('"a"', '"é"'), TEXT))] == ["a", "é", "a"]

    @pytest.mark.parametrize("name", [name for name in PlainDelta.__struct_fields__ if name != "content"])
    def test_a_field_of_the_delta_that_says_something_makes_it_more_than_text(self, name: str) -> None:
        assert plain({"content": "a", name: None}) == ["a"]
        assert [plain({"content": "a", name: value}) for value in SOMETHING] == [[]] * 5

    @pytest.mark.parametrize("name", sorted({*PlainDelta.__struct_fields__} - {"content", "extra_content", "function_call"}))
    def test_an_empty_text_or_list_in_it_says_nothing(self, name: str) -> None:
        assert plain({"content": "a", name: ""}) == plain({"content": "a", name: []}) == ["a"]

    @pytest.mark.parametrize("more", [{"index": 1}, {"finish_reason": "stop"}, {"logprobs": {}}, {"usage": {}}, {"error": {}}, {"index": "0"}])
    def test_a_choice_that_says_more_makes_it_more(self, more: dict[str, Any]) -> None:
        assert plain({"content": "a"}, more) == []

    @pytest.mark.parametrize(
        "more", [{"index": None}, {"finish_reason": None}, {"finish_reason": ""}, {"logprobs": None}, {"message": {"content": "b"}}]
    )
    def test_a_choice_that_says_nothing_more_does_not(self, more: dict[str, Any]) -> None:
        assert plain({"content": "a"}, more) == ["a"]

    @pytest.mark.parametrize(
        "more", [{"usage": {}}, {"x_groq": {}}, {"error": ""}, {"base_resp": {}}, {"citations": ["x"]}, {"search_results": [{}]}, {"object": "error"}]
    )
    def test_a_chunk_that_says_more_makes_it_more(self, more: dict[str, Any]) -> None:
        assert plain({"content": "a"}, chunk=more) == []

    @pytest.mark.parametrize(
        "more", [{"usage": None}, {"citations": []}, {"object": "chat.completion.chunk"}, {"id": "x", "created": 1, "model": "m"}]
    )
    def test_a_chunk_that_says_nothing_more_does_not(self, more: dict[str, Any]) -> None:
        assert plain({"content": "a"}, chunk=more) == ["a"]

    @pytest.mark.parametrize(
        "line",
        [
            "{}",
            "[]",
            "x",
            '{"choices": []}',
            '{"choices": [{}]}',
            '{"choices": [{"delta": {}}]}',
            '{"choices": [{"delta": {"content": null}}]}',
            '{"choices": [{"delta": {"content": "a"}}, {"index": 1, "delta": {"content": "b"}}]}',
            '{"choices": [{"delta": {"content": "\\ud83d"}}]}',
            b'{"choices": [{"delta": {"content": "\xff"}}]}',
            '{"choices": [{"delta": {"content": "a"}}], "x": ' + "[" * 100_000,
            TEXT + TEXT,
            TEXT[:-1],
        ],
    )
    def test_one_that_is_more_or_no_chunk_leaves_its_whole_run_to_the_general_reading(self, line: str | bytes) -> None:
        assert plain_chunks(run_of(TEXT, line)) == plain_chunks(run_of(line, TEXT)) == []

    def test_two_values_on_one_line_are_one_event_that_is_no_json(self) -> None:
        assert plain_chunks(run_of(TEXT + " " + TEXT, TEXT, events=2)) == []
        outcome = decode([f"data: {TEXT} {TEXT}\n\n".encode()])
        assert outcome.deltas == []
        assert "not JSON" in str(outcome.error)


class TestGeneral:
    def test_a_chunk_of_the_protocols_shape_is_read_and_what_is_not_read_here_is_skipped(self) -> None:
        chunk = chunk_of(b'{"id": "x", "choices": [{"index": 0, "delta": {"role": "r", "content": [1]}, "finish_reason": 7}], "usage": 5}')
        assert chunk is not None
        assert chunk.choices is not None
        assert (chunk.choices[0].delta, chunk.choices[0].finish_reason, chunk.usage) == (Delta(content=[1]), 7, 5)

    @pytest.mark.parametrize(
        "data", [b"", b"x", b"[]", b"null", b'{"choices": 1}', b'{"choices": [{"delta": []}]}', b'{"choices": [null]}', b'{"usage": "\xff"}']
    )
    def test_what_has_another_shape_is_none(self, data: bytes) -> None:
        assert chunk_of(data) is None

    def test_what_is_nested_without_end_is_none(self) -> None:
        assert chunk_of(b'{"usage": ' + b"[" * 100_000) is None
        assert parsed("[" * 100_000) is NOT_JSON

    def test_any_json_can_be_parsed_and_null_is_json(self) -> None:
        assert [parsed(text) for text in ("null", "[1]", '"\\ud83d"')] == [None, [1], "\ud83d"]
        assert [parsed(text) is NOT_JSON for text in ("", "x", "{", "null")] == [True, True, True, False]


class TestLenient:
    def test_what_fits_is_read(self) -> None:
        found = {"choices": [{"index": 2, "delta": {"content": "a", "role": "x"}, "finish_reason": "stop", "message": {"refusal": "r"},
                              "logprobs": 1, "usage": 2, "error": 3}],
                 "object": "o", "usage": 4, "x_groq": 5, "error": 6, "base_resp": 7, "citations": 8, "search_results": 9, "id": 10}  # fmt: skip
        made = lenient(found)
        assert made.choices is not None
        (choice,) = made.choices
        assert (choice.index, choice.delta, choice.finish_reason, choice.message) == (2, Delta(content="a"), "stop", Delta(refusal="r"))
        assert (choice.logprobs, choice.usage, choice.error) == (1, 2, 3)
        assert (made.object, made.usage, made.x_groq, made.error, made.base_resp, made.citations, made.search_results) == ("o", 4, 5, 6, 7, 8, 9)

    def test_what_does_not_fit_is_as_if_it_were_not_there(self) -> None:
        assert lenient({}) == lenient({"choices": {"delta": {}}}) == Chunk()
        made = lenient({"choices": [None, 7, {"delta": [], "message": "x"}, {}]})
        assert made.choices is not None
        assert [(choice.index, choice.delta, choice.message) for choice in made.choices] == [(0, None, None)] * 2

    @pytest.mark.parametrize("index", [0, None, "0", ""])
    def test_the_first_choice_is_ours_however_its_number_is_written(self, index: Any) -> None:
        assert decode([written({"delta": {"content": "a"}, "choice": {"index": index}}), written({"finish": "stop"})]).result.message.content == "a"

    @pytest.mark.parametrize("index", [1, "1", -1, [], "XX"])
    def test_any_other_is_not(self, index: Any) -> None:
        events = [written({"delta": {"content": "a"}}), written({"delta": {"content": "b"}, "choice": {"index": index}}), written({"finish": "stop"})]
        assert decode(events).result.message.content == "a"

    def test_a_choice_that_is_no_object_does_not_take_the_others_with_it(self) -> None:
        events = [b'data: {"choices": [null, {"index": 0, "delta": {"content": "a"}}]}\n\n', written({"finish": "stop"})]
        assert decode(events).result.message.content == "a"


VALUES = st.none() | st.sampled_from(["", "a", 0, 1, True, [], ["a"], {}, {"a": 1}])
DELTAS = st.dictionaries(st.sampled_from([*Delta.__struct_fields__, "role"]), VALUES, max_size=4) | st.none()
CHOICES = st.dictionaries(st.sampled_from(["index", "finish_reason", "logprobs", "usage", "error", "x"]), VALUES, max_size=3)
CHUNKS = st.builds(
    lambda choices, rest: {**rest, "choices": [choice | {"delta": delta} for choice, delta in choices]},
    st.lists(st.tuples(CHOICES, DELTAS), max_size=2),
    st.dictionaries(st.sampled_from([*(set(PlainChunk.__struct_fields__) - {"choices"}), "id"]), VALUES, max_size=3),
)


@given(CHUNKS)
def test_the_three_readings_agree(found: dict[str, Any]) -> None:
    text = json.dumps(found)
    general = chunk_of(text.encode())
    assert general == lenient(found)
    for read in plain_chunks(run_of(text)):
        assert general.choices is not None
        assert [choice.delta.content for choice in general.choices if choice.delta is not None] == [read.choices[0].delta.content]


PLAIN = {"choices": [{"index": 0, "delta": {"content": "more"}, "finish_reason": None}]}
BESIDE: list[tuple[str, Any]] = [
    *[(f"choices.0.delta.{name}", "said") for name in ("reasoning_content", "reasoning", "refusal", "encrypted_content", "reasoning_opaque")],
    ("choices.0.delta.reasoning_details", [{"type": "reasoning.text", "text": "said"}]),
    ("choices.0.delta.thinking_blocks", [{"type": "thinking", "thinking": "said"}]),
    ("choices.0.delta.extra_content", {"signature": "said"}),
    ("choices.0.delta.annotations", [{"type": "url_citation", "url_citation": {"url": "https://said.example"}}]),
    ("choices.0.delta.images", [{"image_url": {"url": "https://said.example"}}]),
    ("choices.0.delta.tool_calls", [{"index": 0, "id": "said", "function": {"name": "f", "arguments": "{}"}}]),
    ("choices.0.delta.function_call", {"name": "said", "arguments": "{}"}),
    ("choices.0.index", 1),
    ("choices.0.finish_reason", "length"),
    ("choices.0.logprobs", {"content": [{"token": "said", "logprob": -1.0}]}),
    ("choices.0.usage", {"prompt_tokens": 5, "completion_tokens": 6}),
    ("choices.0.error", {"message": "said"}),
    ("object", "error"),
    ("usage", {"prompt_tokens": 5, "completion_tokens": 6}),
    ("x_groq", {"usage": {"prompt_tokens": 5, "completion_tokens": 6}}),
    ("error", {"message": "said"}),
    ("base_resp", {"status_code": 1002, "status_msg": "said"}),
    ("citations", ["https://said.example"]),
    ("search_results", [{"url": "https://said.example"}]),
]


def with_field(path: str, value: Any) -> Any:
    *way, name = path.split(".")
    chunk = json.loads(json.dumps(PLAIN))
    place: Any = chunk
    for step in way:
        place = place[int(step) if step.isdigit() else step]
    place[name] = value
    return chunk


@pytest.mark.parametrize(("path", "value"), BESIDE, ids=[path for path, _ in BESIDE])
def test_whatever_stands_beside_the_text_is_seen_in_a_run_of_text_too(path: str, value: Any) -> None:
    """The shortcuts take a chunk for text only if it is nothing else: each field that is read must be one that they know."""
    finish = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    events = [f"data: {json.dumps(each)}\n\n".encode() for each in (PLAIN, PLAIN, with_field(path, value), PLAIN, finish)]
    alone = decode([piece for event in events for piece in (event, b": between\n\n")])
    together = decode([b"".join(events)])
    without = decode([b"".join([*[events[0]] * 4, events[-1]])])
    assert (together.facts, together.result.logprobs) == (alone.facts, alone.result.logprobs)
    assert (together.facts, together.result.logprobs) != (without.facts, without.result.logprobs)


def test_every_field_that_is_read_is_one_that_keeps_a_chunk_from_being_plain() -> None:
    assert set(PlainDelta.__struct_fields__) == set(Delta.__struct_fields__)
    assert set(PlainChoice.__struct_fields__) | {"message"} == set(Choice.__struct_fields__)
    assert set(PlainChunk.__struct_fields__) == set(Chunk.__struct_fields__)
    assert {path.rpartition(".")[2] for path, _ in BESIDE} | {"content", "delta", "choices"} >= {
        *PlainDelta.__struct_fields__, *PlainChoice.__struct_fields__, *PlainChunk.__struct_fields__,
    }  # fmt: skip


def test_text_does_not_overtake_the_half_of_a_character_that_came_before_it() -> None:
    half = b'data: {"choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}\n\n'
    text, role = [f"data: {json.dumps(each)}\n\n".encode() for each in (PLAIN, {"choices": [{"index": 0, "delta": {"role": "assistant"}}]})]
    body = text + text + half + role + text + text
    whole = decode([body])
    for at in range(len(body)):
        assert decode([body[:at], body[at:]]).facts == whole.facts
        assert decode([text, body[len(text) : at], body[max(at, len(text)) :]]).facts == whole.facts
