"""The decoder of the Messages protocol: what its own rules are beyond those that the corpus shows."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.providers.families import ANTHROPIC
from tests.providers.messages_wire import JSON, answer, block, event, finish, message_body, start, streamed
from tests.providers.wire import Outcome, decode, splits

from ecs_agent.errors import ProviderError
from ecs_agent.providers.anthropic_messages.decoder import MessagesDecoder
from ecs_agent.providers.anthropic_messages.events import plain_texts
from ecs_agent.providers.anthropic_messages.turns import turns_of
from ecs_agent.streaming.decoder import DecoderPhase
from ecs_agent.streaming.sse import Run
from ecs_agent.types import CitationPart, Message, OpaquePart, ReasoningPart, TextPart, ToolCall

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
