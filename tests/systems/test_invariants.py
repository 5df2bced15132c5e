"""Invariants: each of them finds what breaks it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest
from tests.systems.scripted import Scripted, calls, text

from ecs_agent import Agent, Runner, World, append_message, spawn_agent, tool
from ecs_agent.components import ConversationComponent, InterruptionComponent, QueuedInputComponent, StreamStateComponent, TurnComponent
from ecs_agent.core import Envelope, MemoryLog
from ecs_agent.store import open_world
from ecs_agent.systems import AttemptContinued, AttemptInterrupted, AttemptStarted, ToolExecutionCompleted
from ecs_agent.systems.invariants import check_facts, check_world
from ecs_agent.testing import run
from ecs_agent.types import Message, StreamDelta, StreamDeltaEvent, StreamEndEvent, ToolCall, Usage


@tool
async def look_up() -> str:
    """Looks."""
    return "found"


def new_world() -> World:
    world, log = World(), MemoryLog(100_000)
    log.keeps_changes = True
    world.state.log = log
    return world


async def told(world: World) -> tuple[Agent, list[Envelope]]:
    agent = spawn_agent(world, Scripted(calls(ToolCall("a", "look_up")), text("x")), tools=[look_up])
    await agent.ask("go")
    assert check_world(world) == []
    return agent, list(world.log.read())


def without(facts: list[Envelope], kind: type) -> list[Envelope]:
    gone = next(at for at, fact in enumerate(facts) if isinstance(fact.payload, kind))
    return _renumbered([*facts[:gone], *facts[gone + 1 :]])


def again(facts: list[Envelope], kind: type) -> list[Envelope]:
    at = next(at for at, fact in enumerate(facts) if isinstance(fact.payload, kind))
    return _renumbered([*facts[: at + 1], *facts[at:]])


def _renumbered(facts: list[Envelope]) -> list[Envelope]:
    seqs: dict[object, int] = {}
    found: list[Envelope] = []
    for pos, fact in enumerate(facts):
        seqs[fact.entity] = seqs.get(fact.entity, 0) + 1
        found.append(msgspec.structs.replace(fact, pos=pos, seq=seqs[fact.entity] if fact.entity is not None else 0))
    return found


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda facts: [*facts[:5], *facts[6:]], "comes"),
        (lambda facts: [msgspec.structs.replace(fact, seq=fact.seq + (fact.pos > 7)) for fact in facts], "comes"),
        (lambda facts: without(facts, StreamEndEvent), "before the one before it has ended"),
        (lambda facts: again(facts, StreamEndEvent), "none is open"),
        (lambda facts: again(facts, AttemptStarted), "before the one before it has ended"),
        (lambda facts: again(facts, ToolExecutionCompleted), "waits for none"),
    ],
    ids=["a gap in the world", "a gap in an entity", "no end", "two ends", "two beginnings", "two results"],
)
def test_facts_that_contradict_each_other_are_found(broken: Callable[[list[Envelope]], list[Envelope]], said: str) -> None:
    async def main() -> None:
        async with new_world() as world:
            _, facts = await told(world)
            assert check_facts(facts) == []
            problems = check_facts(broken(facts))
            assert problems
            assert said in problems[0]

    run(main)


def test_facts_from_the_middle_of_a_log_are_judged_by_what_is_there() -> None:
    async def main() -> None:
        async with new_world() as world:
            _, facts = await told(world)
            for start in range(len(facts)):
                assert check_facts(facts[start:]) == []

    run(main)


def _state(agent: Agent) -> None:
    agent.world.state.rows[agent.entity].components[StreamStateComponent] = StreamStateComponent(1)


def _messages(agent: Agent) -> None:
    conversation = agent.world.get_component(agent.entity, ConversationComponent)
    assert conversation is not None
    conversation.messages.pop()


def _order(agent: Agent) -> None:
    conversation = agent.world.get_component(agent.entity, ConversationComponent)
    assert conversation is not None
    del conversation.messages[2]  # the result
    agent.world.touch(agent.entity, ConversationComponent)


def _usage(agent: Agent) -> None:
    turn = agent.world.get_component(agent.entity, TurnComponent)
    assert turn is not None
    turn.usage = Usage(1, 1, 2)


def _queue(agent: Agent) -> None:
    agent.world.state.rows[agent.entity].components[QueuedInputComponent] = QueuedInputComponent([Message("user", "x")])


def _ended(agent: Agent) -> None:
    agent.world.emit(agent.entity, AttemptInterrupted(agent.entity, None, None))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_state, "has an answer in hand"),
        (_messages, "conversation is not what"),
        (_order, "has no result"),
        (_usage, "its usage is"),
        (_queue, "queued input"),
        (_ended, "none is open"),
    ],
)
def test_a_world_that_is_not_what_its_log_says_is_found(spoil: Callable[[Agent], None], said: str) -> None:
    async def main() -> None:
        async with new_world() as world:
            agent, _ = await told(world)
            spoil(agent)
            problems = check_world(world)
            assert len(problems) == 1
            assert said in problems[0]

    run(main)


def test_what_is_shown_must_be_what_is_held_in_the_middle_of_a_stream_too() -> None:
    async def main() -> None:
        async with new_world() as world:
            agent = spawn_agent(world, Scripted([StreamDelta(content="so far"), asyncio.Event()]))
            append_message(world, agent.entity, "go")
            running = asyncio.ensure_future(Runner().run(world))
            await asyncio.sleep(0.1)
            assert check_world(world) == []
            state = world.get_component(agent.entity, StreamStateComponent)
            assert state is not None
            state.deltas.append(StreamDelta(content=" and no further"))
            assert check_world(world) == [f"entity {agent.entity}: what is shown of its answer is not what it holds"]
            state.deltas.pop()
            world.add_component(agent.entity, InterruptionComponent())
            await running

    run(main)


def test_calls_at_the_end_of_a_conversation_may_wait_for_their_results() -> None:
    async def main() -> None:
        async with new_world() as world:
            history = [
                Message("user", "go"),
                Message("assistant", tool_calls=[ToolCall("a", "f"), ToolCall("b", "f")]),
                Message("tool", "x", tool_call_id="a"),
            ]
            spawn_agent(world, Scripted(), messages=history)
            assert check_world(world) == []
            spawn_agent(world, Scripted(), messages=[*history, Message("user", "next")])
            assert len(check_world(world)) == 1

    run(main)


def test_a_fork_in_the_middle_of_an_answer_is_sound() -> None:
    async def main() -> None:
        async with new_world() as world:
            agent = spawn_agent(world, Scripted([StreamDelta(content="so "), asyncio.Event()], text("far"), text("anew")))
            append_message(world, agent.entity, "go")
            running = asyncio.ensure_future(Runner().run(world))
            await asyncio.sleep(0.1)
            branches = [world.fork(agent.entity, on_fork=how) for how in ("continue", "restart", "interrupted")]
            assert check_world(world) == []
            await asyncio.sleep(0.1)
            world.add_component(agent.entity, InterruptionComponent())
            await running
            assert [Agent(world, branch).messages[-1].content for branch in branches] == ["so far", "anew", "so "]
            assert [fact.entity for fact in world.log.read() if isinstance(fact.payload, AttemptContinued)] == branches[:1]
            assert check_world(world) == []

    run(main)


def test_undo_is_sound_also_back_into_the_middle_of_an_answer_and_so_is_the_end_of_an_entity() -> None:
    async def main() -> None:
        provider = Scripted(text("one"), text("t", "wo"), text("anew"))
        async with open_world(providers={"scripted": provider}) as world:
            agent = spawn_agent(world, provider)
            await agent.ask("first")
            await agent.ask("second")
            told = {fact.seq: fact.payload for fact in world.log.read() if fact.entity == agent.entity}
            ends = [seq for seq, event in told.items() if isinstance(event, StreamEndEvent)]
            middle = next(seq for seq, event in told.items() if isinstance(event, StreamDeltaEvent) and event.delta.content == "t")
            world.undo(agent.entity, ends[0])
            assert [message.content for message in agent.messages] == ["first", "one"]
            assert check_world(world) == []
            world.undo(agent.entity, middle)
            assert world.has_component(agent.entity, StreamStateComponent)
            assert check_world(world) == []
            world.undo(agent.entity, ends[0])  # what was in hand is gone, without an end of its own
            assert check_world(world) == []
            world.undo(agent.entity, middle)
            await Runner().run(world)
            assert [message.content for message in agent.messages] == ["first", "one", "second", "anew"]
            assert check_world(world) == []
            world.delete_entity(agent.entity)
            assert check_world(world) == []

    run(main)


def test_of_a_log_that_has_dropped_its_beginning_only_what_is_left_is_judged() -> None:
    async def main() -> None:
        async with World() as world:
            world.state.log = MemoryLog(10)
            agent = spawn_agent(world, Scripted(text("x")))
            await agent.ask("go")
            assert check_world(world) == []
            append_message(world, agent.entity, Message("tool", "of nothing", tool_call_id="c"))
            assert len(check_world(world)) == 1

    run(main)
