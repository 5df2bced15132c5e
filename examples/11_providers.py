"""Providers: one conversation, led with three of them in turn, each in its own protocol. Scripted servers stand in, so it needs no key."""

import asyncio

from ecs_agent import Message
from ecs_agent.providers import AnthropicProvider, GeminiProvider, OpenAIProvider
from ecs_agent.providers.http.provider import HTTPProvider
from ecs_agent.testing import ScriptedTransport
from ecs_agent.types import ReasoningPart


async def main() -> None:
    claude = ScriptedTransport([[ReasoningPart("They ask for the capital. "), "The capital of Norway is Oslo."]])
    google = ScriptedTransport(["Some 720,000 people live in Oslo."])
    openai = ScriptedTransport(["It was called Christiania until 1925."])
    turns: list[tuple[HTTPProvider, ScriptedTransport, str]] = [  # these servers answer in the protocol of each request
        (AnthropicProvider("a-key", model="claude-opus-4-6", transport=claude), claude, "What is the capital of Norway?"),
        (GeminiProvider("a-key", model="gemini-3-flash-preview", transport=google), google, "How many people live there?"),
        (OpenAIProvider("a-key", model="gpt-5-mini", transport=openai), openai, "What was its name before?"),
    ]
    messages: list[Message] = [Message("system", "Be brief.")]
    for provider, server, question in turns:
        messages.append(Message("user", question))
        async with provider, await provider.complete(messages, stream=True) as stream:
            print(f"\n{provider.name}: ", end="")
            async for text in stream.text():
                print(text, end="", flush=True)
        messages.append(stream.result().message)  # the same kind of message, whoever said it
        print(f"\n  was asked at {server.requests[0].path} with {', '.join(server.requests[0].body)}")
    print(f"\n{len(messages)} messages; the first answer was thought about: {messages[2].reasoning}")


asyncio.run(main())
