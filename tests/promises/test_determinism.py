"""The same seed on virtual time gives the same log, byte for byte, in any process and with any seed of Python's hashes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.promises.crew import healthy, new_world

from ecs_agent import Runner, append_message
from ecs_agent.core import MemoryLog
from ecs_agent.testing import run

pytestmark = pytest.mark.no_cover  # what many agents run is covered by one

ROOT = Path(__file__).parents[2]
AGENTS = 50


def log_of_a_run(seed: int) -> list[str]:
    """Every fact of a run of fifty agents, times included."""

    async def main() -> list[str]:
        world = new_world(seed)
        world.state.log = MemoryLog(1_000_000)
        for number in range(AGENTS):
            append_message(world, healthy(world, seed * 1000 + number).entity, "go")
        await Runner().run(world)
        facts = [repr(fact) for fact in world.log.read() if fact.type != "ComponentAdded"]  # these show live objects with their addresses
        await world.aclose()
        return facts

    return run(main)


def digest(seed: int) -> str:
    """One line that stands for a run."""
    facts = log_of_a_run(seed)
    return f"{len(facts)} {hashlib.sha256(chr(10).join(facts).encode()).hexdigest()}"


def _in_a_process(hash_seed: str) -> str:
    command = [sys.executable, "-c", "from tests.promises.test_determinism import digest; print(digest(7))"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True, timeout=120).stdout.strip()


def test_two_runs_of_fifty_agents_give_the_identical_log() -> None:
    first, second = log_of_a_run(7), log_of_a_run(7)
    assert len(first) > AGENTS * 20
    assert first == second


def test_another_seed_gives_another_log() -> None:
    assert digest(7) != digest(8)


def test_neither_the_process_nor_the_seed_of_hashes_matters() -> None:
    assert _in_a_process("1") == _in_a_process("2") == digest(7)
