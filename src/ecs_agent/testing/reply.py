"""Reply: an HTTP response as data, played by `LoopbackServer` over sockets and by `ScriptedTransport` in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from ecs_agent.types import JsonObject, ToolCall, Usage

End: TypeAlias = Literal["eof", "reset", "stall", "silent", "hangup"]
"""How a response ends: cleanly, by a reset, never (open and silent), or before its head: silent, or with the connection aborted."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One scripted response.

    Attributes:
        pieces: what is sent, in order; a number is a pause in seconds.
        status: the HTTP status.
        headers: of the response; the content type of a stream by default.
        end: "eof" ends the body cleanly, "reset" aborts the connection, "stall" keeps it open and silent; "silent" does not even send a head,
            "hangup" aborts the connection before it.
    """

    pieces: Sequence[bytes | float] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "text/event-stream"})
    end: End = "eof"

    def __post_init__(self) -> None:
        if isinstance(self.pieces, bytes | str):
            raise TypeError(f"the pieces of a Reply are one {type(self.pieces).__name__}; give a list: Reply([b'…'])")
        if self.end not in get_args(End):
            raise ValueError(f"end is {self.end!r}; it must be one of {', '.join(get_args(End))}")


def chunk_body(delta: JsonObject | None = None, *, finish: str | None = None, usage: Usage | None = None) -> JsonObject:
    """The JSON of one event of the OpenAI chat protocol."""
    body: JsonObject = {"id": "chatcmpl-test", "object": "chat.completion.chunk", "created": 0, "model": "test"}
    body["choices"] = [] if delta is None and finish is None else [{"index": 0, "delta": delta or {}, "finish_reason": finish}]
    if usage is not None:
        body["usage"] = usage_body(usage)
    return body


def usage_body(usage: Usage) -> JsonObject:
    """Usage in the protocol's words; what is not known is not said."""
    body: JsonObject = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    prompt = {"cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens}
    if known := {name: count for name, count in prompt.items() if count is not None}:
        body["prompt_tokens_details"] = known
    if usage.reasoning_tokens is not None:
        body["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return body


def chunk(delta: JsonObject | None = None, *, finish: str | None = None, usage: Usage | None = None) -> bytes:
    """One event of the OpenAI chat protocol."""
    return f"data: {json.dumps(chunk_body(delta, finish=finish, usage=usage))}\n\n".encode()


def chat_reply(
    text: str = "",
    *,
    tool_calls: Sequence[ToolCall] = (),
    usage: Usage | None = Usage(10, 5, 15),  # noqa: B008 - frozen
    pause: float = 0.0,
    end: Literal["eof", "reset", "stall"] = "eof",
    finish: bool = True,
) -> Reply:
    """A streamed answer, a word a chunk.

    Args:
        text: what is said.
        tool_calls: what is called, after the text.
        usage: sent after the finish reason; None for a server that does not tell.
        pause: seconds after each chunk.
        end: how the body ends.
        finish: False leaves out everything from the finish reason on: a cut answer.
    """
    chunks = [chunk({"role": "assistant", "content": ""}), *[chunk({"content": word}) for word in _words(text)]]
    for index, call in enumerate(tool_calls):
        function = {"name": call.name, "arguments": json.dumps(call.arguments)}
        chunks.append(chunk({"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]}))
    if finish:
        chunks.append(chunk(finish="tool_calls" if tool_calls else "stop"))
        chunks += [chunk(usage=usage)] if usage is not None else []
        chunks.append(b"data: [DONE]\n\n")
    pieces: list[bytes | float] = []
    for each in chunks:
        pieces += [each, pause] if pause else [each]
    return Reply(pieces, end=end)


def _words(text: str) -> list[str]:
    *words, last = text.split(" ")
    return [*[word + " " for word in words], *([last] if last else [])]


def json_reply(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """An answer that is one JSON value."""
    return Reply([json.dumps(body).encode()], status, {"content-type": "application/json", **(headers or {})})


def error_reply(status: int, message: str, *, code: str | None = None, headers: Mapping[str, str] | None = None) -> Reply:
    """An error in OpenAI's form."""
    return json_reply({"error": {"message": message, "type": "error", "param": None, "code": code}}, status=status, headers=headers)
