"""Five thousand answers at once through one provider: all of them whole, none of them late for a hidden limit of a pool."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.promises.socket_server import END, HEAD, Conversation, SocketServer, descriptors, event, text_of

from ecs_agent.providers import OpenAIProvider
from ecs_agent.types import Message

pytestmark = pytest.mark.no_cover  # traced, it would be three times the work; what it runs is covered elsewhere

HI = [Message("user", "Hi")]
STREAMS = 5_000
DELTAS = 20
EVENTS = [event(number) for number in range(DELTAS)]


class Rounds(SocketServer):
    """Waits for all clients; then each delta goes to all of them before the next one does."""

    def __init__(self, streams: int) -> None:
        super().__init__(self._begin)
        self._streams = streams
        self.most_open = 0
        self.rounds: asyncio.Task[None] | None = None

    def _begin(self, conversation: Conversation) -> None:
        conversation.send(HEAD)
        self.most_open = max(self.most_open, len(self.open))
        if len(self.conversations) == self._streams:
            self.rounds = asyncio.ensure_future(self._send())

    async def _send(self) -> None:
        for data in EVENTS:
            for at, conversation in enumerate(self.conversations):
                conversation.send(data)
                if at % 500 == 0:
                    await asyncio.sleep(0)
        for conversation in self.conversations:
            conversation.send(END)
            conversation.transport.close()


async def test_five_thousand_streams_through_one_provider() -> None:
    asyncio.get_running_loop().set_debug(False)  # it would cost more than all the rest
    with descriptors(2 * STREAMS + 500):
        started = time.monotonic()
        async with Rounds(STREAMS) as server, OpenAIProvider("k", server.base_url, "m", connect_timeout=60) as provider:

            async def ask() -> tuple[str, str | None]:
                stream = await provider.complete(HI, stream=True)
                text = "".join([delta.content or "" async for delta in stream])
                return text, stream.result().finish_reason

            async with asyncio.timeout(150):  # a hidden limit would make the server wait for ever
                answers = await asyncio.gather(*[ask() for _ in range(STREAMS)])
            assert server.most_open == STREAMS
            assert provider._client._slots.open == 0
        print(f"\n{STREAMS} streams of {DELTAS} deltas in {time.monotonic() - started:.1f} s")
    assert set(answers) == {(text_of(DELTAS), "stop")}


async def test_a_limit_of_streams_makes_the_rest_wait_their_turn() -> None:
    open_at_once = 0

    def answer(conversation: Conversation) -> None:
        nonlocal open_at_once
        open_at_once = max(open_at_once, len(server.open))
        conversation.send(HEAD + event(0) + END)
        conversation.transport.close()

    async with SocketServer(answer) as server, OpenAIProvider("k", server.base_url, "m", max_streams=7) as provider:

        async def ask() -> str:
            return "".join([delta.content or "" async for delta in await provider.complete(HI, stream=True)])

        assert await asyncio.gather(*[ask() for _ in range(100)]) == [text_of(1)] * 100
    assert open_at_once <= 2 * 7  # a connection that just ended may still be open beside the one that takes its place
