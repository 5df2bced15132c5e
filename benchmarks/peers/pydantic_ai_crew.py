"""pydantic-ai: an agent's run, streamed as text, over a model in this process."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from pydantic_ai import Agent  # type: ignore[import-not-found]  # stands in an environment of its own
from pydantic_ai.messages import ModelRequest, ToolReturnPart  # type: ignore[import-not-found]  # likewise
from pydantic_ai.models import Model, StreamedResponse  # type: ignore[import-not-found]  # likewise

from benchmarks.crew import ARGUMENTS, PIECE, QUESTION, Plan, Run, Take, paced, side_by_side

NOW = dt.datetime.now(dt.UTC)


@dataclass
class Response(StreamedResponse):  # type: ignore[misc]  # not installed here
    plan: Plan
    asks: bool

    async def _get_event_iterator(self) -> AsyncIterator[Any]:
        if self.asks:
            async for arguments in paced(self.plan, [ARGUMENTS]):
                yield self._parts_manager.handle_tool_call_part(vendor_part_id="c", tool_name="add", args=arguments, tool_call_id="c")
            return
        async for text in paced(self.plan, [PIECE] * self.plan.deltas):
            for event in self._parts_manager.handle_text_delta(vendor_part_id="text", content=text):
                yield event

    async def close_stream(self) -> None:
        """There is nothing to close."""

    model_name = "bench"
    provider_name = "bench"
    provider_url = None
    timestamp = NOW


class Fake(Model):  # type: ignore[misc]  # not installed here
    model_name = "bench"
    system = "bench"

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self._plan = plan

    async def request(self, *_: Any) -> Any:
        raise NotImplementedError

    @asynccontextmanager
    async def request_stream(self, messages: list[Any], settings: Any, parameters: Any, _context: Any = None) -> AsyncIterator[Response]:
        _, parameters = self.prepare_request(settings, parameters)
        last = messages[-1]
        answered = isinstance(last, ModelRequest) and any(isinstance(part, ToolReturnPart) for part in last.parts)
        yield Response(parameters, plan=self._plan, asks=self._plan.tool and not answered)


async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def bare(plan: Plan, take: Take) -> None:
    async for text in paced(plan, [PIECE] * plan.deltas):
        take(0, text)


@asynccontextmanager
async def crew(plan: Plan, take: Take) -> AsyncIterator[Run]:
    model = Fake(plan)

    def agent() -> Any:
        return Agent(model, tools=[add] if plan.tool else [])

    agents = [agent() for _ in range(plan.agents)] if plan.apart else [agent()] * plan.agents

    async def one(number: int) -> Any:
        async with agents[number].run_stream(QUESTION) as result:
            async for text in result.stream_text(delta=True, debounce_by=None):
                take(number, text)
            return result.all_messages()

    yield side_by_side(one, plan.agents)
