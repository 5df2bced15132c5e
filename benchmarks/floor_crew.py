"""The least that agents can cost: plain tasks that read the fake model's stream and call the tool themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.crew import ARGUMENTS, PIECE, Plan, Run, Take, paced, side_by_side


async def add(a: int, b: int) -> int:
    return a + b


async def bare(plan: Plan, take: Take) -> None:
    async for text in paced(plan, [PIECE] * plan.deltas):
        take(0, text)


@asynccontextmanager
async def crew(plan: Plan, take: Take) -> AsyncIterator[Run]:
    pieces = [PIECE] * plan.deltas

    async def one(number: int) -> list[object]:
        history: list[object] = []
        if plan.tool:
            async for arguments in paced(plan, [ARGUMENTS]):
                history += [arguments, await add(**arguments)]
        async for text in paced(plan, pieces):
            take(number, text)
        return history

    yield side_by_side(one, plan.agents)
