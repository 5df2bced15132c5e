"""A system of your own: its signature is its query, and it runs beside the shipped ones."""

import asyncio
from dataclasses import dataclass

from ecs_agent import Read, World, spawn_agent, system
from ecs_agent.components import ConversationComponent
from ecs_agent.providers import FakeProvider


@dataclass(slots=True)
class WordCount:
    """How many words were said."""

    words: int = 0


@system(priority=20)
async def count_words(conversation: Read[ConversationComponent], count: WordCount) -> None:
    """Runs after each change of an agent that has a WordCount."""
    count.words = sum(len(message.content.split()) for message in conversation.messages)


async def main() -> None:
    async with World() as world:
        world.register_system(count_words)
        agent = spawn_agent(world, FakeProvider(["One two three.", "Four."]))
        world.add_component(agent.entity, WordCount())
        await agent.ask("Count to three.")
        await agent.ask("And on?")
        print(world.get_component(agent.entity, WordCount))
        print(world.schedule.explain())


asyncio.run(main())
