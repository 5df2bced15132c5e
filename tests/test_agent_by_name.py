"""An agent whose model is named: the World keeps the provider, shares it, saves it by its service's name, and closes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecs_agent import Agent, World, WorldSerializer, spawn_agent
from ecs_agent.components import LLMComponent
from ecs_agent.errors import ConfigurationError
from ecs_agent.providers import ModelPool, ModelRegistry, Preset, resolve_model
from ecs_agent.testing import LoopbackServer, chat_reply


def llm_of(world: World, agent: Agent) -> LLMComponent:
    found = world.get_component(agent.entity, LLMComponent)
    assert found is not None
    return found


async def test_it_is_asked_for_the_model_of_its_name() -> None:
    async with LoopbackServer([chat_reply("Hello.")]) as server, World() as world:
        world.insert_resource(ModelPool(ModelRegistry([Preset("house", base_url=server.base_url, needs_key=False)])))
        assert await spawn_agent(world, "house/org/a").ask("Hi") == "Hello."
        assert await spawn_agent(world, "house/b").ask("Hi") == "Hello."
        assert await spawn_agent(world, "house/b", model="c").ask("Hi") == "Hello."
    assert [request.body["model"] for request in server.requests] == ["org/a", "b", "c"]


async def test_agents_of_a_service_share_its_provider_which_is_closed_with_the_world(monkeypatch: pytest.MonkeyPatch) -> None:
    async with World() as world:
        one, other, third = [llm_of(world, spawn_agent(world, name)) for name in ("ollama/a", "ollama/b", "lmstudio/a")]
        assert one.provider is other.provider
        assert one.provider is not third.provider
        closed: list[str] = []

        async def aclose() -> None:
            closed.append("ollama")

        monkeypatch.setattr(one.provider, "aclose", aclose)
        assert closed == []
    assert closed == ["ollama"]


async def test_a_name_that_nobody_knows_leaves_no_agent_behind() -> None:
    async with World() as world:
        with pytest.raises(ConfigurationError, match="there is no service 'olama'; did you mean 'ollama'?"):
            spawn_agent(world, "olama/qwen3")
        assert world.query(LLMComponent) == []


async def test_saved_worlds_call_the_provider_by_its_service(tmp_path: Path) -> None:
    path = tmp_path / "world.json"
    async with World() as world:
        agents = [spawn_agent(world, f"ollama/{model}") for model in ("a", "b")]
        WorldSerializer.save(world, path)
    provider = resolve_model("ollama/any")
    loaded = WorldSerializer.load(path, {"ollama": provider}, {})
    found = [llm_of(loaded, agent) for agent in agents]
    assert [(llm.provider, llm.model) for llm in found] == [(provider, "a"), (provider, "b")]
