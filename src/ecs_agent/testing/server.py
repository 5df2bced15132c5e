"""A model server on loopback for tests: real sockets, scripted answers, and a record of what clients asked and when they left.

async with LoopbackServer(["Hello.", RateLimitError("slow down", retry_after=1.0)]) as server:
provider = OpenAIProvider(base_url=server.base_url, model="test")
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Self

from ecs_agent.providers.script import Piece
from ecs_agent.testing.answers import Answers, Received, ServerAnswer
from ecs_agent.testing.reply import Reply

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class LoopbackServer:
    """Serves scripted answers on 127.0.0.1, one a request; the last one is repeated.

    Args:
        answers: whatever `FakeProvider` takes, in the OpenAI chat protocol; a `Reply`, as it is; or functions from the request to either.
        by: what an event of a script holds, as in `FakeProvider`.
        delay: seconds after each event of a script.

    Attributes:
        requests: what came in, in order.
        base_url: what to give a provider as `base_url`, once the server was started by `async with`.
    """

    def __init__(self, answers: Sequence[ServerAnswer], *, by: Piece = "word", delay: float = 0.0) -> None:
        self._answers = Answers(answers, by, delay)
        self._server: asyncio.Server | None = None
        self._serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._failures: list[BaseException] = []
        self.requests: list[Received] = []
        self._base_url: str | None = None

    @property
    def base_url(self) -> str:
        """Its address.

        Raises:
            RuntimeError: it was not started.
        """
        if self._base_url is None:
            raise RuntimeError("the server was not started, so it has no address; write: async with LoopbackServer(…) as server")
        return self._base_url

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=4096)
        port: int = self._server.sockets[0].getsockname()[1]
        self._base_url = f"http://127.0.0.1:{port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop serving and abort every connection, as a killed server would; safe to call twice.

        Raises:
            Exception: what an answer raised that was a function, or could not be played; its client only saw the connection close.
        """
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
        if self._failures:
            raise self._failures.pop()

    @property
    def is_serving(self) -> bool:
        """Whether it was started and not closed."""
        return self._server is not None and self._server.is_serving()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._converse(reader, writer))
        self._serving[task] = writer
        task.add_done_callback(self._served)

    def _served(self, task: asyncio.Task[None]) -> None:
        self._serving.pop(task, None)
        failure = None if task.cancelled() else task.exception()
        if failure is not None:
            self._failures.append(failure)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ahead = b""
        try:
            while (request := await _received(reader, ahead)) is not None:
                self.requests.append(request)
                reply = self._answers.next(request)
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
    if reply.end == "hangup":
        _reset(writer)
        return
    head = [f"HTTP/1.1 {reply.status} Scripted", *[f"{name}: {value}" for name, value in reply.headers.items()], "transfer-encoding: chunked"]
    writer.write("\r\n".join([*head, "", ""]).encode())
    for piece in reply.pieces:
        if isinstance(piece, bytes):
            if piece:
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await writer.drain()
                await asyncio.sleep(0)  # a client in the same loop reads the pieces one by one
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
