"""`ask` returns a whole answer or raises: nothing that was cut off passes for one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from tests.systems.scripted import Scripted, calls, text

from ecs_agent.agent import spawn_agent
from ecs_agent.components import LimitsComponent, TerminalComponent
from ecs_agent.core import World
from ecs_agent.errors import RunEndedError
from ecs_agent.tools import tool
from ecs_agent.types import Message, StreamDelta, ToolCall


@tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Broken:
    """A world system with a bug."""

    async def process(self, world: World) -> None:
        raise ZeroDivisionError("a bug of mine")


class Counting:
    """Counts to nine, and pauses after each number."""

    async def complete(self, messages: Sequence[Message], stream: bool = False) -> AsyncIterator[StreamDelta]:
        async def count() -> AsyncIterator[StreamDelta]:
            for word in ("one ", "two ", "three ", "four ", "five ", "six ", "seven ", "eight ", "nine "):
                yield StreamDelta(content=word)
                await asyncio.sleep(0)
            yield StreamDelta(finish_reason="stop", final=True)

        return count()


def endless() -> Scripted:
    return Scripted([StreamDelta(content="so far"), asyncio.Event()])


async def until_it_speaks(world: World) -> None:
    while not any(envelope.type == "StreamDeltaEvent" for envelope in world.log.read()):
        await asyncio.sleep(0)


class TestAnAnswerThatIsNotWhole:
    async def test_cut_by_a_limit_in_the_middle(self) -> None:
        async with World() as world:
            agent = spawn_agent(world, Counting(), limits=LimitsComponent(tokens=2))
            with pytest.raises(
                RunEndedError, match=f"the run of agent {agent.entity} ended before its answer was complete: terminal, max_tokens"
            ) as got:
                await agent.ask("Count.")
            assert got.value.reason == "terminal"
            assert "one " in got.value.text
            assert "nine " not in got.value.text

    async def test_cut_by_an_interruption(self) -> None:
        async with World() as world:
            agent = spawn_agent(world, endless())
            asking = asyncio.ensure_future(agent.ask("Go."))
            await until_it_speaks(world)
            agent.interrupt("enough")
            with pytest.raises(RunEndedError, match="interrupted, enough") as got:
                await asking
            assert got.value.text == "so far"

    async def test_cut_by_a_stop(self) -> None:
        async with World() as world:
            asking = asyncio.ensure_future(spawn_agent(world, endless()).ask("Go."))
            await until_it_speaks(world)
            world.stop()
            with pytest.raises(RunEndedError, match="stopped"):
                await asking

    async def test_tools_ran_and_the_answer_to_them_is_missing(self) -> None:
        provider = Scripted(calls(ToolCall("c", "add", {"a": 1, "b": 1}), content="let me see"), text("two"))
        async with World() as world:
            agent = spawn_agent(world, provider, tools=[add], limits=LimitsComponent(turns=1))
            with pytest.raises(RunEndedError, match="terminal, max_turns"):
                await agent.ask("1 + 1?")

    async def test_an_agent_that_never_answers_does_not_repeat_its_last_answer(self) -> None:
        async with World() as world:
            agent = spawn_agent(world, Scripted(), messages=[Message("user", "Hi"), Message("assistant", "Hello.")])
            world.add_component(agent.entity, TerminalComponent("retired"))
            with pytest.raises(RunEndedError, match="terminal, retired") as got:
                await agent.ask("Still there?")
            assert got.value.text == ""

    async def test_a_world_system_that_raised_is_named_with_what_it_raised(self) -> None:
        async with World() as world:
            world.register_system(Broken())
            agent = spawn_agent(world, Scripted(text("Hello.")))
            with pytest.raises(RunEndedError, match="system_failed, ZeroDivisionError: a bug of mine"):
                await agent.ask("Hi")

    async def test_a_result_says_so_and_raises_nothing(self) -> None:
        async with World() as world:
            agent = spawn_agent(world, Counting(), limits=LimitsComponent(tokens=2))
            completed = await agent.run("Count.").result()
            assert (completed.reason, completed.complete) == ("terminal", False)


async def test_an_agent_that_was_ended_after_its_whole_answer_has_answered() -> None:
    async with World() as world:
        agent = spawn_agent(world, Scripted(text("Good", "bye.")))

        class Retire:
            async def process(self, world: World) -> None:
                if agent.messages[-1].role == "assistant":
                    world.add_component(agent.entity, TerminalComponent("done"))

        world.register_system(Retire(), priority=50)
        assert await agent.ask("Say goodbye.") == "Goodbye."


class TestAFailureThatIsNoException:
    """Raised as they are, these would end, or seem to cancel, whoever asks."""

    async def test_an_exit_ends_nobody_but_the_agent(self) -> None:
        async with World() as world:
            agents = [spawn_agent(world, provider) for provider in (Scripted([SystemExit(1)]), Scripted(text("fine")))]
            bad, good = await asyncio.gather(*[agent.ask("Hi") for agent in agents], return_exceptions=True)
            assert good == "fine"
            assert isinstance(bad, RuntimeError)
            assert str(bad) == "Agent(entity=1) raised SystemExit(1)"
            assert isinstance(bad.__cause__, SystemExit)

    async def test_nor_does_a_cancel_that_nobody_sent_cancel_whoever_asks(self) -> None:
        async with World() as world:
            asking = asyncio.ensure_future(spawn_agent(world, Scripted([asyncio.CancelledError()])).ask("Hi"))
            with pytest.raises(RuntimeError, match="raised CancelledError"):
                await asking
            assert not asking.cancelled()
