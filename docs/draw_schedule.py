"""Explain the shipped agent loop after a short run: `python docs/draw_schedule.py` renews docs/schedule.svg and the text in docs/schedule.md."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from ecs_agent import Message, ToolCall, World, spawn_agent, tool
from ecs_agent.components import InterruptionComponent, TerminalComponent
from ecs_agent.core import Runner
from ecs_agent.core.explain.explanation import Explanation
from ecs_agent.providers import FakeProvider

HERE = Path(__file__).parent
SHOWN = re.compile(r"(?<=^```text\n)priority  system$.*?(?=\n```$)", re.DOTALL | re.MULTILINE)


async def explained() -> Explanation:
    """An agent that calls a tool and answers, one that was told to stop, and one that has ended."""

    @tool
    def get_weather(city: str) -> str:
        """Look out of the window."""
        return f"Rain in {city}."

    asked = [Message("user", "Is it raining in Paris?")]
    answers = [[ToolCall("1", "get_weather", {"city": "Paris"})], "It rains."]
    async with World() as world:
        spawn_agent(world, FakeProvider(answers, delay=0), tools=[get_weather], messages=asked)
        for halt in (InterruptionComponent(), TerminalComponent("enough")):
            world.add_component(spawn_agent(world, FakeProvider([]), messages=asked).entity, halt)
        await Runner().run(world)
        return world.schedule.explain()


async def main() -> None:
    """Renew both."""
    explanation = await explained()
    (HERE / "schedule.svg").write_text(explanation.svg(), "utf-8")
    page = HERE / "schedule.md"
    page.write_text(SHOWN.sub(lambda _: str(explanation), page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    asyncio.run(main())
