"""Agents that plan, write to each other, ask people, fail and are stopped at any moment: histories stay valid, no letter is lost, talk ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from random import Random
from typing import Any

import pytest

from ecs_agent.components import (
    CollaborationComponent,
    ConversationComponent,
    InterruptionComponent,
    LimitsComponent,
    LLMComponent,
    PendingToolCallsComponent,
    PlanComponent,
    StreamStateComponent,
    ToolRegistryComponent,
    UserInputComponent,
)
from ecs_agent.core import InboxComponent, LetterDelivered, MemoryLog, Runner, World
from ecs_agent.errors import ServerError
from ecs_agent.systems import (
    CollaborationSystem,
    MessageAppended,
    PlanningSystem,
    ReasoningSystem,
    ReplanningSystem,
    ToolExecutionSystem,
    UserInputSystem,
    answer_input,
    history_problems,
    send_message_tool,
)
from ecs_agent.testing import run
from ecs_agent.tools import tool, tool_table
from ecs_agent.types import EntityId, Message, StreamDelta, ToolCall

AGENTS = 4
ACTIONS = 40


class Moody:
    """A model that does anything: talks, writes to peers, calls what fails or takes time, asks for another plan, breaks off."""

    model = "moody"

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.calls = 0

    async def complete(self, messages: Sequence[Message], stream: bool = False, **_: Any) -> AsyncIterator[StreamDelta]:
        assert history_problems(messages) == []
        return self.deltas()

    async def deltas(self) -> AsyncIterator[StreamDelta]:
        chance = self.chance
        await asyncio.sleep(chance.random())
        yield StreamDelta(content=chance.choice(["ok ", "REPLAN: no ", '["a", "b"] ', "[] "]))
        await asyncio.sleep(chance.random())
        if chance.random() < 0.1:
            raise ServerError("broke off")
        if chance.random() < 0.5:
            yield StreamDelta(finish_reason="stop", final=True)
            return
        made = []
        for _ in range(chance.randint(1, 3)):
            self.calls += 1
            name = chance.choice(["send_message", "work", "broken"])
            made.append(ToolCall(f"c{self.calls}", name, {"to": chance.randint(1, AGENTS), "text": "hello"} if name == "send_message" else {}))
        yield StreamDelta(tool_calls=made, finish_reason="tool_calls", final=True)


@tool
async def work() -> str:
    """Take a second."""
    await asyncio.sleep(1)
    return "worked"


@tool
async def broken() -> str:
    """Fail."""
    raise RuntimeError("broken")


def crew(chance: Random) -> World:
    world = World(MemoryLog(1_000_000), rng=chance)
    systems: list[object] = [ReasoningSystem(), PlanningSystem(), ToolExecutionSystem(), CollaborationSystem(), ReplanningSystem(), UserInputSystem()]
    chance.shuffle(systems)
    for system in systems:
        world.register_system(system)
    everyone = [world.create_entity() for _ in range(AGENTS)]
    for entity in everyone:
        world.add_component(entity, LLMComponent(Moody(Random(chance.random()))))
        world.add_component(entity, LimitsComponent(turns=20))
        world.add_component(entity, CollaborationComponent([other for other in everyone if other != entity]))
        world.add_component(entity, PlanComponent(["one", "two"]))
        schemas, handlers = tool_table([send_message_tool(world, entity), work, broken])
        world.add_component(entity, ToolRegistryComponent(schemas, {**handlers}))
    return world


def act(world: World, chance: Random) -> None:
    entity = EntityId(chance.randint(1, AGENTS))
    match chance.randint(0, 6):
        case 0:
            world.add_component(entity, InterruptionComponent())
        case 1:
            world.add_component(entity, UserInputComponent("Well?"))
        case 2 | 3 if world.has_component(entity, UserInputComponent):
            waiting = world.get_component(entity, UserInputComponent)
            if waiting is not None and waiting.answer is None:
                answer_input(world, entity, "So.")
        case 4:
            world.touch(entity)
        case 5:
            world.add_component(entity, PlanComponent(["three", "four"]))
        case _:
            world.send(entity, "from outside")


def check(world: World) -> None:
    for entity in world.entities:
        conversation = world.get_component(entity, ConversationComponent)
        messages = conversation.messages if conversation is not None else []
        if not world.has_component(entity, PendingToolCallsComponent):
            assert history_problems(messages) == []
        assert not world.has_component(entity, StreamStateComponent)


async def live(world: World, chance: Random) -> None:
    """Forty seconds of runs, of which some are cancelled, while things happen from outside."""
    loop = asyncio.get_running_loop()
    for _ in range(ACTIONS):
        loop.call_later(30 * chance.random(), act, world, chance)
    while loop.time() < 40:
        running = asyncio.ensure_future(Runner().run(world))
        if chance.random() < 0.3:
            loop.call_later(3 * chance.random(), running.cancel)
        await asyncio.gather(running, return_exceptions=True)
        assert running.cancelled() or running.exception() is None
        check(world)
        await asyncio.sleep(1)


@pytest.mark.parametrize("seed", range(15))
def test_whatever_happens_histories_stay_valid_and_no_letter_is_lost(seed: int) -> None:
    chance = Random(seed)

    async def main() -> None:
        async with crew(chance) as world:
            await live(world, chance)
            facts = [fact.payload for fact in world.log.read()]
            sent = [fact for fact in facts if isinstance(fact, LetterDelivered)]
            waiting = sum([len(inbox.letters) for _, (inbox,) in world.query(InboxComponent)])
            read = [fact for fact in facts if isinstance(fact, MessageAppended) and fact.message.content in ("from outside", *NAMED)]
            assert len(sent) == len(read) + waiting
            assert len(sent) > 5

    run(main)


def test_the_same_seed_gives_the_same_log() -> None:
    async def main() -> list[tuple[object, ...]]:
        chance = Random(7)
        async with crew(chance) as world:
            await live(world, chance)
            return [(fact.pos, fact.entity, fact.seq, fact.run, fact.turn, fact.attempt, fact.type) for fact in world.log.read()]

    first = run(main)
    assert len(first) > 300
    assert first == run(main)


NAMED = [f"[from agent {number}] hello" for number in range(1, AGENTS + 1)]
