"""`ecs-agent diff`: in what two stores, two moments of one, or two entities differ. The exit code is that of `diff`: 1 if they do, 2 for trouble."""

from __future__ import annotations

from collections.abc import Sequence

from ecs_agent.cli.failures import ExitCode, complain, sentence
from ecs_agent.cli.sanitize import one_line
from ecs_agent.cli.stores import StorePlace, opened
from ecs_agent.cli.terminal import standard_output
from ecs_agent.errors import ConfigurationError, StoreError
from ecs_agent.store.diff import ABSENT, MOST, Difference, diff_data
from ecs_agent.streaming.json_edge import is_object
from ecs_agent.types import JsonObject


def diff(stores: Sequence[str], entities: Sequence[int], *, color: bool = True) -> int:
    """Show the differences, a line each; the exit code.

    Args:
        stores: two stores, or one; each `PATH` or `PATH@POS`.
        entities: which entities are compared; none for all, one for the same of both, or the one of the first and the one of the second.
        color: False keeps every escape sequence out.

    Raises:
        ConfigurationError: these are not two things to compare, or one of them is not there.
    """
    if len(stores) > 2 or len(entities) > 2 or (len(stores) == 1 and len(entities) < 2):
        raise ConfigurationError("name two stores, or one store and two entities: ecs-agent diff run.db --entity 3 --entity 7")
    places = [StorePlace.parsed(each) for each in stores] * (2 if len(stores) == 1 else 1)
    whose: list[int | None] = [*entities] * (2 if len(entities) == 1 else 1) or [None, None]
    try:
        left, right = (_state(place, entity) for place, entity in zip(places, whose, strict=True))
    except StoreError as error:
        complain(sentence(error))
        return ExitCode.USAGE
    sides = [place.words if entity is None else f"{place.words}, entity {entity}" for place, entity in zip(places, whose, strict=True)]
    found = diff_data(left, right)
    screen = standard_output(color=color)
    for difference in found:
        screen.line(one_line(_told(difference, sides)))
    if len(found) >= MOST:
        screen.line(f"… there are more than {MOST:,} differences")
    return ExitCode.FAILED if found else ExitCode.OK


def _told(difference: Difference, sides: Sequence[str]) -> str:
    """A difference in words; of an entity or a component that one side does not have, what it is."""
    for side, other, value in ((sides[0], difference.right, difference.left), (sides[1], difference.left, difference.right)):
        if other is ABSENT and is_object(value) and "." not in difference.path:
            return f"only in {side}: {difference.path} ({', '.join(value)})"
    return str(difference)


def _state(place: StorePlace, entity: int | None) -> JsonObject:
    """The components of all entities, or of one, behind a fact."""
    with opened(place.path) as recording:
        if place.pos is not None and place.pos >= recording.end:
            raise ConfigurationError(f"{place.path} has no position {place.pos}; its last one is {recording.end - 1}")
        world = recording.world(None if place.pos is None else place.pos + 1)
        if entity is None:
            return {f"entity {each}": recording.components(held) for each, held in sorted(world.entities.items())}
        if entity not in world.entities:
            at = "" if place.pos is None else f" at position {place.pos}"
            raise ConfigurationError(f"{place.path} has no entity {entity}{at}")
        return recording.components(world.entities[entity])
