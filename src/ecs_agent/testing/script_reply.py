"""The HTTP response that a scripted answer becomes when a plan goes over it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from ecs_agent.errors import ErrorKind, ProviderError
from ecs_agent.providers.script import Answer, Script, moves, script_of
from ecs_agent.streaming.fold import fold
from ecs_agent.testing.fault_plan import FaultPlan
from ecs_agent.testing.reply import Reply, json_reply
from ecs_agent.testing.wire import WireEvent, WireWriter
from ecs_agent.testing.wires import WireFamily, writer_of
from ecs_agent.types import StreamDelta


def scripted_reply(answer: Answer, plan: FaultPlan | None = None, *, stream: bool = True, wire: WireFamily = "openai-chat") -> Reply:
    """The response that a server gives.

    Args:
        answer: what it is to say; an exception in it becomes an error of the protocol, a broken connection or a broken body.
        plan: what goes wrong on the way; nothing by default.
        stream: False gives one JSON object; of a plan only `refuse` counts then.
        wire: in which protocol.

    Raises:
        TypeError: the protocol has no words for something in the answer.
    """
    script, plan, writer = script_of(answer), plan if plan is not None else FaultPlan(), writer_of(wire)
    if plan.refuse is not None:
        return _refusal(writer, plan.refuse, f"refused by plan {plan.seed}")
    first = next(moves(script, plan.by))
    if isinstance(first, Exception):
        return _refusal_of(writer, first)
    if not stream:
        return _whole(writer, script)
    written = list(writer(script, plan).written())
    if plan.cut_at_byte is not None:
        written = list(_cut(written, plan.cut_at_byte))
    broken = any(isinstance(item, WireEvent) and item.failure is ErrorKind.STREAM_INTERRUPTED for item in written)
    return Reply(list(_pieces(written, plan)), end="reset" if broken else plan.end)


def refusal_kind(script: Script, plan: FaultPlan) -> ErrorKind | None:
    """With which error a server refuses from the start; None if it answers."""
    first = next(moves(script, plan.by))
    if plan.refuse is not None or not isinstance(first, Exception):
        return plan.refuse
    return first.kind if isinstance(first, ProviderError) else ErrorKind.CONNECTION


def _refusal_of(writer: type[WireWriter], error: Exception) -> Reply:
    kind = error.kind if isinstance(error, ProviderError) else ErrorKind.CONNECTION
    if not isinstance(error, ProviderError) or kind not in writer.statuses:
        return _refusal(writer, kind, str(error))
    headers = {"retry-after": f"{error.retry_after:g}"} if error.retry_after is not None else {}
    headers |= {"x-request-id": error.request_id} if error.request_id is not None else {}
    return json_reply(writer.error(kind, str(error)), status=error.status or writer.statuses[kind], headers=headers)


def _refusal(writer: type[WireWriter], kind: ErrorKind, message: str) -> Reply:
    if kind in writer.statuses:
        return json_reply(writer.error(kind, message), status=writer.statuses[kind])
    if kind is ErrorKind.MALFORMED:
        return Reply([b"<html><body>It works!</body></html>"], headers={"content-type": "text/html"})
    return Reply(end="hangup") if kind is ErrorKind.CONNECTION else Reply(end="reset")


def _whole(writer: type[WireWriter], script: Script) -> Reply:
    """The answer as one JSON object, after all its pauses; one that breaks off is an error."""
    played = list(moves(script, "chunk"))
    failure = next((move for move in played if isinstance(move, Exception)), None)
    if failure is not None:
        return _refusal_of(writer, failure)
    reply = json_reply(writer.whole(fold(move for move in played if isinstance(move, StreamDelta))))
    return Reply([*[move for move in played if isinstance(move, float | int)], *reply.pieces], headers=reply.headers)


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
