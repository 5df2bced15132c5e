"""A program that runs again, its models and tools answered from a recording, and what is found when it does something else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.store.recorded_parts import Main, call, check_same, crew, look_up, recorded, replayed, scripted

from ecs_agent import Agent, Entity, Runner, World, append_message, spawn_agent, system, tool
from ecs_agent.components import (
    CollaborationComponent,
    ConversationComponent,
    InterruptionComponent,
    LimitsComponent,
    StreamingComponent,
    StreamPolicy,
)
from ecs_agent.core import LoopClock, SupervisionComponent
from ecs_agent.errors import AuthenticationError, DivergenceError, RateLimitError, StreamInterruptedError
from ecs_agent.providers import FakeProvider
from ecs_agent.providers.script import Script
from ecs_agent.store import MemoryEngine, open_world
from ecs_agent.store.history import History
from ecs_agent.store.program_events import ProgramEnded, ProgramStopped
from ecs_agent.store.recording import Recording
from ecs_agent.store.replay import replay
from ecs_agent.systems import CollaborationSystem, send_message_tool
from ecs_agent.testing import VirtualClockLoop, run
from ecs_agent.testing.replay_loop import ReplayLoop
from ecs_agent.types import EntityId, ImagePart, Message, ToolCall


def alone(provider: Callable[[], Any], **options: Any) -> Main:
    """A program with one agent, which is asked once."""

    async def main(world: World) -> None:
        agent = spawn_agent(world, provider(), **options)
        append_message(world, agent.entity, "go")
        await Runner().run(world)

    return main


class TestTheSameProgram:
    def test_does_the_same(self) -> None:
        report = check_same(recorded(crew()), crew())
        assert (report.divergence, report.entities) == (None, 3)

    def test_on_any_loop(self) -> None:
        recording = recorded(crew())
        assert len({replayed(recording, crew(), loop).hash for loop in (VirtualClockLoop, None)} | {check_same(recording, crew()).hash}) == 1

    def test_from_a_recording_that_was_made_in_real_time(self) -> None:
        assert check_same(recorded(crew(), virtual=False), crew()).hash == check_same(recorded(crew()), crew()).hash

    def test_also_where_the_loop_stood_still_when_something_was_due(self) -> None:
        """What came just before a timer fired comes before it again, though both were late."""

        async def main(world: World) -> None:
            agent = spawn_agent(world, FakeProvider(["one two three"], by="word", delay=0.05))
            append_message(world, agent.entity, "go")
            asyncio.get_running_loop().call_later(0.03, time.sleep, 0.2)  # the machine, which has other things to do
            running = asyncio.ensure_future(Runner().run(world))
            await asyncio.sleep(0.09)
            world.add_component(agent.entity, InterruptionComponent())
            await running

        recording = recorded(main, virtual=False)
        assert [fact.count for fact in recording.facts() if fact.type == "StreamDeltaEvent"] == [1]
        check_same(recording, main)

    def test_and_neither_its_models_nor_its_tools_are_asked(self) -> None:
        asked: list[str] = []

        @tool
        async def look_up(word: str) -> str:
            """Takes a moment."""
            asked.append(word)
            return f"{word} was found"

        class Counted(FakeProvider):
            async def complete(self, *given: Any, **options: Any) -> Any:
                asked.append("model")
                return await super().complete(*given, **options)

        main = alone(lambda: Counted([Script(tool_calls=[call("x")]), "done"]), tools=[look_up])
        recording = recorded(main)
        assert asked == ["model", "x", "model"]
        check_same(recording, main)
        assert len(asked) == 3

    def test_has_the_pictures_that_a_tool_returned(self) -> None:
        @tool
        async def draw() -> list[str | ImagePart]:
            """Takes a moment."""
            return ["a dot", ImagePart(data=b"png")]

        main = alone(lambda: FakeProvider([Script(tool_calls=[ToolCall("c", "draw", {})]), "done"]), tools=[draw])
        check_same(recorded(main), main)

    def test_keeps_the_time_of_the_recording(self) -> None:
        times: list[float] = []

        async def main(world: World) -> None:
            agent = spawn_agent(world, FakeProvider(["one two three"], by="word", delay=1.5))
            loop, began = asyncio.get_running_loop(), asyncio.get_running_loop().time()
            await agent.ask("go")
            times.append(loop.time() - began)

        check_same(recorded(main), main)
        assert times[0] == pytest.approx(times[1])
        assert times[0] > 4

    def test_may_be_hurried(self) -> None:
        async def main() -> float:
            recording = await asyncio.to_thread(recorded, alone(lambda: FakeProvider(["one two three"], by="word", delay=1.5)))
            began = asyncio.get_running_loop().time()
            (await replay(recording, alone(lambda: FakeProvider([])), speed=10)).check()
            return asyncio.get_running_loop().time() - began

        assert run(main) < 1
        with pytest.raises(ValueError, match="speed"):
            run(lambda: replay(recorded(crew(1)), crew(1), speed=0))

    def test_is_not_overtaken_by_its_answers(self) -> None:
        """The pieces hurry, the program does not: what it did between two of them, it does between them again."""

        async def main(world: World) -> None:
            agent = spawn_agent(world, FakeProvider(["word " * 20, "more"], by="word", delay=0.1))
            append_message(world, agent.entity, "go")
            running = asyncio.ensure_future(Runner().run(world))
            await asyncio.sleep(1.05)
            append_message(world, agent.entity, "and more")
            await running

        recording = recorded(main)
        for loop in (VirtualClockLoop, ReplayLoop):
            check_same(recording, main, loop=loop, speed=100)

    async def test_may_be_that_of_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "run.db"
        async with open_world(path) as world:
            await crew(2)(world)
        with Recording.open(path) as recording:
            session = recording.session()
        (await replay(session, crew(2))).check()

    @pytest.mark.parametrize("until", [1, 5, 30, 55, 80])
    def test_may_be_compared_as_far_as_a_position(self, until: int) -> None:
        recording = recorded(crew())
        assert check_same(recording, crew(), until=until).facts == until
        assert str(replayed(recording, crew(prompt="Be long."), until=4).divergence).startswith("entity 1: SystemPromptComponent")
        assert replayed(recording, crew(prompt="Be long."), until=3).divergence is None


class TestWhatGoesWrong:
    @pytest.mark.parametrize("streams", [True, False])
    @pytest.mark.parametrize(
        "answer",
        [
            [AuthenticationError("the key is wrong")],
            [RateLimitError("too many", retry_after=2.0)],
            ["half of it", StreamInterruptedError("the connection was lost")],
            ["half", ZeroDivisionError("by zero")],
            ["half", RuntimeError()],
            ["half", asyncio.CancelledError()],
        ],
        ids=repr,
    )
    def test_goes_wrong_again(self, answer: list[Any], streams: bool) -> None:
        async def main(world: World) -> None:
            agent = spawn_agent(world, FakeProvider([list(answer), "better"]))
            if not streams:
                world.add_component(agent.entity, StreamingComponent(enabled=False))
            append_message(world, agent.entity, "go")
            await Runner().run(world)
            append_message(world, agent.entity, "once more")
            await Runner().run(world)

        check_same(recorded(main), main)

    @pytest.mark.parametrize("on_drop", ["raise", "retry", "continue"])
    def test_so_does_what_a_policy_tries_again(self, on_drop: Any) -> None:
        answers: list[Any] = [["it was a ", StreamInterruptedError("lost")], ["dark and ", StreamInterruptedError("lost")], "stormy night"]
        main = alone(lambda: FakeProvider(answers, by="word"), policy=StreamPolicy(on_drop))
        check_same(recorded(main), main)

    def test_and_what_a_supervisor_does(self) -> None:
        async def main(world: World) -> None:
            agent = spawn_agent(world, FakeProvider([["half", StreamInterruptedError("lost")], "whole"]))
            world.add_component(agent.entity, SupervisionComponent(restarts=2, backoff=0.3))
            append_message(world, agent.entity, "go")
            await Runner().run(world)

        check_same(recorded(main), main)

    def test_time_limits_are_reached_again(self) -> None:
        policy = StreamPolicy("retry", first_delta_timeout=1.0, gap_timeout=0.5)
        main = alone(lambda: FakeProvider([[5.0, "late"], ["half", 5.0, "late"], "in time"]), policy=policy)
        check_same(recorded(main), main)

    def test_limits_of_cost_too(self) -> None:
        main = alone(lambda: FakeProvider(["word " * 50], by="word"), limits=LimitsComponent(tokens=20))
        check_same(recorded(main), main)

    def test_a_model_without_an_answer_has_none_again(self) -> None:
        check_same(recorded(alone(lambda: FakeProvider([]))), alone(lambda: FakeProvider([])))

    def test_an_answer_that_is_cut_is_cut_at_the_same_piece(self) -> None:
        async def main(world: World) -> None:
            agent = spawn_agent(world, FakeProvider(["word " * 50, "more"], by="word", delay=0.03))
            append_message(world, agent.entity, "go")
            running = asyncio.ensure_future(Runner().run(world))
            await asyncio.sleep(0.5)
            world.add_component(agent.entity, InterruptionComponent())
            await running
            append_message(world, agent.entity, "go on")
            await Runner().run(world)

        for virtual in (True, False):
            check_same(recorded(main, virtual=virtual), main)

    def test_so_is_a_tool(self) -> None:
        @tool
        async def sleep() -> str:
            """Takes long."""
            await asyncio.sleep(60)
            return "late"

        async def main(world: World) -> None:
            agent = spawn_agent(world, FakeProvider([Script(tool_calls=[ToolCall("c", "sleep", {})]), "done"]), tools=[sleep])
            append_message(world, agent.entity, "go")
            running = asyncio.ensure_future(Runner().run(world))
            await asyncio.sleep(2)
            agent.interrupt()
            await running

        check_same(recorded(main), main)

    def test_a_program_that_raised_raises_again(self) -> None:
        async def main(world: World) -> None:
            spawn_agent(world, FakeProvider([]))
            raise LookupError("no")

        async def told(world: World) -> None:
            try:
                await main(world)
            except LookupError as error:
                world.report(ProgramEnded("failed", f"LookupError: {error}"))

        assert replayed(recorded(told), main).divergence is None

    def test_one_that_did_not_is_its_own_fault(self) -> None:
        async def main(world: World) -> None:
            await crew(1)(world)
            raise LookupError("no")

        with pytest.raises(LookupError, match="no"):
            replayed(recorded(crew(1)), main)


class TestAnotherProgram:
    def check(self, main: Main, told: str) -> None:
        divergence = replayed(recorded(crew()), main).divergence
        assert divergence is not None
        assert told in str(divergence)

    def test_with_another_prompt(self) -> None:
        self.check(crew(prompt="Be long."), "entity 1: SystemPromptComponent.content: 'Be brief.' ≠ 'Be long.'")

    def test_with_another_name_of_a_tool(self) -> None:
        @tool
        async def find(word: str) -> str:
            """Takes a moment."""
            return word

        self.check(crew(tools=[find]), "entity 1: ToolRegistryComponent.tools.look_up: {")

    def test_with_an_agent_fewer(self) -> None:
        self.check(crew(2), "entity 3, fact 1: EntityCreated was recorded, now there is nothing")

    def test_with_an_agent_more(self) -> None:
        self.check(crew(4), "entity 4, fact 1: nothing was recorded, now there is EntityCreated")

    def test_that_says_something_else(self) -> None:
        async def main(world: World) -> None:
            agents = [spawn_agent(world, scripted(number), system_prompt="Be brief.", tools=[look_up]) for number in range(3)]
            for agent in agents:
                append_message(world, agent.entity, "stop" if agent is agents[1] else "go")
            await Runner().run(world)

        self.check(main, "entity 2: ConversationComponent.messages[0].content: 'go' ≠ 'stop'")

    def test_that_asks_once_more(self) -> None:
        async def main(world: World) -> None:
            await crew()(world)
            append_message(world, world.entities[0], "and now?")
            await Runner().run(world)

        self.check(main, "entity 1, fact ")

    def test_that_ends_early(self) -> None:
        async def main(world: World) -> None:
            for _ in range(3):
                spawn_agent(world, FakeProvider([]), system_prompt="Be brief.", tools=[look_up])

        self.check(main, "TurnComponent added was recorded, now there is nothing")

    def test_that_never_ends(self) -> None:
        async def main(world: World) -> None:
            spawn_agent(world, FakeProvider([]), system_prompt="Be brief.", tools=[look_up])
            await asyncio.sleep(1e6)

        self.check(main, "entity 2, fact 1: EntityCreated was recorded, now there is nothing")

    def test_with_a_system_that_acts_otherwise(self) -> None:
        @system(priority=9, when=lambda conversation: len(conversation.messages) == 4)
        async def remark(me: Entity, conversation: ConversationComponent) -> None:
            conversation.messages.append(Message("assistant", "I have something to add."))

        async def main(world: World) -> None:
            world.register_system(remark)
            await crew()(world)

        self.check(main, "ConversationComponent changed")

    def test_is_told_as_an_error_to_who_wants_one(self) -> None:
        with pytest.raises(DivergenceError, match=r"SystemPromptComponent\.content"):
            replayed(recorded(crew()), crew(prompt="Be long.")).check()


class TestRecordingsThatWereCutOff:
    def test_the_replay_ends_with_them(self) -> None:
        recording = recorded(crew())
        for until in range(20, recording.end, 7):
            assert replayed(recording, crew(), until=until).divergence is None

    @pytest.mark.parametrize("seconds", [0.005, 0.03, 0.07, 0.15, 0.2])
    def test_also_with_those_of_a_process_that_was_killed(self, seconds: float) -> None:
        async def killed() -> MemoryEngine:
            engine = MemoryEngine()
            world = open_world(engine=engine, clock=LoopClock(), durability="event")
            running = asyncio.ensure_future(crew()(world))
            await asyncio.sleep(seconds)
            assert isinstance(world.log, History)
            world.log.close()  # nothing gets into the store any more
            await running
            return engine

        with Recording(run(killed)) as recording:
            check_same(recording, crew())
            divergence = replayed(recording, crew(prompt="Be long.")).divergence
            assert str(divergence) == "entity 1: SystemPromptComponent.content: 'Be brief.' ≠ 'Be long.'"

    def test_a_program_that_was_told_to_stop_is_told_again(self) -> None:
        async def program(world: World) -> None:
            agent = spawn_agent(world, FakeProvider(["word " * 50, "never"], by="word", delay=0.1))
            append_message(world, agent.entity, "go")
            await Runner().run(world)

        async def stopped(world: World) -> None:
            running = asyncio.ensure_future(program(world))
            await asyncio.sleep(1.05)
            world.report(ProgramStopped(after_step=False))
            world.stop()
            await running
            world.report(ProgramEnded("interrupted"))

        recording = recorded(stopped)
        assert not recording.session().is_complete
        check_same(recording, program)


@dataclass(slots=True)
class Note:
    seen_at: float
    text: str


@tool
async def greet(name: str) -> str:
    """Says hello."""
    return f"hello {name}"


class TestWhatIsNotOutside:
    def test_components_of_a_program_are_compared_too(self) -> None:
        def noting(text: str, seen_at: float) -> Main:
            async def main(world: World) -> None:
                world.add_component(world.create_entity(), Note(seen_at, text))

            return main

        recording = recorded(noting("a", 1.0))
        check_same(recording, noting("a", 1.0))
        assert str(replayed(recording, noting("a", 2.0)).divergence) == "entity 1: Note.seen_at: 1.0 ≠ 2.0"
        assert replayed(recording, noting("a", 2.0), ignore=["Note.seen_at"]).divergence is None
        assert replayed(recording, noting("b", 2.0), ignore=["Note.seen_at"]).divergence is not None

    def test_chance_is_that_of_the_recording(self) -> None:
        drawn: list[str] = []

        @system(when=lambda note: note.text == "")
        async def draw(me: Entity, note: Note) -> None:
            note.text = me.new_id("note")
            drawn.append(note.text)

        async def main(world: World) -> None:
            world.register_system(draw)
            world.add_component(world.create_entity(), Note(0.0, ""))
            await Runner().run(world)

        check_same(recorded(main), main)
        assert drawn[0] == drawn[1]

    def test_a_tool_that_asks_another_agent_is_run(self) -> None:
        async def main(world: World) -> None:
            helper = spawn_agent(world, FakeProvider(["I am here."]))

            @tool
            async def delegate(task: str) -> str:
                """Asks the helper."""
                return await helper.ask(task)

            boss = spawn_agent(world, FakeProvider([Script(tool_calls=[ToolCall("c", "delegate", {"task": "come"})]), "good"]), tools=[delegate])
            await boss.ask("go")

        recording = recorded(main)
        check_same(recording, main, run_tools=["delegate"])
        divergence = replayed(recording, main).divergence
        assert divergence is not None
        assert divergence.entity == EntityId(1)

    def test_so_is_one_that_takes_the_agent_itself(self) -> None:
        async def main(world: World) -> None:
            world.register_system(CollaborationSystem())
            writes = Script(tool_calls=[ToolCall("c", "send_message", {"to": 2, "text": "Are you there?"})])
            first = spawn_agent(world, FakeProvider([writes, "I asked."]), tools=[send_message_tool()])
            second = spawn_agent(world, FakeProvider(["I am here."]))
            world.add_component(first.entity, CollaborationComponent(peers=[second.entity]))
            world.add_component(second.entity, CollaborationComponent(peers=[first.entity]))
            append_message(world, first.entity, "go")
            await Runner().run(world)
            assert "Are you there?" in second.messages[0].content

        check_same(recorded(main), main)

    def test_a_fork_in_the_middle_of_an_answer_goes_on_again(self) -> None:
        async def main(world: World) -> None:
            agent = spawn_agent(world, FakeProvider(["word " * 20, "the rest"], by="word", delay=0.1))
            append_message(world, agent.entity, "go")
            running = asyncio.ensure_future(Runner().run(world))
            await asyncio.sleep(1.05)
            fork = world.fork(agent.entity, on_fork="restart")
            await running
            assert Agent(world, fork).messages
            await Runner().run(world)

        check_same(recorded(main), main)

    def test_what_happens_in_a_thread_of_a_tool_is_recorded(self) -> None:
        @tool
        def compute(n: int) -> str:
            """Computes."""
            return str(n * n)

        main = alone(lambda: FakeProvider([Script(tool_calls=[ToolCall("c", "compute", {"n": 7})]), "done"]), tools=[compute])
        check_same(recorded(main), main)
