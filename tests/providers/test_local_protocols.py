"""One real server, three protocols: the llama.cpp server of the embedded model speaks chat, responses and messages.

It reads all of them into the same prompt, so what the providers send of one conversation must be the same number of tokens.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import pytest
from pydantic import BaseModel

from ecs_agent import World, spawn_agent, tool
from ecs_agent.components import LLMComponent
from ecs_agent.errors import BadRequestError, ContextLengthError
from ecs_agent.providers import AnthropicProvider, LocalProvider, OpenAIProvider, OpenAIResponsesProvider, count_tokens, stream_object
from ecs_agent.providers.http.provider import HTTPProvider
from ecs_agent.providers.local import weights as local_weights
from ecs_agent.systems import history_problems
from ecs_agent.testing import assert_stream_laws
from ecs_agent.types import Message, ToolSchema

PROTOCOLS = [OpenAIProvider, OpenAIResponsesProvider, AnthropicProvider]
HI = [Message("system", "Be brief."), Message("user", "Say hello.")]
WEATHER = ToolSchema(
    "get_weather",
    "Get the current weather in a city.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False},
)
ASKED: dict[str, Any] = {"max_tokens": 12, "temperature": 0.0}

pytestmark = [
    pytest.mark.skipif(
        find_spec("xllamacpp") is None or local_weights.find() is None, reason="the embedded model is not installed: ecs-agent local install"
    ),
    pytest.mark.no_cover,
]


@dataclass(frozen=True)
class Server:
    """The model's server."""

    local: LocalProvider
    base_url: str
    key: Any

    def provider(self, protocol: Any) -> HTTPProvider:
        """A provider that asks it in a protocol."""
        made = protocol(self.key, self.base_url, "smollm2-135m-instruct")
        assert isinstance(made, HTTPProvider)
        return made


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with LocalProvider(context=1024) as local:
        provider = await local.start()
        yield Server(local, provider.base_url, provider._client.settings.key)


async def test_its_streams_keep_the_laws_in_every_protocol(server: Server) -> None:
    for protocol in PROTOCOLS:
        async with server.provider(protocol) as provider:
            await assert_stream_laws(provider, HI, max_tokens=12, temperature=0.0)
            stream = await provider.complete(HI, stream=True, **ASKED)
            pieces = [delta.content async for delta in stream if delta.content]
            assert len(pieces) > 5
            assert stream.result().message.content == "".join(pieces)


async def test_the_same_question_is_as_many_tokens_and_the_same_answer_in_every_protocol(server: Server) -> None:
    results = []
    for protocol in PROTOCOLS:
        async with server.provider(protocol) as provider:
            results.append(await provider.complete(HI, **ASKED))
    usages = [result.usage for result in results]
    assert len({usage and (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) for usage in usages}) == 1
    assert None not in usages
    assert len({result.message.content for result in results}) == 1


async def test_what_is_counted_before_is_what_the_answer_says(server: Server) -> None:
    for protocol in (OpenAIResponsesProvider, AnthropicProvider):
        async with server.provider(protocol) as provider:
            counted, usage = await count_tokens(provider, HI), (await provider.complete(HI, **ASKED)).usage
            assert usage is not None
            assert (counted.tokens, counted.estimated) == (usage.prompt_tokens, False)


async def test_an_answer_that_is_left_frees_its_place(server: Server) -> None:
    for protocol in PROTOCOLS:
        async with server.provider(protocol) as provider:
            for _ in range(3):  # one more than the server computes at once
                async with await provider.complete([Message("user", "Count to a thousand.")], stream=True) as stream:
                    await anext(stream)
                assert stream.result().message.interrupted
            answers = await asyncio.wait_for(asyncio.gather(*[provider.complete(HI, **ASKED) for _ in range(2)]), 20)
            assert all(answer.message.content for answer in answers)


async def test_a_conversation_that_was_led_in_all_protocols_goes_on_in_each(server: Server) -> None:
    asked, messages = Message("user", "What is the weather in Paris?"), [Message("system", "Be brief.")]
    spoken = [server.provider(protocol) for protocol in PROTOCOLS]
    forced: dict[str, Any] = {"tools": [WEATHER], "tool_choice": "required", "parallel_tool_calls": False, "max_tokens": 60, "temperature": 0.0}
    for asking in spoken:  # so small a model is asked afresh each time; what it said becomes one conversation
        called = await asking.complete([asked], **forced)
        (call,) = called.message.tool_calls or []
        assert (call.name, call.arguments, call.arguments_error) == ("get_weather", {"city": "Paris"}, None)
        messages += [asked, called.message, Message("tool", "Paris: 18 degrees, light rain", tool_call_id=call.id)]
    prompts = set()
    for answering in spoken:
        answer = await answering.complete(messages, tools=[WEATHER], tool_choice="none", **ASKED)
        assert answer.message.content
        prompts.add(answer.usage and answer.usage.prompt_tokens)
        await answering.aclose()
    assert len(prompts) == 1, "the protocols did not say the same"
    assert None not in prompts


async def test_an_agent_changes_its_provider_in_the_middle_of_a_conversation(server: Server) -> None:
    @tool
    async def get_weather(city: str) -> str:
        """Get the current weather in a city."""
        return f"{city}: 18 degrees, light rain"

    async with World() as world:
        agent = spawn_agent(world, server.local, tools=[get_weather], max_tokens=40)
        await agent.ask("What is the weather in Paris?")
        model = world.get_component(agent.entity, LLMComponent)
        assert model is not None
        for protocol in PROTOCOLS:
            model.provider = server.provider(protocol)
            assert await agent.ask("Thank you. Say hello.")
            await model.provider.aclose()
        assert history_problems(agent.messages) == []
        assert [message.role for message in agent.messages[:4]] == ["user", "assistant", "tool", "assistant"]


async def test_a_structured_answer_is_one_in_every_protocol_that_has_words_for_it(server: Server) -> None:
    class City(BaseModel):
        name: str

    asked = [Message("user", "Name a city in France, as JSON.")]
    for protocol in (OpenAIProvider, AnthropicProvider):
        async with server.provider(protocol) as provider:
            tokens = 60
            async with stream_object(provider, asked, City, mode="tool", max_tokens=tokens, temperature=0.0) as objects:
                partials = [partial async for partial in objects]
                assert objects.result() == partials[-1]
            assert isinstance(objects.result(), City)


async def test_an_overflow_and_a_wrong_key_are_told_apart(server: Server) -> None:
    for protocol in PROTOCOLS:
        async with server.provider(protocol) as provider:
            with pytest.raises((ContextLengthError, BadRequestError)) as caught:
                await provider.complete([Message("user", "word " * 4000)], **ASKED)
            assert isinstance(caught.value, ContextLengthError), caught.value
