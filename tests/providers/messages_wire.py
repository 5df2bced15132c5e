"""Answers of the Messages protocol for tests: written as a server writes them, and the rules by which the API judges a conversation."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from ecs_agent.testing import Reply

JSON = dict[str, Any]


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def start(**usage: int) -> bytes:
    return event(
        "message_start", message={"id": "msg_1", "type": "message", "content": [], "usage": {"input_tokens": 10, "output_tokens": 1} | usage}
    )


def finish(reason: str | None = "end_turn", **usage: int) -> bytes:
    return event("message_delta", delta={"stop_reason": reason}, usage={"output_tokens": 5} | usage) + event("message_stop")


def block(index: int, found: JSON, *deltas: JSON) -> bytes:
    """A block whose contents come in deltas."""
    pieces = [event("content_block_delta", index=index, delta=delta) for delta in deltas]
    return event("content_block_start", index=index, content_block=found) + b"".join(pieces) + event("content_block_stop", index=index)


def streamed(index: int, found: JSON) -> bytes:
    """A whole block as the API streams one."""
    match found["type"]:
        case "text":
            said = [{"type": "text_delta", "text": text} for text in re.findall(r"(?s).{1,4}", found["text"])]
            cited = [{"type": "citations_delta", "citation": citation} for citation in found.get("citations") or ()]
            return block(index, {"type": "text", "text": ""}, *cited, *said)
        case "thinking":
            said = [{"type": "thinking_delta", "thinking": text} for text in re.findall(r"(?s).{1,4}", found["thinking"])]
            return block(
                index, {"type": "thinking", "thinking": "", "signature": ""}, *said, {"type": "signature_delta", "signature": found["signature"]}
            )
        case "tool_use" | "server_tool_use":
            pieces = re.findall(r"(?s).{1,5}", json.dumps(found["input"]))
            return block(index, {**found, "input": {}}, *[{"type": "input_json_delta", "partial_json": piece} for piece in pieces])
        case _:
            return block(index, found)


def answer(blocks: Sequence[JSON], reason: str = "end_turn", **usage: int) -> bytes:
    """A body with these blocks."""
    return start() + b"".join([streamed(index, found) for index, found in enumerate(blocks)]) + finish(reason, **usage)


def messages_reply(text: str = "", *calls: JSON, **usage: int) -> Reply:
    """A streamed answer, an event a piece."""
    blocks = [*([{"type": "text", "text": text}] if text else []), *calls]
    body = answer(blocks, "tool_use" if calls else "end_turn", **usage)
    return Reply([piece + b"\n\n" for piece in body.split(b"\n\n") if piece])


def message_body(*blocks: JSON, reason: str = "end_turn") -> JSON:
    """A whole answer."""
    return {"type": "message", "role": "assistant", "content": list(blocks), "stop_reason": reason, "usage": {"input_tokens": 10, "output_tokens": 5}}


def error(kind: str, message: str) -> JSON:
    return {"type": "error", "error": {"type": kind, "message": message}}


def assert_valid(turns: list[JSON]) -> None:
    """Hold turns against the API's rules, by a reading of its documents that shares nothing with the codec."""
    assert turns
    assert turns[0]["role"] == "user"
    ids: set[str] = set()
    for number, turn in enumerate(turns):
        following = turns[number + 1] if number + 1 < len(turns) else None
        assert turn["role"] == ("user" if number % 2 == 0 else "assistant")
        assert turn["content"]
        for found in turn["content"]:
            assert found["type"] != "text" or found["text"].strip()
        calls = [found["id"] for found in turn["content"] if found["type"] == "tool_use"]
        assert len(set(calls)) == len(calls)
        assert ids.isdisjoint(calls)
        ids.update(calls)
        assert all(re.fullmatch(r"[a-zA-Z0-9_-]+", call) for call in calls)
        if turn["role"] == "user":
            kinds = [found["type"] for found in turn["content"]]
            results = [found["tool_use_id"] for found in turn["content"] if found["type"] == "tool_result"]
            assert kinds[: len(results)] == ["tool_result"] * len(results)
            asked = [found["id"] for found in turns[number - 1]["content"] if found["type"] == "tool_use"] if number else []
            assert sorted(results) == sorted(asked)
        else:
            assert turn["content"][-1]["type"] not in ("thinking", "redacted_thinking")
            assert not calls or following is not None
            asked = [found["id"] for found in turn["content"] if found["type"] == "server_tool_use"]
            answered = [found.get("tool_use_id") for other in turns for found in other["content"]]
            assert following is None or set(asked) <= set(answered)
            everything = [found.get("id") for other in turns for found in other["content"] if found["type"] == "server_tool_use"]
            assert {found["tool_use_id"] for found in turn["content"] if "tool_use_id" in found} <= set(everything)
            assert following is not None or turn["content"][-1].get("text", "x") == turn["content"][-1].get("text", "x").rstrip()
