"""P9: nothing hangs. Wherever a server falls silent, the answer ends with the limit that has passed; in the tail after the finish it ends well,
since all of it is there.

Limits are a fifth of a second and more; what is asserted is that an answer ends by its own limit and not by a larger one, with room for a machine
under load. How near it came is printed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from ecs_agent.errors import ProviderTimeoutError
from ecs_agent.providers import OpenAIProvider
from ecs_agent.streaming import CompletionStream
from ecs_agent.testing import LoopbackServer, Reply, chunk
from ecs_agent.types import Message, Usage

HI = [Message("user", "Hi")]
LIMIT = 0.25
SLACK = 1.0  # seconds; a tenth of the limit is promised, the rest is for a machine under load
FAR = 5.0  # seconds; an answer that ends so late has hung

TEXT = chunk({"content": "so far"})
FINISH = chunk(finish="stop")
CALL = chunk({"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "f", "arguments": '{"a":'}}]})
COMMENT = b": keep-alive\n\n"
EMPTY = chunk({"content": ""})


def again_and_again(piece: bytes, pause: float = 0.02) -> list[bytes | float]:
    return [piece, pause] * int(FAR / pause)


def dribbled(data: bytes, pause: float = 0.02) -> list[bytes | float]:
    return [part for at in range(len(data)) for part in (data[at : at + 1], pause)]


@dataclass(frozen=True, slots=True)
class Stall:
    """What a server does, the limit that ends it, and the text that had arrived then (None: the head had not)."""

    reply: Reply
    limit: str
    text: str | None = ""


STALLS = {
    "before the headers": Stall(Reply(end="silent"), "read_timeout", None),
    "before the headers, first delta": Stall(Reply(end="silent"), "first_delta_timeout", None),
    "before the headers, total": Stall(Reply(end="silent"), "total_timeout", None),
    "before the headers, write": Stall(Reply(end="silent"), "write_timeout", None),
    "after the headers": Stall(Reply(end="stall"), "read_timeout"),
    "after the headers, first delta": Stall(Reply(end="stall"), "first_delta_timeout"),
    "after the first delta": Stall(Reply([TEXT], end="stall"), "read_timeout", "so far"),
    "after the first delta, total": Stall(Reply([TEXT], end="stall"), "total_timeout", "so far"),
    "in the middle of an event": Stall(Reply([TEXT, TEXT[:40]], end="stall"), "read_timeout", "so far"),
    "in the middle of a character": Stall(Reply([TEXT, 'data: {"x": "é'.encode()[:-1]], end="stall"), "read_timeout", "so far"),
    "in the middle of a tool call": Stall(Reply([CALL], end="stall"), "read_timeout"),
    "comments for ever": Stall(Reply(again_and_again(COMMENT)), "first_delta_timeout"),
    "empty deltas for ever": Stall(Reply(again_and_again(EMPTY)), "first_delta_timeout"),
    "comments for ever after the first delta": Stall(Reply([TEXT, *again_and_again(COMMENT)]), "total_timeout", "so far"),
    "a byte now and then": Stall(Reply(dribbled(TEXT * 10)), "total_timeout"),
    "a line that never ends": Stall(Reply([b"data: ", *again_and_again(b"x")]), "total_timeout"),
    "an error whose body never ends": Stall(
        Reply([b'{"error":', *again_and_again(b" ")], 500, {"content-type": "application/json"}), "total_timeout", None
    ),
    "an error without a body": Stall(Reply([], 500, {"content-type": "application/json"}, end="stall"), "read_timeout", None),
}


def limits(**given: float) -> dict[str, Any]:
    """All limits far away but those given."""
    return {"read_timeout": FAR, "first_delta_timeout": FAR, "total_timeout": FAR, "tail_timeout": FAR, **given}


async def read_all(stream: CompletionStream) -> str:
    return "".join([delta.content or "" async for delta in stream])


@pytest.mark.parametrize("stall", STALLS.values(), ids=STALLS)
async def test_a_stream_ends_by_the_limit_that_has_passed(stall: Stall) -> None:
    loop = asyncio.get_running_loop()
    async with LoopbackServer([stall.reply]) as server, OpenAIProvider("k", server.base_url, "m", **limits(**{stall.limit: LIMIT})) as provider:
        started = loop.time()
        with pytest.raises(ProviderTimeoutError, match=stall.limit) as caught:
            async with asyncio.timeout(2 * FAR):
                await read_all(await provider.complete(HI, stream=True))
        took = loop.time() - started
        await asyncio.wait_for(server.requests[0].closed.wait(), 2)
        assert provider._client._slots.open == 0
    print(f"\n{took / LIMIT:.2f} of the limit")
    assert LIMIT * 0.95 < took < LIMIT + SLACK
    partial = caught.value.partial
    assert (partial.message.content if partial is not None else None) == stall.text
    assert partial is None or partial.message.interrupted
    assert caught.value.retryable


@pytest.mark.parametrize(
    "reply",
    [Reply(end="silent"), Reply([b'{"choices": ['], 200, {"content-type": "application/json"}, end="stall"), Reply(again_and_again(COMMENT))],
    ids=["before the headers", "in the body", "comments for ever"],
)
async def test_a_whole_answer_ends_by_the_total_limit(reply: Reply) -> None:
    loop = asyncio.get_running_loop()
    async with LoopbackServer([reply]) as server, OpenAIProvider("k", server.base_url, "m", **limits(total_timeout=LIMIT)) as provider:
        started = loop.time()
        with pytest.raises(ProviderTimeoutError, match="total_timeout"):
            async with asyncio.timeout(2 * FAR):
                await provider.complete(HI)
        assert LIMIT * 0.95 < loop.time() - started < LIMIT + SLACK


async def test_asking_a_second_time_without_usage_does_not_begin_the_limit_anew() -> None:
    refusal = Reply(
        [0.2, b'{"error": {"message": "Unrecognized request argument supplied: stream_options"}}'], 400, {"content-type": "application/json"}
    )
    loop = asyncio.get_running_loop()
    async with LoopbackServer([refusal, Reply(end="silent")]) as server, OpenAIProvider("k", server.base_url, "m", total_timeout=0.3) as provider:
        started = loop.time()
        with pytest.raises(ProviderTimeoutError, match="total_timeout"):
            await provider.complete(HI, stream=True)
        assert len(server.requests) == 2
        assert loop.time() - started < 0.45


SILENCE = Reply([TEXT, FINISH], end="stall")
COMMENTS = Reply([TEXT, FINISH, *again_and_again(COMMENT)])
BYTES = Reply([TEXT, FINISH, *again_and_again(b":")])
NO_TEXT = Reply([FINISH], end="stall")


@pytest.mark.parametrize(
    ("tail", "limit"),
    [
        pytest.param(SILENCE, "tail_timeout", id="silence, tail"),
        pytest.param(SILENCE, "read_timeout", id="silence, read"),
        pytest.param(SILENCE, "total_timeout", id="silence, total"),
        pytest.param(COMMENTS, "tail_timeout", id="comments for ever, tail"),
        pytest.param(COMMENTS, "total_timeout", id="comments for ever, total"),
        pytest.param(BYTES, "tail_timeout", id="a byte now and then, tail"),
        pytest.param(BYTES, "total_timeout", id="a byte now and then, total"),
        pytest.param(NO_TEXT, "tail_timeout", id="an answer without text, tail"),
        pytest.param(NO_TEXT, "read_timeout", id="an answer without text, read"),
        pytest.param(NO_TEXT, "first_delta_timeout", id="an answer without text, first delta"),
    ],
)
async def test_in_the_tail_the_answer_is_complete_whichever_limit_ends_it(tail: Reply, limit: str) -> None:
    loop = asyncio.get_running_loop()
    async with LoopbackServer([tail]) as server, OpenAIProvider("k", server.base_url, "m", **limits(**{limit: LIMIT})) as provider:
        started = loop.time()
        stream = await provider.complete(HI, stream=True)
        async with asyncio.timeout(2 * FAR):
            text = await read_all(stream)
        assert LIMIT * 0.95 < loop.time() - started < LIMIT + SLACK
        await asyncio.wait_for(server.requests[0].closed.wait(), 2)
    result = stream.result()
    assert (result.message.content, result.finish_reason, result.usage) == (text, "stop", None)
    assert not result.message.interrupted


@pytest.mark.parametrize("noise", [COMMENT * 2_000, EMPTY * 200, b"{}\n\n" * 2_000], ids=["comments", "empty deltas", "stray lines"])
@pytest.mark.parametrize("limit", ["first_delta_timeout", "tail_timeout", "total_timeout"])
async def test_noise_for_ever_at_full_speed(noise: bytes, limit: str) -> None:
    """Then it is we who are busy and the server that is never waited for; the limits hold all the same."""
    loop = asyncio.get_running_loop()
    begins = [TEXT, FINISH] if limit == "tail_timeout" else []
    reply = Reply([*begins, *[noise] * 10_000], end="stall")
    async with LoopbackServer([reply]) as server, OpenAIProvider("k", server.base_url, "m", **limits(**{limit: LIMIT})) as provider:
        started = loop.time()
        stream = await provider.complete(HI, stream=True)
        async with asyncio.timeout(2 * FAR):
            if limit == "tail_timeout":
                assert await read_all(stream) == "so far"
            else:
                with pytest.raises(ProviderTimeoutError, match=limit):
                    await read_all(stream)
        assert loop.time() - started < LIMIT + 2 * SLACK


async def test_an_answer_without_end_ends_also_for_a_consumer_that_is_always_behind() -> None:
    """There is always something to hand out, so nobody ever waits for the server; the limit of the whole answer holds all the same."""
    loop = asyncio.get_running_loop()
    reply = Reply([TEXT * 200] * 4_000, end="stall")
    async with LoopbackServer([reply]) as server, OpenAIProvider("k", server.base_url, "m", **limits(total_timeout=LIMIT)) as provider:
        started = loop.time()
        stream = await provider.complete(HI, stream=True)
        with pytest.raises(ProviderTimeoutError, match="total_timeout"):
            async with asyncio.timeout(FAR):
                count = 0
                async for _ in stream:
                    count += 1
                    if count % 200 == 0:
                        await asyncio.sleep(0.002)
        assert loop.time() - started < LIMIT + 2 * SLACK


class TestTheConsumersTimeIsNotTheServers:
    """A limit is about the server. What had arrived in time is handed out, however late somebody asks for it."""

    usage = chunk(usage=Usage(1, 2, 3))
    done = b"data: [DONE]\n\n"

    async def test_usage_that_came_while_the_consumer_worked_is_kept(self) -> None:
        reply = Reply([TEXT + FINISH, 0.02, self.usage + self.done])
        async with LoopbackServer([reply]) as server, OpenAIProvider("k", server.base_url, "m", tail_timeout=0.1) as provider:
            stream = await provider.complete(HI, stream=True)
            async for delta in stream:
                if delta.content:
                    await asyncio.sleep(0.3)
        assert stream.result().usage == Usage(1, 2, 3)

    async def test_a_stream_that_is_read_late_is_not_late(self) -> None:
        limits: dict[str, Any] = {"first_delta_timeout": 0.1, "read_timeout": 0.1}
        reply = Reply([TEXT, FINISH, self.usage, self.done])
        async with LoopbackServer([reply]) as server, OpenAIProvider("k", server.base_url, "m", **limits) as provider:
            stream = await provider.complete(HI, stream=True)
            await asyncio.sleep(0.3)
            assert await read_all(stream) == "so far"
        assert stream.result().usage == Usage(1, 2, 3)

    async def test_a_server_that_stays_silent_is_found_out_also_when_the_consumer_is_slow(self) -> None:
        async with LoopbackServer([Reply([TEXT], end="stall")]) as server, OpenAIProvider("k", server.base_url, "m", read_timeout=0.1) as provider:
            stream = await provider.complete(HI, stream=True)
            await anext(stream)
            await asyncio.sleep(0.2)
            with pytest.raises(ProviderTimeoutError, match="read_timeout"):
                await asyncio.wait_for(anext(stream), 2)
