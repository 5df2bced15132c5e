"""The HTTP response that a scripted answer becomes when a plan goes over it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from ecs_agent.errors import ErrorKind, ProviderError
from ecs_agent.providers.openai_chat_parts import SOURCE
from ecs_agent.providers.script import Answer, Script, moves, script_of
from ecs_agent.streaming.fold import fold
from ecs_agent.testing.chat_wire import FINISH_WORDS, STATUS, WireEvent, error_body, part_fields, wire_of
from ecs_agent.testing.fault_plan import FaultPlan
from ecs_agent.testing.reply import Reply, json_reply, usage_body
from ecs_agent.types import CitationPart, JsonObject, OpaquePart, StreamDelta, ToolCall


def scripted_reply(answer: Answer, plan: FaultPlan | None = None, *, stream: bool = True) -> Reply:
    """The response that a server gives.

    Args:
        answer: what it is to say; an exception in it becomes an error of the protocol, a broken connection or a broken body.
        plan: what goes wrong on the way; nothing by default.
        stream: False gives one JSON object; of a plan only `refuse` counts then.
    """
    script, plan = script_of(answer), plan if plan is not None else FaultPlan()
    if plan.refuse is not None:
        return _refusal(plan.refuse, f"refused by plan {plan.seed}")
    first = next(moves(script, plan.by))
    if isinstance(first, Exception):
        return _refusal_of(first)
    if not stream:
        return _whole(script)
    wire = wire_of(script, plan)
    if plan.cut_at_byte is not None:
        wire = list(_cut(wire, plan.cut_at_byte))
    broken = any(isinstance(item, WireEvent) and item.failure is ErrorKind.STREAM_INTERRUPTED for item in wire)
    return Reply(list(_pieces(wire, plan)), end="reset" if broken else plan.end)


def _refusal_of(error: Exception) -> Reply:
    kind = error.kind if isinstance(error, ProviderError) else ErrorKind.CONNECTION
    if not isinstance(error, ProviderError) or kind not in STATUS:
        return _refusal(kind, str(error))
    headers = {"retry-after": f"{error.retry_after:g}"} if error.retry_after is not None else {}
    headers |= {"x-request-id": error.request_id} if error.request_id is not None else {}
    return json_reply({"error": error_body(kind, str(error))}, status=error.status or STATUS[kind][0], headers=headers)


def _refusal(kind: ErrorKind, message: str) -> Reply:
    if kind in STATUS:
        return json_reply({"error": error_body(kind, message)}, status=STATUS[kind][0])
    if kind is ErrorKind.MALFORMED:
        return Reply([b"<html><body>It works!</body></html>"], headers={"content-type": "text/html"})
    return Reply(end="hangup") if kind is ErrorKind.CONNECTION else Reply(end="reset")


def _whole(script: Script) -> Reply:
    """The answer as one JSON object, after all its pauses; one that breaks off is an error."""
    played = list(moves(script, "chunk"))
    failure = next((move for move in played if isinstance(move, Exception)), None)
    if failure is not None:
        return _refusal_of(failure)
    result = fold(move for move in played if isinstance(move, StreamDelta))
    message: JsonObject = {"role": "assistant", "content": result.message.content or None}
    for part in result.message.parts:
        message |= part_fields(part) if isinstance(part, OpaquePart | CitationPart) else {}
    if result.message.reasoning:
        message["reasoning_content"] = result.message.reasoning
    if result.message.refusal:
        message["refusal"] = result.message.refusal
    calls = [_call(call) for call in result.message.tool_calls or ()]
    body: JsonObject = {"id": "chatcmpl-test", "object": "chat.completion", "created": 0, "model": "test"}
    word = str(result.finish_reason)
    body["choices"] = [
        {"index": 0, "message": {**message, **({"tool_calls": calls} if calls else {})}, "finish_reason": FINISH_WORDS.get(word, word)}
    ]
    if result.usage is not None:
        body["usage"] = usage_body(result.usage)
    reply = json_reply(body)
    return Reply([*[move for move in played if isinstance(move, float | int)], *reply.pieces], headers=reply.headers)


def _call(call: ToolCall) -> JsonObject:
    text = call.raw_arguments if call.raw_arguments is not None else json.dumps(call.arguments, ensure_ascii=False)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": text}, **((call.opaque or {}).get(SOURCE) or {})}


def _cut(wire: Sequence[WireEvent | float], at: int) -> Iterator[WireEvent | float]:
    for item in wire:
        if isinstance(item, WireEvent):
            if len(item.raw) >= at:
                yield replace(item, raw=item.raw[:at])
                return
            at -= len(item.raw)
        yield item


def _pieces(wire: Iterable[WireEvent | float], plan: FaultPlan) -> Iterator[bytes | float]:
    """What is sent, cut into reads; only bytes between which there is no pause can come in one."""
    draw = random.Random(plan.seed)  # noqa: S311 - a plan, not a secret
    together = b""
    for item in wire:
        if isinstance(item, WireEvent):
            if plan.split == "events":
                yield item.raw
            else:
                together += item.raw
            if not plan.pause:
                continue
        yield from _split(together, plan, draw)
        together = b""
        yield plan.pause if isinstance(item, WireEvent) else item
    yield from _split(together, plan, draw)


def _split(data: bytes, plan: FaultPlan, draw: random.Random) -> list[bytes]:
    match plan.split:
        case "bytes":
            cuts = list(range(1, len(data)))
        case "characters":
            cuts = [at for at, byte in enumerate(data) if byte & 0b1100_0000 == 0b1000_0000]
        case "random":
            cuts = sorted(draw.sample(range(len(data)), min(len(data), draw.randint(0, 12))))
        case _:
            cuts = []
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if a < b]
