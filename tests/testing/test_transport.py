"""The server in memory: it plays replies as the one on loopback does, on any clock."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ecs_agent.errors import ProviderConnectionError, ProviderTimeoutError, StreamInterruptedError
from ecs_agent.providers import OpenAIProvider
from ecs_agent.testing import Reply, ScriptedTransport, chunk, run
from ecs_agent.types import Message, ToolCall, Usage

HI = [Message("user", "Hi")]


def provider_over(transport: ScriptedTransport, **options: Any) -> OpenAIProvider:
    return OpenAIProvider("k", transport.base_url, "m", transport=transport, **options)


def test_it_answers_scripts_replies_and_functions_and_remembers_what_was_asked() -> None:
    transport = ScriptedTransport(["One.", Reply([chunk({"content": "Two."}), chunk(finish="stop")]), lambda request: request.body["model"]])

    async def main() -> list[str]:
        return [(await provider_over(transport).complete(HI, model=model)).message.content for model in ("a", "b", "c")]

    assert run(main) == ["One.", "Two.", "c"]
    assert [request.path for request in transport.requests] == ["/v1/chat/completions"] * 3
    assert not any(request.cut_off for request in transport.requests)


def test_whole_and_streamed_are_the_same_answer() -> None:
    call = ToolCall("c1", "add", {"a": 1})
    transport = ScriptedTransport([["Let me see. ", 1.0, call, Usage(1, 2, 3)]])

    async def main() -> None:
        whole = await provider_over(transport).complete(HI)
        async with await provider_over(transport).complete(HI, stream=True) as stream:
            async for _ in stream:
                pass
        assert (whole.message, whole.usage, whole.finish_reason) == (stream.result().message, Usage(1, 2, 3), "tool_calls")
        assert whole.message.tool_calls == [call]

    run(main)


def test_its_pauses_are_virtual_on_a_virtual_clock() -> None:
    async def main() -> float:
        stream = await provider_over(ScriptedTransport(["a b c", "d"], delay=60.0)).complete(HI, stream=True)
        async for _ in stream:
            pass
        return asyncio.get_running_loop().time()

    assert run(main) > 180


def test_silence_before_the_head_and_in_the_body_meets_the_limits_of_the_client() -> None:
    async def main(end: Any) -> None:
        with pytest.raises(ProviderTimeoutError):
            stream = await provider_over(ScriptedTransport([Reply(end=end)]), read_timeout=5.0).complete(HI, stream=True)
            async for _ in stream:
                pass

    run(lambda: main("silent"))
    run(lambda: main("stall"))


def test_a_connection_can_be_refused_and_lost() -> None:
    async def main() -> None:
        with pytest.raises(ProviderConnectionError):
            await provider_over(ScriptedTransport([Reply(end="hangup")])).complete(HI)
        with pytest.raises(StreamInterruptedError):
            await provider_over(ScriptedTransport([Reply([chunk({"content": "a"})], end="reset")])).complete(HI)

    run(main)


def test_leaving_is_noticed_at_once_and_wakes_the_reader() -> None:
    transport = ScriptedTransport([["a", 3600.0, "b"]])

    async def main() -> float:
        stream = await provider_over(transport).complete(HI, stream=True)
        await anext(stream)
        reader = asyncio.create_task(anext(stream, None))
        await asyncio.sleep(1)
        await stream.aclose()
        await reader
        return asyncio.get_running_loop().time()

    assert run(main) == pytest.approx(1)
    assert transport.requests[0].closed.is_set()
    assert transport.requests[0].cut_off


def test_typical_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="at least one"):
        ScriptedTransport([])
    with pytest.raises(TypeError, match="list of answers"):
        ScriptedTransport("Hello.")
