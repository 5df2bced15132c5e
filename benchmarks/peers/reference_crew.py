"""The package `ecs-agent` 0.1.0: agents in one world, streamed, with a handler for its events of text."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.crew import ARGUMENTS, PIECE, QUESTION, Plan, Run, Take, paced
from ecs_agent.components import ConversationComponent, LLMComponent, StreamingComponent, ToolRegistryComponent
from ecs_agent.core import Runner, World
from ecs_agent.logging import configure_logging
from ecs_agent.systems.reasoning import ReasoningSystem
from ecs_agent.systems.tool_execution import ToolExecutionSystem
from ecs_agent.types import Message, StreamContentDeltaEvent, StreamDelta, ToolCall, ToolSchema  # type: ignore[attr-defined]  # its names, not ours

NUMBER = {"type": "integer"}
SCHEMA = ToolSchema("add", "Add two numbers.", {"type": "object", "properties": {"a": NUMBER, "b": NUMBER}, "required": ["a", "b"]})


async def add(a: int, b: int) -> str:
    return str(a + b)


class Fake:
    model_id = "bench"

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._answer = [*[StreamDelta(content=PIECE)] * plan.deltas, StreamDelta(finish_reason="stop")]
        self._request = [StreamDelta(tool_calls=[ToolCall("c", "add", ARGUMENTS)], finish_reason="tool_calls")]

    async def complete(self, messages: list[Message], **_: Any) -> Any:
        asks = self._plan.tool and messages[-1].role != "tool"
        return paced(self._plan, self._request if asks else self._answer)


async def bare(plan: Plan, take: Take) -> None:
    async for delta in await Fake(plan).complete([Message(role="user", content=QUESTION)]):
        if delta.content:
            take(0, delta.content)


@asynccontextmanager
async def crew(plan: Plan, take: Take) -> AsyncIterator[Run]:
    configure_logging(level="WARNING")  # it writes several lines for each delta otherwise
    world, model, numbers = World(), Fake(plan), {}
    world.register_system(ReasoningSystem(priority=0), priority=0)
    world.register_system(ToolExecutionSystem(priority=5), priority=5)
    for number in range(plan.agents):
        entity = world.create_entity()
        numbers[entity] = number
        world.add_component(entity, LLMComponent(model=model))  # type: ignore[call-arg, arg-type]  # its arguments, not ours
        world.add_component(entity, ConversationComponent(messages=[]))
        world.add_component(entity, StreamingComponent(enabled=True))
        if plan.tool:
            world.add_component(entity, ToolRegistryComponent(tools={"add": SCHEMA}, handlers={"add": add}))

    async def hear(event: Any) -> None:
        take(numbers[event.entity_id], event.delta)

    world.event_bus.subscribe(StreamContentDeltaEvent, hear)

    async def run() -> None:
        for _, (conversation,) in world.query(ConversationComponent):
            conversation.messages.append(Message(role="user", content=QUESTION))
        await Runner().run(world, max_ticks=2 if plan.tool else 1)  # it asks the model again at each tick, so it is given as many as there are turns

    yield run
