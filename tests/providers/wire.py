"""Reading wire bodies in every split and cut, and comparing what came out with what must."""

from __future__ import annotations

import json
import random
from base64 import b64decode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from tests.providers.families import CHAT, FAMILIES, GEMINI, Family

from ecs_agent.errors import ProviderError
from ecs_agent.providers.classify import classify_response
from ecs_agent.streaming import fold
from ecs_agent.types import CompletionResult, StreamDelta

SHARED = Path(__file__).parents[2].parent / "shared" / "streams"
OWN = Path(__file__).parents[1] / "corpus"
NOTHING: Final[dict[str, Any]] = {"text": "", "reasoning": "", "tool_calls": [], "finish_reason": None, "usage": None, "error": None}
"""What a shared case expects where it does not say."""
ABSENT = "the folder of recorded streams is not here"


@dataclass(frozen=True)
class Case:
    """A body as it was read from the socket, and what a correct client makes of it."""

    name: str
    group: str
    pieces: tuple[bytes, ...]
    expect: dict[str, Any]
    end: str = "eof"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    family: Family = CHAT

    @property
    def id(self) -> str:
        return f"{self.group} {self.name}"

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "")

    @cached_property
    def body(self) -> bytes:
        return b"".join(self.pieces)


@dataclass(frozen=True)
class Outcome:
    """What a client made of a body."""

    deltas: list[StreamDelta]
    error: ProviderError | None

    @cached_property
    def result(self) -> CompletionResult:
        return fold(self.deltas)

    @property
    def facts(self) -> tuple[object, ...]:
        """What must not depend on how the bytes were cut."""
        result = self.result
        return (result.message, result.usage, result.finish_reason, result.raw_finish_reason, self.error and (type(self.error), str(self.error)))


# Reading


def decode(pieces: Sequence[bytes], end: str = "eof", content_type: str = "text/event-stream", family: Family = CHAT) -> Outcome:
    """Decode a body delivered in these pieces."""
    decoder = family.decoder(content_type)
    deltas: list[StreamDelta] = []
    for piece in pieces:
        deltas += decoder.feed(piece)
    deltas += decoder.eof() if end == "eof" else decoder.cut()
    return Outcome(deltas, decoder.error)


def run_case(case: Case, pieces: Sequence[bytes], end: str | None = None) -> Outcome:
    """What our client makes of a case, delivered in these pieces."""
    if case.status != 200:
        return Outcome([], classify_response(case.status, case.headers, b"".join(pieces)))
    return decode(pieces, end or case.end, case.content_type, case.family)


def splits(pieces: Sequence[bytes], rounds: int = 50) -> Iterator[list[bytes]]:
    """The same bytes as given, as one piece, byte by byte, and in random pieces; a large body only in few and large ones."""
    body = b"".join(pieces)
    yield list(pieces)
    yield [body]
    if len(body) < 100_000:
        yield [body[at : at + 1] for at in range(len(body))]
    else:
        rounds = 2
    for seed in range(rounds):
        chance = random.Random(seed)
        cuts = sorted(chance.sample(range(len(body) + 1), min(len(body), chance.randint(1, 12))))
        yield [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]


def offsets(body: bytes, most: int) -> Sequence[int]:
    """Where to cut a body: everywhere, or at so many places, the last bytes among them, when it is long, and at a few when it is huge."""
    if len(body) <= most:
        return range(len(body))
    chance = random.Random(len(body))
    if len(body) > 1_000_000:
        return [*sorted(chance.sample(range(len(body)), 2)), len(body) - 1]
    return sorted({*chance.sample(range(len(body)), most), *range(len(body) - 20, len(body))})


# Bodies


def recorded_bodies(family: Family = CHAT) -> list[Path]:
    """Streams that real servers sent."""
    files = [*sorted((SHARED / "recorded" / family.name).glob("*.sse")), *sorted((SHARED / "local_server").glob("*/*.sse"))]
    return [path for path in files if family.mark in path.read_bytes()]


def recorded_cases() -> list[Case]:
    """The same of all families, as cases of which nothing is expected but the laws."""
    headers = {"content-type": "text/event-stream"}
    return [
        Case(path.stem, path.parent.name, (path.read_bytes(),), {}, headers=headers, family=family)
        for family in FAMILIES.values()
        for path in recorded_bodies(family)
    ]


def shared_cases(*families: Family) -> list[Case]:
    """The wire cases of these families, of the chat protocol by default; none where their folder is absent."""
    names = [family.name for family in families or (CHAT,)]
    found = [json.loads(path.read_text("utf-8")) for path in sorted((SHARED / "cases").glob("*.json"))]
    return [_shared(case) for case in found if case["family"] in names]


def _shared(case: dict[str, Any]) -> Case:
    headers = {name.lower(): value for name, value in case["headers"].items()}
    return Case(
        case["name"], case["provider"], tuple(_pieces(case)), case["expect"], case["end"], case["http_status"], headers, FAMILIES[case["family"]]
    )


def _pieces(case: dict[str, Any]) -> list[bytes]:
    if "chunks_gen" not in case:
        return [b64decode(piece) for piece in case["chunks"]]
    made = case["chunks_gen"]
    body = b64decode(made["prefix"]) + b64decode(made["unit"]) * made["times"] + b64decode(made["suffix"])
    return [body[at : at + made["read_size"]] for at in range(0, len(body), made["read_size"])]


