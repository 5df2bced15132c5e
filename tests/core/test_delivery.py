"""Delivery policies, each against what was really told: no gap, no reordering, and never more waiting than it may."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.listening import Mark, Piece, in_order, merging, rest, say, told

from ecs_agent.core import Block, Coalesce, Delivery, Envelope, EventsSkipped, EveryDelta, Latest, World
from ecs_agent.core.delivery.backlog import Backlog
from ecs_agent.testing import run as run_virtually
from ecs_agent.types import EntityId

WHO = st.integers(0, 2)
TEXT = st.sampled_from(["a", "b", "|"])
TEXTS = st.one_of(st.lists(TEXT, min_size=1, max_size=9), st.lists(st.sampled_from(["a", "bc", ""]), min_size=1, max_size=9))
SAY = st.tuples(st.just("say"), WHO, TEXTS, st.integers(0, 2))
MARK = st.tuples(st.just("mark"), WHO, st.integers(0, 9))
READ = st.tuples(st.just("read"), st.integers(1, 12))
PAUSE = st.tuples(st.just("pause"), st.sampled_from([0.0, 0.01, 0.3]))
TOLD = st.lists(st.one_of(SAY, SAY, MARK, READ, PAUSE), max_size=40)

POLICIES = st.one_of(
    st.builds(EveryDelta, st.integers(0, 12)), st.builds(Coalesce, st.sampled_from([0.01, 0.1, 1.0])), st.builds(Block, st.integers(1, 12))
)


class Scene:
    """Three entities and one who listens, at a speed of their own."""

    def __init__(self, policy: Delivery, whose: int | None = None, compact_at: int = 1024) -> None:
        self.compact_at = compact_at
        self.world = merging(World())
        self.entities = [self.world.create_entity() for _ in range(3)]
        self.stream = self.world.events(None if whose is None else self.entities[whose], policy=policy)
        self.received: list[Envelope] = []

    async def play(self, actions: list[tuple[Any, ...]]) -> list[Envelope]:
        """Do all of it, then read what is left. Returns what was really told, fact by fact."""
        begin = self.world.log.next_pos
        with patch("ecs_agent.core.delivery.backlog.COMPACT_AT", self.compact_at):
            for action in actions:
                await self._act(*action)
        self.received += await rest(self.stream)
        backlog = self.stream._backlog
        assert (backlog.waiting, backlog.readable) == (0, 0)
        if isinstance(backlog, Backlog):  # its books balance
            assert (backlog._facts, backlog._loose, backlog._start, backlog._dirty, backlog._open) == (0, 0, 0, {}, {})
        facts = list(self.world.log.read(begin))
        await self.world.aclose()
        return facts

    async def _act(self, what: str, *how: Any) -> None:
        match what:
            case "say":
                say(self.world, self.entities[how[0]], how[1], how[2])
            case "mark":
                self.world.emit(self.entities[how[0]], Mark(self.entities[how[0]], how[1]))
            case "pause":
                await asyncio.sleep(how[0])
            case _:
                for _ in range(how[0]):
                    if self.stream.pending():
                        self.received.append(await anext(self.stream))


@given(POLICIES, TOLD, st.one_of(st.none(), WHO), st.sampled_from([2, 9, 1024]))
def test_whatever_the_speed_of_the_reader_no_text_is_missing_or_out_of_order(
    policy: Delivery, actions: list[Any], whose: int | None, compact_at: int
) -> None:
    async def scenario() -> None:
        scene = Scene(policy, whose, compact_at)
        facts = await scene.play(actions)
        for number, entity in enumerate(scene.entities):
            assert told(scene.received, entity) == (told(facts, entity) if whose in (None, number) else [])
            assert in_order(scene.received, entity)
        by_pos = {fact.pos: fact for fact in facts}
        for envelope in scene.received:  # a merged one has the place of its newest part
            fact = by_pos[envelope.pos]
            assert (envelope.entity, envelope.seq, envelope.attempt, envelope.type) == (fact.entity, fact.seq, fact.attempt, fact.type)

    run_virtually(scenario)


@given(POLICIES, TOLD, st.one_of(st.none(), WHO), st.integers(1, 20))
def test_what_is_dropped_is_counted_and_what_is_not_dropped_stays_in_order(
    policy: Delivery, actions: list[Any], whose: int | None, bound: int
) -> None:
    async def scenario() -> None:
        scene = Scene(policy, whose, compact_at=5)
        assert isinstance(scene.stream._backlog, Backlog)
        scene.stream._backlog._most = bound
        facts = await scene.play(actions)
        mine = [fact for fact in facts if whose is None or fact.entity == scene.entities[whose]]
        skipped = [envelope for envelope in scene.received if isinstance(envelope.payload, EventsSkipped)]
        kept = [envelope for envelope in scene.received if envelope not in skipped]
        lengths = [len(e.payload.text) if isinstance(e.payload, Piece) else 1 for e in mine]
        if all(length == 1 for length in lengths):
            heard = sum(len(e.payload.text) if isinstance(e.payload, Piece) else 1 for e in kept)
            assert heard + sum(gap.payload.count for gap in skipped) == len(mine)
        for gap in skipped:
            between = [fact for fact in mine if gap.payload.first_pos <= fact.pos <= gap.payload.last_pos]
            assert (gap.pos, gap.type) == (gap.payload.last_pos, "EventsSkipped")
            assert len(between) >= gap.payload.count > 0
            assert gap.payload.first_pos in [fact.pos for fact in between]
        assert whose is None or in_order(scene.received, scene.entities[whose])
        assert all(in_order(kept, entity) for entity in scene.entities)

    run_virtually(scenario)


@given(TOLD)
def test_who_keeps_up_gets_each_fact_on_its_own(actions: list[Any]) -> None:
    async def scenario() -> None:
        scene = Scene(EveryDelta(limit=9))
        facts = await scene.play([each for action in actions for each in (action, ("read", 99))])
        assert scene.received == facts

    run_virtually(scenario)


@given(TOLD)
def test_the_latest_of_each_entity_and_type_waits_and_nothing_else(actions: list[Any]) -> None:
    async def scenario() -> None:
        scene = Scene(Latest())
        waiting: dict[tuple[EntityId | None, str], Envelope] = {}
        expected: list[Envelope] = []
        seen = scene.world.log.next_pos
        for action in actions:
            if action[0] == "read":
                expected += [waiting.pop(key) for key in list(waiting)[: action[1]]]
            await scene._act(*action)
            for fact in scene.world.log.read(seen):
                waiting.pop((fact.entity, fact.type), None)
                waiting[fact.entity, fact.type] = fact
            seen = scene.world.log.next_pos
        await scene.play([])
        assert scene.received == [*expected, *waiting.values()]

    run_virtually(scenario)


def many_marks(world: World, entity: EntityId, count: int) -> None:
    for number in range(count):
        world.emit(entity, Mark(entity, number))


class TestBounds:
    async def test_the_beginnings_of_very_many_agents_at_once_are_not_too_much(self, world: World) -> None:
        stream = world.events()
        for _ in range(5_000):
            many_marks(world, world.create_entity(), 8)
        assert not [envelope for envelope in await rest(stream) if isinstance(envelope.payload, EventsSkipped)]

    @pytest.mark.parametrize(("policy", "bound"), [(EveryDelta(limit=2), 1024), (Block(limit=2), 8192), (EveryDelta(limit=50), 12_800)])
    async def test_what_cannot_be_merged_is_bounded_and_the_oldest_go_with_a_word(self, world: World, policy: Delivery, bound: int) -> None:
        entity = world.create_entity()
        stream = world.events(policy=policy)
        first = world.log.next_pos
        many_marks(world, entity, 30_000)
        received = await rest(stream)
        skipped, kept = received[0], received[1:]
        assert len(kept) == bound
        assert skipped.payload == EventsSkipped(30_000 - len(kept), first, kept[0].pos - 1)
        assert (skipped.entity, skipped.pos, skipped.type) == (None, kept[0].pos - 1, "EventsSkipped")
        assert [envelope.payload.number for envelope in kept] == list(range(30_000 - len(kept), 30_000))

    async def test_a_gap_in_the_stream_of_one_entity_has_the_place_of_the_newest_fact_in_it(self, world: World) -> None:
        entity = world.create_entity()
        stream = world.events(entity, limit=1)
        many_marks(world, entity, 1030)
        received = await rest(stream)
        assert (received[0].entity, received[0].payload.count, received[0].seq) == (entity, 6, received[1].seq - 1)
        assert in_order(received, entity)

    async def test_each_gap_is_told_once_where_it_is(self, world: World) -> None:
        entity = world.create_entity()
        stream = world.events(limit=1)
        many_marks(world, entity, 1025)
        assert (await anext(stream)).payload.count == 1
        assert (await anext(stream)).payload == Mark(entity, 1)
        many_marks(world, entity, 4)
        assert (await anext(stream)).payload.count == 3
        assert (await anext(stream)).payload == Mark(entity, 5)
        assert not [envelope for envelope in await rest(stream) if isinstance(envelope.payload, EventsSkipped)]

    @pytest.mark.parametrize("policy", [EveryDelta(limit=2), Coalesce()])
    async def test_after_a_gap_all_that_is_left_can_be_read(self, world: World, policy: Delivery) -> None:
        entity = merging(world).create_entity()
        stream = world.events(policy=policy)
        say(world, entity, ["a"])
        many_marks(world, entity, 20_000)
        count = 0
        while stream.pending():
            envelope = await anext(stream)
            count += envelope.payload.count if isinstance(envelope.payload, EventsSkipped) else 1
        assert count == 20_001
        say(world, entity, ["a"])
        assert stream.pending() == isinstance(policy, EveryDelta)

    async def test_a_burst_may_lose_its_oldest_facts_alone(self, world: World) -> None:
        entity = world.create_entity()
        stream = world.events(limit=1)
        world.state.record_each(world.state.row(entity), Mark, list(range(2000)))
        received = await rest(stream)
        assert received[0].payload.count == 976
        assert [envelope.payload.number for envelope in received[1:]] == list(range(976, 2000))

    async def test_merged_text_is_bounded_by_its_parts(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("ecs_agent.core.delivery.backlog.MOST_MERGED", 100)
        one, other = world.create_entity(), world.create_entity()
        stream = merging(world).events(limit=0)
        first = world.log.next_pos
        say(world, one, ["a"] * 60)
        say(world, other, ["b"] * 60)
        received = await rest(stream)
        assert [envelope.payload for envelope in received] == [EventsSkipped(60, first, first + 59), Piece(other, "b" * 60)]

    async def test_the_latest_are_bounded_too(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("ecs_agent.core.delivery.newest.MOST", 3)
        stream = world.events(policy=Latest())
        for _ in range(5):
            world.create_entity()
        received = await rest(stream)
        assert [envelope.payload for envelope in received[:1]] == [EventsSkipped(2, 0, 1)]
        assert [envelope.pos for envelope in received[1:]] == [2, 3, 4]


class TestCoalesce:
    async def test_text_comes_at_most_once_in_an_interval(self, world: World) -> None:
        entity = merging(world).create_entity()
        stream = world.events(policy=Coalesce(1.0))
        loop = asyncio.get_running_loop()

        async def talk() -> None:
            await asyncio.sleep(0.05)
            for _ in range(35):
                say(world, entity, ["a", "b"])
                await asyncio.sleep(0.1)
            stream.close()

        talking = asyncio.ensure_future(talk())
        heard = [(round(loop.time(), 3), len(envelope.payload.text)) async for envelope in stream]
        await talking
        assert [at for at, _ in heard] == [1.0, 2.0, 3.0, 3.55]
        assert [length for _, length in heard] == [20, 20, 20, 10]

    async def test_what_cannot_be_merged_comes_at_once_after_what_stands_before_it(self, world: World) -> None:
        entity, other = merging(world).create_entity(), world.create_entity()
        stream = world.events(policy=Coalesce(1.0))
        say(world, other, ["x"])
        say(world, entity, ["a", "b"])
        assert not stream.pending()
        world.emit(entity, Mark(entity))
        assert [(await anext(stream)).payload for _ in range(3)] == [Piece(other, "x"), Piece(entity, "ab"), Mark(entity)]
        say(world, entity, ["c"])
        assert not stream.pending()

    async def test_a_type_that_nobody_knows_how_to_merge_is_handed_out_at_once(self, world: World) -> None:
        entity = world.create_entity()
        stream = world.events(policy=Coalesce(1.0))
        say(world, entity, ["a", "b"])
        assert [(await anext(stream)).payload.text for _ in range(2)] == ["a", "b"]

    def test_what_came_while_no_loop_ran_comes_an_interval_after_somebody_reads(self) -> None:
        world = merging(World())
        entity = world.create_entity()
        stream = world.events(policy=Coalesce(1.0))
        say(world, entity, ["a", "b"])

        async def read() -> tuple[str, float]:
            return (await anext(stream)).payload.text, asyncio.get_running_loop().time()

        for _ in range(3):  # each time in a loop of its own
            assert run_virtually(read) == ("ab", 1.0)
            say(world, entity, ["a", "b"])

    def test_a_timer_of_a_loop_that_is_over_is_set_again(self) -> None:
        world = merging(World())
        entity = world.create_entity()
        stream = world.events(policy=Coalesce(1.0))

        async def tell() -> None:
            say(world, entity, ["a"])

        async def tell_and_read() -> str:
            say(world, entity, ["b"])
            return str((await anext(stream)).payload.text)

        run_virtually(tell)
        assert run_virtually(tell_and_read) == "ab"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: EveryDelta(-1),
        lambda: Block(0),
        lambda: Block(1, 0.0),
        lambda: Coalesce(0.0),
        lambda: Coalesce(float("inf")),
        lambda: Coalesce(float("nan")),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: Callable[[], Delivery]) -> None:
    with pytest.raises(ValueError, match=" is "):
        wrong()


def test_a_policy_or_a_limit_but_not_both() -> None:
    world = World()
    assert world.events(limit=7).policy == EveryDelta(limit=7)
    assert world.events(policy=Latest()).policy == Latest()
    assert world.events().policy == EveryDelta()
    with pytest.raises(ValueError, match="a policy or a limit, not both"):
        world.events(policy=Latest(), limit=7)
