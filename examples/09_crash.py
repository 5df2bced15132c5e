"""A crash: a crew is killed in the middle of its answers, and goes on in another process as if nothing had been."""

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ecs_agent import Message, Runner, append_message, spawn_agent
from ecs_agent.components import ConversationComponent, StreamPolicy, StreamStateComponent
from ecs_agent.providers import FakeProvider
from ecs_agent.providers.capabilities import Capabilities
from ecs_agent.store import open_world

STORY = "Once upon a time there was a stream. It rose in the hills, passed the mill, and came to the sea at last."


def tell(messages: Sequence[Message]) -> str:
    """What the model says: the story, or the rest of it behind what it has said already."""
    last = messages[-1]
    return STORY.removeprefix(last.content if last.role == "assistant" else "")


def model() -> FakeProvider:
    return FakeProvider([tell] * 9, by="word", delay=0.05, name="model", capabilities=Capabilities(prefill=True))


async def work(path: str) -> None:
    async with open_world(path, providers=[provider := model()]) as world:
        for policy in (StreamPolicy(on_restore="continue"), StreamPolicy(on_restore="restart"), StreamPolicy(on_restore="interrupted")):
            agent = spawn_agent(world, provider, policy=policy)
            append_message(world, agent.entity, "Tell me a story.")
        working = asyncio.ensure_future(Runner().run(world))
        await asyncio.sleep(0.4)
        print(f"the crew is at work, and all is safe up to position {await world.commit()}", flush=True)
        await working


async def go_on(path: str) -> None:
    async with open_world(path, providers=[provider := model()]) as world:
        for entity, (state, policy) in world.query(StreamStateComponent, StreamPolicy):
            print(f"agent {entity} was saying {state.result().message.content!r}: {policy.on_restore}")
        await Runner().run(world)
        for entity, (conversation,) in world.query(ConversationComponent):
            said = conversation.messages[-1]
            print(f"agent {entity} says {said.content!r}{', interrupted' if said.interrupted else ''}")
        print(f"the model was asked {len(provider.calls)} times, once for a rest: {provider.calls[0].messages[-1].content!r} …")


if len(sys.argv) > 1:
    asyncio.run(work(sys.argv[1]))
else:
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder, "crew.db"))
        with subprocess.Popen([sys.executable, __file__, store], stdout=subprocess.PIPE, text=True) as child:
            print(child.stdout.readline() if child.stdout else "", end="")
            child.kill()  # as kill -9 does: nothing can be tidied up any more
        print("it was killed")
        asyncio.run(go_on(store))
