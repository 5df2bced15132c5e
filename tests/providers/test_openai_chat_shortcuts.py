"""The shortcuts of the chat codec: texts are read many at a time or recognised undecoded, and come out as if each had been looked at alone."""

from __future__ import annotations

import pytest
from tests.providers.wire import decode, written

from ecs_agent.errors import RateLimitError
from ecs_agent.providers.openai_chat import decoder as openai_chat
from ecs_agent.providers.openai_chat.chunk import PlainChunk
from ecs_agent.providers.openai_chat.decoder import ChatDecoder
from ecs_agent.streaming.decoder import DecoderPhase
from ecs_agent.streaming.sse import Run
from ecs_agent.types import StreamDelta

A, B, FINISH, DONE = written({"delta": {"content": "a"}}), written({"delta": {"content": "b"}}), written({"finish": "stop"}), b"data: [DONE]\n\n"


def test_texts_are_not_looked_at_one_by_one_once_an_answer_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = ChatDecoder()
    decoder.feed(written({"delta": {"reasoning": "r"}}) + A)
    monkeypatch.setattr(openai_chat, "chunk_of", lambda _: pytest.fail("looked at"))
    assert [delta.content for delta in [*decoder.feed(B), *decoder.feed(A + B)]] == ["b", "a", "b"]


def test_an_answer_is_text_too_when_its_first_text_came_with_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = ChatDecoder()
    decoder.feed(written({"delta": {"content": "a"}, "usage": {"prompt_tokens": 1}}))
    monkeypatch.setattr(openai_chat, "chunk_of", lambda _: pytest.fail("looked at"))
    assert [delta.content for delta in decoder.feed(B)] == ["b"]


@pytest.mark.parametrize("last", [DONE, b"error: rate limit\n"])
def test_what_comes_in_one_read_behind_texts_that_are_recognised_is_not_lost(last: bytes) -> None:
    decoder = ChatDecoder()
    decoder.feed(A)
    assert decoder.feed(B + last)[0] == StreamDelta("b")
    assert decoder.phase is DecoderPhase.ENDED


def test_texts_that_are_recognised_are_not_even_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = ChatDecoder()
    decoder.feed(A)
    monkeypatch.setattr(openai_chat, "plain_chunks", lambda _: pytest.fail("decoded"))
    assert [delta.content for delta in decoder.feed(B + A)] == ["b", "a"]


def test_nor_are_those_that_stand_before_anything_else_in_one_read(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, decoded = ChatDecoder(), list[bytes]()
    decoder.feed(A)

    def plain_chunks(run: Run) -> list[PlainChunk]:
        decoded.append(run.lines)
        return []

    monkeypatch.setattr(openai_chat, "plain_chunks", plain_chunks)
    thought = written({"delta": {"reasoning": "r"}})
    assert [(delta.content, delta.reasoning) for delta in decoder.feed(A + B + thought + A)] == [("a", None), ("b", None), (None, "r"), ("a", None)]
    assert [b"reasoning" in lines for lines in decoded] == [True]


def test_a_half_that_waits_is_not_overtaken_by_texts_that_are_recognised() -> None:
    half = written({"delta": {"content": "\ud83d"}})
    for pieces in ([A, half, B, B], [A, half + B + B], [A + half + B, B], [A, half, B + DONE]):
        assert decode([*pieces, FINISH]).result.message.content.startswith("a\ufffdb")


def test_a_server_that_puts_something_new_into_each_event_is_read_as_any_other() -> None:
    events = [written({"delta": {"content": str(number % 10)}, "nonce": number}) for number in range(100)]
    decoder = ChatDecoder()
    texts = [delta.content for event in events[:60] for delta in decoder.feed(event)]
    texts += [delta.content for delta in decoder.feed(b"".join(events[60:]))]
    assert texts == [str(number % 10) for number in range(100)]


def test_what_stands_in_one_read_with_texts_that_are_recognised_comes_in_its_order() -> None:
    decoder = ChatDecoder()
    decoder.feed(A)
    assert decoder.feed(B + A + b"error: rate limit\n" + B) == [StreamDelta("b"), StreamDelta("a")]
    assert isinstance(decoder.error, RateLimitError)
