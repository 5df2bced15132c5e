"""The package `ecs-agent` 0.1.0: an agent in a world, streamed, with a handler for its events of text; with its model of retries where it is to ask
again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.truth.scene import CANCELLED, SCHEMA, WHOLE, Entry, Scene, Screen, Used
from ecs_agent.components import (
    ConversationComponent,
    ErrorComponent,
    InterruptionComponent,
    LLMComponent,
    StreamingComponent,
    TerminalComponent,
    ToolRegistryComponent,
)
from ecs_agent.core import Runner, World
from ecs_agent.logging import configure_logging
from ecs_agent.providers import ApiFormat, OpenAIModel, ProviderConfig, RetryModel  # type: ignore[attr-defined]  # its names, not ours
from ecs_agent.systems.error_handling import ErrorHandlingSystem
from ecs_agent.systems.reasoning import ReasoningSystem
from ecs_agent.systems.tool_execution import ToolExecutionSystem
from ecs_agent.types import (  # type: ignore[attr-defined]  # its names, not ours
    ErrorOccurredEvent,
    LLMInvocationEvent,
    Message,
    RetryConfig,
    StreamContentDeltaEvent,
    ToolSchema,
)


class AgentError(Exception):
    """What the reference publishes as an `ErrorOccurredEvent`."""


class Client:
    """An agent in a world of its own."""

    def __init__(self, scene: Scene) -> None:
        configure_logging(level="ERROR")
        self.runs: list[str] | None = []
        runs = self.runs

        async def weather(city: str) -> str:
            runs.append(city)
            return "sunny"

        model = OpenAIModel(ProviderConfig("bench", scene.base_url, "bench", ApiFormat.OPENAI_CHAT_COMPLETIONS), model="bench")
        if scene.retry:
            model = RetryModel(model, RetryConfig(max_attempts=3, min_wait=0.0, max_wait=0.1))
        self._world: Any = World()
        for system, priority in ((ReasoningSystem(priority=0), 0), (ToolExecutionSystem(priority=5), 5), (ErrorHandlingSystem(priority=99), 99)):
            self._world.register_system(system, priority=priority)
        self._entity = self._world.create_entity()
        self._world.add_component(self._entity, LLMComponent(model=model))  # type: ignore[call-arg]  # its arguments, not ours
        self._world.add_component(self._entity, ConversationComponent(messages=[]))
        self._world.add_component(self._entity, StreamingComponent(enabled=True))
        if scene.tool:
            function: Any = SCHEMA["function"]
            schema = ToolSchema(function["name"], function["description"], function["parameters"])
            self._world.add_component(self._entity, ToolRegistryComponent(tools={schema.name: schema}, handlers={schema.name: weather}))
        self._screen: Screen | None = None
        self._running: asyncio.Future[Any] | None = None
        self._failed: list[str] = []
        self._tokens: list[int] = []
        self._world.event_bus.subscribe(StreamContentDeltaEvent, self._hear)
        self._world.event_bus.subscribe(ErrorOccurredEvent, self._note)
        self._world.event_bus.subscribe(LLMInvocationEvent, self._count)

    async def _hear(self, event: Any) -> None:
        assert self._screen is not None
        if self._screen.take(event.delta) and self._running is not None:
            self._running.cancel()

    async def _note(self, event: Any) -> None:
        self._failed.append(event.error)

    async def _count(self, event: Any) -> None:
        if event.usage is not None and event.usage.total_tokens is not None:
            self._tokens.append(event.usage.total_tokens)

    async def ask(self, question: str, screen: Screen) -> str:
        self._screen = screen
        self._failed.clear()
        self._tokens.clear()
        self._world.get_component(self._entity, ConversationComponent).messages.append(Message(role="user", content=question))
        for kind in (ErrorComponent, InterruptionComponent, TerminalComponent):
            if self._world.has_component(self._entity, kind):
                self._world.remove_component(self._entity, kind)
        self._running = asyncio.ensure_future(self._turns())
        try:
            await self._running
        except asyncio.CancelledError:
            return CANCELLED
        return WHOLE

    async def _turns(self) -> None:
        """It asks the model again at each tick, so it is given one, and another while the last message is not the model's."""
        for _ in range(3):
            await Runner().run(self._world, max_ticks=1)
            if self._failed:
                raise AgentError(self._failed[0])
            if self._messages()[-1].role != "tool":
                return

    def _messages(self) -> list[Any]:
        messages: list[Any] = self._world.get_component(self._entity, ConversationComponent).messages
        return messages

    async def history(self) -> list[Entry]:
        return [
            Entry(message.role, message.content, calls=[str(call.arguments) for call in message.tool_calls or ()]) for message in self._messages()
        ]

    def used(self) -> Used:
        return Used(sum(self._tokens) if self._tokens else None)


@asynccontextmanager
async def connect(scene: Scene) -> AsyncIterator[Client]:
    yield Client(scene)
