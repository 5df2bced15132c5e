"""Error handling: each failure is reported once, and the agent rests."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import pytest

from ecs_agent.core import Entity, Runner, World, system
from ecs_agent.systems import ErrorHandlingSystem


@dataclass(slots=True)
class Work:
    pass


async def test_a_failure_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    attempts = 0

    @system
    async def broken(me: Entity, work: Work) -> None:
        nonlocal attempts
        attempts += 1
        raise ValueError("no good")

    world = World()
    world.register_system(broken)
    world.register_system(ErrorHandlingSystem())
    entity = world.create_entity()
    world.add_component(entity, Work())
    with caplog.at_level(logging.WARNING, logger="ecs_agent"):
        result = await Runner().run(world)
        await Runner().run(world)
    assert isinstance(result[entity].error, ValueError)
    assert attempts == 1
    reports = [r for r in caplog.records if r.name == "ecs_agent.systems.error_handling"]
    assert len(reports) == 1
    assert "no good" in reports[0].getMessage() + str(reports[0].__dict__)
