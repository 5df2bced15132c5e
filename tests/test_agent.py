"""The five-line way in: runs, their events, who owns them, and how they end."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from tests.systems.scripted import Scripted, calls, text

from ecs_agent.agent import Agent, AgentEvent, RunCompleted, install, spawn_agent
from ecs_agent.components import InterruptionComponent, LimitsComponent, PendingToolCallsComponent, TerminalComponent
from ecs_agent.core import World
from ecs_agent.errors import EntityNotFoundError, RateLimitError, StreamInterruptedError, WorldBusyError, WorldClosedError
from ecs_agent.streaming import Finished, TextDelta, ToolCallCompleted
from ecs_agent.systems import ToolExecutionCompleted, ToolExecutionStarted, TurnStarted, history_problems
from ecs_agent.tools import tool
from ecs_agent.types import Message, StreamDelta, ToolCall, Usage


@tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def endless() -> Scripted:
    return Scripted([StreamDelta(content="so far"), asyncio.Event()])


async def first_text(run: Any) -> str:
    async for event in run:
        if isinstance(event, TextDelta):
            return event.text
    raise AssertionError("no text")


async def test_a_run_yields_the_turn_as_typed_events_and_then_ends() -> None:
    provider = Scripted(calls(ToolCall("c", "add", {"a": 2, "b": 3}), content="let me see"), text("It is ", "five."))
    async with World() as world:
        agent = spawn_agent(world, provider, tools=[add])
        events = [event async for event in agent.run("2 + 3?")]
    kinds = [type(event) for event in events]
    assert kinds.count(TurnStarted) == 2
    assert kinds.count(Finished) == 2
    assert kinds[-1] is RunCompleted
    order = [kinds.index(kind) for kind in (TurnStarted, TextDelta, ToolCallCompleted, Finished, ToolExecutionStarted, ToolExecutionCompleted)]
    assert order == sorted(order)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "let me seeIt is five."
    assert [event.text for event in events if isinstance(event, ToolExecutionCompleted)] == ["5"]
    completed = events[-1]
    assert isinstance(completed, RunCompleted)
    assert (completed.reason, completed.text, completed.turns) == ("idle", "It is five.", 2)


async def test_the_conversation_is_the_run() -> None:
    provider = Scripted(calls(ToolCall("c", "add", {"a": 2, "b": 3})), text("five"))
    async with World() as world:
        agent = spawn_agent(world, provider, system_prompt="Add.", tools=[add])
        await agent.ask("2 + 3?")
        assert [m.role for m in agent.messages] == ["user", "assistant", "tool", "assistant"]
        assert [m.role for m in provider.requests[1]] == ["system", "user", "assistant", "tool"]
        assert history_problems(agent.messages) == []


async def test_a_conversation_goes_on_over_runs() -> None:
    provider = Scripted(text("one"), text("two"))
    async with World() as world:
        agent = spawn_agent(world, provider)
        assert await agent.ask("1") == "one"
        assert await agent.ask("2") == "two"
        assert [m.content for m in provider.requests[1]] == ["1", "one", "2"]


async def test_usage_of_a_run_is_that_of_all_its_turns() -> None:
    first = [StreamDelta(tool_calls=[ToolCall("c", "add", {"a": 1, "b": 1})], finish_reason="tool_calls", usage=Usage(1, 1, 2), final=True)]
    second = [StreamDelta(content="2", finish_reason="stop", usage=Usage(3, 1, 4), final=True)]
    async with World() as world:
        completed = await spawn_agent(world, Scripted(first, second), tools=[add]).run("1 + 1?").result()
    assert completed.usage == Usage(4, 2, 6)


async def test_an_error_is_raised_to_the_owner_and_the_partial_is_kept() -> None:
    error = StreamInterruptedError("lost")
    async with World() as world:
        agent = spawn_agent(world, Scripted([StreamDelta(content="half"), error], text("better")))
        seen: list[AgentEvent] = []

        async def watch() -> None:
            async for event in agent.run("Hi"):
                seen.append(event)  # noqa: PERF401 - what came before the error counts

        with pytest.raises(StreamInterruptedError) as caught:
            await watch()
        assert caught.value is error
        assert [event.text for event in seen if isinstance(event, TextDelta)] == ["half"]
        assert agent.messages[-1] == Message("assistant", "half", interrupted=True)
        assert await agent.ask("again") == "better"


async def test_failing_often_does_not_lock_out_a_person_who_asks_again() -> None:
    async with World() as world:
        agent = spawn_agent(world, Scripted(*[[RateLimitError("slow down")]] * 5, text("finally")))
        for _ in range(5):
            with pytest.raises(RateLimitError):
                await agent.ask("please")
        assert await agent.ask("please") == "finally"


class TestWhoOwnsARun:
    async def test_leaving_async_with_stops_the_agent_and_keeps_what_was_said(self) -> None:
        provider = endless()
        async with World() as world:
            agent = spawn_agent(world, provider)
            async with agent.run("Hi") as run:
                assert await first_text(run) == "so far"
            assert agent.messages[-1] == Message("assistant", "so far", interrupted=True)
            assert provider.closed == 1

    async def test_a_bare_break_stops_it_when_the_last_reference_goes(self) -> None:
        provider = endless()
        async with World() as world:
            agent = spawn_agent(world, provider)
            async for event in agent.run("Hi"):
                if isinstance(event, TextDelta):
                    break
            gc.collect()
            while provider.closed == 0:
                await asyncio.sleep(0)
            assert agent.messages[-1] == Message("assistant", "so far", interrupted=True)

    async def test_cancelling_the_task_stops_it(self) -> None:
        provider = endless()
        async with World() as world:
            agent = spawn_agent(world, provider)
            task = asyncio.ensure_future(agent.ask("Hi"))
            while len(agent.messages) < 1 or not provider.requests:
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while provider.closed == 0:
                await asyncio.sleep(0)

    async def test_a_timeout_stops_it(self) -> None:
        provider = endless()
        async with World() as world:
            agent = spawn_agent(world, provider)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await agent.ask("Hi")
            while provider.closed == 0:
                await asyncio.sleep(0)

    async def test_cancel_ends_the_run_with_its_reason(self) -> None:
        async with World() as world:
            agent = spawn_agent(world, endless())
            run = agent.run("Hi")
            assert await first_text(run) == "so far"
            await run.cancel("enough")
            completed = await run.result()
            assert (completed.reason, completed.detail, completed.text) == ("interrupted", "enough", "so far")

    async def test_an_interrupted_agent_answers_the_next_message(self) -> None:
        async with World() as world:
            agent = spawn_agent(world, Scripted([StreamDelta(content="so far"), asyncio.Event()], text("ok")))
            async with agent.run("Hi") as run:
                await first_text(run)
            assert world.has_component(agent.entity, InterruptionComponent)
            assert await agent.ask("Go on") == "ok"

    async def test_a_cancel_while_a_tool_runs_leaves_no_call_without_a_result(self) -> None:
        started = asyncio.Event()

        @tool
        async def wait() -> str:
            """Wait for ever."""
            started.set()
            await asyncio.Event().wait()
            return ""

        async with World() as world:
            agent = spawn_agent(world, Scripted(calls(ToolCall("c", "wait"))), tools=[wait])
            async with agent.run("Hi") as run:
                async for event in run:
                    if isinstance(event, ToolExecutionStarted):
                        break
                await started.wait()
            assert history_problems(agent.messages) == []
            assert agent.messages[-1].is_error
            assert not world.has_component(agent.entity, PendingToolCallsComponent)

    async def test_watching_stops_nothing(self) -> None:
        release = asyncio.Event()
        async with World() as world:
            agent = spawn_agent(world, Scripted([StreamDelta(content="a"), release, *text("b")]))
            asking = asyncio.ensure_future(agent.ask("Hi"))
            async with world.events(agent.entity) as events:
                await anext(events)
            release.set()
            assert await asking == "ab"


class TestSideBySide:
    async def test_agents_of_one_world_do_not_wait_for_each_other(self) -> None:
        release = asyncio.Event()
        async with World() as world:
            slow = asyncio.ensure_future(spawn_agent(world, Scripted([release, *text("slow")])).ask("Hi"))
            assert await spawn_agent(world, Scripted(text("fast"))).ask("Hi") == "fast"
            assert not slow.done()
            release.set()
            assert await slow == "slow"

    async def test_a_failing_agent_does_not_disturb_the_others(self) -> None:
        async with World() as world:
            good = spawn_agent(world, Scripted(text("fine")))
            bad = spawn_agent(world, Scripted([StreamInterruptedError("lost")]))
            answers = await asyncio.gather(good.ask("Hi"), bad.ask("Hi"), return_exceptions=True)
            assert answers[0] == "fine"
            assert isinstance(answers[1], StreamInterruptedError)

    async def test_one_agent_answers_one_input_at_a_time(self) -> None:
        async with World() as world:
            agent = spawn_agent(world, endless())
            async with agent.run("Hi") as run:
                await first_text(run)
                with pytest.raises(WorldBusyError, match="already running"):
                    await agent.ask("And?")


class TestEnds:
    async def test_nothing_is_left_of_a_run_but_its_state(self) -> None:
        async with World() as world:
            before = asyncio.all_tasks()
            await spawn_agent(world, Scripted(text("x"))).ask("Hi")
            for _ in range(5):
                await asyncio.sleep(0)
            assert asyncio.all_tasks() == before
            assert world.engine is None

    async def test_closing_the_world_ends_a_run(self) -> None:
        provider = endless()
        world = World()
        agent = spawn_agent(world, provider)
        run = agent.run("Hi")
        await first_text(run)
        await world.aclose()
        assert provider.closed == 1
        assert (await run.result()).reason == "stopped"
        with pytest.raises(WorldClosedError):
            await agent.ask("more")

    async def test_a_limit_ends_a_run_and_the_next_input_lifts_it(self) -> None:
        provider = Scripted(calls(ToolCall("c", "add", {"a": 1, "b": 1})), text("again"))
        async with World() as world:
            agent = spawn_agent(world, provider, tools=[add], limits=LimitsComponent(turns=1))
            completed = await agent.run("1 + 1?").result()
            assert (completed.reason, completed.detail) == ("terminal", "max_turns")
            assert await agent.ask("go on") == "again"

    async def test_a_terminal_agent_stays_silent(self) -> None:
        async with World() as world:
            agent = spawn_agent(world, Scripted())
            world.add_component(agent.entity, TerminalComponent("retired"))
            completed = await agent.run("Hi").result()
            assert (completed.reason, completed.detail, completed.text) == ("terminal", "retired", "")


def test_systems_are_installed_once() -> None:
    world = World()
    install(world)
    install(world)
    spawn_agent(world, Scripted())
    assert [entry.name for entry in world.schedule.entity_systems] == [
        "ReasoningSystem",
        "ToolExecutionSystem",
        "MemorySystem",
        "ErrorHandlingSystem",
    ]


def test_a_handle_holds_nothing() -> None:
    world = World()
    agent = spawn_agent(world, Scripted(), messages=[Message("user", "before")])
    assert Agent(world, agent.entity).messages == [Message("user", "before")]
    assert repr(agent) == f"Agent(entity={agent.entity})"


def test_a_run_that_was_never_begun_leaves_nothing_behind() -> None:
    world = World()
    agent = spawn_agent(world, Scripted())
    agent.run("Hi").close()
    assert agent.messages == []


async def test_a_run_on_an_entity_that_is_gone_says_so_and_blocks_nothing() -> None:
    async with World() as world:
        agent = spawn_agent(world, Scripted())
        world.delete_entity(agent.entity)
        for _ in range(2):
            with pytest.raises(EntityNotFoundError):
                await agent.ask("Hi")


async def test_a_run_that_was_closed_has_no_result() -> None:
    async with World() as world:
        run = spawn_agent(world, endless()).run("Hi")
        await first_text(run)
        await run.aclose()
        with pytest.raises(RuntimeError, match="closed"):
            await run.result()
