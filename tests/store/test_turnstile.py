"""What came from outside comes in again one after the other: in its order, at its time, and not before what was done before it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from ecs_agent.store.fact_data import FactData
from ecs_agent.store.recorded_session import Moment, RecordedSession
from ecs_agent.store.turnstile import EXACT, LATE, PATIENCE, Turnstile
from ecs_agent.testing import run

SECOND = 10**9


def fact(pos: int, entity: int | None, seq: int, *, count: int = 1, seconds: float = 0.0, start: int = 0) -> FactData:
    return FactData(pos, count, entity, seq, 1, 1, 1, None, "derived", "Fact", 1, start + round(seconds * SECOND), {})


def session(*facts: FactData) -> RecordedSession:
    return RecordedSession("seed", list(facts), facts[-1].pos + facts[-1].count, True)


class Scene:
    """A turnstile, and who has come in, when."""

    def __init__(self, recorded: RecordedSession, speed: float = 1.0) -> None:
        self.loop = asyncio.get_running_loop()
        self.told = 0
        self.turnstile = Turnstile(recorded, speed, self._tell)
        self.came: list[tuple[str, float]] = []
        self._waiting: list[asyncio.Task[None]] = []

    def _tell(self) -> None:
        self.told += 1

    def enters(self, name: str, pos: int, seconds: float = 0.0) -> asyncio.Task[None]:
        async def enter() -> None:
            await self.turnstile.enter(Moment(pos, round(seconds * SECOND)))
            self.came.append((name, round(self.loop.time(), 6)))

        task = asyncio.ensure_future(enter())
        self._waiting.append(task)
        return task


def played(main: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await main()

    run(whole)


def test_it_waits_for_what_was_done_before() -> None:
    async def main() -> None:
        scene = Scene(session(fact(0, 1, 1), fact(1, 2, 1), fact(2, 1, 2), fact(3, 1, 3)))
        scene.enters("input", 2)
        await asyncio.sleep(1)
        scene.turnstile.note(1, 1)
        await asyncio.sleep(1)
        assert (scene.came, scene.turnstile.pos) == ([], 1)
        scene.turnstile.note(2, 1)
        await asyncio.sleep(1)
        assert (scene.came, scene.turnstile.pos) == ([("input", 2.0)], 2)
        scene.turnstile.close()

    played(main)


def test_they_come_in_the_order_of_the_recording() -> None:
    async def main() -> None:
        scene = Scene(session(fact(0, 1, 1), fact(1, 1, 2), fact(2, 2, 1), fact(3, 3, 1)))
        scene.turnstile.note(1, 1)
        for name, pos in (("third", 3), ("first", 1), ("second", 2)):
            scene.enters(name, pos)
        await asyncio.sleep(1)
        assert [name for name, _ in scene.came] == ["first"]  # nobody comes in before the one before has done what it led to
        scene.turnstile.note(1, 2)
        await asyncio.sleep(1)
        scene.turnstile.note(2, 1)
        await asyncio.sleep(1)
        assert [name for name, _ in scene.came] == ["first", "second", "third"]
        scene.turnstile.close()

    played(main)


@pytest.mark.parametrize(("speed", "when"), [(1.0, 4.0), (2.0, 2.0), (100.0, 0.04)])
def test_they_come_at_their_time(speed: float, when: float) -> None:
    async def main() -> None:
        scene = Scene(session(fact(0, 1, 1, seconds=10), fact(1, 1, 2, seconds=14)), speed)
        scene.turnstile.note(1, 1)
        await scene.enters("input", 1, seconds=14)
        assert scene.came == [("input", when)]
        scene.turnstile.close()

    played(main)


def test_time_begins_with_the_first_fact_that_is_done_again() -> None:
    async def main() -> None:
        await asyncio.sleep(5)
        scene = Scene(session(fact(0, 1, 1, seconds=10), fact(1, 1, 2, seconds=11)))
        await asyncio.sleep(2)
        scene.turnstile.note(1, 1)
        await scene.enters("input", 1, seconds=11)
        assert scene.came == [("input", 8.0)]
        scene.turnstile.close()

    played(main)


def test_facts_of_the_world_itself_are_not_waited_for() -> None:
    async def main() -> None:
        scene = Scene(session(fact(0, None, 0), fact(1, 1, 1), fact(2, None, 0), fact(3, 1, 2)))
        scene.turnstile.note(1, 1)
        await scene.enters("input", 3)
        scene.turnstile.note(1, 2)
        assert scene.turnstile.is_through
        scene.turnstile.close()

    played(main)


def test_of_a_burst_all_have_to_be_done() -> None:
    async def main() -> None:
        scene = Scene(session(fact(0, 1, 1, count=5), fact(5, 1, 6)))
        task = scene.enters("input", 5)
        scene.turnstile.note(1, 4)
        await asyncio.sleep(1)
        assert not task.done()
        scene.turnstile.note(1, 5)
        await task
        scene.turnstile.close()

    played(main)


def test_one_who_gave_up_waiting_holds_up_nobody() -> None:
    async def main() -> None:
        scene = Scene(session(fact(0, 1, 1), fact(1, 1, 2)))
        first, second = scene.enters("first", 0), scene.enters("second", 0)
        await asyncio.sleep(0)
        first.cancel()
        scene.turnstile.note(1, 1)
        await second
        scene.turnstile.close()

    played(main)


def test_it_tells_when_everything_is_done() -> None:
    async def main() -> None:
        scene = Scene(session(fact(0, 1, 1), fact(1, 1, 2)))
        scene.turnstile.note(1, 1)
        assert (scene.told, scene.turnstile.is_through) == (0, False)
        scene.turnstile.note(1, 2)
        assert (scene.told, scene.turnstile.is_through, scene.turnstile.pos) == (1, True, 2)
        scene.turnstile.close()

    played(main)


def test_it_tells_when_it_gets_nowhere() -> None:
    async def main() -> None:
        scene = Scene(session(fact(0, 1, 1), fact(1, 1, 2, seconds=100), fact(2, 1, 3, seconds=101)))
        scene.turnstile.note(1, 1)
        await asyncio.sleep(100 + PATIENCE - 1)  # what comes next took so long then
        assert not scene.turnstile.is_stuck
        scene.turnstile.note(1, 2)
        await asyncio.sleep(PATIENCE - 1)
        assert not scene.turnstile.is_stuck
        await asyncio.sleep(2)
        assert (scene.turnstile.is_stuck, scene.told) == (True, 1)
        scene.turnstile.close()

    played(main)


def test_on_virtual_time_nothing_was_late() -> None:
    async def main() -> None:
        virtual, real = (Scene(session(fact(0, 1, 1, start=start))).turnstile for start in (0, 1_700_000_000 * SECOND))
        assert (virtual.late, real.late) == (EXACT, LATE)
        virtual.close()
        real.close()

    played(main)
