"""One agent for one command: opened, asked, stopped by Ctrl-C, closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ecs_agent import Agent, RunCompleted, World, spawn_agent
from ecs_agent.agent import AgentEvent
from ecs_agent.cli.interrupts import Interrupts
from ecs_agent.cli.options import Settings
from ecs_agent.core.run_sync import loop_factory
from ecs_agent.providers.protocol import LLMProvider

_STOPPED = "stopped by its user"


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
        agent = spawn_agent(
            world,
            provider,
            system_prompt=settings.system,
            tools=tools,
            max_tokens=settings.max_tokens,
            temperature=settings.temperature,
        )
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
            try:
                return await self._run(prompt, show)
            except asyncio.CancelledError:
                return ctrl_c.cancelled()

    async def _run(self, prompt: str, show: Callable[[AgentEvent], None]) -> RunCompleted:
        async with self.agent.run(prompt) as run:
            async for event in run:
                show(event)
            return await run.result()


class _CtrlC(Interrupts):
    """While it is entered, Ctrl-C stops the agent, and pressed again it cancels the task that entered.

    Where it is not heard (`Interrupts`), asyncio's own handling stays: the first Ctrl-C cancels the task, which ends the run, and the second one
    raises KeyboardInterrupt. What was said is kept in any case.
    """

    def __init__(self, agent: Agent) -> None:
        super().__init__(self._press)
        self._agent = agent
        self._task = asyncio.current_task()
        self._pressed = False

    def cancelled(self) -> RunCompleted | None:
        """What it means that the task was cancelled: None if it was the second Ctrl-C, a stopped run if it was the first one.

        Raises:
            CancelledError: it was not Ctrl-C at all.
        """
        if self._pressed:
            return None
        if self.are_heard or self._task is None:
            raise asyncio.CancelledError
        self._task.uncancel()
        return RunCompleted("interrupted", _STOPPED, "", None, 0)

    def _press(self) -> None:
        if not self._pressed:
            self._pressed = True
            self._agent.interrupt(_STOPPED)
        elif self._task is not None:
            self._task.cancel()


def new_runner() -> asyncio.Runner:
    """A runner for the event loop, uvloop's if it is installed."""
    return asyncio.Runner(loop_factory=loop_factory())
