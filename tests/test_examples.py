"""Every example runs as it is, as its own program, with warnings as errors, against a model server on loopback."""

from __future__ import annotations

import asyncio
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from ecs_agent.providers.local import weights as local_weights
from ecs_agent.testing import LoopbackServer, chat_reply

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


def test_there_are_examples_in_the_order_one_learns() -> None:
    assert [path.name[:3] for path in EXAMPLES] == [f"{number:02}_" for number in range(1, len(EXAMPLES))] + ["dem"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
async def test_an_example_runs(path: Path) -> None:
    if path.name == "demo.py" and (find_spec("xllamacpp") is None or local_weights.find() is None):
        pytest.skip("the embedded model is not installed: ecs-agent local install")
    async with LoopbackServer([chat_reply("Once upon a time.")]) as server:
        environment = {**os.environ, "OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "test", "LLM_MODEL": "test"}
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-X", "dev", "-W", "error", str(path)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
        )
        try:
            out, complaints = await asyncio.wait_for(program.communicate(), 60)
        finally:
            if program.returncode is None:
                program.kill()
                await program.wait()
    assert program.returncode == 0, complaints.decode()
    assert out.strip()
    assert b"Warning" not in complaints


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_one_idea(path: Path) -> None:
    assert path.read_text("utf-8").count("\n") <= 60
