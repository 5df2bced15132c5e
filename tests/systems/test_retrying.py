"""An agent whose answer breaks off and who is supervised is asked again: what was shown is taken back, and what was spent stays spent."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.systems.scripted import Scripted

from ecs_agent import RunCompleted, Runner, TextDelta, World, append_message, spawn_agent, tool
from ecs_agent.components import LimitsComponent, TurnComponent
from ecs_agent.core import EndReason, SupervisionComponent
from ecs_agent.errors import AuthenticationError, StreamInterruptedError
from ecs_agent.providers import FakeProvider
from ecs_agent.providers.script import Script
from ecs_agent.systems import AttemptDiscarded, AttemptInterrupted, history_problems
from ecs_agent.testing import run
from ecs_agent.types import Message, StreamDelta, ToolCall, Usage

BROKEN: list[Any] = [StreamDelta(content="half an answer"), StreamInterruptedError("the connection was lost")]
WHOLE = [StreamDelta(content="all of it"), StreamDelta(finish_reason="stop", usage=Usage(5, 3, 8), final=True)]


def test_it_is_asked_again_and_the_half_answer_is_taken_back() -> None:
    async def main() -> None:
        async with World() as world:
            provider = Scripted(BROKEN, BROKEN, WHOLE)
            agent = spawn_agent(world, provider)
            world.add_component(agent.entity, SupervisionComponent(restarts=5, backoff=1.0))
            shown, completed = "", None
            async for event in agent.run("go"):
                match event:
                    case TextDelta(text=text):
                        shown += text
                    case AttemptDiscarded(message=message):
                        assert message is not None
                        assert shown == message.content
                        shown = ""
                    case RunCompleted():
                        completed = event
            assert completed is not None
            assert (completed.reason, completed.text, shown) == ("idle", "all of it", "all of it")
            assert agent.messages == [Message("user", "go"), Message("assistant", "all of it")]
            assert [[message.content for message in request] for request in provider.requests] == [["go"]] * 3
            told = [fact.payload for fact in world.log.read()]
            assert [type(event) for event in told if isinstance(event, (AttemptInterrupted, AttemptDiscarded))] == [
                AttemptInterrupted,
                AttemptDiscarded,
            ] * 2
            turn = world.get_component(agent.entity, TurnComponent)
            assert turn is not None
            assert turn.usage == Usage(5, 3 + 4 + 4, 8 + 4 + 4, estimated=True)

    run(main)


def test_what_failed_attempts_have_cost_counts_against_the_limits() -> None:
    async def main() -> None:
        async with World() as world:
            agent = spawn_agent(world, Scripted(*[BROKEN] * 20), limits=LimitsComponent(tokens=10))
            world.add_component(agent.entity, SupervisionComponent(restarts=50, backoff=0.0))
            append_message(world, agent.entity, "go")
            result = await Runner().run(world)
            assert result[agent.entity].reason is EndReason.TERMINAL

    run(main)


def test_an_error_that_another_try_does_not_mend_is_raised_at_once() -> None:
    async def main() -> None:
        async with World() as world:
            agent = spawn_agent(world, Scripted([AuthenticationError("the key is wrong")], WHOLE))
            world.add_component(agent.entity, SupervisionComponent())
            append_message(world, agent.entity, "go")
            result = await Runner().run(world)
            assert isinstance(result.errors[agent.entity], AuthenticationError)
            assert not history_problems(agent.messages)

    run(main)


def test_another_try_belongs_to_the_same_turn() -> None:
    async def main() -> None:
        async with World() as world:
            agent = spawn_agent(world, Scripted(BROKEN, WHOLE), limits=LimitsComponent(turns=1))
            world.add_component(agent.entity, SupervisionComponent(backoff=0.0))
            completed = await agent.run("go").result()
            assert (completed.text, completed.turns) == ("all of it", 1)
            told = [(fact.turn, fact.attempt) for fact in world.log.read() if fact.type == "StreamStartEvent"]
            assert told == [(1, 1), (1, 2)]

    run(main)


def test_a_half_answer_is_kept_when_a_limit_forbids_another_try() -> None:
    async def main() -> None:
        async with World() as world:
            agent = spawn_agent(world, Scripted(BROKEN, WHOLE), limits=LimitsComponent(tokens=3))
            world.add_component(agent.entity, SupervisionComponent(backoff=0.0))
            append_message(world, agent.entity, "go")
            await Runner().run(world)
            assert agent.messages[-1].content == "half an answer"

    run(main)


def test_an_interrupted_answer_of_a_stored_conversation_is_nobodys_turn() -> None:
    async def main() -> None:
        async with World() as world:
            stored = [Message("user", "hi"), Message("assistant", "half", interrupted=True)]
            agent = spawn_agent(world, Scripted(WHOLE), messages=stored)
            await Runner().run(world)
            assert agent.messages == stored

    run(main)


def test_what_a_user_says_while_tools_run_belongs_to_the_same_run() -> None:
    @tool
    async def work() -> str:
        """Takes a second."""
        await asyncio.sleep(1.0)
        return "done"

    async def main() -> None:
        async with World() as world:
            provider = FakeProvider(
                [Script(tool_calls=[ToolCall("c", "work", {})], usage=Usage(10, 10, 20)), Script("both", usage=Usage(1, 1, 2))], delay=0
            )
            agent = spawn_agent(world, provider, tools=[work])
            running = asyncio.ensure_future(agent.run("go").result())
            await asyncio.sleep(0.5)
            append_message(world, agent.entity, "meanwhile")
            completed = await running
            assert (completed.turns, completed.usage) == (2, Usage(11, 11, 22))
            assert [message.role for message in agent.messages] == ["user", "assistant", "tool", "user", "assistant"]
            assert not history_problems(agent.messages)

    run(main)


def test_what_a_user_says_while_an_answer_arrives_is_answered_next() -> None:
    async def main() -> None:
        async with World() as world:
            agent = spawn_agent(world, FakeProvider(["first answer", "second"], delay=0.01))
            running = asyncio.ensure_future(agent.run("one").result())
            await asyncio.sleep(0.05)
            append_message(world, agent.entity, "two")
            assert (await running).text == "second"
            assert [message.content for message in agent.messages] == ["one", "first answer", "two", "second"]

    run(main)
