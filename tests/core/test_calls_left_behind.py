"""Calls that do not end when they are cancelled: they are left behind, and the run goes on. The rules are those of the scheduler."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from tests.core.parts import GRACE, Style, Work, begin, change_later, now, run, spawn, told, turns

from ecs_agent.core import (
    CallLeaked,
    EndReason,
    Entity,
    TerminalComponent,
    World,
    system,
)
from ecs_agent.errors import LeaseRevokedError


class Deaf:
    """A system that does not end when it is cancelled, until it is told."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.log: list[str] = []
        self.calls = 0

    @system
    async def __call__(self, me: Entity, work: Work) -> None:
        self.calls += 1
        if self.calls > 1:
            self.log.append("called again")
            return
        while not self.over.is_set():
            try:
                await self.over.wait()
            except asyncio.CancelledError:
                self.log.append("swallowed")
        try:
            me.add(Style("too late"))
        except LeaseRevokedError:
            self.log.append("refused")

    def settle(self, me: Entity) -> None:
        self.log.append("settled")


class TestLeftBehind:
    @pytest.fixture(autouse=True)
    def quiet(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.CRITICAL, "ecs_agent")

    @pytest.fixture
    async def deaf(self, world: World) -> Any:
        deaf = Deaf()
        world.register_system(deaf)
        yield deaf
        deaf.over.set()
        await turns(5)

    async def test_rule_19_a_call_that_swallows_its_cancel_is_left_behind_after_the_grace_and_the_run_goes_on(self, world: World, deaf: Deaf) -> None:
        calls: list[float] = []

        @system(priority=5)
        async def afterwards(style: Style) -> None:
            calls.append(now())

        world.register_system(afterwards)
        entity = spawn(world, Work(), Style())
        change_later(1.0, world.remove_component, entity, Work)
        result = await run(world)
        assert calls == [1.0 + GRACE]
        assert told(world, CallLeaked) == [CallLeaked(entity, "Deaf")]
        assert deaf.log == ["swallowed", "settled"]
        assert result[entity].reason is EndReason.IDLE
        deaf.over.set()
        await turns(5)
        assert deaf.log == ["swallowed", "settled", "refused"]
        assert world.get_component(entity, Style) == Style()

    async def test_rule_19_one_that_ends_within_the_grace_is_not(self, world: World) -> None:
        settled: list[float] = []

        class Reluctant:
            @system
            async def __call__(self, work: Work) -> None:
                try:
                    await asyncio.sleep(10.0)
                except asyncio.CancelledError:
                    await asyncio.sleep(GRACE / 2)

            def settle(self, me: Entity) -> None:
                settled.append(now())

        world.register_system(Reluctant())
        entity = spawn(world, Work())
        change_later(1.0, world.remove_component, entity, Work)
        await run(world)
        await asyncio.sleep(10.0)
        assert told(world, CallLeaked) == []
        assert settled == [1.0 + GRACE / 2]

    async def test_rule_19_a_deleted_entity_does_not_come_back_with_a_call_that_is_left_behind(self, world: World, deaf: Deaf) -> None:
        entity = spawn(world, Work())
        change_later(1.0, world.delete_entity, entity)
        result = await run(world)
        assert entity not in result
        assert deaf.log == ["swallowed"]
        assert told(world, CallLeaked) == [CallLeaked(entity, "Deaf")]

    async def test_rule_19_a_call_beside_it_is_still_waited_for(self, world: World, deaf: Deaf) -> None:
        ends: list[float] = []

        @system
        async def healthy(style: Style) -> None:
            await asyncio.sleep(10.0)
            ends.append(now())

        world.register_system(healthy)
        entity = spawn(world, Work(), Style())
        change_later(1.0, world.remove_component, entity, Work)
        await run(world)
        assert ends == [10.0, 20.0], "it is due once more, since a component was removed meanwhile"
        assert told(world, CallLeaked) == [CallLeaked(entity, "Deaf")]

    async def test_rule_19_two_that_run_together_may_both_be_left_behind(self, world: World, deaf: Deaf) -> None:
        other = Deaf()

        class OtherDeaf:
            @system
            async def __call__(self, me: Entity, style: Style) -> None:
                await other(me, Work())

        world.register_system(OtherDeaf())
        entity = spawn(world, Work(), Style())
        change_later(1.0, world.add_component, entity, TerminalComponent("enough"))
        result = await run(world)
        assert result[entity].reason is EndReason.TERMINAL
        assert told(world, CallLeaked) == [CallLeaked(entity, "Deaf"), CallLeaked(entity, "OtherDeaf")]
        other.over.set()

    async def test_rule_19_also_when_the_run_is_over_before_the_grace(self, world: World, deaf: Deaf) -> None:
        entity = spawn(world, Work())
        task = await begin(world)
        world.remove_component(entity, Work)
        for _ in range(2):
            task.cancel()
            await turns(3)
        assert task.cancelled()
        assert told(world, CallLeaked) == []
        await asyncio.sleep(1.0)
        assert told(world, CallLeaked) == [CallLeaked(entity, "Deaf")]

    @pytest.mark.parametrize("deleted", [False, True])
    async def test_rule_19_also_at_the_end_of_a_run_and_the_next_run_makes_the_call_again(self, world: World, deaf: Deaf, *, deleted: bool) -> None:
        entity = spawn(world, Work())
        if deleted:
            change_later(1.0 - GRACE / 2, world.delete_entity, entity)
        await run(world, deadline=1.0)
        assert now() <= 1.0 + GRACE
        assert told(world, CallLeaked) == [CallLeaked(entity, "Deaf")]
        await run(world)
        deaf.over.set()
        await turns(5)
        assert deaf.log == (["swallowed"] * 2 if deleted else ["swallowed", "settled", "called again"]) + ["refused"]
        assert not world.has_component(entity, Style)
