"""A crew: 200 agents over one model server, watched in a live table. The same table: `ecs-agent top examples/08_crew.py`."""

import asyncio

from ecs_agent import Runner, ToolCall, World, append_message, spawn_agent, tool
from ecs_agent.cli.live_table import live_table
from ecs_agent.components import NameComponent
from ecs_agent.errors import ServerError
from ecs_agent.providers import OpenAIProvider
from ecs_agent.providers.script import Answer
from ecs_agent.testing import LoopbackServer, Received

CREW = 200


@tool
async def visit(place: int) -> str:
    """Look after a place.

    Args:
        place: Its number.
    """
    await asyncio.sleep(0.5 + place % 3)
    return f"place {place}: all is well"


def answer(request: Received) -> Answer:
    """What the model says: some places it has visited first, and about some it knows nothing."""
    messages = request.body["messages"]
    place = int(messages[0]["content"].split()[-1])
    if len(messages) == 1 and place % 4 == 0:
        return ["Let me look. ", ToolCall("call_1", "visit", {"place": place})]
    if place % 40 == 7:
        return ["All is ", 0.3, ServerError("the model was taken away")]
    return f"Place {place}, as of now: " + "all is well, " * (4 + place % 11) + "over."


async def main(world: World) -> None:
    async with LoopbackServer([answer], delay=0.04) as server, OpenAIProvider("no-key", server.base_url, "scripted") as provider:
        for number in range(CREW):
            agent = spawn_agent(world, provider, tools=[visit])
            world.add_component(agent.entity, NameComponent(f"scout {number}"))
            append_message(world, agent.entity, f"Report on place {number}")
        result = await Runner().run(world)
        print(f"{CREW - len(result.errors)} of {CREW} reports")


async def alone() -> None:
    async with World() as world, live_table(world):
        await main(world)


if __name__ == "__main__":
    asyncio.run(alone())
