"""What a delta costs each codec: the same words in the events of each wire protocol, decoded from memory, one event a read and sixteen.

Events are written as the providers write them: those of chat and of Anthropic differ in their text alone, those of the responses have numbers and
padding of their own, those of Gemini a usage each. The floor is the chat codec.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.rows import Row
from ecs_agent.providers.anthropic_messages.decoder import MessagesDecoder
from ecs_agent.providers.gemini_content.decoder import GeminiDecoder
from ecs_agent.providers.openai_chat.decoder import ChatDecoder
from ecs_agent.providers.openai_responses.decoder import ResponsesDecoder
from ecs_agent.streaming.decoder import StreamDecoder

DELTAS = 20_000
ROUNDS = 7
READS = (1, 16)

WORDS = ("The ", "quick ", "brown ", "fox ", "jumps ", "over ", "the ", "lazy ", "dog, ", "naïve ", "as ", "ever. ")


def _chat(word: str, _: int) -> tuple[str, Any]:
    choice = {"index": 0, "delta": {"content": word}, "logprobs": None, "finish_reason": None}
    return "", {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "system_fingerprint": "fp", "choices": [choice]}


def _responses(word: str, number: int) -> tuple[str, Any]:
    kind = "response.output_text.delta"
    places = {"type": kind, "sequence_number": number, "item_id": "msg_0123456789abcdef0123", "output_index": 0, "content_index": 0}
    return kind, {**places, "delta": word, "logprobs": [], "obfuscation": f"{number * 7919:x}".ljust(16 - len(word), "q")}


def _anthropic(word: str, _: int) -> tuple[str, Any]:
    return "content_block_delta", {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}


def _gemini(word: str, number: int) -> tuple[str, Any]:
    usage = {"promptTokenCount": 9, "candidatesTokenCount": number, "totalTokenCount": 9 + number}
    candidate = {"content": {"parts": [{"text": word}], "role": "model"}, "index": 0}
    return "", {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "m", "responseId": "r1"}


CODECS: dict[str, tuple[Callable[[], StreamDecoder], Callable[[str, int], tuple[str, Any]]]] = {
    "openai-chat": (ChatDecoder, _chat),
    "openai-responses": (ResponsesDecoder, _responses),
    "anthropic": (MessagesDecoder, _anthropic),
    "gemini": (GeminiDecoder, _gemini),
}


def codecs() -> list[Row]:
    """The codecs in turn, round after round; a figure is the median of its rounds."""
    rows: list[Row] = []
    for events in READS:
        bodies = {name: list(_reads(write, events)) for name, (_, write) in CODECS.items()}
        spent: dict[str, list[float]] = {name: [] for name in CODECS}
        for _ in range(ROUNDS):
            for name, (make, _write) in CODECS.items():
                spent[name].append(_decode(make(), bodies[name]))
        medians = {name: statistics.median(values) / DELTAS * 1e6 for name, values in spent.items()}
        load = f"{events} {'events' if events > 1 else 'event'} a read"
        rows += [Row(f"codec of {name}, {load}", value, "µs CPU/delta", value / medians["openai-chat"]) for name, value in medians.items()]
    return rows


def _reads(write: Callable[[str, int], tuple[str, Any]], events: int) -> Iterator[bytes]:
    """A body of so many deltas, in reads."""
    written = [_event(*write(WORDS[number % len(WORDS)], number)) for number in range(DELTAS)]
    for start in range(0, DELTAS, events):
        yield b"".join(written[start : start + events])


def _event(kind: str, data: Any) -> bytes:
    named = f"event: {kind}\n" if kind else ""
    return f"{named}data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


def _decode(decoder: StreamDecoder, body: list[bytes]) -> float:
    """The seconds of CPU that a body takes; all of it must come out."""
    began = time.process_time()
    deltas = sum([len(decoder.feed(read)) for read in body])
    spent = time.process_time() - began
    if deltas != DELTAS or decoder.error is not None:
        raise AssertionError(f"{type(decoder).__name__} made {deltas} deltas of {DELTAS}: {decoder.error}")
    return spent
