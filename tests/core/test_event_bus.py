"""Who hears of events: handlers one event after another, streams in order, and nobody disturbs anybody."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
from tests.core.listening import Piece, say
from tests.core.parts import Said

from ecs_agent.core import EntityDeleted, EventBus, HandlerFailed, World
from ecs_agent.core.tasks import ended
from ecs_agent.types import EntityId


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


class TestOneEntity:
    async def test_a_handler_may_hear_of_one_entity_alone(self, world: World) -> None:
        entity, other, hearing, everything = world.create_entity(), world.create_entity(), Hearing(), Hearing()
        world.event_bus.subscribe(Said, hearing, entity=entity)
        world.event_bus.subscribe(Said, everything)
        for who, text in ((entity, "a"), (other, "b")):
            world.emit(who, Said(text))
        world.report(Said("c"))
        await settled(world)
        assert (hearing.heard, everything.heard) == ([Said("a")], [Said("a"), Said("b"), Said("c")])

    async def test_published_events_reach_it_by_the_entity_they_name(self, world: World) -> None:
        entity, hearing = world.create_entity(), Hearing()
        world.event_bus.subscribe(About, hearing, entity=entity)
        await world.event_bus.publish(About(entity))
        await world.event_bus.publish(About(EntityId(99)))
        assert hearing.heard == [About(entity)]

    async def test_unsubscribing_from_one_leaves_the_subscription_to_all(self, world: World) -> None:
        entity, hearing = world.create_entity(), Hearing()
        world.event_bus.subscribe(Said, hearing)
        for _ in range(2):
            world.event_bus.subscribe(Said, hearing, entity=entity)
        world.emit(entity, Said("a"))
        world.event_bus.unsubscribe(Said, hearing, entity=entity)
        world.emit(entity, Said("b"))
        await settled(world)
        assert hearing.heard == [Said("a"), Said("b")]

    async def test_it_ends_with_its_entity_after_it_heard_of_that(self, world: World) -> None:
        entity, hearing = world.create_entity(), Hearing()
        for kind in (Said, EntityDeleted):
            world.event_bus.subscribe(kind, hearing, entity=entity)
        world.emit(entity, Said("a"))
        world.delete_entity(entity)
        assert not world.event_bus.listening
        await settled(world)
        assert hearing.heard == [Said("a"), EntityDeleted(entity)]

    async def test_a_burst_is_heard_event_by_event(self, world: World) -> None:
        entity, hearing = world.create_entity(), Hearing()
        world.event_bus.subscribe(Piece, hearing)
        say(world, entity, ["a", "b"])
        await settled(world)
        assert hearing.heard == [Piece(entity, "a"), Piece(entity, "b")]


class TestBounds:
    async def test_a_handler_that_is_far_behind_loses_the_oldest_and_is_told_once_how_many(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("ecs_agent.core.delivery.handlers.MAX_WAITING", 3)
        slow, hearing = Hearing(1.0), Hearing()
        world.event_bus.subscribe(Said, slow)
        world.event_bus.subscribe(HandlerFailed, hearing)
        world.report(Said("0"))
        await asyncio.sleep(0.5)
        publishing = asyncio.ensure_future(world.event_bus.publish(Said("1")))
        await asyncio.sleep(0)
        for number in range(2, 9):
            world.report(Said(str(number)))
        await publishing  # nobody waits for what was dropped
        await settled(world)
        assert slow.heard == [Said("0"), Said("6"), Said("7"), Said("8")]
        assert [event.error for event in hearing.heard if isinstance(event, HandlerFailed)] == [
            "OverflowError: 5 events were dropped, as more than 3 waited"
        ]

    async def test_one_that_is_ended_while_it_hangs_is_told_too(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("ecs_agent.core.delivery.handlers.MAX_WAITING", 1)
        world.event_bus.subscribe(Said, Hearing(100.0))
        world.report(Said("0"))
        await asyncio.sleep(0)
        for number in range(4):
            world.report(Said(str(number)))
        await world.event_bus.drain(1.0, asyncio.get_running_loop().create_future())
        errors = [failure.error for failure in await failures(world)]
        assert errors == ["OverflowError: 3 events were dropped, as more than 1 waited", "TimeoutError: did not finish within 1.0 s"]


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
        assert "failed on Said: ValueError: bad" in caplog.text


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
