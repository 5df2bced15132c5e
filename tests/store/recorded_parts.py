"""Programs that are recorded and replayed in tests: on virtual time, in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from random import Random
from typing import Any, TypeVarTuple, Unpack

from ecs_agent import Runner, World, append_message, spawn_agent, tool
from ecs_agent.core import LoopClock
from ecs_agent.providers import FakeProvider
from ecs_agent.providers.script import Script
from ecs_agent.store import MemoryEngine, open_world
from ecs_agent.store.divergence import hash_of
from ecs_agent.store.recording import Recording
from ecs_agent.store.replay import ReplayReport, replay
from ecs_agent.store.turnstile import LATE
from ecs_agent.testing import VirtualClockLoop
from ecs_agent.testing.replay_loop import ReplayLoop
from ecs_agent.types import ToolCall, Usage

Main = Callable[[World], Awaitable[object]]
Arguments = TypeVarTuple("Arguments")


@tool
async def look_up(word: str) -> str:
    """Takes a moment."""
    await asyncio.sleep(0.1)
    return f"{word} was found"


def call(word: str, number: int = 1) -> ToolCall:
    return ToolCall(f"c{number}", "look_up", {"word": word})


def scripted(number: int = 0) -> FakeProvider:
    """A model that calls a tool and then says something."""
    asks = Script("Let me see. ", tool_calls=[call(f"word {number}")], usage=Usage(10, 5, 15))
    return FakeProvider([asks, Script(f"Agent {number} says so.", usage=Usage(20, 5, 25))], by="word", delay=0.01 + number / 1000)


def crew(agents: int = 3, *, prompt: str = "Be brief.", tools: Any = (look_up,)) -> Main:
    """A program with some agents, which all talk and call a tool."""

    async def main(world: World) -> None:
        made = [spawn_agent(world, scripted(number), system_prompt=prompt, tools=tools) for number in range(agents)]
        for agent in made:
            append_message(world, agent.entity, "go")
        await Runner().run(world)

    return main


class WatchedLoop(asyncio.SelectorEventLoop):
    """A loop in real time that knows by how many seconds its timers were late at most: `latest`."""

    latest = 0.0

    def call_at(
        self, when: float, callback: Callable[[Unpack[Arguments]], object], *args: *Arguments, context: Context | None = None
    ) -> asyncio.TimerHandle:
        def called() -> None:
            self.latest = max(self.latest, self.time() - when)
            callback(*args)

        return super().call_at(when, called, context=context)


def recorded(main: Main, *, virtual: bool = True, engine: MemoryEngine | None = None) -> Recording:
    """A program's recording."""
    engine = engine if engine is not None else MemoryEngine()

    async def run() -> None:
        async with open_world(engine=engine, clock=LoopClock() if virtual else None, rng=Random(1)) as world:
            await main(world)

    with asyncio.Runner(loop_factory=VirtualClockLoop if virtual else None) as runner:
        runner.run(run())
    return Recording(engine)


def recorded_punctually(main: Main) -> Recording:
    """A program's recording in real time, at a moment when the machine is not so overloaded that timers change places: docs/replay.md, "What is the same"."""
    for _ in range(20):
        engine = MemoryEngine()

        async def run(engine: MemoryEngine = engine) -> float:
            async with open_world(engine=engine, rng=Random(1)) as world:
                await main(world)
            loop = asyncio.get_running_loop()
            assert isinstance(loop, WatchedLoop)
            return loop.latest

        with asyncio.Runner(loop_factory=WatchedLoop) as runner:
            if runner.run(run()) < LATE / 4:
                return Recording(engine)
    raise AssertionError(f"in none of twenty recordings all timers fired within {LATE / 4} s of their time")


def replayed(recording: Recording, main: Main, loop: Any = ReplayLoop, **options: Any) -> ReplayReport:
    """What comes of a replay, on virtual time."""
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(replay(recording, main, **options))


def check_same(recording: Recording, main: Main, **options: Any) -> ReplayReport:
    """A program does the same again."""
    report = replayed(recording, main, **options)
    report.check()
    assert report.hash == hash_of(recording.session(options.get("until")), options.get("ignore", ()))
    return report
