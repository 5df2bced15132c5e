"""openai-agents: an agent's run, its text deltas, over a model in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from agents import Agent, Model, Runner, function_tool  # type: ignore[import-not-found]  # stands in an environment of its own
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseTextDeltaEvent,
)

from benchmarks.crew import PIECE, QUESTION, Plan, Run, Take, paced, side_by_side


def _delta() -> ResponseTextDeltaEvent:
    return ResponseTextDeltaEvent(
        type="response.output_text.delta", item_id="m", output_index=0, content_index=0, delta=PIECE, logprobs=[], sequence_number=1
    )


def _completed(item: ResponseOutputMessage | ResponseFunctionToolCall) -> ResponseCompletedEvent:
    response = Response(
        id="r", created_at=0, model="bench", object="response", output=[item], tool_choice="auto", tools=[], parallel_tool_calls=False
    )
    return ResponseCompletedEvent(type="response.completed", response=response, sequence_number=2)


class Fake(Model):  # type: ignore[misc]  # not installed here
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._deltas = [_delta()] * plan.deltas
        self._call = ResponseFunctionToolCall(type="function_call", call_id="c", name="add", arguments='{"a": 2, "b": 3}')

    async def get_response(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    async def stream_response(self, _instructions: Any, messages: Any, *_: Any, **__: Any) -> AsyncIterator[Any]:
        if self._plan.tool and (isinstance(messages, str) or messages[-1].get("type") != "function_call_output"):
            async for completed in paced(self._plan, [_completed(self._call)]):
                yield completed
            return
        async for event in paced(self._plan, self._deltas):
            yield event
        text = ResponseOutputText(type="output_text", text=self._plan.text, annotations=[])
        yield _completed(ResponseOutputMessage(type="message", id="m", role="assistant", status="completed", content=[text]))


@function_tool  # type: ignore[untyped-decorator]  # not installed here
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def bare(plan: Plan, take: Take) -> None:
    async for event in Fake(plan).stream_response(None, [{"type": "function_call_output"}]):
        if isinstance(event, ResponseTextDeltaEvent):
            take(0, event.delta)


@asynccontextmanager
async def crew(plan: Plan, take: Take) -> AsyncIterator[Run]:
    model = Fake(plan)

    def agent() -> Any:
        return Agent(name="bench", model=model, tools=[add] if plan.tool else [])

    agents = [agent() for _ in range(plan.agents)] if plan.apart else [agent()] * plan.agents

    async def one(number: int) -> Any:
        result = Runner.run_streamed(agents[number], QUESTION)
        async for event in result.stream_events():
            if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent):
                take(number, event.data.delta)
        return result.to_input_list()

    yield side_by_side(one, plan.agents)
