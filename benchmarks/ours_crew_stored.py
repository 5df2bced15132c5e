"""The package with every fact in a journal on the disk; the run ends when all of it is committed."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from benchmarks.crew import Plan, Run, Take
from benchmarks.ours_crew import bare, watched_crew
from ecs_agent.store import open_world

__all__ = ["bare", "crew"]


@asynccontextmanager
async def crew(plan: Plan, take: Take) -> AsyncIterator[Run]:
    with tempfile.TemporaryDirectory() as folder:
        async with watched_crew(plan, take, None, partial(open_world, Path(folder) / "crew.db")) as run:
            yield run
