"""What a store tells as a recording: facts, answers piece by piece, results of tools, and what was at any position."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.store.recorded_parts import crew, look_up, recorded, scripted

from ecs_agent import Runner, World, append_message, spawn_agent
from ecs_agent.components import ConversationComponent, InterruptionComponent, StreamPolicy, StreamStateComponent
from ecs_agent.core import LoopClock
from ecs_agent.errors import AuthenticationError, NoHistoryError, ProviderExhaustedError, StoreFormatError, StreamInterruptedError
from ecs_agent.providers import FakeProvider
from ecs_agent.providers.script import Script
from ecs_agent.serialization import WorldSerializer
from ecs_agent.store import MemoryEngine, open_world
from ecs_agent.store.history import History
from ecs_agent.store.program_events import ProgramEnded, ProgramStopped
from ecs_agent.store.recorded_session import AttemptEnd
from ecs_agent.store.recording import Recording
from ecs_agent.testing import run
from ecs_agent.types import StreamEndEvent


async def one(world: World, provider: FakeProvider, policy: StreamPolicy | None = None) -> None:
    agent = spawn_agent(world, provider, tools=[look_up], policy=policy)
    append_message(world, agent.entity, "go")
    await Runner().run(world)


class TestTheSession:
    def test_it_has_each_answer_piece_by_piece_and_when_it_came(self) -> None:
        recording = recorded(lambda world: one(world, scripted()))
        first, second = [attempt for attempts in recording.session().attempts.values() for attempt in attempts]
        assert (first.key, second.key) == ((1, 1, 1, 1), (1, 1, 2, 1))
        assert [burst.offset for burst in first.bursts] == pytest.approx([0.01 * n for n in range(1, len(first.bursts) + 1)])
        assert [delta.content for burst in first.bursts for delta in burst.deltas][:3] == ["Let ", "me ", "see. "]
        assert first.outcome is second.outcome is AttemptEnd.COMPLETED
        assert second.result is not None
        assert second.result.message.content == "Agent 0 says so."
        assert first.accepted is not None
        assert first.end is not None
        assert first.begun.pos < first.accepted.pos < first.bursts[0].moment.pos < first.end.pos

    def test_it_has_the_result_of_each_tool_call(self) -> None:
        session = recorded(lambda world: one(world, scripted())).session()
        ((key, (result,)),) = session.results.items()
        assert key == result.key == (1, 1, 1, "c1")
        assert (result.name, result.text, result.is_error, round(result.seconds, 6)) == ("look_up", "word 0 was found", False, 0.1)
        assert session.begun == {key}

    @pytest.mark.parametrize(
        ("failure", "kind"),
        [
            (AuthenticationError("the key is wrong"), AuthenticationError),
            (StreamInterruptedError("the connection was lost"), StreamInterruptedError),
            (ZeroDivisionError("by zero"), RuntimeError),
        ],
    )
    def test_it_has_what_asking_failed_with(self, failure: Exception, kind: type[Exception]) -> None:
        session = recorded(lambda world: one(world, FakeProvider([["some", failure]]))).session()
        ((attempt,),) = session.attempts.values()
        assert attempt.outcome is AttemptEnd.INTERRUPTED
        assert attempt.error is not None
        error = attempt.error.made()
        assert isinstance(error, kind)
        assert str(error) == str(failure)

    def test_it_knows_that_a_scripted_model_had_no_answer_left(self) -> None:
        session = recorded(lambda world: one(world, FakeProvider([]))).session()
        ((attempt,),) = session.attempts.values()
        assert attempt.error is not None
        assert isinstance(attempt.error.made(), ProviderExhaustedError)

    def test_an_answer_that_was_replaced_ended_by_failing(self) -> None:
        provider = FakeProvider([["half", StreamInterruptedError("lost")], "whole"], by="word")
        session = recorded(lambda world: one(world, provider, StreamPolicy("retry"))).session()
        assert [(attempts[0].outcome, attempts[0].error is not None) for attempts in session.attempts.values()] == [
            (AttemptEnd.DISCARDED, True),
            (AttemptEnd.COMPLETED, False),
        ]

    def test_an_answer_that_was_cut_by_somebody_did_not_fail(self) -> None:
        async def main(world: World) -> None:
            agent = spawn_agent(world, FakeProvider(["a long answer"], delay=1.0))
            append_message(world, agent.entity, "go")
            running = asyncio.ensure_future(Runner().run(world))
            await asyncio.sleep(3.5)
            world.add_component(agent.entity, InterruptionComponent())
            await running

        ((attempt,),) = recorded(main).session().attempts.values()
        assert (attempt.outcome, attempt.error, len(attempt.bursts)) == (AttemptEnd.INTERRUPTED, None, 3)

    def test_it_can_be_had_up_to_any_position(self) -> None:
        recording = recorded(crew(1))
        for until in range(1, recording.end):
            session = recording.session(until)
            assert session.facts[-1].pos < until
            assert not session.is_complete

    def test_it_knows_whether_the_world_was_closed(self) -> None:
        engine = MemoryEngine()
        assert recorded(crew(1), engine=engine).session().is_complete

        async def left() -> MemoryEngine:
            engine = MemoryEngine()
            world = open_world(engine=engine, clock=LoopClock(), durability="event")
            spawn_agent(world, FakeProvider(["…"]))
            await world.commit()
            assert isinstance(world.log, History)
            world.log.close()  # as by the end of its process
            return engine

        assert not Recording(run(left)).session().is_complete

    def test_it_knows_how_the_program_was_stopped_and_ended(self) -> None:
        async def main(world: World) -> None:
            spawn_agent(world, FakeProvider(["…"]))
            world.report(ProgramStopped(after_step=True))
            world.report(ProgramEnded("interrupted"))

        session = recorded(main).session()
        assert ([after_step for _, after_step in session.stops], session.ended, session.is_complete) == ([True], "interrupted", False)

    def test_a_world_that_was_opened_again_is_replayed_as_far_as_its_first_program(self) -> None:
        engine = MemoryEngine()
        first = recorded(crew(1), engine=engine)
        end = first.end
        first.close()
        provider = FakeProvider(["once more"])

        async def again() -> None:
            async with open_world(engine=engine, providers={"fake": provider}, tools=[look_up]) as world:
                append_message(world, world.entities[0], "again")
                await Runner().run(world)

        run(again)
        with Recording(engine) as recording:
            assert recording.end > end
            assert recording.session().end == end

    def test_a_world_that_began_with_another_one_cannot_be_replayed(self) -> None:
        async def main() -> MemoryEngine:
            async with World() as world:
                spawn_agent(world, FakeProvider(["…"]))
                document = WorldSerializer.to_dict(world)
            engine = MemoryEngine()
            async with open_world(engine=engine, providers={"fake": FakeProvider([])}, document=document) as world:
                append_message(world, world.entities[0], "go")
            return engine

        with Recording(run(main)) as recording, pytest.raises(StoreFormatError, match="began with one that was saved before"):
            recording.session()

    def test_an_empty_one_says_so(self) -> None:
        with Recording(MemoryEngine()) as recording, pytest.raises(StoreFormatError, match="empty"):
            recording.session()


class TestTheStore:
    async def test_it_can_be_read_while_somebody_writes_it(self, tmp_path: Path) -> None:
        path = tmp_path / "run.db"
        async with open_world(path) as world:
            agent = spawn_agent(world, FakeProvider(["one", "two"], delay=0))
            await agent.ask("first")
            with Recording.open(path) as recording:
                before = list(recording.facts())
                await agent.ask("second")
                await world.commit()
                news = list(recording.facts(recording.end))
            assert [fact.type for fact in before].count(StreamEndEvent.__name__) == 1
            assert [fact.type for fact in news].count(StreamEndEvent.__name__) == 1
            assert before[-1].pos + before[-1].count == news[0].pos

    def test_there_has_to_be_one(self, tmp_path: Path) -> None:
        with pytest.raises(StoreFormatError, match="no store"):
            Recording.open(tmp_path / "nowhere.db")

    def test_facts_are_had_from_one_position_to_another(self) -> None:
        recording = recorded(crew(2))
        everything = list(recording.facts())
        for first, last in [(0, 5), (7, 7), (20, 60), (0, recording.end)]:
            assert list(recording.facts(first, last)) == [fact for fact in everything if fact.pos + fact.count > first and fact.pos < last]


class TestTheState:
    def test_it_is_known_as_data_at_every_position(self) -> None:
        engine = MemoryEngine()
        said: dict[int, str] = {}

        async def main(world: World) -> None:
            agent = spawn_agent(world, FakeProvider(["one two three"], by="word"))
            append_message(world, agent.entity, "go")
            running = asyncio.ensure_future(Runner().run(world))
            while not running.done():
                await asyncio.sleep(0.0005)
                state = world.get_component(agent.entity, StreamStateComponent)
                said[world.log.next_pos] = "".join(delta.content or "" for delta in state.deltas) if state is not None else "-"

        with recorded(main, engine=engine) as recording:
            assert len(set(said.values())) > 3
            for pos, text in said.items():
                components = recording.components(recording.world(pos).entities[1])
                state = components.get("StreamStateComponent")
                assert text == ("-" if state is None else "".join(delta.get("content", "") for delta in state["deltas"]))

    def test_the_end_is_what_the_world_was(self) -> None:
        with recorded(lambda world: one(world, FakeProvider([Script("done")]))) as recording:
            messages = recording.components(recording.world().entities[1])[ConversationComponent.__name__]["messages"]
        assert [message["content"] for message in messages] == ["go", "done"]

    def test_there_is_no_other_position(self) -> None:
        with recorded(crew(1)) as recording, pytest.raises(NoHistoryError, match="no position"):
            recording.world(recording.end + 1)
