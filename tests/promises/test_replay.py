"""A recording of many agents replays to one log, whenever, wherever and however often; and what was changed in the program is named."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.promises import test_one_truth as trouble
from tests.promises.crew import FAILURES, explode, healthy
from tests.store.recorded_parts import Main, check_same, look_up, recorded, recorded_punctually, replayed, scripted
from tests.systems import test_talk as talk

from ecs_agent import Runner, World, append_message, spawn_agent
from ecs_agent.components import (
    CollaborationComponent,
    InterruptionComponent,
    LimitsComponent,
    LLMComponent,
    PlanComponent,
    StreamingComponent,
    ToolRegistryComponent,
)
from ecs_agent.core import SupervisionComponent
from ecs_agent.store.divergence import hash_of
from ecs_agent.systems import CollaborationSystem, PlanningSystem, UserInputSystem, send_message_tool
from ecs_agent.tools import tool_table

pytestmark = pytest.mark.no_cover  # the same lines thousands of times

ROOT = Path(__file__).parents[2]
AGENTS = 50


def crew(agents: int = AGENTS, *, prompts: dict[int, str] | None = None) -> Main:
    """Fifty that talk and call a tool, each at its own pace."""

    async def main(world: World) -> None:
        made = [
            spawn_agent(world, scripted(number), system_prompt=(prompts or {}).get(number, "Be brief."), tools=[look_up]) for number in range(agents)
        ]
        for agent in made:
            append_message(world, agent.entity, "go")
        await Runner().run(world)

    return main


async def talking(world: World) -> None:
    """Agents whose turns, pauses and answers are drawn by chance."""
    for agent in [healthy(world, number) for number in range(AGENTS)]:
        append_message(world, agent.entity, "go")
    await Runner().run(world)


async def failing(world: World) -> None:
    """Some that work, and some that go wrong in every way but one: a tool that cancels the call it runs in has no outcome to be recorded."""
    world.register_system(explode)
    agents = [healthy(world, number) for number in range(5)]
    agents += [fail(world) for name, fail in FAILURES.items() if name != "a tool cancels"]
    for agent in agents:
        append_message(world, agent.entity, "go")
    await Runner(grace=1.0).run(world, deadline=300.0)


def test_twenty_replays_of_fifty_agents_are_one() -> None:
    recording = recorded(crew())
    assert recording.end > AGENTS * 20
    hashes = {check_same(recording, crew()).hash for _ in range(20)}
    assert hashes == {hash_of(recording.session())}


def test_so_are_those_of_a_recording_in_real_time() -> None:
    recording = recorded(crew(), virtual=False)
    assert {check_same(recording, crew()).hash for _ in range(3)} == {hash_of(recording.session())}


@pytest.mark.parametrize("virtual", [True, False])
def test_agents_that_talk_as_chance_has_it_talk_so_again(virtual: bool) -> None:
    check_same(recorded(talking, virtual=virtual), talking)


def test_a_replay_in_real_time_is_the_same() -> None:
    recording = recorded(crew(10))
    assert replayed(recording, crew(10), None, speed=10).hash == hash_of(recording.session())


def digest() -> str:
    """What comes of recording and replaying, in one line."""
    recording = recorded(crew(20))
    return f"{recording.end} {check_same(recording, crew(20)).hash}"


def test_neither_the_process_nor_the_seed_of_hashes_matters() -> None:
    def in_a_process(hash_seed: str) -> str:
        command = [sys.executable, "-c", "from tests.promises.test_replay import digest; print(digest())"]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True, timeout=120).stdout.strip()

    assert in_a_process("1") == in_a_process("2") == digest()


@pytest.mark.parametrize(
    ("program", "told"),
    [
        (crew(prompts={29: "Be long."}), "entity 30: SystemPromptComponent.content: 'Be brief.' ≠ 'Be long.'"),
        (crew(AGENTS - 1), f"entity {AGENTS}, fact 1: EntityCreated was recorded, now there is nothing"),
        (crew(AGENTS + 1), f"entity {AGENTS + 1}, fact 1: nothing was recorded, now there is EntityCreated"),
    ],
)
def test_what_was_changed_is_named(program: Main, told: str) -> None:
    divergence = replayed(recorded(crew()), program).divergence
    assert str(divergence) == told


def test_what_went_wrong_goes_wrong_again() -> None:
    check_same(recorded(failing), failing)


def troubled(seed: int) -> Main:
    """Three agents whose models fail by plan, under policies, supervision and limits; and somebody who interrupts and interferes."""

    async def main(world: World) -> None:
        draw = Random(seed)
        agents = [_troubled_agent(world, seed * 7 + number, draw) for number in range(3)]
        for agent in agents:
            append_message(world, agent.entity, "go")
        running = asyncio.ensure_future(Runner().run(world))
        for _ in range(3):
            await asyncio.sleep(0.0001 + draw.choice([0.0, 0.001, 0.01, 0.1, 1.0]) * draw.random())
            what = draw.random()
            if running.done():
                break
            if what < 0.4:
                world.add_component(draw.choice(agents).entity, InterruptionComponent())
            elif what < 0.6:
                append_message(world, draw.choice(agents).entity, "more")
            elif what < 0.7:
                running.cancel()
                break
        with suppress(asyncio.CancelledError):
            await running
        for agent in agents:
            append_message(world, agent.entity, "go on")
        await Runner().run(world)

    return main


def _troubled_agent(world: World, seed: int, draw: Random) -> Any:
    first, second = trouble.servers(seed, trouble.Asked())
    limits = LimitsComponent(tokens=40) if draw.random() < 0.1 else None
    agent = spawn_agent(world, first, tools=[trouble.look_up, trouble.add], limits=limits, policy=trouble.policy_of(seed, second))
    if draw.random() < 0.4:
        world.add_component(agent.entity, SupervisionComponent(restarts=draw.randint(1, 4), backoff=0.1))
    if draw.random() < 0.1:
        world.add_component(agent.entity, StreamingComponent(enabled=False))
    return agent


@pytest.mark.parametrize("seed", range(0, 60, 20))
def test_failures_retries_and_interruptions_replay_as_they_were(seed: int) -> None:
    for number in range(seed, seed + 20):
        check_same(recorded(troubled(number)), troubled(number))


def test_so_they_do_when_they_happened_in_real_time() -> None:
    """Timers of a real run are a little late, and pieces that came before they fired come before them again."""
    for number in (203, 205, 206):
        check_same(recorded_punctually(troubled(number)), troubled(number))


def talkative(seed: int) -> Main:
    """Agents that plan, write to each other, ask people, call tools that fail, and are interrupted, cancelled and told things at any moment."""

    async def main(world: World) -> None:
        chance = Random(seed)
        systems: list[object] = [PlanningSystem(), CollaborationSystem(), UserInputSystem()]
        chance.shuffle(systems)
        for system in systems:
            world.register_system(system)
        everyone = [world.create_entity() for _ in range(talk.AGENTS)]
        for entity in everyone:
            world.add_component(entity, LLMComponent(talk.Moody(Random(chance.random()))))
            world.add_component(entity, LimitsComponent(turns=20))
            world.add_component(entity, CollaborationComponent([other for other in everyone if other != entity]))
            world.add_component(entity, PlanComponent(["one", "two"]))
            schemas, handlers = tool_table([send_message_tool(world, entity), talk.work, talk.broken])
            world.add_component(entity, ToolRegistryComponent(schemas, {**handlers}))
        await talk.live(world, chance)

    return main


def test_so_does_all_that_agents_tell_each_other() -> None:
    for seed in range(5):
        check_same(recorded(talkative(seed)), talkative(seed))


@pytest.mark.parametrize("seed", range(2))
def test_a_recording_that_was_cut_anywhere_replays_as_far(seed: int) -> None:
    recording = recorded(troubled(seed))
    for until in range(1 + seed, recording.end, 17):
        check_same(recording, troubled(seed), until=until)
