"""pydantic-ai: an agent's run as a stream of events, whose messages are the history of the next; with a fallback model where it is to ask again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from openai import AsyncOpenAI
from pydantic_ai import (  # type: ignore[import-not-found]  # stands in an environment of its own
    Agent,
    ModelRequest,
    PartDeltaEvent,
    PartStartEvent,
    RunCancelled,
    TextPart,
    TextPartDelta,
    ToolCallPart,
)
from pydantic_ai.models.fallback import FallbackModel  # type: ignore[import-not-found]  # likewise
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIChatModelSettings  # type: ignore[import-not-found]  # likewise
from pydantic_ai.providers.openai import OpenAIProvider  # type: ignore[import-not-found]  # likewise

from benchmarks.truth.scene import CANCELLED, WHOLE, Entry, Scene, Screen, Used


class Client:
    """An agent and the messages of its runs."""

    def __init__(self, client: AsyncOpenAI, scene: Scene) -> None:
        self.runs: list[str] | None = []
        runs = self.runs

        async def weather(city: str) -> str:
            """The weather in a city."""
            runs.append(city)
            return "sunny"

        settings = OpenAIChatModelSettings(openai_continuous_usage_stats=True) if scene.usage_so_far else None
        model = OpenAIChatModel("bench", provider=OpenAIProvider(openai_client=client), settings=settings)
        self._agent = Agent(FallbackModel(model, model) if scene.retry else model, tools=[weather] if scene.tool else [])
        self._messages: list[Any] = []
        self._usage: int | None = None

    async def ask(self, question: str, screen: Screen) -> str:
        async with self._agent.run_stream_events(question, message_history=self._messages) as events:
            try:
                async for event in events:
                    if screen.take(_text(event)):
                        events.cancel()
            except RunCancelled:
                return CANCELLED
            finally:
                self._messages = events.all_messages()
                self._usage = events.usage.total_tokens
        return WHOLE

    async def history(self) -> list[Entry]:
        return [entry for message in self._messages for entry in _entries(message)]

    def used(self) -> Used:
        return Used(self._usage)


def _text(event: Any) -> str:
    match event:
        case PartStartEvent(part=TextPart(content=text)) | PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
            return str(text)
        case _:
            return ""


def _entries(message: Any) -> list[Entry]:
    if isinstance(message, ModelRequest):
        return [Entry({"user-prompt": "user", "system-prompt": "system"}.get(part.part_kind, "tool"), str(part.content)) for part in message.parts]
    text = "".join(part.content for part in message.parts if isinstance(part, TextPart))
    calls = [part.args_as_json_str() for part in message.parts if isinstance(part, ToolCallPart)]
    return [Entry("assistant", text, message.state != "complete", calls)]


@asynccontextmanager
async def connect(scene: Scene) -> AsyncIterator[Client]:
    async with AsyncOpenAI(api_key="bench", base_url=scene.base_url) as client:
        yield Client(client, scene)
