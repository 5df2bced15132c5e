"""A model server at the least cost: bare protocols on loopback, thousands of connections at once, and the moment at which each was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

import pytest

from ecs_agent.testing import chunk

try:
    import resource
except ImportError:  # there is no such limit on this system
    resource = None  # type: ignore[assignment]

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
END = chunk(finish="stop") + b"data: [DONE]\n\n"

_WORDS = 1000


def word(number: int) -> str:
    """The text of a delta, from its number: whoever reads a text knows how many deltas it is made of."""
    return f"{number % _WORDS} "


def event(number: int) -> bytes:
    """A delta on the wire."""
    return chunk({"content": word(number)})


def text_of(deltas: int) -> str:
    """The text of the first deltas."""
    return "".join([word(number) for number in range(deltas)])


class Conversation(asyncio.Protocol):
    """One connection of a client.

    Attributes:
        head: the request's first lines.
        lost: the loop's time when the connection was gone, once it is.
        sent: bytes that were given to the transport.
    """

    transport: asyncio.Transport

    def __init__(self, server: SocketServer) -> None:
        self._server = server
        self._heard = bytearray()
        self._writable = asyncio.Event()
        self._writable.set()
        self.head = ""
        self.sent = 0
        self.lost: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._server.open.add(self)

    def data_received(self, data: bytes) -> None:
        self._heard += data
        head, blank, body = bytes(self._heard).partition(b"\r\n\r\n")
        if blank and len(body) >= self._length(head):
            self._heard.clear()
            self.head = head.decode()
            self._server.heard(self)

    @staticmethod
    def _length(head: bytes) -> int:
        return next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.open.discard(self)
        self._writable.set()
        if not self.lost.done():
            self.lost.set_result(asyncio.get_running_loop().time())

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def header(self, name: str) -> str:
        """A header of the request."""
        lines = dict(line.lower().split(": ", 1) for line in self.head.split("\r\n")[1:])
        return lines.get(name, "")

    def send(self, data: bytes) -> None:
        """Send without waiting."""
        self.sent += len(data)
        self.transport.write(data)

    async def push(self, data: bytes) -> None:
        """Send, and wait while the client takes nothing."""
        await self._writable.wait()
        if not self.lost.done():
            self.send(data)

    @property
    def stalled(self) -> bool:
        """Whether the client takes nothing at the moment."""
        return not self._writable.is_set()


class SocketServer:
    """Answers each request by a function of its conversation.

    Attributes:
        conversations: every connection that asked something, by its order.
        open: the connections that are there now.
    """

    def __init__(self, answer: Callable[[Conversation], None]) -> None:
        self._answer = answer
        self._server: asyncio.Server | None = None
        self.conversations: list[Conversation] = []
        self.open: set[Conversation] = set()
        self.base_url = ""

    def heard(self, conversation: Conversation) -> None:
        """A request is complete."""
        self.conversations.append(conversation)
        self._answer(conversation)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(lambda: Conversation(self), "127.0.0.1", 0, backlog=8192)
        self.base_url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        left = list(self.open)
        for conversation in left:
            conversation.transport.abort()
        for conversation in left:
            await conversation.lost


def answer_at_once(deltas: int) -> Callable[[Conversation], None]:
    """A whole answer in one piece."""
    body = HEAD + b"".join([event(number) for number in range(deltas)]) + END

    def answer(conversation: Conversation) -> None:
        conversation.send(body)
        conversation.transport.close()

    return answer


@contextmanager
def descriptors(count: int) -> Iterator[None]:
    """Allow this process so many open files, or skip the test."""
    if resource is None:
        pytest.skip("this system has no limit of open files to raise")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard not in (-1, resource.RLIM_INFINITY) and hard < count:
        pytest.skip(f"a process may open {hard} files here, and the test needs {count}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def until(holds: Callable[[], bool], seconds: float = 2.0) -> None:
    """Let the loop turn until something holds.

    Raises:
        TimeoutError: it does not in this time.
    """
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.001)
