"""P8: a slow consumer slows the server, and never fills our memory: what is buffered between socket and consumer has a bound, however much the
server would like to send. Nothing is lost by it."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest
from tests.promises.socket_server import END, HEAD, Conversation, SocketServer

from ecs_agent.providers import OpenAIProvider
from ecs_agent.testing import chunk
from ecs_agent.types import Message

HI = [Message("user", "Hi")]
MIB = 1024 * 1024
WORD = "x" * 1000
PIECE = chunk({"content": WORD}) * 64
PIECES = 55 * MIB // len(PIECE)
BUFFERED = 4 * MIB  # in this process; the kernel's buffers, which have limits of their own, come on top
IN_FLIGHT = 24 * MIB  # both together, as the server sees it: the largest socket buffers that systems allow by themselves


class Flood:
    """Sends more than 50 MB as fast as the client takes it, and notes what it got rid of."""

    def __init__(self) -> None:
        self.conversation: Conversation | None = None
        self.sending: asyncio.Task[None] | None = None

    def answer(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.sending = asyncio.ensure_future(self._send(conversation))

    async def _send(self, conversation: Conversation) -> None:
        await conversation.push(HEAD)
        for _ in range(PIECES):
            await conversation.push(PIECE)
        await conversation.push(END)

    @property
    def sent(self) -> int:
        """Bytes that have left the server."""
        assert self.conversation is not None
        return self.conversation.sent - self.conversation.transport.get_write_buffer_size()

    async def stall(self) -> int:
        """Wait until nothing moves any more; the bytes that are under way."""
        before = -1
        while before != self.sent:
            before = self.sent
            await asyncio.sleep(0.05)
        return before


async def test_a_consumer_that_pauses_stalls_the_server_and_then_gets_everything() -> None:
    asyncio.get_running_loop().set_debug(False)
    flood = Flood()
    async with SocketServer(flood.answer) as server, OpenAIProvider("k", server.base_url, "m") as provider:
        stream = await provider.complete(HI, stream=True)
        await anext(stream)
        tracemalloc.start()
        try:
            under_way = await flood.stall()
            buffered, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert flood.sending is not None
        assert flood.conversation is not None
        assert flood.conversation.stalled
        assert not flood.sending.done()
        assert under_way < IN_FLIGHT
        assert buffered < BUFFERED

        length = len(WORD)
        async for delta in stream:
            length += len(delta.content or "")
        await flood.sending
    print(f"\n{under_way / MIB:.1f} MiB under way, {buffered / MIB:.1f} MiB of them in this process, of {PIECES * len(PIECE) / MIB:.0f} MiB")
    assert length == PIECES * 64 * len(WORD)
    assert not stream.result().message.interrupted


@pytest.mark.parametrize("deltas_a_tick", [1, 50])
async def test_a_consumer_of_some_deltas_a_tick_never_makes_us_hold_more(deltas_a_tick: int) -> None:
    """Each tick lets the server and the client's socket run as far as they like."""
    asyncio.get_running_loop().set_debug(False)
    flood = Flood()
    async with SocketServer(flood.answer) as server, OpenAIProvider("k", server.base_url, "m") as provider:
        stream = await provider.complete(HI, stream=True)
        consumed, ahead = 0, 0
        for _ in range(200):
            for _ in range(deltas_a_tick):
                consumed += len((await anext(stream)).content or "")
            for _ in range(20):
                await asyncio.sleep(0)
            ahead = max(ahead, flood.sent - consumed)
        assert flood.conversation is not None
        assert flood.conversation.stalled
        assert ahead < IN_FLIGHT
        await stream.aclose()
        await flood.conversation.lost
        assert flood.sending is not None
        flood.sending.cancel()


async def test_what_is_read_ahead_for_a_consumer_that_never_comes_is_bounded_too() -> None:
    asyncio.get_running_loop().set_debug(False)
    flood = Flood()
    async with SocketServer(flood.answer) as server, OpenAIProvider("k", server.base_url, "m") as provider:
        async with await provider.complete(HI, stream=True) as stream:
            assert await flood.stall() < IN_FLIGHT
        assert stream.result().message.content == ""
        assert flood.sending is not None
        flood.sending.cancel()
