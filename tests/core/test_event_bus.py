"""Who hears of events: handlers one event after another, streams in order, and nobody disturbs anybody."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.core import EventBus, EventStream, HandlerFailed, World
from ecs_agent.core.tasks import ended
from ecs_agent.types import EntityId


@dataclass(frozen=True)
class Said:
    text: str


@dataclass(frozen=True)
class Other:
    number: int = 0


@dataclass(frozen=True)
class About:
    entity_id: EntityId


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "ecs_agent")


class Hearing:
    """A handler that notes what it hears, each after a pause."""

    def __init__(self, pause: float = 0.0) -> None:
        self.heard: list[object] = []
        self.pause = pause

    async def __call__(self, event: object) -> None:
        await asyncio.sleep(self.pause)
        self.heard.append(event)


def raising(error: BaseException) -> Callable[[object], Awaitable[None]]:
    async def fail(_: object) -> None:
        raise error

    return fail


async def settled(world: World) -> None:
    await world.event_bus.drain(10.0, asyncio.get_running_loop().create_future())


async def failures(world: World) -> list[HandlerFailed]:
    await settled(world)
    return [fact.payload for fact in world.log.read() if isinstance(fact.payload, HandlerFailed)]


class TestPublish:
    async def test_it_waits_until_every_handler_has_dealt_with_the_event(self) -> None:
        bus, fast, slow = EventBus(), Hearing(), Hearing(5.0)
        bus.subscribe(Said, fast)
        bus.subscribe(Said, slow)
        await bus.publish(Said("hello"))
        assert fast.heard == slow.heard == [Said("hello")]

    async def test_only_handlers_of_exactly_this_type_hear_of_it(self) -> None:
        class Whispered(Said):
            pass

        bus, hearing = EventBus(), Hearing()
        bus.subscribe(Said, hearing)
        await bus.publish(Whispered("psst"))
        await bus.publish(Other())
        assert hearing.heard == []

    async def test_subscribing_twice_counts_once_and_unsubscribing_ends_it(self) -> None:
        bus, hearing = EventBus(), Hearing()
        bus.subscribe(Said, hearing)
        bus.subscribe(Said, hearing)
        await bus.publish(Said("1"))
        bus.unsubscribe(Said, hearing)
        bus.unsubscribe(Said, hearing)
        bus.unsubscribe(Other, hearing)
        await bus.publish(Said("2"))
        bus.subscribe(Said, hearing)
        bus.clear()
        await bus.publish(Said("3"))
        assert hearing.heard == [Said("1")]

    async def test_a_handler_hears_events_one_after_another_in_order(self, world: World) -> None:
        busy, order = 0, []

        async def slow(event: Said) -> None:
            nonlocal busy
            busy += 1
            assert busy == 1
            await asyncio.sleep(1.0)
            order.append(event.text)
            busy -= 1

        world.event_bus.subscribe(Said, slow)
        for text in "abc":
            world.report(Said(text))
        await world.event_bus.publish(Said("d"))
        assert order == ["a", "b", "c", "d"]

    async def test_from_inside_a_handler_it_returns_at_once_so_that_two_do_not_wait_in_a_circle(self, world: World) -> None:
        heard: list[object] = []

        async def again(event: Said) -> None:
            heard.append(event)
            if len(event.text) < 3:
                await world.event_bus.publish(Said(event.text + "!"))

        world.event_bus.subscribe(Said, again)
        await world.event_bus.publish(Said("a"))
        await settled(world)
        assert heard == [Said("a"), Said("a!"), Said("a!!")]

    async def test_a_published_event_is_a_fact_of_the_entity_it_names_or_of_the_world(self, world: World) -> None:
        entity = world.create_entity()
        await world.event_bus.publish(About(entity))
        await world.event_bus.publish(About(EntityId(99)))
        await world.event_bus.publish(Said("to all"))
        assert [(fact.entity, fact.payload) for fact in world.log.read(1)] == [
            (entity, About(entity)),
            (None, About(EntityId(99))),
            (None, Said("to all")),
        ]


class TestFailures:
    @pytest.mark.parametrize("error", [ValueError("bad"), SystemExit("bad"), asyncio.CancelledError("bad")])
    async def test_rule_14_what_a_handler_raises_becomes_an_event_and_disturbs_nobody(self, world: World, error: BaseException) -> None:
        hearing = Hearing()
        world.event_bus.subscribe(Said, raising(error))
        world.event_bus.subscribe(Said, hearing)
        await world.event_bus.publish(Said("1"))
        await world.event_bus.publish(Said("2"))
        assert hearing.heard == [Said("1"), Said("2")]
        assert [(failure.event, failure.error) for failure in await failures(world)] == [("Said", f"{type(error).__name__}: bad")] * 2

    async def test_a_failing_handler_of_failures_is_not_called_for_ever(self, world: World) -> None:
        world.event_bus.subscribe(Said, raising(ValueError("bad")))
        world.event_bus.subscribe(HandlerFailed, raising(ValueError("worse")))
        await world.event_bus.publish(Said("1"))
        assert len(await failures(world)) == 1

    async def test_on_a_bus_without_a_world_a_failure_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.ERROR, "ecs_agent")
        bus = EventBus()
        bus.subscribe(Said, raising(ValueError("bad")))
        await bus.publish(Said("1"))
        assert "failed on Said: ValueError('bad')" in caplog.text


class TestEnding:
    async def test_who_is_still_busy_after_the_grace_is_cancelled_and_reported_with_the_event_it_had(self, world: World) -> None:
        world.event_bus.subscribe(Said, Hearing(100.0))
        world.report(Said("1"))
        await world.event_bus.drain(2.0, asyncio.get_running_loop().create_future())
        assert asyncio.get_running_loop().time() == pytest.approx(2.0)
        assert [(failure.event, failure.error) for failure in await failures(world)] == [("Said", "TimeoutError: did not finish within 2.0 s")]

    async def test_a_handler_of_failures_that_hangs_is_reported_in_the_log_only(self, world: World) -> None:
        world.event_bus.subscribe(Said, raising(ValueError("bad")))
        world.event_bus.subscribe(HandlerFailed, Hearing(100.0))
        await world.event_bus.publish(Said("1"))
        await world.event_bus.drain(2.0, asyncio.get_running_loop().create_future())
        assert len(await failures(world)) == 1

    async def test_closing_ends_handlers_and_tells_those_who_listen_for_failures(self) -> None:
        world, hearing = World(), Hearing()
        world.event_bus.subscribe(Said, Hearing(100.0))
        world.event_bus.subscribe(HandlerFailed, hearing)
        world.report(Said("1"))
        await asyncio.sleep(0)
        await world.aclose()
        assert [type(event) for event in hearing.heard] == [HandlerFailed]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def test_closing_also_ends_a_handler_that_was_unsubscribed_while_it_ran(self) -> None:
        def unsubscribe(bus: EventBus, handler: Hearing) -> None:
            bus.unsubscribe(Said, handler)

        def clear(bus: EventBus, _: Hearing) -> None:
            bus.clear()

        for leave in (unsubscribe, clear):
            world, slow = World(), Hearing(100.0)
            world.event_bus.subscribe(Said, slow)
            world.report(Said("1"))
            await asyncio.sleep(0)
            leave(world.event_bus, slow)
            await world.aclose()
            assert asyncio.all_tasks() == {asyncio.current_task()}

    async def test_an_unsubscribed_handler_is_not_called_with_what_waited_and_nobody_waits_for_it(self, world: World) -> None:
        slow = Hearing(1.0)
        world.event_bus.subscribe(Said, slow)
        world.report(Said("1"))
        publishing = asyncio.ensure_future(world.event_bus.publish(Said("2")))
        await asyncio.sleep(0.5)
        world.event_bus.unsubscribe(Said, slow)
        await publishing
        await settled(world)
        assert slow.heard == [Said("1")]

    async def test_who_publishes_is_not_left_waiting_when_the_handler_is_ended(self, world: World) -> None:
        world.event_bus.subscribe(Said, Hearing(100.0))
        publishing = [asyncio.ensure_future(world.event_bus.publish(Said(text))) for text in "ab"]
        await asyncio.sleep(0)
        await world.aclose()
        for task in publishing:
            await ended(task)
        assert [(failure.event, failure.error) for failure in await failures(world)] == [("Said", "TimeoutError: the world was closed")]

    async def test_a_cancelled_publish_disturbs_no_handler(self, world: World) -> None:
        slow = Hearing(1.0)
        world.event_bus.subscribe(Said, slow)
        publishing = asyncio.ensure_future(world.event_bus.publish(Said("1")))
        await asyncio.sleep(0.5)
        publishing.cancel()
        await settled(world)
        assert slow.heard == [Said("1")]

    def test_events_of_a_world_that_is_set_up_without_a_loop_are_handed_out_when_it_runs(self) -> None:
        world, hearing = World(), Hearing()
        world.event_bus.subscribe(Said, hearing)
        world.report(Said("1"))
        world.report(Said("2"))
        asyncio.run(world.process())
        assert hearing.heard == [Said("1"), Said("2")]


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
                world.row(entities[who]).label.attempt = attempt
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
