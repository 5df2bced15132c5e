"""Who waits for whom: a call that waits for another entity to come to rest, and the circles in which nobody can."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from ecs_agent.core.events import DeadlockFound
from ecs_agent.core.lease import Lease
from ecs_agent.core.outcome import EndReason, Outcome
from ecs_agent.core.row import Call
from ecs_agent.core.running.life import Life
from ecs_agent.core.state import State
from ecs_agent.types import EntityId


class Joins:
    """The waits of one run.

    A circle of them is a deadlock as soon as every call of each of its entities waits: none of them will ever come to rest. A time limit
    around such a wait does not count, since what it would end is the same circle.

    Args:
        state: which entities there are.
        lives: those that some system knows.
        told: that it may be so that everybody only waits now.
    """

    def __init__(self, state: State, lives: dict[EntityId, Life], told: Callable[[], None]) -> None:
        self._state = state
        self._lives = lives
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._waits: dict[Lease, list[tuple[asyncio.Future[Outcome], EntityId]]] = {}

    def __len__(self) -> int:
        return len(self._waits)

    def settled(self, entity: EntityId) -> asyncio.Future[Outcome]:
        """A future of how an entity comes to rest; done at once when nothing is due on it."""
        future: asyncio.Future[Outcome] = self._loop.create_future()
        life, row = self._lives.get(entity), self._state.rows.get(entity)
        if row is None:
            future.set_result(Outcome(EndReason.DELETED))
        elif life is None:
            future.set_result(Life(row).outcome())
        elif life.at_rest:
            future.set_result(life.outcome())
        else:
            life.waiters.append(future)
        return future

    async def wait(self, lease: Lease, entity: EntityId) -> Outcome:
        """Wait, in the call of a lease, until another entity comes to rest."""
        settled = self.settled(entity)
        if settled.done():
            return settled.result()
        wait = settled, entity
        self._waits.setdefault(lease, []).append(wait)
        self.look(lease.id)
        try:
            return await settled
        finally:
            left = self._waits[lease]
            left.remove(wait)
            if left:
                self._loop.call_soon(self.look, lease.id)  # when whoever waited here waits for the others
            else:
                del self._waits[lease]

    def only_waits(self, life: Life) -> bool:
        """Whether calls run on an entity and each does nothing but wait. One that was cancelled, or whose wait is over, is about to go on."""
        calls = life.row.calls
        return bool(calls) and all(self._waits_on(call) for call in calls)

    def _waits_on(self, call: Call) -> bool:
        waits = self._waits.get(call.lease)
        return waits is not None and call.reason is None and not any(settled.done() for settled, _ in waits)

    def look(self, entity: EntityId) -> None:
        """Look whether an entity that waits, or one of whose calls has ended, now stands in a circle, and end that."""
        self._told()
        circle = self._circle(entity)
        if circle is None:
            return
        names = [life.row.id for life in circle]
        way = " → ".join([str(name) for name in [*names, names[0]]])
        self._state.report(DeadlockFound(tuple(names)))
        for life in circle:
            life.ended = EndReason.DEADLOCK
            for call in list(life.row.calls):
                call.cancel(f"a deadlock: {way}")

    def _circle(self, start: EntityId) -> list[Life] | None:
        """The way from an entity over those it waits for back to itself, by those who do nothing but wait; found depth first, each met once."""
        first = self._waiting(start)
        if first is None:
            return None
        path, met = [(first, self._targets(first))], {start}
        while path:
            target = next(path[-1][1], None)
            if target is None:
                path.pop()
            elif target == start:
                return [life for life, _ in path]
            elif target not in met and (life := self._waiting(target)) is not None:
                met.add(target)
                path.append((life, self._targets(life)))
        return None

    def _waiting(self, entity: EntityId) -> Life | None:
        life = self._lives.get(entity)
        return life if life is not None and self.only_waits(life) else None

    def _targets(self, life: Life) -> Iterator[EntityId]:
        return iter([target for call in life.row.calls for _, target in self._waits[call.lease]])
