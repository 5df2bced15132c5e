"""A fork: a chat is branched in the middle of an answer, another model goes on from there, and the two are compared."""

import asyncio
from collections.abc import Sequence

from ecs_agent import Agent, Message, Runner, spawn_agent
from ecs_agent.components import LLMComponent, StreamStateComponent
from ecs_agent.providers import FakeProvider
from ecs_agent.providers.capabilities import Capabilities
from ecs_agent.store import diff_entities, open_world
from ecs_agent.types import StreamDeltaEvent


def go_on(messages: Sequence[Message]) -> str:
    """What the second model says behind half an answer, which it is sent as the last message."""
    return "Canberra, though many think of Sydney." if messages[-1].content.endswith(" is ") else "I am not sure."


async def main() -> None:
    first = FakeProvider(["The capital of Australia is Sydney, of course."], by="word", name="first")
    second = FakeProvider([go_on], by="word", name="second", capabilities=Capabilities(prefill=True))
    async with open_world(providers=[first, second]) as world:  # with a path, all of it would stand in a file
        agent = spawn_agent(world, first, system_prompt="Be brief.")
        print("first:", await agent.ask("What is the capital of Australia?"))

        deltas = [fact for fact in world.log.read() if isinstance(fact.payload, StreamDeltaEvent)]
        half = next(fact.seq for fact in deltas if fact.payload.delta.content == "is ")
        branch = Agent(world, world.fork(agent.entity, LLMComponent(second), at=half))
        state = world.get_component(branch.entity, StreamStateComponent)
        print("the branch begins with:", state and state.result().message.content)
        await Runner().run(world)
        print("second:", branch.messages[-1].content)

        print("\nWhat differs:")
        for difference in diff_entities((world, agent.entity), (world, branch.entity)):
            if "timing" not in difference.path:
                print(" ", difference)


asyncio.run(main())
