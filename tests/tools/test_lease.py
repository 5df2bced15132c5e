"""Tools that ask for the agent whose call it is."""

from __future__ import annotations

import pytest

from ecs_agent import Entity, World, spawn_agent, tool
from ecs_agent.components import KVStoreComponent
from ecs_agent.errors import ToolArgumentsError, ToolDefinitionError
from ecs_agent.providers import FakeProvider
from ecs_agent.providers.script import Script
from ecs_agent.tools import ToolThreads, execute_call
from ecs_agent.types import ToolCall


@tool
async def remember(what: str, me: Entity) -> str:
    """Remember something.

    Args:
        what: What to remember.
        me: The agent.
    """
    store = me.get(KVStoreComponent) or KVStoreComponent()
    store.store["last"] = what
    me.add(store)
    return f"agent {me.id} remembers"


def test_the_model_does_not_see_it() -> None:
    assert set(remember.schema.parameters["properties"]) == {"what"}
    with pytest.raises(ToolArgumentsError):
        remember.validate({"what": "x", "me": 1})


async def test_each_agent_gets_itself() -> None:
    async with World() as world:
        agents = [
            spawn_agent(world, FakeProvider([Script(tool_calls=[ToolCall("c", "remember", {"what": word})]), "ok"], delay=0), tools=[remember])
            for word in ("one", "two")
        ]
        for agent in agents:
            await agent.ask("go")
        for agent, word in zip(agents, ("one", "two"), strict=True):
            assert world.get_component(agent.entity, KVStoreComponent) == KVStoreComponent({"last": word})
            assert agent.messages[2].content == f"agent {agent.entity} remembers"


async def test_without_an_agent_it_is_not_run() -> None:
    threads = ToolThreads()
    outcome = await execute_call(ToolCall("c", "remember", {"what": "x"}), remember, threads=threads)
    await threads.aclose()
    assert outcome.is_error
    assert outcome.text == "The tool remember needs an agent that calls it."


def test_a_thread_cannot_have_it() -> None:
    with pytest.raises(ToolDefinitionError, match="make it an async function"):

        @tool
        def blocking(me: Entity) -> None:
            """Blocks."""


def test_one_is_enough() -> None:
    with pytest.raises(ToolDefinitionError, match="me and you both ask for the agent"):

        @tool
        async def twice(me: Entity, you: Entity) -> None:
            """Twice."""
