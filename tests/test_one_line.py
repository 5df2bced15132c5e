"""The same agent code runs on a script, on the embedded model, and on any compatible server; only the line that makes the provider differs."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from ecs_agent import CompletionResult, Message, ProviderError, RunCompleted, StreamInterruptedError, ToolCall, World, spawn_agent, tool
from ecs_agent.errors import ProviderConnectionError
from ecs_agent.providers import FakeProvider, LLMProvider, LocalProvider, OpenAIProvider
from ecs_agent.providers.local import weights as local_weights
from ecs_agent.systems import history_problems
from ecs_agent.testing import LoopbackServer, chat_reply

CALL = ToolCall("c1", "get_weather", {"city": "Paris"})


@tool
async def get_weather(city: str) -> str:
    """Get the current weather in a city."""
    return f"{city}: 18 degrees"


async def weather(provider: LLMProvider) -> tuple[RunCompleted, list[Message]]:
    async with World() as world:
        agent = spawn_agent(world, provider, tools=[get_weather], max_tokens=60)
        return await agent.run("What is the weather in Paris?").result(), agent.messages


def hold(done: RunCompleted, messages: list[Message]) -> None:
    assert (done.reason, done.turns) == ("idle", 2)
    assert done.text
    assert [message.role for message in messages] == ["user", "assistant", "tool", "assistant"]
    assert messages[2].content == "Paris: 18 degrees"
    assert history_problems(messages) == []


async def test_a_script() -> None:
    hold(*await weather(FakeProvider([CompletionResult(Message("assistant", "", [CALL])), "It is 18 degrees."], delay=0)))


async def test_a_server() -> None:
    async with LoopbackServer([chat_reply(tool_calls=[CALL]), chat_reply("It is 18 degrees.")]) as server:
        async with OpenAIProvider("k", server.base_url, "m") as provider:
            hold(*await weather(provider))
        assert [message["role"] for message in server.requests[1].body["messages"]] == ["user", "assistant", "tool"]


@pytest.mark.skipif(
    find_spec("xllamacpp") is None or local_weights.find() is None, reason="the embedded model is not installed: ecs-agent local install"
)
async def test_the_embedded_model() -> None:
    async with LocalProvider() as provider:
        hold(*await weather(provider))


async def test_a_server_that_is_killed_in_the_middle_leaves_what_was_said_in_the_conversation() -> None:
    server = LoopbackServer([chat_reply("The weather is", finish=False, end="reset")])
    async with server, OpenAIProvider("k", server.base_url, "m") as provider, World() as world:
        agent = spawn_agent(world, provider)
        with pytest.raises(StreamInterruptedError) as caught:
            await agent.ask("What is the weather?")
        assert agent.messages[-1] == Message("assistant", "The weather is", interrupted=True)
        assert caught.value.partial is not None
        await server.aclose()
        with pytest.raises(ProviderError) as refused:
            await agent.ask("Again?")
        assert isinstance(refused.value, ProviderConnectionError)
        assert [message.content for message in agent.messages] == ["What is the weather?", "The weather is", "Again?"]


async def test_leaving_an_agents_run_closes_the_socket() -> None:
    async with LoopbackServer([chat_reply("a b c", finish=False, end="stall")]) as server, OpenAIProvider("k", server.base_url, "m") as provider:
        async with World() as world:
            agent = spawn_agent(world, provider)
            async with agent.run("Hi") as run:
                await anext(run)
                while not agent.messages or not server.requests:
                    await anext(run)
            await server.requests[0].closed.wait()
        assert server.requests[0].cut_off
