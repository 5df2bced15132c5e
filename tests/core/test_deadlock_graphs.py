"""Any entities that wait for any others: a naive model says who can never come to rest."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from tests.core.parts import Work, run, spawn

from ecs_agent import testing
from ecs_agent.core import EndReason, Entity, World, system


def stuck(waits: Sequence[Sequence[int]]) -> set[int]:
    """Who never comes to rest, by taking away again and again whoever waits for nobody that is left: all others are, or wait for, a circle."""
    left = set(range(len(waits)))
    while free := {each for each in left if not any(other in left for other in waits[each])}:
        left -= free
    return left


def on_circles(waits: Sequence[Sequence[int]], left: set[int]) -> set[int]:
    """Those of them from whom a way leads back to themselves."""
    found: set[int] = set()
    for start in left:
        reached, todo = set[int](), [start]
        while todo:
            new = [other for other in waits[todo.pop()] if other in left and other not in reached]
            reached.update(new)
            todo += new
        found |= {start} & reached
    return found


GRAPHS = st.integers(1, 7).flatmap(lambda size: st.lists(st.lists(st.integers(0, size - 1), max_size=3, unique=True), min_size=size, max_size=size))


@given(GRAPHS, st.lists(st.integers(0, 3), min_size=7, max_size=7))
def test_rule_18_of_any_who_wait_for_any_those_in_circles_end_so_and_all_others_are_told(waits: list[list[int]], seconds: list[int]) -> None:
    """Each begins after some seconds to wait for all of its others at once; a naive model says who can never come to rest."""

    async def scenario() -> None:
        world = World()
        entities = [spawn(world, Work(seconds[at])) for at in range(len(waits))]

        @system
        async def waiting(me: Entity, work: Work) -> None:
            await asyncio.sleep(work.todo)
            await World.gather([me.join(entities[other]) for other in waits[entities.index(me.id)]])

        world.register_system(waiting)
        result = await asyncio.wait_for(run(world), 100.0)
        ended = {at for at, entity in enumerate(entities) if result[entity].reason is EndReason.DEADLOCK}
        left = stuck(waits)
        assert bool(ended) == bool(left)
        assert ended <= on_circles(waits, left)
        assert not stuck([[] if at in ended else list(others) for at, others in enumerate(waits)]), "with these ended all others come to rest"
        assert not result.errors
        assert len(asyncio.all_tasks()) == 1
        await world.aclose()

    testing.run(scenario)
