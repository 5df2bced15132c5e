"""A kept connection that its server closes under a request: the request is sent once more, on a connection of its own, and only where it cannot
have been answered."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from ecs_agent.errors import ProviderConnectionError
from ecs_agent.providers import OpenAIProvider
from ecs_agent.types import Message

HI = [Message("user", "Hi")]
BODY = b'{"choices": [{"message": {"content": "%d"}, "finish_reason": "stop"}]}'


@dataclass
class Wire:
    """What a server saw: the number of requests on each connection."""

    base_url: str = ""
    connections: list[int] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return sum(self.connections)


@asynccontextmanager
async def server(*moves: str) -> AsyncIterator[Wire]:
    """Does with each request, in order, what its move says: "answer", "close", "reset", or a beginning of an answer and "…close" or "…reset"."""
    wire, todo = Wire(), list(moves)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place = len(wire.connections)
        wire.connections.append(0)
        wire.writers.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                move = todo.pop(0) if todo else "answer"
                wire.connections[place] += 1
                if move == "answer":
                    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
                    await asyncio.sleep(0.1 if length > 1_000_000 else 0)  # what comes meanwhile piles up on both sides
                    await reader.readexactly(length)
                    body = BODY % wire.requests
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
                    continue
                beginning, _, end = move.rpartition("…")
                if beginning:
                    writer.write(beginning.encode())
                    await writer.drain()
                    await asyncio.sleep(0.02)
                if end == "reset":
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    listening = await asyncio.start_server(converse, "127.0.0.1", 0)
    wire.base_url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    async with listening:
        yield wire
        for writer in wire.writers:
            writer.close()


async def asked(wire: Wire, times: int) -> Sequence[str]:
    async with OpenAIProvider(base_url=wire.base_url, model="m") as provider:
        return [(await provider.complete(HI)).message.content for _ in range(times)]


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_request_that_meets_a_kept_connection_as_it_closes_is_sent_once_more(end: str) -> None:
    async with server("answer", end) as wire:
        assert await asked(wire, 2) == ["1", "3"]
    assert wire.connections == [2, 1]


async def test_it_is_sent_on_a_new_connection_though_others_are_kept() -> None:
    async with server("answer", "answer", "close", "answer") as wire, OpenAIProvider(base_url=wire.base_url, model="m") as provider:
        await asyncio.gather(provider.complete(HI), provider.complete(HI))
        assert wire.connections == [1, 1]
        assert (await provider.complete(HI)).message.content == "4"
    assert sorted(wire.connections) == [1, 1, 2]


async def test_it_is_sent_once_more_and_no_more() -> None:
    async with server("answer", "close", "close", "answer") as wire:
        with pytest.raises(ProviderConnectionError, match="without an answer"):
            await asked(wire, 2)
    assert wire.requests == 3


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_request_on_a_new_connection_is_not_repeated(end: str) -> None:
    async with server(end, "answer") as wire:
        with pytest.raises(ProviderConnectionError, match="without an answer"):
            await asked(wire, 1)
    assert wire.requests == 1


@pytest.mark.parametrize("beginning", ["H", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 100 Continue\r\n\r\n"])
@pytest.mark.parametrize("end", ["close", "reset"])
async def test_nor_is_one_whose_answer_had_begun(beginning: str, end: str) -> None:
    async with server("answer", f"{beginning}…{end}", "answer") as wire:
        with pytest.raises(ProviderConnectionError):
            await asked(wire, 2)
    assert wire.requests == 2


async def test_an_answer_on_a_kept_connection_needs_nothing_of_this() -> None:
    async with server() as wire:
        assert await asked(wire, 5) == ["1", "2", "3", "4", "5"]
    assert wire.connections == [5]


async def test_a_request_that_is_longer_than_what_fits_on_the_way_waits_for_its_reader() -> None:
    async with server() as wire, OpenAIProvider(base_url=wire.base_url, model="m") as provider:
        for number in ("1", "2"):
            answer = await provider.complete([Message("user", "x" * 20_000_000)])
            assert answer.message.content == number
    assert wire.connections == [2]


async def test_a_stream_is_asked_for_once_more_too() -> None:
    async with server("answer", "close") as wire, OpenAIProvider(base_url=wire.base_url, model="m") as provider:
        await provider.complete(HI)
        async with await provider.complete(HI, stream=True) as stream:
            assert [delta.content async for delta in stream if delta.content] == ["3"]
