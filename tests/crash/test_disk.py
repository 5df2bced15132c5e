"""A disk that is full or fails: a typed error, the state before stays readable, and nothing is lost when it has room again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ecs_agent import Agent, World, spawn_agent, tool
from ecs_agent.components import ErrorComponent
from ecs_agent.core.events import JournalFailed
from ecs_agent.errors import JournalError
from ecs_agent.providers import FakeProvider
from ecs_agent.providers.script import Script
from ecs_agent.store import SqliteEngine, diff, open_world
from ecs_agent.systems import history_problems
from ecs_agent.systems.invariants import check_world
from ecs_agent.types import EntityId, ToolCall

BIG = "It is a long story. " * 20_000


class Disk(SqliteEngine):
    """A store on a disk that can be filled: sqlite itself refuses to take more pages than it has."""

    def fill(self) -> None:
        assert self._writer is not None
        (pages,) = self._writer.execute("PRAGMA page_count").fetchone()
        self._writer.execute(f"PRAGMA max_page_count = {pages + 2}")

    def empty(self) -> None:
        assert self._writer is not None
        self._writer.execute("PRAGMA max_page_count = 1000000")


def model(*answers: str | Script) -> FakeProvider:
    return FakeProvider(list(answers), delay=0, by=1000)


def opened(engine: SqliteEngine, provider: FakeProvider, *tools: Callable[..., object]) -> World:
    return open_world(engine=engine, providers=[provider], tools=tools)


def copy_of(path: Path, name: str) -> Path:
    """The files of a store as they are at this moment, while somebody writes them."""
    copy = path.with_name(name)
    for ending in ("", "-wal"):
        shutil.copyfile(f"{path}{ending}", f"{copy}{ending}")
    return copy


async def test_an_answer_that_cannot_be_stored_is_not_given_out_and_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "crew.db"
    disk, provider = Disk(path), model("Yes.", BIG, "Still there.")
    async with opened(disk, provider) as world:
        agent = spawn_agent(world, provider)
        await agent.ask("Are you there?")
        safe = await world.commit()
        disk.fill()
        failed = world.events(types=(JournalFailed,))
        with pytest.raises(JournalError, match="the disk is full; free some space; it is as it was before"):
            await agent.ask("Tell me a story.")
        with pytest.raises(JournalError, match="the disk is full"):
            await world.commit()
        assert (await anext(failed)).payload.error.count("the disk is full") == 1
        assert not failed.pending()  # told once
        assert agent.messages[-1].content == BIG  # in memory

        async with opened(SqliteEngine(copy_of(path, "then.db")), model()) as then:  # what a crash would leave at this moment
            said = [message.content for message in Agent(then, agent.entity).messages]
            assert said in (["Are you there?", "Yes."], ["Are you there?", "Yes.", "Tell me a story."])
            assert then.log.next_pos >= safe
            assert check_world(then) == []

        disk.empty()
        assert await agent.ask("And now?") == "Still there."
        assert [message.content for message in agent.messages[-3:]] == [BIG, "And now?", "Still there."]
    async with opened(SqliteEngine(path), model()) as again:
        assert diff(world, again) == []
        assert check_world(again) == []


async def test_a_tool_that_must_not_run_twice_does_not_run_at_all_while_that_cannot_be_stored(tmp_path: Path) -> None:
    path = tmp_path / "crew.db"
    done: list[str] = []

    @tool
    async def pay(to: str) -> str:
        """Pay somebody."""
        done.append(to)
        return "paid"

    call = ToolCall("c1", "pay", {"to": "Ann"})
    disk, provider = (
        Disk(path),
        model("Yes.", Script(BIG, tool_calls=[call]), Script("Once more. ", tool_calls=[ToolCall("c2", "pay", {"to": "Bob"})]), "Done."),
    )
    async with opened(disk, provider, pay) as world:
        agent = spawn_agent(world, provider, tools=[pay])
        await agent.ask("Are you there?")
        disk.fill()
        with pytest.raises(JournalError, match="the disk is full"):
            await agent.ask("Pay Ann.")
        assert done == []
        assert isinstance(world.get_component(agent.entity, ErrorComponent), ErrorComponent)
        assert history_problems(agent.messages) == []
        assert agent.messages[-1].is_error  # the call is answered: it was not run
        disk.empty()
        assert await agent.ask("Try Bob.") == "Done."
        assert done == ["Bob"]
    async with opened(SqliteEngine(path), model(), pay) as again:
        assert diff(world, again) == []
        assert check_world(again) == []


FULL_AND_KILLED = """
import asyncio, os, resource, signal, sys
from ecs_agent import spawn_agent
from ecs_agent.errors import JournalError
from ecs_agent.providers import FakeProvider
from ecs_agent.store import open_world

async def main(path):
    provider = FakeProvider(["Yes.", "x" * 1_000_000, "Again."], delay=0, by=1000)
    async with open_world(path, providers=[provider]) as world:
        agent = spawn_agent(world, provider)
        print(await agent.ask("Are you there?"), flush=True)
        size, (_, hard) = os.path.getsize(path + "-wal"), resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20_000, hard))
        try:
            await agent.ask("Tell me a story.")
        except JournalError as error:
            print(error, flush=True)
        if sys.argv[2] == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        print(await agent.ask("And now?"), flush=True)

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs limits of a process, as Unix has them")
@pytest.mark.parametrize("fate", ["killed", "saved"])
async def test_a_file_that_may_not_grow(tmp_path: Path, fate: str) -> None:
    path = tmp_path / "crew.db"
    lived = subprocess.run([sys.executable, "-c", FULL_AND_KILLED, str(path), fate], capture_output=True, text=True, timeout=60, check=False)
    said, error, *more = lived.stdout.splitlines()
    assert said == "Yes."
    assert "could not be written: the disk" in error
    assert (lived.returncode, more) == ((-signal.SIGKILL, []) if fate == "killed" else (0, ["Again."])), lived.stderr
    async with opened(SqliteEngine(path), model("Here I am.")) as world:
        messages = [message.content for message in Agent(world, EntityId(1)).messages]
        assert messages[:2] == ["Are you there?", "Yes."]
        assert [text[:20] for text in messages[2:]] in (
            [["Tell me a story.", "x" * 20, "And now?", "Again."]] if fate == "saved" else [[], ["Tell me a story."]]
        )
        assert check_world(world) == []
        assert await Agent(world, EntityId(1)).ask("And you?") == "Here I am."
