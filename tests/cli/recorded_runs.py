"""Programs for the commands that record and replay, and a store that was recorded."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.commands import Done, run_here

CREW = """
import asyncio
from ecs_agent import Runner, append_message, spawn_agent, tool
from ecs_agent.components import NameComponent
from ecs_agent.errors import AuthenticationError
from ecs_agent.providers import FakeProvider
from ecs_agent.providers.script import Script
from ecs_agent.types import ToolCall


@tool
async def look_up(word: str) -> str:
    \"\"\"Looks a word up.\"\"\"
    await asyncio.sleep(0.05)
    return f"{word} was \\x1b[2Jfound"


async def main(world):
    asks = Script("Let me see. ", tool_calls=[ToolCall("c1", "look_up", {"word": "journal"})])
    answers = [[asks, "A journal keeps what happened."], ["I have \\x1b[31mnothing to say.\\nNothing at all."], [[AuthenticationError("the key is wrong")]]]
    for number, answer in enumerate(answers):
        agent = spawn_agent(world, FakeProvider(answer, by="word", delay=0.005), system_prompt="Be brief.", tools=[look_up])
        world.add_component(agent.entity, NameComponent(f"scout {number}"))
        append_message(world, agent.entity, "What is a journal?")
    await Runner().run(world)
"""


def write(path: Path, code: str = CREW) -> str:
    """A program in a file."""
    path.write_text(code)
    return str(path)


async def record(capsys: pytest.CaptureFixture[str], folder: Path, code: str = CREW) -> tuple[str, str]:
    """The paths of a program and of its recording."""
    program, store = write(folder / "crew.py", code), str(folder / "run.db")
    done = await run_here(capsys, "record", program, "-o", store)
    assert done.code == 0, done.err
    return program, store


def complains(done: Done, code: int, what: str) -> None:
    """It failed with one line."""
    assert (done.code, done.err.count("\n")) == (code, 1), done
    assert done.err.startswith("error: ")
    assert what in done.err, done.err
