"""Streams of events: in order, merged when behind, and gone with whoever read them."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.listening import Mark, Piece, merging, pairwise, rest, say
from tests.core.parts import Said, loop_turns, now, turns

from ecs_agent.core import Burst, Coalesce, Envelope, EventStream, World
from ecs_agent.core.delivery.event_filter import EventFilter
from ecs_agent.types import EntityId


@dataclass(frozen=True)
class Other:
    number: int = 0


class TestStream:
    async def test_it_yields_what_happens_from_now_on_in_order(self, world: World) -> None:
        first, second = world.create_entity(), world.create_entity()
        async with world.events() as everything, world.events(second) as one:
            world.emit(first, Said("a"))
            world.emit(second, Said("b"))
            world.report(Said("c"))
            assert [(await anext(everything)).payload for _ in range(3)] == [Said("a"), Said("b"), Said("c")]
            assert (await anext(one)).payload == Said("b")
            assert not one.pending()

    @given(st.lists(st.integers(0, 3), max_size=20), st.lists(st.integers(0, 20), max_size=5))
    def test_rule_14_events_come_in_pos_order_across_entities_and_in_seq_order_of_each(self, whose: list[int], reads: list[int]) -> None:
        async def scenario() -> None:
            world = World()
            entities = [world.create_entity() for _ in range(4)]
            everything, each = world.events(), [world.events(entity) for entity in entities]
            received = []
            for number, who in enumerate(whose):
                world.emit(entities[who], Said(str(number)))
                if number in reads:
                    received.append(await anext(everything))
            await world.aclose()
            received += [envelope async for envelope in everything]
            assert [envelope.pos for envelope in received] == list(range(4, 4 + len(whose)))
            for who, stream in enumerate(each):
                assert [envelope.seq async for envelope in stream] == list(range(2, 2 + whose.count(who)))

        asyncio.run(scenario())

    async def test_it_waits_for_the_next_event(self, world: World) -> None:
        entity = world.create_entity()
        events = world.events(entity)
        asyncio.get_running_loop().call_later(5.0, world.emit, entity, Said("late"))
        assert (await anext(events)).payload == Said("late")

    async def test_closing_wakes_the_reader_and_what_waits_can_still_be_read(self, world: World) -> None:
        events = world.events()
        world.report(Said("a"))
        await events.aclose()
        world.report(Said("b"))
        assert [envelope.payload async for envelope in events] == [Said("a")]
        waiting = asyncio.ensure_future(anext(stream := world.events(), None))
        await asyncio.sleep(0)
        stream.close()
        stream.close()
        assert await waiting is None

    async def test_closing_the_world_ends_its_streams(self) -> None:
        world = World()
        events = world.events()
        reading = asyncio.ensure_future(anext(events, "over"))
        await asyncio.sleep(0)
        await world.aclose()
        assert await reading == "over"

    async def test_one_that_was_left_without_closing_goes_with_its_last_reference(self, world: World) -> None:
        entity = world.create_entity()
        kept = world.events(entity)
        world.event_bus.open(entity)
        async for _ in _emitting(world, entity, world.events(entity)):
            break
        gc.collect()
        assert len(world.event_bus._streams[entity]) == 1
        another = world.events(entity)
        another.close()
        assert [reference() for reference in world.event_bus._streams[entity]] == [kept]
        kept.close()
        assert world.event_bus._streams == {}

    async def test_one_may_go_while_an_event_is_handed_out(self, world: World) -> None:
        others: list[EventStream] = []

        class Leaving(EventFilter):
            def takes(self, event_type: type, components: frozenset[type]) -> bool:
                others.clear()
                return True

        first = world.event_bus.open(which=Leaving(types=frozenset({Said})))
        others.append(world.events())
        world.report(Said("a"))
        assert (await anext(first)).payload == Said("a")
        world.report(Said("b"))
        assert (await anext(first)).payload == Said("b")

    async def test_closing_the_world_closes_what_is_left(self) -> None:
        world = World()
        entity = world.create_entity()
        streams = [world.events(), world.events(entity)]
        await world.aclose()
        assert [await anext(stream, "over") for stream in streams] == ["over", "over"]

    async def test_one_that_is_opened_on_a_closed_world_is_over_at_once(self) -> None:
        world = World()
        await world.aclose()
        assert await anext(world.events(), "over") == "over"
        assert not world.event_bus.listening

    async def test_closing_the_world_leaves_no_timer(self) -> None:
        world = merging(World())
        entity = world.create_entity()
        stream = world.events(policy=Coalesce(1.0))
        say(world, entity, ["a"])
        await world.aclose()
        before = loop_turns()
        await asyncio.sleep(5.0)
        assert loop_turns() - before <= 2  # this test itself, going to sleep and getting up
        assert (await anext(stream)).payload == Piece(entity, "a")

    async def test_a_stream_has_one_reader_at_a_time(self, world: World) -> None:
        events = world.events()
        reading = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another task is already waiting"):
            await anext(events)
        world.report(Said("a"))
        assert (await reading).payload == Said("a")

    async def test_a_reader_that_gave_up_leaves_the_stream_to_the_next(self, world: World) -> None:
        events = world.events()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(events), 1.0)
        world.report(Said("a"))
        assert (await anext(events)).payload == Said("a")


def _emitting(world: World, entity: EntityId, events: EventStream) -> EventStream:
    world.emit(entity, Said("a"))
    return events


@pairwise
def joined(first: Said, second: Said) -> Said | None:
    return None if "|" in first.text + second.text else Said(first.text + second.text)


EVENTS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["a", "b", "|", ""]), st.integers(0, 1), st.booleans()), max_size=40)


class TestMerging:
    @given(EVENTS, st.integers(0, 5))
    def test_behind_its_limit_a_stream_merges_and_never_loses_or_reorders_an_entitys_text(
        self, told: list[tuple[int, str, int, bool]], limit: int
    ) -> None:
        async def scenario() -> None:
            world = World()
            world.event_bus.merge_with(Said, joined)
            entities = [world.create_entity() for _ in range(3)]
            events = world.events(limit=limit)
            received = []
            for who, text, attempt, read in told:
                world.state.row(entities[who]).label.attempt = attempt
                world.emit(entities[who], Said(text))
                if read:
                    received.append(await anext(events))
            events.close()
            received += [envelope async for envelope in events]
            for who, entity in enumerate(entities):
                mine = [envelope for envelope in received if envelope.entity == entity]
                assert "".join(envelope.payload.text for envelope in mine) == "".join(text for about, text, *_ in told if about == who)
                assert [envelope.seq for envelope in mine] == sorted(envelope.seq for envelope in mine)
                for attempt in (0, 1):
                    expected = "".join(text for about, text, label, _ in told if (about, label) == (who, attempt))
                    assert "".join(e.payload.text for e in mine if e.attempt == attempt) == expected
            await world.aclose()

        asyncio.run(scenario())

    async def test_within_its_limit_nothing_is_merged(self, world: World) -> None:
        world.event_bus.merge_with(Said, joined)
        entity = world.create_entity()
        events = world.events(limit=3)
        for text in "abcde":
            world.emit(entity, Said(text))
        events.close()
        received = [envelope async for envelope in events]
        assert [envelope.payload.text for envelope in received] == ["a", "b", "cde"]
        assert [envelope.seq for envelope in received] == [2, 3, 6]

    async def test_what_cannot_be_merged_is_kept_as_it_is(self, world: World) -> None:
        world.event_bus.merge_with(Said, joined)
        entity, other = world.create_entity(), world.create_entity()
        events = world.events(limit=1)
        for who, event in [(entity, Said("a")), (entity, Other(1)), (entity, Other(2)), (entity, Said("|")), (entity, Said("b")), (other, Said("c"))]:
            world.emit(who, event)
        events.close()
        assert [e.payload async for e in events] == [Said("a"), Other(1), Other(2), Said("|"), Said("b"), Said("c")]

    async def test_a_burst_that_would_go_over_the_limit_is_merged_as_a_whole(self, world: World) -> None:
        entity = merging(world).create_entity()
        events = world.events(limit=3)
        say(world, entity, ["a", "b"])
        assert (await anext(events)).payload.text == "a"
        say(world, entity, ["c", "d", "e"])
        say(world, entity, ["f"])
        received = await rest(events)
        assert [(envelope.payload.text, envelope.seq) for envelope in received] == [("bcde", 6), ("f", 7)]

    async def test_what_was_merged_early_stays_apart_from_what_does_not_fit(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("ecs_agent.core.delivery.backlog.COMPACT_AT", 1)
        entity = merging(world).create_entity()
        events = world.events(limit=0)
        for texts in (["a", "b", "|", "|"], ["|", "c", "d", "e"], ["f"], ["|"]):
            say(world, entity, texts)
        assert [(e.payload.text, e.seq) for e in await rest(events)] == [("ab", 3), ("|", 4), ("|", 5), ("|", 6), ("cdef", 10), ("|", 11)]

    @pytest.mark.parametrize("attribute", ["run", "turn", "attempt"])
    async def test_what_belongs_to_different_attempts_is_never_merged(self, world: World, attribute: str) -> None:
        entity = merging(world).create_entity()
        events = world.events(limit=0)
        for number, text in enumerate("abc"):
            setattr(world.state.row(entity).label, attribute, number // 2)
            world.emit(entity, Piece(entity, text))
        assert [(envelope.payload.text, getattr(envelope, attribute)) for envelope in await rest(events)] == [("ab", 0), ("c", 1)]

    @pytest.mark.no_cover
    async def test_merging_costs_the_same_for_each_fact_however_far_behind_the_reader_is(self, world: World) -> None:
        given, calls, count = 0, 0, 200_000

        def counting(pieces: Sequence[Piece]) -> Iterator[tuple[Piece, int]]:
            nonlocal given, calls
            given += len(pieces)
            calls += 1
            yield Piece(pieces[0].entity_id, "".join([piece.text for piece in pieces])), len(pieces)

        world.event_bus.merge_with(Piece, counting)
        entities = [world.create_entity() for _ in range(50)]
        one, everything = world.events(entities[0], limit=10), world.events(limit=10)
        for number in range(count // 10):
            say(world, entities[number % 50 if number % 3 else 0], ["x"] * 10)
        assert given < 3 * count
        assert calls < count / 15  # each call copies the text so far
        gc.collect()
        assert sum(isinstance(found, Burst) for found in gc.get_objects()) < 2500  # those of the log, and what is not merged yet
        total = 0
        for stream in (one, everything):
            received = await rest(stream)
            total += sum(len(envelope.payload.text) for envelope in received)
            assert len(received) <= 64
        assert total == count + sum(10 for number in range(count // 10) if not (number % 50 if number % 3 else 0))
        assert given < 4 * count

    @pytest.mark.parametrize("counts", [(), (1,), (3,), (0, 2), (3, -1)])
    async def test_a_way_of_merging_that_fails_costs_no_text_and_disturbs_nobody(
        self, world: World, caplog: pytest.LogCaptureFixture, counts: tuple[int, ...]
    ) -> None:
        def failing(pieces: Sequence[Piece]) -> Iterator[tuple[Piece, int]]:
            yield from [(pieces[0], count) for count in counts]
            if not counts:
                raise ValueError("bad")

        caplog.set_level(logging.CRITICAL, "ecs_agent")
        world.event_bus.merge_with(Piece, failing)
        entity = world.create_entity()
        events = world.events(limit=0)
        say(world, entity, ["a", "b"])
        assert [envelope.payload.text for envelope in await rest(events)] == ["a", "b"]


class TestCost:
    async def test_telling_costs_by_those_concerned_and_not_by_those_who_listen(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        entities = [world.create_entity() for _ in range(1000)]
        streams = [world.events(entity) for entity in entities]
        pushed: list[EventStream] = []
        looked: list[frozenset[type]] = []
        push = EventStream.push

        def counting(self: EventStream, entry: Any, kind: type) -> None:
            pushed.append(self)
            push(self, entry, kind)

        def takes(self: EventFilter, event_type: type, components: frozenset[type]) -> bool:
            looked.append(components)
            return False

        monkeypatch.setattr(EventStream, "push", counting)
        monkeypatch.setattr(EventFilter, "takes", takes)
        filtered = [world.events(types=(Mark,)), world.events(entities[7], types=(Mark,))]
        say(world, entities[7], ["a"] * 64)
        assert pushed == [streams[7]]
        assert len(looked) == len(filtered)

    async def test_nothing_is_made_of_a_burst_until_somebody_reads(self, world: World) -> None:
        made: list[str] = []

        @dataclass(frozen=True)
        class Noted:
            entity_id: EntityId
            text: str

            def __post_init__(self) -> None:
                made.append(self.text)

        entity = world.create_entity()
        other, events = world.create_entity(), world.events(entity)
        for who in (other, entity):
            world.state.record_each(world.state.row(who), Noted, ["a", "b", "c"])
        assert made == []
        assert (await anext(events)).payload.text == "a"
        assert made == ["a"]

    async def test_without_anyone_who_listens_the_bus_is_not_asked(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[object] = []
        monkeypatch.setattr(world.event_bus, "dispatch", lambda entry, components: asked.append(entry))
        entity = world.create_entity()
        for whose in (None, entity):
            listens = world.events(whose)
            say(world, entity, ["a"])
            listens.close()
            say(world, entity, ["b"])
        world.event_bus.subscribe(Said, hear, entity=entity)
        say(world, entity, ["a"])
        world.event_bus.unsubscribe(Said, hear, entity=entity)
        say(world, entity, ["b"])
        world.event_bus.subscribe(Said, hear)
        say(world, entity, ["a"])
        world.event_bus.clear()
        say(world, entity, ["b"])
        assert [entry.payloads()[0].text for entry in cast("list[Envelope]", asked)] == ["a"] * 4

    async def test_coalescing_streams_share_one_timer_and_an_idle_world_wakes_nobody(self, world: World) -> None:
        entities = [merging(world).create_entity() for _ in range(200)]
        streams = [world.events(entity, policy=Coalesce(1.0)) for entity in entities]
        reading = [asyncio.ensure_future(collect(stream)) for stream in streams]
        await asyncio.sleep(0.05)
        before = loop_turns()
        for number in range(36):  # spread over nine tenths of the interval
            for entity in entities[number::36]:
                say(world, entity, ["a", "b"])
            await asyncio.sleep(0.025)
        told_at = loop_turns() - before
        await asyncio.sleep(5.0)
        assert now() == pytest.approx(5.95)
        assert loop_turns() - before - told_at <= 4  # the one timer, those who were told by it, and this test
        before = loop_turns()
        await asyncio.sleep(10_000.0)
        assert loop_turns() - before <= 2  # this test itself, going to sleep and getting up
        for stream in streams:
            stream.close()
        await turns(3)
        assert [task.result() for task in reading] == [["ab"]] * 200

    async def test_the_timer_is_set_for_who_is_due_first(self, world: World) -> None:
        entity = merging(world).create_entity()
        slow, fast, other = [world.events(policy=Coalesce(seconds)) for seconds in (3.0, 1.0, 2.0)]
        say(world, entity, ["a"])
        for stream, expected in ((fast, 1.0), (other, 2.0), (slow, 3.0)):
            assert ((await anext(stream)).payload.text, now()) == ("a", expected)

    async def test_one_that_is_dropped_or_closed_is_no_longer_told(self, world: World) -> None:
        entity = merging(world).create_entity()
        dropped, closed = world.events(policy=Coalesce(1.0)), world.events(policy=Coalesce(1.0))
        say(world, entity, ["a"])
        closed.close()
        assert (await anext(closed)).payload.text == "a"
        del dropped
        await asyncio.sleep(2.0)
        assert now() == 2.0


async def collect(stream: EventStream) -> list[str]:
    return [envelope.payload.text async for envelope in stream]


async def hear(event: Said) -> None:
    raise AssertionError(event)
