"""The embedded model itself, where it is installed: text, a tool call, a cancel, two event loops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from importlib.util import find_spec

import pytest

from ecs_agent import World, spawn_agent, tool
from ecs_agent.providers import LocalProvider
from ecs_agent.providers.local import weights as local_weights
from ecs_agent.providers.local.provider import CALL_BEGINS, _for_a_small_model
from ecs_agent.providers.protocol import RequestOptions
from ecs_agent.systems import history_problems
from ecs_agent.types import Message, ToolSchema

HI = [Message("user", "Hi")]
SCHEMA = ToolSchema("f", "", {"type": "object"})

installed = pytest.mark.skipif(
    find_spec("xllamacpp") is None or local_weights.find() is None, reason="the embedded model is not installed: ecs-agent local install"
)


@tool
async def get_weather(city: str) -> str:
    """Get the current weather in a city."""
    return f"{city}: 18 degrees, light rain"


@pytest.fixture
async def provider() -> AsyncIterator[LocalProvider]:
    async with LocalProvider() as started:
        yield started


@installed
async def test_it_streams_text(provider: LocalProvider) -> None:
    stream = await provider.complete([Message("user", "Tell me about the sea.")], stream=True, max_tokens=20)
    pieces = [delta.content async for delta in stream if delta.content]
    assert len(pieces) > 5
    assert stream.result().finish_reason in ("stop", "length")
    assert stream.result().usage is not None


@installed
async def test_an_agent_calls_a_tool_and_answers_with_its_result(provider: LocalProvider) -> None:
    async with World() as world:
        agent = spawn_agent(world, provider, tools=[get_weather], max_tokens=60)
        done = await agent.run("What is the weather in Paris?").result()
        assert [message.role for message in agent.messages] == ["user", "assistant", "tool", "assistant"]
        (call,) = agent.messages[1].tool_calls or []
        assert (call.name, call.arguments) == ("get_weather", {"city": "Paris"})
        assert done.text
        assert history_problems(agent.messages) == []


@installed
async def test_after_a_cancel_it_answers_again_and_two_answers_fit_at_once(provider: LocalProvider) -> None:
    async with await provider.complete([Message("user", "Count to a thousand.")], stream=True) as stream:
        await anext(stream)
    answers = await asyncio.gather(*[provider.complete(HI, max_tokens=8) for _ in range(2)])
    assert all(answer.message.content for answer in answers)


@installed
def test_one_provider_in_two_event_loops() -> None:
    provider = LocalProvider()

    async def ask() -> str:
        return (await provider.complete(HI, max_tokens=4)).message.content

    assert asyncio.run(ask())
    assert asyncio.run(ask())
    asyncio.run(provider.aclose())


class TestDecidingForASmallModel:
    def test_a_users_message_with_tools_is_answered_by_a_call(self) -> None:
        messages, options = _for_a_small_model(HI, RequestOptions(tools=[SCHEMA]))
        assert messages[-1] == Message("assistant", CALL_BEGINS)
        assert (options["tool_choice"], options["parallel_tool_calls"], options["temperature"]) == ("required", False, 0.0)

    def test_a_result_is_answered_by_text(self) -> None:
        messages, options = _for_a_small_model([*HI, Message("tool", "x", tool_call_id="c")], RequestOptions(tools=[SCHEMA]))
        assert messages[-1].role == "tool"
        assert options["tools"] is None

    def test_who_asks_may_decide(self) -> None:
        assert _for_a_small_model(HI, RequestOptions(tools=[SCHEMA], tool_choice="none"))[1]["tools"] is None
        assert _for_a_small_model(HI, RequestOptions(tools=[SCHEMA], tool_choice="f"))[1]["tool_choice"] == "f"

    def test_without_tools_only_chance_is_taken_out(self) -> None:
        messages, options = _for_a_small_model(HI, RequestOptions(temperature=0.7))
        assert messages == HI
        assert options == {"temperature": 0.7, "seed": 0}
