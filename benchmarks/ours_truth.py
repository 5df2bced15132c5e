"""The package: an agent whose run is shown as it goes, with a `StreamPolicy` where it is to ask again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.truth.scene import CANCELLED, WHOLE, Entry, Scene, Screen, Used
from ecs_agent import Agent, TextDelta, World, spawn_agent, tool
from ecs_agent.agent import RunCompleted
from ecs_agent.components import StreamPolicy, TurnComponent
from ecs_agent.providers import OpenAIProvider
from ecs_agent.systems.attempt import AttemptDiscarded
from ecs_agent.types import Message


class Client:
    """An agent."""

    def __init__(self, agent: Agent, runs: list[str]) -> None:
        self._agent = agent
        self.runs: list[str] | None = runs

    async def ask(self, question: str, screen: Screen) -> str:
        completed = None
        async with self._agent.run(question) as run:
            async for event in run:
                match event:
                    case TextDelta(text=text):
                        if screen.take(text):
                            await run.cancel()
                    case AttemptDiscarded():
                        screen.take_back()
                    case RunCompleted():
                        completed = event
                    case _:
                        pass
        assert completed is not None
        return WHOLE if completed.complete else CANCELLED

    async def history(self) -> list[Entry]:
        return [_entry(message) for message in self._agent.messages]

    def used(self) -> Used:
        turn = self._agent.world.get_component(self._agent.entity, TurnComponent)
        usage = turn.usage if turn is not None else None
        return Used(None) if usage is None else Used(usage.total_tokens, usage.estimated)


def _entry(message: Message) -> Entry:
    calls = [call.raw_arguments or str(call.arguments) for call in message.tool_calls or ()]
    return Entry(message.role, message.content, message.interrupted, calls)


@asynccontextmanager
async def connect(scene: Scene) -> AsyncIterator[Client]:
    runs: list[str] = []

    @tool
    async def weather(city: str) -> str:
        """The weather in a city."""
        runs.append(city)
        return "sunny"

    policy = StreamPolicy("retry", backoff=0.0) if scene.retry else None
    async with OpenAIProvider("bench", scene.base_url, "bench") as provider, World() as world:
        yield Client(spawn_agent(world, provider, tools=[weather] if scene.tool else [], policy=policy), runs)
