"""A run in a world with a journal: an answer that somebody was given is stored."""

from __future__ import annotations

import asyncio

import pytest

from ecs_agent import RunCompleted, World, spawn_agent
from ecs_agent.components import StreamPolicy
from ecs_agent.core import MemoryLog
from ecs_agent.errors import JournalError
from ecs_agent.providers import FakeProvider
from ecs_agent.testing import run
from ecs_agent.types import EntityId, StreamEndEvent


class Journal(MemoryLog):
    """A log in memory that takes a second to be safe, and may fail."""

    def __init__(self) -> None:
        super().__init__(100_000)
        self.keeps_changes = True
        self.safe = 0
        self.broken = False

    async def commit(self, entity: EntityId | None = None) -> int:
        upto = self.next_pos
        await asyncio.sleep(1.0)
        if self.broken:
            raise JournalError("the disk is full")
        self.safe = upto
        return upto


def test_a_run_is_completed_when_its_answer_is_safe() -> None:
    async def main() -> None:
        async with World() as world:
            world.state.log = journal = Journal()
            agent = spawn_agent(world, FakeProvider(["An answer."], delay=0))
            async for event in agent.run("go"):
                if isinstance(event, RunCompleted):
                    (end,) = [fact.pos for fact in world.log.read() if isinstance(fact.payload, StreamEndEvent)]
                    assert journal.safe > end

    run(main)


def test_what_cannot_be_stored_is_not_given_as_complete() -> None:
    async def main() -> None:
        async with World() as world:
            world.state.log = journal = Journal()
            journal.broken = True
            agent = spawn_agent(world, FakeProvider(["An answer."], delay=0))
            with pytest.raises(JournalError):
                await agent.ask("go")
            journal.broken = False

    run(main)


def test_an_agent_can_be_spawned_with_its_policy() -> None:
    async def main() -> None:
        async with World() as world:
            policy = StreamPolicy("retry")
            agent = spawn_agent(world, FakeProvider([]), policy=policy)
            assert world.get_component(agent.entity, StreamPolicy) is policy

    run(main)
