"""How long the garbage collector holds everything up while many agents with long conversations live in one process.

Run as `python -m benchmarks.collector AGENTS MESSAGES`, it measures in this process; the group of rows starts one for itself, since what a run
does to the collector would reach the other rows.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import time
from collections.abc import Mapping

from benchmarks.crew import QUESTION, Plan
from benchmarks.ours_crew import Fake
from benchmarks.rows import Row
from benchmarks.server import ROOT
from ecs_agent import Message, Runner, World, append_message, spawn_agent
from ecs_agent.core import tuned_gc

STAGES = {
    "tuned": "while each answers, Runner(tune_gc=True)",
    "run": "while each answers",
    "set-up": "while they are made",
    "forced": "one full collection by hand",
}


class Pauses:
    """The longest pause since it was last asked for; an observer of the collector."""

    def __init__(self) -> None:
        self._began = 0.0
        self._longest = 0.0

    def __call__(self, phase: str, _details: Mapping[str, int]) -> None:
        if phase == "start":
            self._began = time.thread_time()
        else:
            self._longest = max(self._longest, time.thread_time() - self._began)

    def longest(self) -> float:
        """Its length in ms; the next begins at none."""
        longest, self._longest = self._longest, 0.0
        return longest * 1e3


async def pauses(agents: int, messages: int) -> dict[str, float]:
    """The longest pause in ms, by stage: agents are made, each answers once, and, by hand, all is looked through."""
    watching, provider = Pauses(), Fake(Plan(agents, 40, 16))
    gc.collect()
    gc.callbacks.append(watching)
    try:
        async with World() as world:
            crew = [spawn_agent(world, provider, messages=_talk(messages), max_messages=messages * 2) for _ in range(agents)]
            found = {"set-up": watching.longest()}
            for agent in crew:
                append_message(world, agent.entity, QUESTION)
            watching.longest()
            await Runner().run(world)
            found["run"] = watching.longest()
            with tuned_gc():
                watching.longest()  # it begins with a collection, before anybody waits
                for agent in crew:
                    append_message(world, agent.entity, QUESTION)
                watching.longest()
                await Runner().run(world)
                found["tuned"] = watching.longest()
            gc.collect()
            found["forced"] = watching.longest()
    finally:
        gc.callbacks.remove(watching)
    return found


def _talk(messages: int) -> list[Message]:
    return [Message("assistant" if number % 2 else "user", f"message {number}") for number in range(messages)]


def collector(agents: int = 10_000, messages: int = 50, rounds: int = 3) -> list[Row]:
    """The longest pause: while the agents answer, while they are made, and of a collection that somebody asks for."""
    command = [sys.executable, "-m", "benchmarks.collector", str(agents), str(messages)]
    found = [json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout) for _ in range(rounds)]
    name = f"longest pause by the collector, {agents:,} agents of {messages} messages"
    return [Row(f"{name}: {told}", min(each[stage] for each in found), "ms") for stage, told in STAGES.items()]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(pauses(int(sys.argv[1]), int(sys.argv[2])))))
