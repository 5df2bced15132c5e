"""Reading wire bodies in every split, and comparing what came out with what must."""

from __future__ import annotations

import json
import random
from base64 import b64decode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from ecs_agent.errors import ProviderError
from ecs_agent.providers.classify import classify_response
from ecs_agent.providers.openai_chat import ChatDecoder
from ecs_agent.streaming import fold
from ecs_agent.types import CompletionResult, StreamDelta

SHARED = Path(__file__).parents[2].parent / "shared" / "streams"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a client made of a body."""

    deltas: list[StreamDelta]
    error: ProviderError | None

    @property
    def result(self) -> CompletionResult:
        return fold(self.deltas)

    @property
    def facts(self) -> tuple[object, ...]:
        """What must not depend on how the bytes were cut."""
        result = self.result
        return (result.message, result.usage, result.finish_reason, result.raw_finish_reason, self.error and (type(self.error), str(self.error)))


def decode(pieces: Sequence[bytes], end: str = "eof", content_type: str = "text/event-stream") -> Outcome:
    """Decode a body delivered in these pieces."""
    decoder = ChatDecoder(content_type)
    deltas: list[StreamDelta] = []
    for piece in pieces:
        deltas += decoder.feed(piece)
    deltas += decoder.eof() if end == "eof" else decoder.cut()
    return Outcome(deltas, decoder.error)


def splits(pieces: Sequence[bytes], rounds: int = 20) -> Iterator[list[bytes]]:
    """The same bytes as given, as one piece, byte by byte, and in random pieces."""
    body = b"".join(pieces)
    yield list(pieces)
    yield [body]
    if len(body) < 100_000:
        yield [body[at : at + 1] for at in range(len(body))]
        for seed in range(rounds):
            chance = random.Random(seed)
            cuts = sorted(chance.sample(range(len(body) + 1), min(len(body), chance.randint(1, 12))))
            yield [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]


def pieces_of(case: dict[str, Any]) -> list[bytes]:
    """A case's body as it was read from the socket."""
    if "chunks_gen" not in case:
        return [b64decode(piece) for piece in case["chunks"]]
    made = case["chunks_gen"]
    body = b64decode(made["prefix"]) + b64decode(made["unit"]) * made["times"] + b64decode(made["suffix"])
    return [body[at : at + made["read_size"]] for at in range(0, len(body), made["read_size"])]


def run_case(case: dict[str, Any], pieces: Sequence[bytes]) -> Outcome:
    """What our client makes of a case."""
    headers = {name.lower(): value for name, value in case["headers"].items()}
    if case["http_status"] != 200:
        return Outcome([], classify_response(case["http_status"], headers, b"".join(pieces)))
    return decode(pieces, case["end"], headers.get("content-type", ""))


def check(outcome: Outcome, expect: dict[str, Any], end: str = "eof") -> None:
    """Hold an outcome against what a case expects."""
    result, error = outcome.result, outcome.error
    kinds = expect.get("error_any", [expect["error"]])
    if end == "stall":
        kinds = ["stream_interrupted"]  # the decoder sees a cut; that it was our timeout is the provider's business
    assert (str(error.kind) if error else None) in kinds, error
    if error is not None and error.kind == "malformed" and expect["error"] is None:
        return
    if expect["text"] is None:
        unit = expect["text_sha256_of"]
        assert sha256(result.message.content.encode()).digest() == sha256((unit["unit"] * unit["times"]).encode()).digest()
    else:
        assert result.message.content in expect.get("text_any", [expect["text"]])
    assert result.message.reasoning == expect["reasoning"]
    _check_calls(result, expect)
    if error is None:
        assert result.finish_reason in expect.get("finish_any", [expect["finish_reason"]])
    if expect["usage"] is None:
        assert result.usage is None
    else:
        assert {name: getattr(result.usage, name) for name in expect["usage"]} == expect["usage"]
    for word in expect.get("opaque", []):
        assert word in repr(result.message.parts)
    if error is not None and "retryable" in expect:
        assert error.retryable is expect["retryable"]
    if error is not None and "retry_after" in expect:
        assert error.retry_after == expect["retry_after"]
    if "raw_finish" in expect:
        assert result.raw_finish_reason == expect["raw_finish"]
    if "refusal" in expect:
        assert result.message.refusal == expect["refusal"]


def _check_calls(result: CompletionResult, expect: dict[str, Any]) -> None:
    calls = result.message.tool_calls or []
    assert len(calls) == len(expect["tool_calls"])
    assert len({call.id for call in calls}) == len(calls)
    for call, wanted in zip(calls, expect["tool_calls"], strict=True):
        assert call.id
        assert wanted["id"] in ("*", call.id)
        assert call.name == wanted["name"]
        if expect.get("args_valid") is False:
            assert call.arguments_error
            assert call.raw_arguments == wanted["arguments"]
        else:
            assert call.arguments_error is None
            assert call.arguments == json.loads(wanted["arguments"])
