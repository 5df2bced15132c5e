"""Memory: long conversations are trimmed, short ones are left alone, and nothing loops."""

from __future__ import annotations

from ecs_agent.components import ConversationComponent
from ecs_agent.core import Runner, World
from ecs_agent.systems import MemorySystem, history_problems
from ecs_agent.types import ConversationTruncatedEvent, EntityId, Message, ToolCall


def remembering(messages: list[Message], most: int) -> tuple[World, EntityId]:
    world = World()
    world.register_system(MemorySystem())
    entity = world.create_entity()
    world.add_component(entity, ConversationComponent(messages, max_messages=most))
    return world, entity


def left(world: World, entity: EntityId) -> list[Message]:
    held = world.get_component(entity, ConversationComponent)
    assert held is not None
    return held.messages


async def test_the_oldest_turns_go_and_an_event_says_how_many() -> None:
    history = [Message("user", str(n)) if n % 2 == 0 else Message("assistant", str(n)) for n in range(10)]
    world, entity = remembering(history, 4)
    await Runner().run(world)
    assert [m.content for m in left(world, entity)] == ["6", "7", "8", "9"]
    assert [e.payload for e in world.log.read() if isinstance(e.payload, ConversationTruncatedEvent)] == [ConversationTruncatedEvent(entity, 6)]


async def test_a_short_conversation_is_left_alone() -> None:
    world, entity = remembering([Message("user", "hi")], 4)
    result = await Runner().run(world)
    assert result[entity].steps == 0


async def test_a_turn_that_is_longer_than_the_limit_stays_whole() -> None:
    made = [ToolCall(f"c{n}", "f") for n in range(5)]
    history = [Message("user", "go"), Message("assistant", "", made), *[Message("tool", "x", tool_call_id=c.id) for c in made]]
    world, entity = remembering(history, 3)
    result = await Runner().run(world)
    assert history_problems(left(world, entity)) == []
    assert len(left(world, entity)) == 6
    assert result[entity].error is None
