"""A model server on loopback for tests: real sockets, scripted answers, and a record of what clients asked and when they left.

async with LoopbackServer([chat_reply("Hello."), error_reply(429, "slow down", headers={"retry-after": "1"})]) as server:
    provider = OpenAIProvider(base_url=server.base_url, model="test")
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypeAlias

from ecs_agent.types import JsonObject, ToolCall, Usage

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Reply:
    """One scripted answer.

    Attributes:
        pieces: what is sent, in order; a number is a pause in seconds.
        status: the HTTP status.
        headers: of the response; the content type of a stream by default.
        end: "eof" ends the body cleanly, "reset" aborts the connection, "stall" keeps it open and silent, "silent" does not even send a head.
    """

    pieces: Sequence[bytes | float] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "text/event-stream"})
    end: Literal["eof", "reset", "stall", "silent"] = "eof"


@dataclass(slots=True)
class Received:
    """A request that came in; `closed` is set when its client is gone or has its whole answer."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    cut_off: bool = False


Script: TypeAlias = Reply | Callable[[Received], Reply]


class LoopbackServer:
    """Serves scripted answers on 127.0.0.1, one a request; the last one is repeated.

    Args:
        replies: the answers, or functions from the request to an answer.

    Attributes:
        requests: what came in, in order.
        base_url: what to give a provider as `base_url`.
    """

    def __init__(self, replies: Sequence[Script]) -> None:
        if not replies:
            raise ValueError("a server without answers cannot serve; give at least one Reply")
        self._replies = list(replies)
        self._server: asyncio.Server | None = None
        self._serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self.requests: list[Received] = []
        self.base_url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=4096)
        port: int = self._server.sockets[0].getsockname()[1]
        self.base_url = f"http://127.0.0.1:{port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop serving and abort every connection, as a killed server would; safe to call twice."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._serving)
        for writer in self._serving.values():
            _reset(writer)
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._converse(reader, writer))
        self._serving[task] = writer
        task.add_done_callback(lambda done: self._serving.pop(done, None))

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ahead = b""
        try:
            while (request := await _received(reader, ahead)) is not None:
                self.requests.append(request)
                script = self._replies[min(len(self.requests), len(self._replies)) - 1]
                reply = script(request) if callable(script) else script
                ahead = await self._answer(reader, writer, request, reply)
                if request.cut_off or reply.end != "eof":
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Received, reply: Reply) -> bytes:
        """Send a reply; returns what the client has already sent of its next request."""
        sending = asyncio.ensure_future(_send(writer, reply))
        hearing = asyncio.ensure_future(reader.read(1))  # while it listens a client says nothing, so this ends when it is gone
        try:
            await asyncio.wait((sending, hearing), return_when=asyncio.FIRST_COMPLETED)
            request.cut_off = not sending.done() or sending.exception() is not None
            return hearing.result() if hearing.done() and hearing.exception() is None else b""
        finally:
            request.closed.set()
            for task in (sending, hearing):
                task.cancel()
                with suppress(asyncio.CancelledError, ConnectionError):
                    await task


async def _received(reader: asyncio.StreamReader, ahead: bytes) -> Received | None:
    try:
        head = (ahead + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method, path, headers, json.loads(body) if body else None)


async def _send(writer: asyncio.StreamWriter, reply: Reply) -> None:
    if reply.end == "silent":
        await asyncio.Event().wait()
    head = [f"HTTP/1.1 {reply.status} Scripted", *[f"{name}: {value}" for name, value in reply.headers.items()], "transfer-encoding: chunked"]
    writer.write("\r\n".join([*head, "", ""]).encode())
    for piece in reply.pieces:
        if isinstance(piece, bytes):
            if piece:
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await writer.drain()
        else:
            await writer.drain()
            await asyncio.sleep(piece)
    match reply.end:
        case "eof":
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        case "reset":
            await writer.drain()
            await asyncio.sleep(0.02)  # a reset destroys what the peer has not read yet
            _reset(writer)
        case _:
            await asyncio.Event().wait()


def _reset(writer: asyncio.StreamWriter) -> None:
    raw: socket.socket | None = writer.get_extra_info("socket")
    if raw is not None:
        with suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()


def chunk(delta: JsonObject | None = None, *, finish: str | None = None, usage: Usage | None = None) -> bytes:
    """One event of the OpenAI chat protocol."""
    body: JsonObject = {"id": "chatcmpl-test", "object": "chat.completion.chunk", "created": 0, "model": "test"}
    body["choices"] = [] if delta is None and finish is None else [{"index": 0, "delta": delta or {}, "finish_reason": finish}]
    if usage is not None:
        body["usage"] = {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens, "total_tokens": usage.total_tokens}
    return f"data: {json.dumps(body)}\n\n".encode()


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
