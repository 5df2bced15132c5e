"""The scripted server: what it records, and that several requests share a connection."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ecs_agent.errors import ProviderConnectionError, RateLimitError
from ecs_agent.providers import OpenAIProvider
from ecs_agent.testing import FaultPlan, LoopbackServer, Received, Reply, ScriptedTransport, chat_reply, json_reply
from ecs_agent.testing.answers import ServerAnswer
from ecs_agent.types import Message, ToolCall

HI = [Message("user", "Hi")]


async def ask(provider: OpenAIProvider) -> str:
    return "".join([delta.content or "" async for delta in await provider.complete(HI, stream=True)])


async def test_answers_come_in_order_and_the_last_one_is_repeated() -> None:
    async with LoopbackServer([chat_reply("one"), chat_reply("two")]) as server, OpenAIProvider("k", server.base_url, "m") as provider:
        assert [await ask(provider) for _ in range(3)] == ["one", "two", "two"]
    assert [request.body["messages"][0]["content"] for request in server.requests] == ["Hi"] * 3
    assert not any(request.cut_off for request in server.requests)


async def test_an_answer_may_depend_on_the_request() -> None:
    def echo(request: Received) -> Reply:
        return chat_reply(request.body["model"])

    async with LoopbackServer([echo]) as server, OpenAIProvider("k", server.base_url, "m7") as provider:
        assert await ask(provider) == "m7"


async def test_pauses_pace_an_answer() -> None:
    async with LoopbackServer([chat_reply("a b c", pause=0.01)]) as server, OpenAIProvider("k", server.base_url, "m") as provider:
        stream = await provider.complete(HI, stream=True)
        async for _ in stream:
            pass
    assert (stream.timing.gap_p50 or 0) > 0.005


async def test_many_clients_at_once() -> None:
    async with LoopbackServer([chat_reply("hello")]) as server, OpenAIProvider("k", server.base_url, "m") as provider:
        assert set(await asyncio.gather(*[ask(provider) for _ in range(50)])) == {"hello"}


async def test_closing_twice_is_fine_and_a_server_needs_an_answer() -> None:
    server = LoopbackServer([json_reply({})])
    async with server:
        await server.aclose()
    with pytest.raises(ValueError, match="at least one"):
        LoopbackServer([])


async def test_it_speaks_the_scripts_of_the_fake_provider() -> None:
    answers: list[ServerAnswer] = [
        ["Let me see. ", ToolCall("c1", "add", {"a": 1})],
        RateLimitError("slow down", retry_after=2.0),
        lambda request: "Hello.",
    ]
    async with LoopbackServer(answers, by="character") as server, OpenAIProvider("k", server.base_url, "m") as provider:
        first = await provider.complete(HI)
        assert (first.message.content, first.message.tool_calls) == ("Let me see. ", [ToolCall("c1", "add", {"a": 1})])
        with pytest.raises(RateLimitError) as caught:
            await provider.complete(HI, stream=True)
        assert caught.value.retry_after == 2.0
        assert await ask(provider) == "Hello."


async def test_a_delay_paces_scripts() -> None:
    async with LoopbackServer(["a b c"], delay=0.01) as server, OpenAIProvider("k", server.base_url, "m") as provider:
        stream = await provider.complete(HI, stream=True)
        async for _ in stream:
            pass
    assert (stream.timing.gap_p50 or 0) > 0.005


async def test_a_server_may_hang_up() -> None:
    async with LoopbackServer([Reply(end="hangup")]) as server, OpenAIProvider("k", server.base_url, "m") as provider:
        with pytest.raises(ProviderConnectionError):
            await provider.complete(HI)


async def test_what_an_answering_function_raises_is_not_lost() -> None:
    def broken(request: Received) -> Reply:
        raise LookupError("no such answer")

    with pytest.raises(LookupError, match="no such answer"):
        async with LoopbackServer([broken]) as server, OpenAIProvider("k", server.base_url, "m") as provider:
            with pytest.raises(ProviderConnectionError):
                await provider.complete(HI)


async def test_it_knows_whether_it_serves() -> None:
    server = LoopbackServer(["Hello."])
    seen = [server.is_serving]
    async with server:
        seen.append(server.is_serving)
    assert [*seen, server.is_serving] == [False, True, False]


@pytest.mark.parametrize("wrong", [FaultPlan(), 5, ["text", object()]])
def test_what_cannot_be_answered_is_refused_before_anyone_asks(wrong: Any) -> None:
    for server in (LoopbackServer, ScriptedTransport):
        with pytest.raises(TypeError, match="a (scripted answer|step of a script) is"):
            server([wrong])


def test_a_server_that_was_not_started_has_no_address() -> None:
    with pytest.raises(RuntimeError, match="async with LoopbackServer"):
        _ = LoopbackServer(["Hi"]).base_url


@pytest.mark.parametrize(
    ("wrong", "words"), [({"pieces": b"data"}, "are one bytes"), ({"pieces": "data"}, "are one str"), ({"end": "close"}, "end is 'close'")]
)
def test_a_reply_of_another_shape_is_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        Reply(**wrong)
