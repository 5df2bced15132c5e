"""Whatever systems do to each other's entities while a run is going on: it ends, nothing is left due, running or reported twice."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.parts import GRACE, Ban, Style, Work, spawn

from ecs_agent.core import (
    EndReason,
    Entity,
    ErrorComponent,
    LoopClock,
    Phase,
    QuarantineComponent,
    Read,
    Runner,
    RunResult,
    SupervisionComponent,
    TerminalComponent,
    World,
    system,
)
from ecs_agent.core.entry import EntityEntry
from ecs_agent.testing import run
from ecs_agent.types import EntityId

ACTIONS = st.one_of(
    st.tuples(st.just("sleep"), st.sampled_from([0.0, 0.0, 0.25, 2.0])),
    st.tuples(
        st.sampled_from(
            ["touch", "delete", "style", "plain", "ban", "free", "terminal", "go on", "replace", "in place", "send", "supervise", "forgive"]
        ),
        st.integers(0, 5),
    ),
    st.tuples(st.sampled_from(["request", "bad request", "deep request"]), st.integers(0, 5)),
    st.tuples(st.sampled_from(["join", "join briefly", "join two", "join beside"]), st.integers(0, 5)),
    st.sampled_from([("raise", 0), ("exit", 0), ("cancelled", 0), ("spawn", 0), ("own change", 0), ("reluctant", 0), ("cancel", 0)]),
)
SCRIPTS = st.lists(st.lists(ACTIONS, max_size=4), max_size=6)
HOW = ["deadline", "stop", "stop after step", "both", "cancel", "ticks", "max_ticks"]
ENDINGS = st.none() | st.tuples(st.sampled_from(HOW), st.sampled_from([0.0, 0.1, 1.0, 2.25]))
Ending = tuple[str, float] | None


@dataclass
class Play:
    """Each call of a system takes the next script of its name, and does nothing when there is none left."""

    world: World
    scripts: dict[str, list[list[tuple[str, Any]]]]
    entities: list[EntityId]
    running: dict[tuple[str, EntityId], int] = field(default_factory=dict)

    async def call(self, name: str, me: Entity) -> None:
        key = name, me.id
        self.running[key] = self.running.get(key, 0) + 1
        assert self.running[key] == 1, "two calls of one system on one entity"
        try:
            for action, argument in self.next(name):
                await self.act(action, argument, me)
        finally:
            self.running[key] -= 1

    def next(self, name: str) -> list[tuple[str, Any]]:
        left = self.scripts[name]
        return left.pop(0) if left else []

    async def act(self, action: str, argument: Any, me: Entity | None) -> None:
        match action:
            case "sleep":
                await asyncio.sleep(argument)
            case "reluctant":
                try:
                    await asyncio.sleep(2.0)
                finally:
                    await asyncio.sleep(GRACE / 4)
            case "raise":
                raise ValueError("bad")
            case "exit":
                raise SystemExit
            case "cancelled":
                raise asyncio.CancelledError
            case "cancel":
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                await asyncio.sleep(0)
            case "spawn":
                self.entities.append(spawn(self.world, Work()) if me is None else me.spawn(Work()))
            case "own change":
                if me is not None:
                    me.add(Style("mine"))
            case "join" | "join briefly" | "join two" | "join beside":
                if me is not None:
                    await self.join(action, me, self.entities[argument % len(self.entities)])
            case _:
                self.change(action, self.entities[argument % len(self.entities)])

    async def join(self, action: str, me: Entity, other: EntityId) -> None:
        match action:
            case "join":
                await me.join(other)
            case "join briefly":
                try:
                    async with asyncio.timeout(1.0):
                        await me.join(other)
                except TimeoutError:
                    me.emit("it took too long")
            case "join two":
                await World.gather([me.join(other), me.join(self.entities[0])])
            case _:
                waiting: list[Coroutine[Any, Any, object]] = [me.join(other), asyncio.sleep(0.5)]
                await World.gather(waiting)

    def change(self, action: str, entity: EntityId) -> None:
        world = self.world
        if not world.has_entity(entity):
            return
        match action:
            case "touch":
                world.touch(entity)
            case "delete":
                world.delete_entity(entity)
            case "style" | "replace":
                world.add_component(entity, Style())
            case "plain":
                world.remove_component(entity, Style)
            case "ban":
                world.add_component(entity, Ban())
            case "free":
                world.remove_component(entity, Ban)
            case "terminal":
                world.add_component(entity, TerminalComponent("enough"))
            case "go on":
                world.remove_component(entity, TerminalComponent)
            case "send":
                world.send(entity, "hello")
            case "supervise":
                world.add_component(entity, SupervisionComponent(restarts=2, backoff=0.5))
            case "forgive":
                world.remove_component(entity, ErrorComponent)
            case "request":
                world.request(entity, lambda it: it.add(Style("asked")))
            case "bad request":
                world.request(entity, lambda it: it.touch(EntityId))
            case "deep request":
                world.request(entity, lambda it: it.request(self.entities[0], lambda that: that.add(Style("asked"))))
            case "in place":
                if (work := world.get_component(entity, Work)) is not None:
                    work.done.append("x")


def systems(play: Play) -> list[tuple[Any, int]]:
    @system
    async def working(me: Entity, work: Work) -> None:
        await play.call("working", me)

    @system(without=(Ban,))
    async def beside(me: Entity, style: Style) -> None:
        await play.call("beside", me)

    @system
    async def both(me: Entity, work: Read[Work], style: Style | None) -> None:
        await play.call("both", me)

    @system(when=lambda work: play.scripts["asked"] and work.todo == 0)
    async def asked(me: Entity, work: Work) -> None:
        await play.call("asked", me)

    class Meeting:
        async def process(self, world: World) -> None:
            for action, argument in play.next("meeting"):
                await play.act(action, argument, None)

    class Arriving:
        meets = "arrived"

        async def process(self, world: World) -> None:
            for action, argument in play.next("arriving"):
                await play.act(action, argument, None)

    return [(working, 0), (beside, 0), (both, 5), (asked, 10), (Meeting(), 5), (Arriving(), 0)]


NAMES = ["working", "beside", "both", "asked", "meeting", "arriving"]


async def ended(world: World, ending: Ending) -> RunResult | None:
    """Run until it ends, by itself or in the given way; no result when it was cancelled from outside, and of ticks."""
    how, seconds = ending or ("", 0.0)
    if how == "ticks":
        for _ in range(3):
            with suppress(Exception):
                await asyncio.wait_for(world.process(), 1000.0)
            await asyncio.sleep(seconds)
        return None
    running = asyncio.ensure_future(
        Runner(grace=GRACE).run(world, 2 if how == "max_ticks" else None, deadline=seconds if how == "deadline" else None)
    )
    timers = []
    if how in ("stop after step", "both"):
        timers.append(asyncio.get_running_loop().call_later(seconds, lambda: world.stop(after_step=True)))
    if how in ("stop", "both"):
        timers.append(asyncio.get_running_loop().call_later(seconds + 0.1 * (how == "both"), world.stop))
    if how == "cancel":
        timers.append(asyncio.get_running_loop().call_later(seconds, running.cancel))
    try:
        return await asyncio.wait_for(asyncio.shield(running), 1000.0)
    except asyncio.CancelledError:
        await asyncio.sleep(10.0)  # a cancel while the run is ending does not wait for those who take their time
        return None
    finally:
        for timer in timers:
            timer.cancel()
        assert running.done(), "the run does not end"


def timers_left() -> list[object]:
    """What is still to happen on the loop by itself."""
    scheduled: list[asyncio.TimerHandle] = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]  # no other way to see them
    return [timer for timer in scheduled if not timer.cancelled()]


def broken_promises(world: World, result: RunResult) -> list[EntityId]:
    """Those that were to be tried again, and were not."""
    return [
        entity
        for entity, (error,) in world.query(ErrorComponent, without=(TerminalComponent, QuarantineComponent))
        if error.retry_at is not None and result[entity].reason is not EndReason.DEADLOCK
    ]


def due(world: World) -> list[tuple[EntityId, EntityEntry]]:
    return [
        (row.id, entry)
        for row in world.state.rows.values()
        for entry in world.schedule.matching(row.types)
        if (entry.holds(row.components) if entry.when else row.stamp > row.seen.get(entry, -1))
    ]


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Any:
    logger = logging.getLogger("ecs_agent")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(before)


def nothing_is_left(play: Play, result: RunResult | None) -> None:
    """No task, no timer, no call, no request; everybody is at rest."""
    world = play.world
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert timers_left() == []
    assert world.engine is None
    assert not any(play.running.values())
    assert not any(row.calls or row.requests for row in world.state.rows.values())
    assert set(world.stats().phases) <= {Phase.AT_REST}
    if result is not None:
        assert set(result) <= set(world.entities)


@given(st.fixed_dictionaries(dict.fromkeys(NAMES, SCRIPTS)), ENDINGS)
def test_a_run_ends_and_leaves_nothing_due_and_nothing_running(scripts: dict[str, list[list[tuple[str, Any]]]], ending: Ending) -> None:
    async def scenario() -> None:
        world = World(clock=LoopClock())
        play = Play(world, {name: [list(script) for script in mine] for name, mine in scripts.items()}, [])
        for one, priority in systems(play):
            world.register_system(one, priority)
        play.entities += [spawn(world, Work()), spawn(world, Work(), Style()), spawn(world, Style())]
        result = await ended(world, ending)
        nothing_is_left(play, result)
        if ending is not None:
            result = await ended(world, None)
            nothing_is_left(play, result)
        if result is not None and not result.system_errors:
            stuck = {entity for entity, outcome in result.items() if outcome.reason is EndReason.DEADLOCK}
            assert [each for each in due(world) if each[0] not in stuck] == []
            assert broken_promises(world, result) == []
        seqs: dict[EntityId | None, list[int]] = {}
        for fact in world.log.read():
            seqs.setdefault(fact.entity, []).append(fact.seq)
        assert all(seq == list(range(1, len(seq) + 1)) for entity, seq in seqs.items() if entity is not None)
        await world.aclose()

    run(scenario)
