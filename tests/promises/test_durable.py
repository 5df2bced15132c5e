"""Nothing that was acknowledged is lost, and nothing is done twice (P3, P4).

Here the process is not killed, as in `tests/crash`, but cut off: its store is taken as it was behind any of its writes, and a new world goes on from
there on virtual time. So a crash can be tried behind every write, and the same one again and again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

import pytest
from tests.crash.crew import Model, crew_of, play
from tests.crash.laws import Transcripts, completed_problems, effect_problems, lost_in, transcript_problems
from tests.crash.life import opened

from ecs_agent import Agent, Runner, World, append_message, spawn_agent
from ecs_agent.components import ConversationComponent, StreamPolicy, StreamStateComponent
from ecs_agent.core import LoopClock
from ecs_agent.providers import FakeProvider
from ecs_agent.providers.capabilities import Capabilities
from ecs_agent.store import Frame, MemoryEngine, Snapshot, diff, open_world
from ecs_agent.systems import AttemptContinued, AttemptDiscarded
from ecs_agent.systems.invariants import check_world
from ecs_agent.systems.tool_execution import LOST
from ecs_agent.systems.transcript import ShownText
from ecs_agent.testing import run
from ecs_agent.types import EntityId, Message, StreamDeltaEvent


class Written(MemoryEngine):
    """A store that knows how it came to be."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[tuple[Sequence[Frame], Snapshot | None]] = []
        self.noted: dict[str, str] = {}

    def write(self, frames: Sequence[Frame], snapshot: Snapshot | None = None) -> None:
        super().write(frames, snapshot)
        self.writes.append((frames, snapshot))

    def put_meta(self, values: Mapping[str, str]) -> None:
        super().put_meta(values)
        self.noted |= values

    def after(self, count: int) -> Written:
        """The store as it was behind so many writes."""
        cut = Written()
        cut.open()
        cut.put_meta(self.noted)
        for write in self.writes[:count]:
            cut.write(*write)
        cut.close()
        return cut


# A whole crew


@dataclass
class Lived:
    """What a life of a crew has left; what it did and completed with the number of writes until then."""

    transcripts: Transcripts = field(default_factory=dict[int, Sequence[Message]])
    effects: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    completed: list[tuple[tuple[int, str, str], int]] = field(default_factory=list[tuple[tuple[int, str, str], int]])


def live(seed: int, store: Written, chance: str) -> Lived:
    """Have a crew go on from where its store is to the end."""
    lived = Lived()

    async def main() -> None:
        models = [Model(seed, member, Random(f"{chance} {member.number}")) for member in crew_of(seed)]
        async with opened(store, seed, models, lambda key: lived.effects.append((key, len(store.writes))), LoopClock()) as world:
            assert check_world(world) == []
            problems = await play(world, seed, lambda *completed: lived.completed.append((completed, len(store.writes))))
            assert problems + check_world(world) + [problem for model in models for problem in model.problems] == []
            lived.transcripts = {int(entity): held.messages for entity, (held,) in world.query(ConversationComponent)}

    run(main)
    return lived


@pytest.mark.parametrize("seed", [0, 1, 2, 5, 9, 10, 11])  # all kinds of snapshots and durability (`tests.crash.life`)
def test_a_crew_that_is_cut_off_behind_any_write_ends_as_if_it_had_not_been(seed: int) -> None:
    store = Written()
    unharmed = live(seed, store, "unharmed")
    assert transcript_problems(seed, unharmed.transcripts, unharmed.transcripts) == []
    draw = Random(f"cuts {seed}")
    for count in draw.sample(range(len(store.writes)), k=3):
        effects, completed, cut = list[str](), list[tuple[int, str, str]](), store
        life, survived = unharmed, 0
        for number in range(draw.randint(1, 2)):  # several crashes, one after another
            survived = count if number == 0 else draw.randint(survived, len(cut.writes) - 1)
            effects += [key for key, writes in life.effects if writes <= survived]
            completed += [told for told, writes in life.completed if writes <= survived]
            cut = cut.after(survived)
            life = live(seed, cut, f"{count} {number}")
        effects += [key for key, _ in life.effects]
        completed += [told for told, _ in life.completed]
        problems = transcript_problems(seed, life.transcripts, unharmed.transcripts)
        assert problems + effect_problems(effects, life.transcripts) + completed_problems(completed, life.transcripts) == []


def test_the_laws_find_what_breaks_them() -> None:
    """Else the test above would prove nothing."""
    seed = 9
    lived = live(seed, Written(), "")
    done = [key for key, _ in lived.effects]
    chatting = next(member.number for member in crew_of(seed) if member.peer)
    first = lived.completed[0][0]
    assert len(done) > 1
    assert effect_problems([*done, done[0]], lived.transcripts) == [f"{done[0]} was done 2 times"]
    assert len(effect_problems(done[1:], lived.transcripts)) == 1
    assert effect_problems(["9-9-9", *done], lived.transcripts) == ["9-9-9 was done, and nobody called for it"]
    short: dict[int, Sequence[Message]] = {**lived.transcripts, first[0]: lived.transcripts[first[0]][:2]}
    assert transcript_problems(seed, short, lived.transcripts)
    assert completed_problems([first], short)
    letters = [message for message in lived.transcripts[chatting] if message.content.startswith("[from agent")]
    twice = {**lived.transcripts, chatting: [*lived.transcripts[chatting], letters[-1]]}
    assert any("came" in problem for problem in transcript_problems(seed, twice, lived.transcripts))
    assert lost_in({1: [Message("tool", LOST, tool_call_id="7", is_error=True)]}) == ["7"]