def own_cases(*families: Family) -> list[Case]:
    """The project's own corpus of these families, of the chat protocol by default; its README says how a case is written."""
    return [
        _own(case, path.stem, family)
        for family in families or (CHAT,)
        for path in sorted((OWN / family.folder).glob("*.json"))
        for case in json.loads(path.read_text("utf-8"))
    ]


def written_cases(*families: Family) -> list[Case]:
    """Our own cases that expect what shared ones expect, of these families, of the chat protocol by default."""
    return [
        _written(case, family)
        for family in families or (CHAT,)
        for case in json.loads((OWN / "shared_format" / f"{family.folder}.json").read_text("utf-8"))
    ]


def _written(case: dict[str, Any], family: Family) -> Case:
    headers = {"content-type": "text/event-stream"} | {name.lower(): value for name, value in case.get("headers", {}).items()}
    pieces = tuple(written(event, family) for event in case["events"])
    expect = NOTHING | case["expect"]
    return Case(case["name"], f"{family.name} {case['rule']}", pieces, expect, case.get("end", "eof"), case.get("status", 200), headers, family)


def _own(case: dict[str, Any], subject: str, family: Family) -> Case:
    headers = {"content-type": case.get("content_type", "text/event-stream")}
    pieces = tuple(written(event, family) for event in case["events"])
    return Case(case["name"], f"{subject} {case['rule']}", pieces, case["expect"], case.get("end", "eof"), headers=headers, family=family)


def written(event: Any, family: Family = CHAT) -> bytes:
    """An event of the own corpus in bytes."""
    if isinstance(event, str):
        return event.encode()
    if "hex" in event:
        return bytes.fromhex(event["hex"])
    if "json" in event:
        return json.dumps(event["json"], indent=event.get("indent")).encode()
    if family is CHAT:
        event = _chunk(event)
    if family is GEMINI:
        event = _gemini_chunk(event)
    named = f"event: {event['type']}\n" if family.names_events and "type" in event else ""
    return f"{named}data: {json.dumps(event)}\n\n".encode()


def _chunk(event: dict[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in event.items() if name not in ("delta", "calls", "finish", "choice")}
    if len(rest) == len(event):
        return event
    delta = event.get("delta", {}) | ({"tool_calls": [_call(call) for call in event["calls"]]} if "calls" in event else {})
    choice = {"index": 0, "delta": delta, "finish_reason": event.get("finish")} | event.get("choice", {})
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]} | rest


def _gemini_chunk(event: dict[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in event.items() if name not in ("parts", "finish", "candidate", "count")}
    if "count" in event:
        names = ("promptTokenCount", "candidatesTokenCount", "totalTokenCount")
        rest["usageMetadata"] = dict(zip(names, event["count"], strict=True)) if isinstance(event["count"], list) else event["count"]
    if not {"parts", "finish", "candidate"} & event.keys():
        return rest
    parts = [{"text": part} if isinstance(part, str) else part for part in event.get("parts", [])]
    content = {"content": {"parts": parts, "role": "model"}} if "parts" in event else {}
    finish = {"finishReason": event["finish"]} if "finish" in event else {}
    return {"candidates": [content | finish | {"index": 0} | event.get("candidate", {})], "modelVersion": "m", "responseId": "r"} | rest


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = {name: call[name] for name in ("name", "arguments") if name in call}
    rest = {name: value for name, value in call.items() if name not in ("name", "arguments")}
    return {"type": "function"} | rest | ({"function": function} if function else {})


# Comparing


def check(outcome: Outcome, expect: dict[str, Any], end: str = "eof") -> None:
    """Hold an outcome against what a shared case expects."""
    result, error = outcome.result, outcome.error
    kinds = expect.get("error_any", [expect["error"]])
    if end == "stall":
        kinds = ["stream_interrupted" if kind == "timeout" else kind for kind in kinds]  # the decoder sees a cut; the timeout is the provider's
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
    assert any(
        result.usage is None if usage is None else {name: getattr(result.usage, name, None) for name in usage} == usage
        for usage in expect.get("usage_any", [expect["usage"]])
    ), result.usage
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


def check_own(outcome: Outcome, expect: dict[str, Any]) -> None:
    """Hold an outcome against what a case of the own corpus expects."""
    result, error = outcome.result, outcome.error
    message, usage = result.message, result.usage
    assert (str(error.kind) if error else None) == expect.get("error"), error
    assert (message.content, message.reasoning, message.refusal) == tuple(expect.get(name, "") for name in ("text", "reasoning", "refusal"))
    assert result.finish_reason == expect.get("finish")
    assert result.raw_finish_reason == expect.get("raw", result.raw_finish_reason)
    assert (usage and [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens]) == expect.get("usage")
    for name in ("cached_tokens", "reasoning_tokens"):
        assert name not in expect or getattr(usage, name) == expect[name]
    for word in expect.get("opaque", []):
        assert word in repr(message.parts)
    assert error is None or error.retryable is expect.get("retryable", error.retryable)
    calls = message.tool_calls or []
    assert len({call.id for call in calls}) == len(calls)
    found = [(call.id, call.name, call.arguments if call.arguments_error is None else call.raw_arguments) for call in calls]
    wanted = expect.get("calls", [])
    assert [(("*" if want[0] == "*" and call[0] else call[0]), *call[1:]) for call, want in zip(found, wanted, strict=True)] == [
        tuple(want) for want in wanted
    ]
    assert len([delta for delta in outcome.deltas if delta.final]) == (0 if error else 1)
