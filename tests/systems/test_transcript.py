"""Transcripts: the conversation, its cost and its attempts are the fold of the log."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.systems.scripted import Scripted, calls, text

from ecs_agent import Agent, AgentRun, Runner, World, append_message, spawn_agent, tool
from ecs_agent.components import ConversationComponent, StreamPolicy, TurnComponent
from ecs_agent.core import Envelope, MemoryLog, SupervisionComponent
from ecs_agent.errors import StreamInterruptedError
from ecs_agent.systems import replace_history
from ecs_agent.systems.transcript import AttemptRecord, ShownText, Transcript, fold_history
from ecs_agent.testing import run
from ecs_agent.types import Message, StreamDelta, ToolCall, Usage

HALF: list[Any] = [StreamDelta(content="half "), StreamInterruptedError("lost")]


@tool
async def look_up() -> str:
    """Looks."""
    return "found"


def new_world(*, keeps_changes: bool = True) -> World:
    world, log = World(), MemoryLog(100_000)
    log.keeps_changes = keeps_changes
    world.state.log = log
    return world


def facts_of(agent: Agent) -> list[Envelope]:
    return [fact for fact in agent.world.log.read() if fact.entity == agent.entity]


def transcript_of(agent: Agent) -> Transcript:
    return fold_history(facts_of(agent))


def test_every_way_in_which_a_conversation_changes_is_in_the_log() -> None:
    async def main() -> None:
        async with new_world() as world:
            provider = Scripted(calls(ToolCall("a", "look_up"), content="let me see"), text("first"), text("second"), text("third"))
            history = [Message("system", "be brief"), Message("user", "before"), Message("assistant", "said", [ToolCall("old", "f")])]
            agent = spawn_agent(world, provider, tools=[look_up], messages=history, max_messages=6)
            await agent.ask("one")  # seals the old call, and trims
            assert transcript_of(agent).messages == agent.messages
            replace_history(world, agent.entity, [Message("user", "anew"), Message("assistant", "yes")])
            assert transcript_of(agent).messages == agent.messages
            await agent.ask("two")
            conversation = world.get_component(agent.entity, ConversationComponent)
            assert conversation is not None
            conversation.messages.append(Message("assistant", "past all functions"))
            await Runner().run(world)
            assert transcript_of(agent).messages == agent.messages
            conversation.messages[:2] = []
            world.touch(agent.entity, ConversationComponent)
            assert transcript_of(agent).messages == agent.messages
            world.remove_component(agent.entity, ConversationComponent)
            assert transcript_of(agent).messages == []
            told = {fact.type for fact in facts_of(agent)}
            assert told >= {"HistorySealed", "ConversationTruncatedEvent", "HistoryReplaced", "MessageAppended", "ComponentChanged"}

    run(main)


def test_each_attempt_has_one_record() -> None:
    async def main() -> None:
        async with new_world() as world:
            counted = StreamDelta(finish_reason="stop", usage=Usage(1, 2, 3), final=True)
            provider = Scripted(HALF, HALF, HALF, [StreamDelta(content="whole"), counted])
            agent = spawn_agent(world, provider, policy=StreamPolicy("continue", max_attempts=2, backoff=0))
            world.add_component(agent.entity, SupervisionComponent(backoff=0.0))
            await agent.ask("go")
            guess = Usage(0, 2, 2, estimated=True)

            def partial(content: str) -> Message:
                return Message("assistant", content, interrupted=True)

            assert transcript_of(agent).attempts == [
                AttemptRecord(1, 1, 1, "continued", partial("half "), guess),
                AttemptRecord(1, 1, 2, "interrupted", partial("half half "), guess, taken_back=True),
                AttemptRecord(1, 1, 3, "interrupted", partial("half "), guess, taken_back=True),
                AttemptRecord(1, 1, 4, "completed", Message("assistant", "whole"), Usage(1, 2, 3)),
            ]
            turn = world.get_component(agent.entity, TurnComponent)
            assert turn is not None
            assert transcript_of(agent).usage == turn.usage == Usage(1, 8, 9, estimated=True)

    run(main)


def test_it_can_be_folded_up_to_any_moment() -> None:
    async def main() -> None:
        async with new_world() as world:
            going = asyncio.Event()
            agent = spawn_agent(world, Scripted([StreamDelta(content="so far"), going, StreamDelta(finish_reason="stop", final=True)], text("b")))
            running = asyncio.ensure_future(agent.run("one").result())
            await asyncio.sleep(0.1)
            append_message(world, agent.entity, "two")
            middle = transcript_of(agent)
            assert (middle.messages, middle.queued) == ([Message("user", "one")], [Message("user", "two")])
            assert middle.open_attempt == AttemptRecord(1, 1, 1)
            going.set()
            await running
            after = transcript_of(agent)
            assert (after.queued, after.open_attempt) == ([], None)
            assert [message.content for message in after.messages] == ["one", "so far", "two", "b"]

    run(main)


def test_a_log_that_keeps_no_changes_does_not_know_how_a_conversation_began() -> None:
    async def main() -> None:
        async with new_world(keeps_changes=False) as world:
            agent = spawn_agent(world, Scripted(text("x")), messages=[Message("user", "before"), Message("assistant", "yes")])
            await agent.ask("go")
            assert not transcript_of(agent).is_known
            replace_history(world, agent.entity, [])
            assert transcript_of(agent).is_known

    run(main)


class TestShownText:
    def scripted(self) -> Scripted:
        return Scripted(calls(ToolCall("a", "look_up"), content="let me see"), HALF, HALF, text("the ", "end"))

    def agent(self, world: World) -> Agent:
        agent = spawn_agent(world, self.scripted(), tools=[look_up], policy=StreamPolicy("retry", max_attempts=2, backoff=0))
        world.add_component(agent.entity, SupervisionComponent(backoff=0.0))
        return agent

    def test_it_is_what_the_conversation_holds_from_the_log(self) -> None:
        async def main() -> None:
            async with new_world() as world:
                agent, shown, most = self.agent(world), ShownText(), list[str]()
                await agent.ask("go")
                for fact in facts_of(agent):
                    shown.take(fact.payload)
                    most.append(shown.text)
                assert shown.answers == ["let me see", "the end"]
                assert [text for text in dict.fromkeys(most) if text] == ["let me see", "half ", "the ", "the end"]

        run(main)

    def test_and_from_the_events_of_a_run(self) -> None:
        async def main() -> None:
            async with new_world() as world:
                shown = ShownText()
                started: AgentRun = self.agent(world).run("go")
                async for event in started:
                    shown.take(event)
                assert shown.answers == ["let me see", "the end"]

        run(main)

    def test_an_answer_that_was_kept_stays(self) -> None:
        async def main() -> None:
            async with new_world() as world:
                shown: Any = ShownText()
                agent = spawn_agent(world, Scripted(HALF))
                append_message(world, agent.entity, "go")
                await Runner().run(world)
                for fact in facts_of(agent):
                    shown.take(fact.payload)
                assert (shown.answers, shown.text) == (["half "], "")

        run(main)
