"""Whatever a server writes, a client of ours says it in its own words: a typed error or an answer, never an exception of a library or of Python,
and never an error that repeats more than 2 KiB of it.

Every place of every kind of chunk and of error holds, one after another, each of the values that break programs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ecs_agent.errors import ProviderError
from ecs_agent.providers.classify import classify_response
from ecs_agent.providers.openai_chat.decoder import ChatDecoder
from ecs_agent.streaming import EventTranslator, Fold
from ecs_agent.types import StreamDelta

pytestmark = pytest.mark.no_cover  # thousands of bodies through the same lines, which the tests of the decoder cover

LONGEST = 2048 + 400  # what may be quoted, and our own sentence

_CALL: dict[str, Any] = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
_DETAIL: dict[str, Any] = {"type": "reasoning.text", "text": "thought", "index": 0, "id": "r1", "signature": "s"}
_USAGE: dict[str, Any] = {
    "prompt_tokens": 1,
    "completion_tokens": 2,
    "total_tokens": 3,
    "prompt_tokens_details": {"cached_tokens": 1},
    "completion_tokens_details": {"reasoning_tokens": 1},
    "prompt_cache_hit_tokens": 1,
}
_PART: dict[str, Any] = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
_MESSAGE: dict[str, Any] = {
    "role": "assistant",
    "content": [{"type": "text", "text": "hello"}, _PART],
    "reasoning_content": "thought",
    "reasoning": "thought",
    "reasoning_details": [_DETAIL],
    "refusal": "no",
    "tool_calls": [_CALL],
    "function_call": {"name": "f", "arguments": "{}"},
    "annotations": [{"type": "url_citation", "url_citation": {"url": "https://example.com", "title": "t", "start_index": 0, "end_index": 1}}],
    "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}],
    "audio": {"id": "a", "data": "AAAA", "transcript": "t", "expires_at": 1},
}

SHAPES: dict[str, Any] = {
    "a chunk": {
        "id": "x",
        "choices": [{"index": 0, "delta": _MESSAGE, "finish_reason": None, "logprobs": {"content": [{"token": "a", "logprob": -1.0}]}}],
    },
    "an answer": {"choices": [{"index": 0, "message": _MESSAGE, "finish_reason": "stop", "usage": _USAGE}], "usage": _USAGE},
    "usage": {"choices": [], "usage": _USAGE, "x_groq": {"usage": _USAGE, "error": None}, "citations": ["https://example.com"]},
    "an error": {
        "error": {"message": "m", "type": "t", "code": 400, "param": None, "metadata": {"raw": "r"}, "innererror": {"code": "c"}},
        "status": 500,
    },
    "a flat error": {"message": "m", "type": "t", "code": "c", "object": "error", "detail": [{"loc": ["a"], "msg": "m"}]},
    "a base response": {"base_resp": {"status_code": 1008, "status_msg": "m"}, "choices": None},
}


def _nested(opening: str, closing: str, depth: int) -> str:
    return opening * depth + "1" + closing * depth


HOSTILE = {
    "null": "null",
    "true": "true",
    "a negative number": "-1",
    "a fraction": "0.5",
    "NaN": "NaN",
    "Infinity": "Infinity",
    "a number beyond a double": "1e999",
    "a number of 5,000 digits": "9" * 5_000,
    "an empty string": '""',
    "a long string": json.dumps("long " * 4_000),
    "half a surrogate pair": '"\\ud800"',
    "the other half": '"\\udc00"',
    "a zero byte": '"\\u0000"',
    "an empty list": "[]",
    "a list of everything": '[null, true, 1, "s", [], {}]',
    "an empty object": "{}",
    "an object": '{"a": {"text": 1}, "error": [], "message": {}, "index": []}',
    "lists, deep": _nested("[", "]", 400),
    "objects, deep": _nested('{"text":', "}", 400),
    "errors, deep": _nested('{"error":', "}", 900),
    "contents, deep": _nested('[{"type":"text","content":', "}]", 450),
    "lists, too deep for a parser": _nested("[", "]", 5_000),
    "objects, too deep for a parser": _nested('{"text":', "}", 5_000),
    "no JSON": "{nonsense",
}

_PLACE = "@here@"


def placed(shape: Any) -> Iterator[str]:
    """The shape's JSON once for each place in it, that place marked."""
    yield json.dumps(_PLACE)
    if isinstance(shape, dict):
        for name, value in shape.items():
            yield from (json.dumps({**shape, name: json.loads(inner)}) for inner in placed(value))
    elif isinstance(shape, list):
        for at, value in enumerate(shape):
            yield from (json.dumps([*shape[:at], json.loads(inner), *shape[at + 1 :]]) for inner in placed(value))


def bodies(shape: Any, value: str) -> Iterator[str]:
    for text in placed(shape):
        yield text.replace(json.dumps(_PLACE), value)


def acceptable(error: BaseException | None) -> bool:
    return error is None or (isinstance(error, ProviderError) and len(str(error)) <= LONGEST and "\n" not in str(error))


def decode(pieces: list[bytes], content_type: str) -> tuple[list[StreamDelta], ProviderError | None]:
    """Everything a program may do with an answer."""
    decoder, fold, translator = ChatDecoder(content_type), Fold(), EventTranslator()
    deltas: list[StreamDelta] = []
    for piece in pieces:
        deltas += decoder.feed(piece)
    deltas += decoder.eof()
    for delta in deltas:
        fold.add(delta)
        translator.translate(delta)
        list(delta.tool_calls or ())
    result = fold.result()
    str(result).encode()  # what no encoding can carry would fail later, in a store or on a terminal
    return deltas, decoder.error


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_stream_that_holds_it_anywhere(shape: Any, value: str) -> None:
    for body in bodies(shape, value):
        for before in ("data: ", "event: error\ndata: ", "error: ", ""):
            written = f"{before}{body}\n\n".encode()
            _, error = decode([written, b"data: [DONE]\n\n"], "text/event-stream")
            assert acceptable(error), (written[:300], error)


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_whole_answer_and_a_refusal_that_hold_it_anywhere(shape: Any, value: str) -> None:
    for body in bodies(shape, value):
        _, error = decode([body.encode()], "application/json")
        assert acceptable(error), (body[:300], error)
        assert acceptable(classify_response(500, {"content-type": "application/json"}, body.encode(), model="m")), body[:300]


def test_every_place_is_tried() -> None:
    assert list(placed({"a": [1, {"b": 2}]})) == [
        '"@here@"',
        '{"a": "@here@"}',
        '{"a": ["@here@", {"b": 2}]}',
        '{"a": [1, "@here@"]}',
        '{"a": [1, {"b": "@here@"}]}',
    ]
