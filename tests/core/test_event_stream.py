"""Streams of events: in order, merged when behind, and gone with whoever read them."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.parts import Said

from ecs_agent.core import EventStream, World
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

        def let_go(_: Said, later: Said) -> Said:
            others.clear()
            return later

        world.event_bus.merge_with(Said, let_go)
        first = world.events(limit=1)
        others.append(world.events())
        world.report(Said("a"))
        world.report(Said("b"))
        assert (await anext(first)).payload == Said("b")
        world.report(Said("c"))
        assert (await anext(first)).payload == Said("c")

    async def test_closing_the_world_closes_what_is_left(self) -> None:
        world = World()
        entity = world.create_entity()
        streams = [world.events(), world.events(entity)]
        await world.aclose()
        assert [await anext(stream, "over") for stream in streams] == ["over", "over"]

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
