"""WaitingLine: who is next, and how much they want. What permits make of it, `test_permits.py` tests."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from ecs_agent.core.waiting_line import WaitingLine


def nothing(_: str) -> None:
    raise AssertionError("nothing was handed over")


async def test_the_first_in_line_says_how_much_it_wants() -> None:
    line: WaitingLine[str] = WaitingLine()
    assert line.next_size() is None
    first, second = asyncio.ensure_future(line.wait(nothing, 5)), asyncio.ensure_future(line.wait(nothing))
    await asyncio.sleep(0)
    assert (line.next_size(), line.serve("a"), line.next_size()) == (5, True, 1)
    assert line.serve("b")
    assert (await first, await second) == ("a", "b")
    assert (line.next_size(), line.serve("c")) == (None, False)


async def test_one_that_was_cancelled_a_moment_ago_wants_nothing() -> None:
    line: WaitingLine[str] = WaitingLine()
    first, second = asyncio.ensure_future(line.wait(nothing, 5)), asyncio.ensure_future(line.wait(nothing, 2))
    await asyncio.sleep(0)
    first.cancel()
    assert line.next_size() == 2
    line.serve("a")
    assert await second == "a"


def test_those_of_a_loop_that_is_closed_are_passed_over() -> None:
    line: WaitingLine[str] = WaitingLine()
    left: list[Coroutine[Any, Any, str]] = []

    async def leave() -> None:
        left.append(line.wait(nothing, 5))
        left[0].send(None)

    asyncio.run(leave())
    assert (len(line), line.next_size(), len(line)) == (1, None, 0)
    left[0].close()
