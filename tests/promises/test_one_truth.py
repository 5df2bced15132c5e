"""One truth (law 3): what the log says = what the agent holds = what a consumer has after all retractions = what is accounted.

Agents ask a scripted server whose answers go wrong by fault plans, under every kind of `StreamPolicy`, on virtual time. At random moments in between,
and at the end, the world is held against its log.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from ecs_agent import Runner, World, append_message, spawn_agent, tool
from ecs_agent.components import ConversationComponent, InterruptionComponent, LimitsComponent, StreamingComponent, StreamPolicy, StreamStateComponent
from ecs_agent.core import LoopClock, MemoryLog, SupervisionComponent
from ecs_agent.errors import ErrorKind
from ecs_agent.providers import OpenAIProvider
from ecs_agent.providers.capabilities import Capabilities
from ecs_agent.providers.script import Script
from ecs_agent.systems.invariants import check_facts, check_world
from ecs_agent.systems.transcript import AttemptRecord, ShownText, fold_history
from ecs_agent.testing import FaultPlan, Received, ScriptedTransport, expected_outcome, random_script, run
from ecs_agent.testing.chat_wire import ChatWire
from ecs_agent.testing.reply import Reply
from ecs_agent.testing.script_reply import scripted_reply
from ecs_agent.testing.wire import WireEvent
from ecs_agent.types import EntityId, Usage

pytestmark = pytest.mark.no_cover  # hundreds of runs through the same lines, which the tests of each part cover

SILENCE = 5.0


@tool
async def look_up(a: Any = None, b: Any = None, städte: Any = None) -> str:  # noqa: PLC2401 - the scripts draw it
    """Takes a moment."""
    await asyncio.sleep(0.01)
    return "found"


@tool(idempotent=True)
async def add(a: Any = None, b: Any = None, städte: Any = None) -> str:  # noqa: PLC2401
    """Takes no time."""
    return "added"


@dataclass
class Asked:
    """What the servers were asked, in order, and what each was to answer."""

    answers: list[tuple[Script, FaultPlan]] = field(default_factory=list[tuple[Script, FaultPlan]])


def healthy(text: str) -> tuple[Script, FaultPlan]:
    return Script(text, usage=Usage(7, 5, 12)), FaultPlan()


def text_that_breaks(draw: Random) -> tuple[Script, FaultPlan]:
    """An answer of text that is cut somewhere; what most drops look like, and what can be continued."""
    words = " ".join(draw.choices(["once", "upon", "a", "time", "naïve", "漢字"], k=draw.randint(4, 20)))
    plan = FaultPlan(
        draw.randrange(1000), by=draw.choice(["word", "character"]), cut_after=draw.randint(0, 12), end=draw.choice(["eof", "reset", "stall"])
    )
    return Script(words, usage=Usage(3, 9, 12)), plan


def servers(seed: int, asked: Asked) -> list[OpenAIProvider]:
    """Two providers, before servers that share their troubles."""
    draw = Random(seed)
    troubles = [
        text_that_breaks(draw) if draw.random() < 0.6 else (random_script(seed * 31 + number), FaultPlan.random(seed * 31 + number))
        for number in range(draw.randint(1, 5))
    ]

    def reply(_: Received) -> Reply:
        asked.answers.append(troubles.pop(0) if troubles else healthy(f"All is well after {len(asked.answers)} answers."))
        script, plan = asked.answers[-1]
        return scripted_reply(script, plan)

    can = [Capabilities(prefill=draw.random() < 0.5, continuation=draw.random() < 0.8) for _ in range(2)]
    return [
        OpenAIProvider(
            "k", ScriptedTransport.base_url, f"model-{number}", transport=ScriptedTransport([reply]), read_timeout=SILENCE, capabilities=can[number]
        )
        for number in range(2)
    ]


def policy_of(seed: int, fallback: OpenAIProvider) -> StreamPolicy | None:
    draw = Random(seed + 1)
    on_drop = (None, "raise", "retry", "continue", "continue")[seed % 5]
    if on_drop is None:
        return None
    return StreamPolicy(
        on_drop=on_drop,  # type: ignore[arg-type]  # a word of the tuple
        max_attempts=draw.randint(1, 5),
        backoff=draw.choice([0.0, 0.5]),
        fallbacks=(fallback,) if draw.random() < 0.4 else (),
        first_delta_timeout=draw.choice([None, 1.0]),
        gap_timeout=draw.choice([None, 0.5]),
        total_timeout=draw.choice([None, None, 0.05]),
    )


@dataclass
class Scene:
    """An agent, its servers, and somebody who shows what it says."""

    world: World
    entity: EntityId
    asked: Asked
    shown: ShownText


@asynccontextmanager
async def scene(seed: int) -> AsyncIterator[Scene]:
    draw, asked = Random(seed + 2), Asked()
    world = World(clock=LoopClock(), rng=Random(seed))
    world.state.log = log = MemoryLog(1_000_000)
    log.keeps_changes = True
    first, second = servers(seed, asked)
    limits = LimitsComponent(tokens=40) if draw.random() < 0.1 else None
    agent = spawn_agent(world, first, tools=[look_up, add], limits=limits, policy=policy_of(seed, second))
    if draw.random() < 0.4:
        world.add_component(agent.entity, SupervisionComponent(restarts=draw.randint(1, 4), backoff=0.1))
    if draw.random() < 0.1:
        world.add_component(agent.entity, StreamingComponent(enabled=False))
    shown = ShownText()

    async def watch() -> None:
        async for fact in world.events(agent.entity):
            shown.take(fact.payload)

    watching = asyncio.ensure_future(watch())
    await asyncio.sleep(0)
    async with world:
        yield Scene(world, agent.entity, asked, shown)
        await asyncio.sleep(0)
        watching.cancel()


async def check_now_and_then(world: World, draw: Random) -> None:
    for _ in range(12):
        await asyncio.sleep(draw.choice([0.0, 0.0005, 0.003, 0.3, 2.0]))
        assert check_world(world) == []


def told_by(script: Script, plan: FaultPlan) -> list[Usage]:
    return [item.usage for item in ChatWire(script, plan).written() if isinstance(item, WireEvent) and item.usage is not None]


def check_accounts(record: AttemptRecord, script: Script, plan: FaultPlan, *, streamed: bool) -> None:
    """Whether an attempt costs what its server counted, or is marked as estimated."""
    if record.outcome == "completed" and streamed:
        counted = {(ending.usage is None, ending.usage) for ending in expected_outcome(script, plan).endings if ending.kind is None}
        assert counted, "an answer that cannot be whole was completed"
        if (True, None) not in counted:
            assert (False, record.usage) in counted
            return
    assert record.usage is None or record.usage.estimated or record.usage in told_by(script, plan) or record.usage == script.usage


def check(scene: Scene) -> None:
    world, entity = scene.world, scene.entity
    assert check_world(world) == []
    assert check_facts(world.log.read()) == []
    conversation = world.get_component(entity, ConversationComponent)
    assert conversation is not None
    said = [message.content for message in conversation.messages if message.role == "assistant" and message.content]
    assert scene.shown.answers == said
    assert not world.has_component(entity, StreamStateComponent)
    transcript = fold_history(fact for fact in world.log.read() if fact.entity == entity)
    assert len(transcript.attempts) == len(scene.asked.answers)
    streaming = world.get_component(entity, StreamingComponent)
    for record, (script, plan) in zip(transcript.attempts, scene.asked.answers, strict=True):
        check_accounts(record, script, plan, streamed=streaming is None)


def check_attempts(scene: Scene) -> None:
    """A turn is asked as often as its policy allows, unless somebody else has it tried again."""
    policy = scene.world.get_component(scene.entity, StreamPolicy)
    if not scene.world.has_component(scene.entity, SupervisionComponent):
        attempts = fold_history(fact for fact in scene.world.log.read()).attempts
        turns = Counter((record.run, record.turn) for record in attempts)
        assert max(turns.values()) <= (policy.max_attempts if policy is not None and policy.on_drop != "raise" else 1)


@pytest.mark.parametrize("seed", range(0, 300, 25))
def test_log_conversation_consumer_and_accounts_say_the_same(seed: int) -> None:
    outcomes: Counter[str] = Counter()

    async def main(number: int) -> None:
        async with scene(number) as each:
            append_message(each.world, each.entity, "go")
            checking = asyncio.ensure_future(check_now_and_then(each.world, Random(number)))
            await Runner().run(each.world)
            checking.cancel()
            with suppress(asyncio.CancelledError):
                await checking
            check(each)
            check_attempts(each)
            outcomes.update([record.outcome for record in fold_history(each.world.log.read()).attempts])

    for number in range(seed, seed + 25):
        run(lambda number=number: main(number))  # type: ignore[misc]  # the default binds it
    assert set(outcomes) >= {"completed", "discarded", "continued", "interrupted"}, "a law that is never put to the test proves nothing"


@pytest.mark.parametrize("seed", range(1000, 1100, 25))
def test_so_they_do_when_somebody_stops_it_anywhere(seed: int) -> None:
    async def main(number: int) -> None:
        async with scene(number) as each:
            draw = Random(number)
            append_message(each.world, each.entity, "go")
            running = asyncio.ensure_future(Runner().run(each.world))
            await asyncio.sleep(draw.choice([0.0, 0.001, 0.01, 0.1, 1.0]) * draw.random())
            if draw.random() < 0.5:
                each.world.add_component(each.entity, InterruptionComponent())
            else:
                running.cancel()
            await asyncio.wait([running])
            check(each)
            append_message(each.world, each.entity, "go on")
            await Runner().run(each.world)
            check(each)

    for number in range(seed, seed + 25):
        run(lambda number=number: main(number))  # type: ignore[misc]


def test_what_is_no_drop_is_never_asked_again() -> None:
    """The plans above hold refusals of every kind; here it is said which of them a policy leaves alone."""
    never = {ErrorKind.AUTH, ErrorKind.BAD_REQUEST, ErrorKind.CONTEXT_LENGTH, ErrorKind.CONTENT_FILTER, ErrorKind.QUOTA}

    async def asked_with(kind: ErrorKind) -> int:
        requests: list[Received] = []

        def reply(request: Received) -> Reply:
            requests.append(request)
            return scripted_reply("never mind", FaultPlan(refuse=kind))

        provider = OpenAIProvider("k", ScriptedTransport.base_url, "m", transport=ScriptedTransport([reply]), read_timeout=SILENCE)
        async with World() as world:
            agent = spawn_agent(world, provider, policy=StreamPolicy("retry", max_attempts=3))
            append_message(world, agent.entity, "go")
            await Runner().run(world)
        return len(requests)

    asked = {kind: run(lambda kind=kind: asked_with(kind)) for kind in ErrorKind}  # type: ignore[misc]
    assert asked == {kind: 1 if kind in never else 3 for kind in ErrorKind}
