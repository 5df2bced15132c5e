"""The decoder of the Messages protocol: what its own rules are beyond those that the corpus shows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.providers.families import ANTHROPIC
from tests.providers.messages_wire import JSON, answer, block, event, finish, message_body, start, streamed
from tests.providers.wire import Outcome, decode, splits

from ecs_agent.errors import ProviderError
from ecs_agent.providers.anthropic_messages.decoder import MessagesDecoder
from ecs_agent.providers.anthropic_messages.events import plain_texts
from ecs_agent.providers.anthropic_messages.fields import citation_of
from ecs_agent.providers.anthropic_messages.turns import turns_of
from ecs_agent.streaming.decoder import DecoderPhase
from ecs_agent.streaming.sse import Run
from ecs_agent.types import CitationPart, Message, OpaquePart, ReasoningPart, StreamDelta, TextPart, ToolCall, Usage

WEB = {"type": "web_search_result_location", "cited_text": "q", "url": "https://x.example/", "title": None, "encrypted_index": "E=="}


def read(*pieces: bytes, content_type: str = "text/event-stream") -> Outcome:
    return decode(pieces, content_type=content_type, family=ANTHROPIC)


def read_whole(body: JSON) -> Outcome:
    return read(json.dumps(body).encode(), content_type="application/json")


def test_parts_keep_the_order_of_the_blocks() -> None:
    asked: JSON = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "sun"}}
    found: JSON = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []}
    thought = {"type": "thinking", "thinking": "Look it up", "signature": "S1"}
    body = answer([thought, {"type": "text", "text": "I look"}, asked, found, {"type": "thinking", "thinking": "", "signature": "S2"}])
    assert read(body).result.message.parts == (
        ReasoningPart("Look it up"),
        OpaquePart("anthropic", {"signature": "S1"}),
        TextPart("I look"),
        OpaquePart("anthropic", asked),
        OpaquePart("anthropic", found),
        OpaquePart("anthropic", {"type": "thinking", "thinking": "", "signature": "S2"}),
    )


def test_a_citation_knows_the_place_of_its_text_however_the_text_arrived() -> None:
    blocks: list[JSON] = [{"type": "text", "text": "So: "}, {"type": "text", "text": "è 😀 sunny", "citations": [WEB]}, {"type": "text", "text": "!"}]
    body = answer(blocks)
    for split in splits([body], rounds=20):
        message = decode(split, family=ANTHROPIC).result.message
        (cited,) = message.citations
        assert message.content[cited.start : cited.end] == "è 😀 sunny"
        assert (cited.url, cited.title, cited.quote, cited.data) == ("https://x.example/", "", "q", WEB)


def test_a_citation_of_a_text_that_was_read_many_events_at_a_time() -> None:
    texts = [event("content_block_delta", index=0, delta={"type": "text_delta", "text": "abc "}) for _ in range(50)]
    head = start() + event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    body = [head, *texts, event("content_block_stop", index=0), streamed(1, {"type": "text", "text": "so", "citations": [WEB]}), finish()]
    for pieces in (body, [b"".join(body)]):
        assert [(cited.start, cited.end) for cited in decode(pieces, family=ANTHROPIC).result.message.citations] == [(200, 202)]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"url": "u"}, ("u", "", "")),
        ({"source": "s"}, ("s", "", "")),
        ({"title": "t"}, ("", "t", "")),
        ({"document_title": "d"}, ("", "d", "")),
        ({"cited_text": "q"}, ("", "", "q")),
        ({"url": "u", "source": "s", "title": "t", "document_title": "d", "cited_text": "q"}, ("u", "t", "q")),
    ],
)
def test_a_citation_names_a_source_or_what_it_says(found: JSON, said: tuple[str, str, str]) -> None:
    assert citation_of(found, 1, 2) == CitationPart(*said, 1, 2, found)


def test_one_that_names_neither_is_none() -> None:
    assert citation_of({"type": "char_location", "url": None, "title": "", "cited_text": 5}, 1, 2) is None


def test_half_surrogate_pairs_in_what_is_kept_for_the_server_are_replaced() -> None:
    body = start() + b'data: {"type":"content_block_start","index":0,"content_block":{"type":"odd","x":["\\ud800"]}}\n\n' + finish()
    assert read(body).result.message.parts == (OpaquePart("anthropic", {"type": "odd", "x": ["\ufffd"]}),)


def test_an_error_says_what_had_arrived() -> None:
    outcome = read(
        start(), streamed(0, {"type": "text", "text": "so far"}), event("error", error={"type": "overloaded_error", "message": "Overloaded"})
    )
    assert isinstance(outcome.error, ProviderError)
    assert outcome.result.message == Message("assistant", "so far", interrupted=True)
    assert outcome.result.usage is None


def test_a_call_cut_in_the_middle_is_no_call() -> None:
    outcome = read(start() + streamed(0, {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}})[:-120])
    assert outcome.error is not None
    assert outcome.result.message.tool_calls is None


def test_an_empty_signature_takes_none_away() -> None:
    said = [{"type": "thinking_delta", "thinking": "t"}, {"type": "signature_delta", "signature": "S"}, {"type": "signature_delta", "signature": ""}]
    message = read(start(), block(0, {"type": "thinking", "thinking": ""}, *said), finish()).result.message
    assert message.parts == (ReasoningPart("t"), OpaquePart("anthropic", {"signature": "S"}))


def test_an_input_that_came_whole_is_told_as_it_stands() -> None:
    call = {"type": "tool_use", "id": "c", "name": "f", "input": {"city": "Zürich"}}
    fragments = [fragment for delta in read(start(), block(0, call), finish()).deltas for fragment in delta.tool_fragments]
    assert [fragment.arguments for fragment in fragments] == ["", '{"city": "Zürich"}']


def test_an_input_of_the_servers_tool_that_is_no_object_goes_back_as_one_that_says_so() -> None:
    asked: JSON = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    body = block(0, asked, {"type": "input_json_delta", "partial_json": "[1]"})
    assert read(start(), body, finish()).result.message.parts == (OpaquePart("anthropic", {**asked, "input": {"invalid_arguments": "[1]"}}),)


@pytest.mark.parametrize("word", ["", "null", "None", "FINISH_REASON_UNSPECIFIED"])
def test_a_stop_reason_that_is_none_ends_nothing(word: str) -> None:
    said = streamed(0, {"type": "text", "text": "a"})
    outcome = read(start(), said, event("message_delta", delta={"stop_reason": word}), streamed(1, {"type": "text", "text": "b"}), finish())
    assert (outcome.error, outcome.result.message.content, outcome.result.raw_finish_reason) == (None, "ab", "end_turn")
    assert read(start(), said, event("message_delta", delta={"stop_reason": word})).error is not None


def test_an_event_that_is_named_an_error_is_one_whatever_its_data_say() -> None:
    outcome = read(start(), streamed(0, {"type": "text", "text": "a"}), b'event: error\ndata: {"type": "message_stop"}\n\n')
    assert isinstance(outcome.error, ProviderError)
    assert outcome.result.message.interrupted


@pytest.mark.parametrize("data", [b'{"type": "ping", "detail": "busy"}', b'{"detail": "busy"}'])
def test_an_event_of_the_protocol_is_no_error_for_a_field_that_errors_have(data: bytes) -> None:
    outcome = read(start(), b"event: ping\ndata: " + data + b"\n\n", streamed(0, {"type": "text", "text": "a"}), finish())
    assert (outcome.error, outcome.result.message.content) == (None, "a")


def test_a_pair_that_was_cut_in_two_is_whole_where_only_the_event_has_a_name() -> None:
    halves = [
        b'event: content_block_delta\ndata: {"index":0,"delta":{"type":"text_delta","text":"%s"}}\n\n' % half for half in (b"a\\ud83d", b"\\ude00")
    ]
    outcome = read(start(), event("content_block_start", index=0, content_block={"type": "text", "text": ""}), *halves, finish())
    assert (outcome.error, outcome.result.message.content) == (None, "a😀")


def test_bytes_that_are_no_text_are_replaced() -> None:
    said = b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a\xffb"}}\n\n'
    outcome = read(start(), event("content_block_start", index=0, content_block={"type": "text", "text": ""}), said, finish())
    assert (outcome.error, outcome.result.message.content) == (None, "a\ufffdb")


def test_half_a_pair_at_the_end_of_a_text_is_replaced_there_and_is_part_of_what_is_cited() -> None:
    cut, rest = [
        b'data: {"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":"%s"}}\n\n' % said
        for said in ((0, b"a\\ud83d"), (1, b"\\ude00b"))
    ]
    begins = [event("content_block_start", index=at, content_block={"type": "text", "text": "", "citations": [WEB]}) for at in (0, 1)]
    message = read(start(), begins[0], cut, event("content_block_stop", index=0), begins[1], rest, finish()).result.message
    assert message.content == "a\ufffd\ufffdb"
    assert [(cited.start, cited.end) for cited in message.citations] == [(0, 2), (2, 4)]


@pytest.mark.parametrize(
    ("first", "last", "usage"),
    [
        ({"input_tokens": 10}, {}, Usage(10, 0, 10)),
        ({}, {"output_tokens": 5}, Usage(0, 5, 5)),
        ({"input_tokens": 10, "output_tokens": 1}, {"input_tokens": None, "output_tokens": 5}, Usage(10, 5, 15)),
        ({"input_tokens": 10, "cache_read_input_tokens": 3}, {"output_tokens": 5}, Usage(13, 5, 18, 3)),
        ({"input_tokens": 10, "cache_creation_input_tokens": 4}, {"output_tokens": 5}, Usage(14, 5, 19, cache_write_tokens=4)),
        ({"input_tokens": 10}, {"output_tokens": 5, "output_tokens_details": {"thinking_tokens": 2}}, Usage(10, 5, 15, reasoning_tokens=2)),
        ({}, {"output_tokens_details": {"thinking_tokens": 2}}, None),
    ],
)
def test_what_an_answer_cost(first: JSON, last: JSON, usage: Usage | None) -> None:
    body = [event("message_start", message={"usage": first}), event("message_delta", delta={"stop_reason": "end_turn"}, usage=last)]
    assert read(*body, event("message_stop")).result.usage == usage


def test_a_call_without_an_id_is_given_one_by_its_number() -> None:
    calls: list[JSON] = [{"type": "tool_use", "name": name, "input": {}} for name in ("f", "g")]
    decoder = MessagesDecoder(call_id="of_turn_7_{}".format)
    final = decoder.feed(start() + b"".join([block(at, call) for at, call in enumerate(calls)]) + finish("tool_use"))[-1]
    assert list(final.tool_calls or ()) == [ToolCall("of_turn_7_0", "f"), ToolCall("of_turn_7_1", "g")]


# Blocks side by side, and without their numbers


def piece(text: str, **number: int) -> bytes:
    return event("content_block_delta", **number, delta={"type": "input_json_delta", "partial_json": text})


def begun(name: str, **number: int) -> bytes:
    return event("content_block_start", **number, content_block={"type": "tool_use", "id": name, "name": name, "input": {}})


TWO_CALLS = (ToolCall("f", "f", {"a": 1}), ToolCall("g", "g", {"b": 2}))


def test_blocks_that_begin_without_a_number_are_numbered_in_their_order() -> None:
    body = [start(), begun("f"), begun("g"), piece('{"a":', index=0), piece('{"b": 2}', index=1), piece(" 1}", index=0), finish("tool_use")]
    assert read(*body).result.message.parts == TWO_CALLS


def test_a_message_that_begins_with_blocks_has_them_before_those_that_follow() -> None:
    first: list[JSON] = [{"type": "odd", "x": 1}, {"type": "odd", "x": 2}]
    begins = event("message_start", message={"content": first})
    message = read(begins, streamed(0, {"type": "text", "text": "a"}), streamed(1, {"type": "text", "text": "b"}), finish()).result.message
    assert message.parts == (OpaquePart("anthropic", first[0]), OpaquePart("anthropic", first[1]), TextPart("ab"))


def test_a_block_that_begins_under_the_number_of_another_ends_that() -> None:
    whole: JSON = {"type": "tool_use", "id": "f", "name": "f", "input": {"a": 1}}
    found: list[JSON] = [{"type": "odd", "x": 1}, whole, {"type": "odd", "x": 2}]
    begins = [event("content_block_start", index=0, content_block=block) for block in found]
    parts = (OpaquePart("anthropic", found[0]), TWO_CALLS[0], OpaquePart("anthropic", found[2]))
    assert read(start(), *begins, finish("tool_use")).result.message.parts == parts


def test_a_text_that_nothing_ends_is_cited_to_where_the_next_block_begins() -> None:
    begins = [
        event("content_block_start", index=at, content_block={"type": "text", "text": said, "citations": [WEB]})
        for at, said in enumerate(["ab", "c"])
    ]
    assert [(cited.start, cited.end) for cited in read(start(), *begins, finish()).result.message.citations] == [(0, 2), (2, 3)]


def test_the_end_of_one_block_ends_no_other() -> None:
    ends = [event("content_block_stop", index=at) for at in (0, 1)]
    body = [start(), begun("f", index=0), begun("g", index=1), piece('{"a": 1}', index=0), ends[0], piece('{"b": 2}', index=1), ends[1]]
    assert read(*body, finish("tool_use")).result.message.parts == TWO_CALLS


def test_an_end_without_a_number_ends_the_block_that_began_last() -> None:
    decoder = MessagesDecoder()
    decoder.feed(start() + event("content_block_start", index=4, content_block={"type": "thinking", "thinking": "t", "signature": "S"}))
    assert decoder.feed(event("content_block_stop")) == [StreamDelta(parts=(OpaquePart("anthropic", {"signature": "S"}),))]
    assert decoder.feed(event("content_block_stop")) == []


def test_thoughts_of_no_block_are_told_from_those_before_them_once() -> None:
    loose = block(0, {"type": "thinking", "thinking": "t"})
    more = [event("content_block_delta", index=7, delta={"type": "thinking_delta", "thinking": text}) for text in ("u", "v")]
    parts = (ReasoningPart("t"), OpaquePart("anthropic", {"signature": ""}), ReasoningPart("uv"))
    assert read(start(), loose, *more, finish()).result.message.parts == parts


# An answer that goes on with a text whose last blanks were not sent


@pytest.mark.parametrize(
    ("texts", "news"),
    [
        (["  \nand"], ["and"]),
        ([" ", "", " ", "\nand", " \nso"], ["and", " \nso"]),
        (["  ", "\n"], []),
        ([" and", "  \nso"], ["and", "  \nso"]),
        (["X", "XX", "  \nX"], ["X", "XX", "  \nX"]),
        (["  \n  \nand"], ["  \nand"]),
    ],
)
def test_blanks_that_stand_there_already_are_no_news(texts: list[str], news: list[str]) -> None:
    begins = event("content_block_start", index=0, content_block={"type": "text", "text": texts[0]})
    said = [event("content_block_delta", index=0, delta={"type": "text_delta", "text": text}) for text in texts]
    opened = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    for pieces in ([begins, *said[1:]], [opened, *said], [opened + b"".join(said)]):
        decoder = MessagesDecoder(unsent="  \n")
        assert [delta.content for piece in pieces for delta in decoder.feed(piece)] == news
    assert read(start(), opened, *said, finish()).result.message.content == "".join(texts)  # where none were unsent all is news


def test_a_line_of_two_values_is_no_text() -> None:
    one = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}'
    assert plain_texts(Run(one, 1)) == ["a"]
    assert plain_texts(Run(one + one, 1)) == []
    assert read(start(), b"data: " + one + one + b"\n\n").error is not None


# Whatever a server sends

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=4)
KINDS = ["text", "thinking", "redacted_thinking", "tool_use", "server_tool_use", "web_search_tool_result", "compaction", "odd"]
DELTAS = ["text_delta", "thinking_delta", "signature_delta", "input_json_delta", "citations_delta", "compaction_delta", "odd_delta"]
BLOCKS = st.fixed_dictionaries(
    {"type": st.sampled_from(KINDS) | VALUES},
    optional=dict.fromkeys(("id", "name", "input", "text", "thinking", "signature", "citations", "content", "tool_use_id", "caller", "data"), VALUES),
)
CHANGES = st.fixed_dictionaries(
    {"type": st.sampled_from(DELTAS) | VALUES},
    optional=dict.fromkeys(("text", "thinking", "signature", "partial_json", "citation", "content", "encrypted_content", "stop_reason"), VALUES),
)
EVENTS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            [
                "message_start",
                *["content_block_start", "content_block_delta"] * 3,
                "content_block_stop",
                "message_delta",
                "message_stop",
                "ping",
                "odd",
            ]
        )
        | VALUES
    },
    optional={
        "index": st.integers(0, 2) | VALUES,
        "content_block": BLOCKS | VALUES,
        "delta": CHANGES | VALUES,
        "message": st.fixed_dictionaries({}, optional={"content": st.lists(BLOCKS, max_size=2) | VALUES, "usage": VALUES}) | VALUES,
        "usage": st.fixed_dictionaries({}, optional={"input_tokens": VALUES, "output_tokens": VALUES, "output_tokens_details": VALUES}) | VALUES,
    },
)


@given(st.lists(EVENTS, max_size=10), st.booleans())
def test_any_json_at_any_place_is_a_typed_end_the_same_in_every_split_and_can_be_sent_back(events: list[Any], named: bool) -> None:
    body = b"".join(
        [
            (f"event: {e['type']}\n" if named and isinstance(e["type"], str) and e["type"].isidentifier() else "").encode()
            + b"data: "
            + json.dumps(e).encode()
            + b"\n\n"
            for e in events
        ]
    )
    whole = read(body)
    assert whole.error is None or isinstance(whole.error, ProviderError)
    for split in ([body[at : at + 1] for at in range(len(body))], [body[:7], body[7:-9], body[-9:]]):
        assert decode(split, family=ANTHROPIC).facts == whole.facts
    json.dumps(turns_of([Message("user", "?"), whole.result.message]))


@given(
    VALUES
    | st.fixed_dictionaries({"content": st.lists(BLOCKS, max_size=3) | VALUES}, optional={"stop_reason": VALUES, "usage": VALUES, "type": VALUES})
)
def test_any_json_as_a_whole_body_is_a_typed_end(body: Any) -> None:
    outcome = read_whole(body)
    assert outcome.error is None or isinstance(outcome.error, ProviderError)


def test_after_its_end_a_decoder_says_nothing() -> None:
    decoder = MessagesDecoder()
    decoder.feed(answer([{"type": "text", "text": "a"}]))
    assert decoder.phase is DecoderPhase.ENDED
    assert (decoder.feed(start()), decoder.eof(), decoder.cut()) == ([], [], [])


# What is read can be sent back

WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).map(lambda text: f"a{text}z")  # blank texts the API neither sends nor takes
THOUGHTS = st.fixed_dictionaries({"type": st.just("thinking"), "thinking": st.just("") | WORDS, "signature": WORDS}) | st.fixed_dictionaries(
    {"type": st.just("redacted_thinking"), "data": WORDS}
)
TEXTS = st.fixed_dictionaries({"type": st.just("text"), "text": WORDS, "citations": st.just([WEB])}) | st.fixed_dictionaries(
    {"type": st.just("text"), "text": WORDS}
)
SERVED = st.fixed_dictionaries({"type": st.just("server_tool_use"), "id": WORDS, "name": WORDS, "input": st.dictionaries(WORDS, WORDS, max_size=2)})
CALLS = st.fixed_dictionaries(
    {"type": st.just("tool_use"), "id": st.uuids().map(str), "name": WORDS, "input": st.dictionaries(WORDS, WORDS | st.integers(), max_size=2)},
    optional={"caller": st.just({"type": "direct"})},
)


@given(st.lists(THOUGHTS | TEXTS | SERVED, max_size=6), st.lists(CALLS, min_size=1, max_size=3))
def test_what_was_read_is_sent_back_block_by_block(before: list[JSON], calls: list[JSON]) -> None:
    blocks = [*before, *calls]
    served = [{"type": "web_search_tool_result", "tool_use_id": found["id"], "content": []} for found in before if found["type"] == "server_tool_use"]
    blocks = [*served, *blocks]  # where they stand makes no difference here
    for message in (read(answer(blocks, "tool_use")).result.message, read_whole(message_body(*blocks, reason="tool_use")).result.message):
        history = [Message("user", "?"), message, *[Message("tool", "ok", tool_call_id=call["id"]) for call in calls]]
        sent = turns_of(history)[1]["content"]
        assert joined(sent) == joined(blocks)


def joined(blocks: list[JSON]) -> list[JSON]:
    """Neighbours that are plain text are one text; who is cited stands by itself."""
    made: list[JSON] = []
    for found in blocks:
        plain = found["type"] == "text" and "citations" not in found
        if plain and made and made[-1]["type"] == "text" and "citations" not in made[-1]:
            made[-1] = {**made[-1], "text": made[-1]["text"] + found["text"]}
        else:
            made.append(dict(found))
    return made


def test_thoughts_without_a_signature_are_not_sent_back() -> None:
    message = read(answer([{"type": "thinking", "thinking": "t", "signature": ""}, {"type": "text", "text": "a"}])).result.message
    assert message.reasoning == "t"
    assert turns_of([Message("user", "?"), message])[1]["content"] == [{"type": "text", "text": "a"}]


def test_calls_and_citations_are_typed() -> None:
    message = read(
        answer([{"type": "text", "text": "a", "citations": [WEB]}, {"type": "tool_use", "id": "c", "name": "f", "input": {"x": 1}}])
    ).result.message
    assert message.parts == (TextPart("a"), CitationPart("https://x.example/", "", "q", 0, 1, WEB), ToolCall("c", "f", {"x": 1}))
