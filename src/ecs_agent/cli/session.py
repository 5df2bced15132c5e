"""One agent for one command: opened, asked, stopped by Ctrl-C, closed."""

from __future__ import annotations

import asyncio
import importlib
import signal
from collections.abc import Callable
from importlib.util import find_spec
from typing import cast

from ecs_agent import Agent, RunCompleted, World, spawn_agent
from ecs_agent.agent import AgentEvent
from ecs_agent.cli.options import Settings
from ecs_agent.providers.protocol import LLMProvider


class Session:
    """An agent in a world of its own, and the provider it asks.

    Args:
        world: where it lives.
        provider: whom it asks.
        agent: the agent.
    """

    def __init__(self, world: World, provider: LLMProvider, agent: Agent) -> None:
        self._world = world
        self._provider = provider
        self.agent = agent

    @classmethod
    async def open(cls, settings: Settings) -> Session:
        """Make what the settings say.

        Raises:
            ConfigurationError: they cannot be met.
        """
        tools = settings.load_tools()
        provider = settings.provider()
        world = World()
        agent = spawn_agent(world, provider, system_prompt=settings.system, tools=tools, **settings.request_options())
        return cls(world, provider, agent)

    async def aclose(self) -> None:
        """End everything, connections and the embedded model included."""
        try:
            await self._world.aclose()
        finally:
            close = getattr(self._provider, "aclose", None)
            if close is not None:
                await close()

    async def answer(self, prompt: str, show: Callable[[AgentEvent], None]) -> RunCompleted | None:
        """Have a prompt answered; each event is shown as it comes.

        The first Ctrl-C stops the answer: what was said is shown and kept, and the run completes as interrupted. The second one, should
        stopping take that long, leaves at once.

        Returns:
            How the run ended; None if it was left.

        Raises:
            ProviderError: the model could not be asked, or its answer broke off.
        """
        with _CtrlC(self.agent) as ctrl_c:
            # Connections that the server closed while nobody ran the loop are noticed now, before one of them is used.
            for _ in range(3):
                await asyncio.sleep(0)
            try:
                return await self._run(prompt, show)
            except asyncio.CancelledError:
                if not ctrl_c.pressed:
                    raise
                return None


class _CtrlC: ...


def new_runner() -> asyncio.Runner:
    """A runner for the event loop, uvloop's if it is installed."""
    if find_spec("uvloop") is None:
        return asyncio.Runner()
    factory = cast("Callable[[], asyncio.AbstractEventLoop]", importlib.import_module("uvloop").new_event_loop)
    return asyncio.Runner(loop_factory=factory)