# An answer that was arriving

STORY = "Once upon a time there was a stream"
CUT = 3.5


@dataclass
class Restored:
    """A world that was opened again in the middle of an answer, when nothing was due in it any more."""

    messages: list[Message]
    asked: list[Message]
    facts: list[object]
    shown: ShownText


def restored(policy: StreamPolicy | None, rest: str, *, then: str = "") -> Restored:
    """An agent is cut off when it has said four words; in its next life the model says `rest`, and it may get another input."""
    store = Written()
    before: list[int] = []

    def provider(text: str) -> FakeProvider:
        return FakeProvider([text] * 2, delay=1.0, by="word", capabilities=Capabilities(prefill=True))

    async def first_life() -> None:
        async with open_world(engine=store, providers=[model := provider(STORY)], clock=LoopClock()) as world:
            append_message(world, spawn_agent(world, model, policy=policy).entity, "Tell me a story.")
            running = asyncio.ensure_future(Runner().run(world))
            await asyncio.sleep(CUT + 1)
            await world.commit()
            before.append(len(store.writes))
            await running

    async def second_life() -> Restored:
        model, shown = provider(rest), ShownText()
        async with open_world(engine=store.after(before[0]), providers=[model], clock=LoopClock()) as world:
            state = world.get_component(EntityId(1), StreamStateComponent)
            assert state is not None
            assert state.result().message.content == "Once upon a time "
            await Runner().run(world)
            if then:
                append_message(world, EntityId(1), then)
                await Runner().run(world)
            facts = [fact.payload for fact in world.log.read() if fact.entity == 1]
            for fact in facts:
                shown.take(fact)
            assert check_world(world) == []
            return Restored(Agent(world, EntityId(1)).messages, list(model.calls[0].messages), facts, shown)

    run(first_life)
    return run(second_life)


def texts(facts: Sequence[object]) -> str:
    """All pieces of text that were ever told."""
    return "".join([fact.delta.content or "" for fact in facts if isinstance(fact, StreamDeltaEvent)])


def test_an_answer_goes_on_where_the_crash_cut_it_and_nothing_is_told_twice() -> None:
    after = restored(StreamPolicy(on_restore="continue"), "there was a stream")
    assert after.messages == [Message("user", "Tell me a story."), Message("assistant", STORY)]
    assert after.asked[-1] == Message("assistant", "Once upon a time ")
    assert texts(after.facts) == STORY
    assert after.shown.answers == [STORY]
    assert [type(fact) for fact in after.facts if isinstance(fact, AttemptContinued | AttemptDiscarded)] == [AttemptContinued]


@pytest.mark.parametrize("policy", [None, StreamPolicy(on_restore="restart")])
def test_an_answer_is_taken_back_and_asked_for_again(policy: StreamPolicy | None) -> None:
    after = restored(policy, STORY)
    assert after.messages == [Message("user", "Tell me a story."), Message("assistant", STORY)]
    assert [message.role for message in after.asked] == ["user"]
    assert texts(after.facts) == "Once upon a time " + STORY
    assert after.shown.answers == [STORY]  # since the first pieces were taken back
    (discarded,) = [fact for fact in after.facts if isinstance(fact, AttemptDiscarded)]
    assert discarded.message is not None
    assert discarded.message.content == "Once upon a time "


def test_an_answer_is_kept_as_interrupted_and_the_agent_waits_for_what_is_said_next() -> None:
    after = restored(StreamPolicy(on_restore="interrupted"), "Gladly.", then="And now a short one.")
    assert [(message.role, message.content, message.interrupted) for message in after.messages] == [
        ("user", "Tell me a story.", False),
        ("assistant", "Once upon a time ", True),
        ("user", "And now a short one.", False),
        ("assistant", "Gladly.", False),
    ]
    assert after.shown.answers == ["Once upon a time ", "Gladly."]


# What was true of snapshots once, and must not be again


def test_a_snapshot_of_a_later_life_has_those_who_did_nothing_in_it() -> None:
    store = Written()

    async def main() -> None:
        def opened_again(store: Written) -> tuple[World, FakeProvider]:
            provider = FakeProvider(["Yes."] * 9)
            return open_world(engine=store, providers=[provider], clock=LoopClock()), provider

        world, provider = opened_again(store)
        async with world:
            for agent in [spawn_agent(world, provider, system_prompt=f"You are {number}.") for number in range(3)]:
                await agent.ask("Are you there?")
        crashed = store.after(len(store.writes) - 1)  # but for the last snapshot
        for _ in range(2):
            world, _provider = opened_again(crashed)
            async with world:
                await Agent(world, EntityId(1)).ask("And now?")
        async with open_world(engine=crashed, providers=[FakeProvider([])], clock=LoopClock()) as again:
            assert diff(world, again) == []
            assert [len(held.messages) for _, (held,) in again.query(ConversationComponent)] == [6, 2, 2]

    run(main)
