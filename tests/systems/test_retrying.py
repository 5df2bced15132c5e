"""An agent whose answer breaks off and who is supervised is asked again: what was shown is taken back, and what was spent stays spent."""

from __future__ import annotations

from typing import Any

from tests.systems.scripted import Scripted

from ecs_agent import RunCompleted, Runner, TextDelta, World, append_message, spawn_agent
from ecs_agent.components import LimitsComponent, TurnComponent
from ecs_agent.core import EndReason, SupervisionComponent
from ecs_agent.errors import AuthenticationError, StreamInterruptedError
from ecs_agent.systems import AttemptDiscarded, AttemptInterrupted, history_problems
from ecs_agent.testing import run
from ecs_agent.types import Message, StreamDelta, Usage

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
