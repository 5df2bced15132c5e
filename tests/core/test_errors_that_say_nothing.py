"""An error may be foreign code as well: one that cannot even say what it is disturbs nobody but whoever raised it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from ecs_agent.core import HandlerFailed, World


class MuteError(Exception):
    """Raises when it is asked what it says."""

    def __str__(self) -> str:
        raise ValueError("not even this")

    __repr__ = __str__


@dataclass(frozen=True)
class Happened:
    """Something to hear of."""

    number: int


@dataclass
class Style:
    """A component."""

    name: str = ""


def failures(world: World) -> list[HandlerFailed]:
    return [envelope.payload for envelope in world.log.read() if isinstance(envelope.payload, HandlerFailed)]


async def test_a_handler_that_raises_one_hears_of_the_next_event() -> None:
    heard: list[int] = []
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    async def handle(event: Happened) -> None:
        heard.append(event.number)
        raise MuteError

    async with World() as world:
        world.event_bus.subscribe(Happened, handle)
        world.report(Happened(1))
        world.report(Happened(2))
        for _ in range(5):
            await asyncio.sleep(0)
        assert heard == [1, 2]
        assert [failure.error for failure in failures(world)] == ["MuteError: MuteError", "MuteError: MuteError"]
    assert complaints == []


def test_a_hook_that_raises_one_disturbs_neither_the_write_nor_other_hooks() -> None:
    world, told = World(), list[str]()

    def mute(_: World, _entity: int, _style: Style) -> None:
        raise MuteError

    world.on_add(Style, mute)
    world.on_add(Style, lambda _world, _entity, style: told.append(style.name))
    world.add_component(world.create_entity(), Style("bold"))
    assert told == ["bold"]
    assert [failure.error for failure in failures(world)] == ["MuteError: MuteError"]
