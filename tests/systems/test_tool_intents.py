"""Intents: that a tool is about to run is stored before it runs, so that no tool runs twice without anybody knowing (P4)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.systems.scripted import Scripted, calls, text

from ecs_agent import Runner, World, spawn_agent, tool
from ecs_agent.components import LimitsComponent, PendingToolCallsComponent, TurnComponent
from ecs_agent.core import EventKind, MemoryLog
from ecs_agent.core.change import Edited, Grown, Merged
from ecs_agent.errors import JournalError
from ecs_agent.systems import ToolExecutionCompleted, ToolExecutionStarted, ToolOutcomeUnknown
from ecs_agent.systems.invariants import check_world
from ecs_agent.systems.tool_execution import LOST
from ecs_agent.testing import run
from ecs_agent.types import EntityId, Message, ToolCall


class Journal(MemoryLog):
    """A log in memory that takes its time to be safe, and may fail."""

    def __init__(self) -> None:
        super().__init__(100_000)
        self.keeps_changes = True
        self.safe = 0
        self.commits = 0
        self.broken = False

    async def commit(self, entity: EntityId | None = None) -> int:
        self.commits += 1
        upto = self.next_pos
        await asyncio.sleep(1.0)
        if self.broken:
            raise JournalError("the disk is full")
        self.safe = max(self.safe, upto)
        return upto


def new_world() -> tuple[World, Journal]:
    world, journal = World(), Journal()
    world.state.log = journal
    return world, journal


def intents(world: World, upto: int | None = None) -> list[str]:
    facts = [fact for fact in world.log.read() if upto is None or fact.pos < upto]
    return [fact.payload.call.id for fact in facts if isinstance(fact.payload, ToolExecutionStarted)]


def test_a_tool_runs_when_its_intent_is_safe_and_not_before() -> None:
    async def main() -> None:
        world, journal = new_world()
        safe_when_run: list[list[str]] = []

        @tool
        async def act() -> str:
            """Takes effect."""
            safe_when_run.append(intents(world, journal.safe))
            return "done"

        async with world:
            spawn_agent(world, Scripted(calls(ToolCall("a", "act"), ToolCall("b", "act")), text("ok")), tools=[act], messages=[Message("user", "go")])
            await Runner().run(world)
            assert safe_when_run == [["a", "b"]] * 2
            assert journal.commits == 1  # for both together
            assert check_world(world) == []

    run(main)


def test_with_a_limit_each_intent_is_stored_when_its_tool_really_starts() -> None:
    async def main() -> None:
        world, journal = new_world()
        safe_when_run: list[list[str]] = []

        @tool
        async def act() -> str:
            """Takes effect."""
            safe_when_run.append(intents(world, journal.safe))
            return "done"

        async with world:
            provider = Scripted(calls(*[ToolCall(name, "act") for name in "abc"]), text("ok"))
            spawn_agent(world, provider, tools=[act], limits=LimitsComponent(parallel_tools=1), messages=[Message("user", "go")])
            await Runner().run(world)
            assert safe_when_run == [["a"], ["a", "b"], ["a", "b", "c"]]
            assert check_world(world) == []

    run(main)


def test_what_does_no_harm_twice_waits_for_nobody() -> None:
    async def main() -> None:
        world, journal = new_world()

        @tool(idempotent=True)
        async def look() -> str:
            """Reads."""
            return "seen"

        async with world:
            spawn_agent(world, Scripted(calls(ToolCall("a", "look")), text("ok")), tools=[look], messages=[Message("user", "go")])
            await Runner().run(world)
            assert journal.commits == 0
            assert intents(world) == ["a"]

    run(main)


def test_no_tool_runs_when_its_intent_cannot_be_stored() -> None:
    async def main() -> None:
        world, journal = new_world()
        ran: list[str] = []

        @tool
        async def act() -> str:
            """Takes effect."""
            ran.append("!")
            return "done"

        journal.broken = True
        async with world:
            agent = spawn_agent(world, Scripted(calls(ToolCall("a", "act")), text("ok")), tools=[act], messages=[Message("user", "go")])
            result = await Runner().run(world)
            assert isinstance(result[agent.entity].error, JournalError)
            assert ran == []
            assert check_world(world) == []
            journal.broken = False

    run(main)


def test_facts_carry_what_became_of_the_calls() -> None:
    async def main() -> None:
        world, _ = new_world()

        @tool
        async def act() -> str:
            """Takes effect."""
            return "done"

        async with world:
            spawn_agent(world, Scripted(calls(ToolCall("a", "act")), text("ok")), tools=[act], messages=[Message("user", "go")])
            await Runner().run(world)
            (intent,) = [fact for fact in world.log.read() if isinstance(fact.payload, ToolExecutionStarted)]
            assert intent.change == Edited(PendingToolCallsComponent, (Grown("started", 0, ["a"]),))
            (completed,) = [fact for fact in world.log.read() if isinstance(fact.payload, ToolExecutionCompleted)]
            assert completed.kind is EventKind.INPUT
            result = Message("tool", "done", tool_call_id="a", name="act")
            kept = Edited(PendingToolCallsComponent, (Merged("results", {"a": result}, ()),))
            assert kept in [fact.change for fact in world.log.read(completed.pos)][:2]

    run(main)


class TestAfterTheEndOfTheProgram:
    """Calls that stand as begun, without a result, when nobody runs them."""

    def found(self, world: World, tools: list[Any], started: list[str], results: dict[str, Message] | None = None) -> Any:
        made = [ToolCall("a", "act"), ToolCall("b", "look"), ToolCall("c", "act")]
        history = [Message("user", "go"), Message("assistant", tool_calls=made)]
        agent = spawn_agent(world, Scripted(text("ok")), tools=tools, messages=history)
        world.add_component(agent.entity, TurnComponent(run=1, turn=1, attempt=1))
        world.add_component(agent.entity, PendingToolCallsComponent(made, results or {}, started))
        return agent

    @pytest.fixture
    def ran(self) -> list[str]:
        return []

    @pytest.fixture
    def tools(self, ran: list[str]) -> list[Any]:
        @tool
        async def act() -> str:
            """Takes effect."""
            ran.append("act")
            return "acted"

        @tool(idempotent=True)
        async def look() -> str:
            """Reads."""
            ran.append("look")
            return "seen"

        return [act, look]

    def test_one_that_may_have_taken_effect_is_not_run_again_and_the_model_is_told(self, ran: list[str], tools: list[Any]) -> None:
        async def main() -> None:
            world, _ = new_world()
            async with world:
                agent = self.found(world, tools, ["a", "b"])
                await Runner().run(world)
                assert ran == ["look", "act"]  # b does no harm twice, c had not begun
                assert [(message.content, message.is_error) for message in agent.messages[2:5]] == [(LOST, True), ("seen", False), ("acted", False)]
                assert [fact.payload for fact in world.log.read() if isinstance(fact.payload, ToolOutcomeUnknown)] == [
                    ToolOutcomeUnknown(agent.entity, ToolCall("a", "act"))
                ]
                assert agent.messages[-1].content == "ok"
                assert check_world(world) == []

        run(main)

    def test_a_result_that_was_stored_stays_the_result(self, ran: list[str], tools: list[Any]) -> None:
        async def main() -> None:
            world, _ = new_world()
            async with world:
                kept = Message("tool", "acted before", tool_call_id="a", name="act")
                agent = self.found(world, tools, ["a", "b", "c"], {"a": kept})
                await Runner().run(world)
                assert ran == ["look"]
                assert [message.content for message in agent.messages[2:5]] == ["acted before", "seen", LOST]
                assert check_world(world) == []

        run(main)

    def test_a_tool_that_is_not_there_any_more_counts_as_one_that_does_harm(self, ran: list[str], tools: list[Any]) -> None:
        async def main() -> None:
            world, _ = new_world()
            async with world:
                agent = self.found(world, tools[:1], ["b"])
                await Runner().run(world)
                assert [message.content for message in agent.messages[2:5]] == ["acted", LOST, "acted"]

        run(main)

    def test_a_fork_does_not_get_running_calls(self, ran: list[str], tools: list[Any]) -> None:
        async def main() -> None:
            world, _ = new_world()
            async with world:
                agent = self.found(world, tools, ["a"])
                branch = world.fork(agent.entity)
                assert not world.has_component(branch, PendingToolCallsComponent)
                assert check_world(world) == []

        run(main)
