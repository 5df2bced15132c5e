"""LangChain: its chat model, streamed, and its tool, called in the loop that its documentation shows; agents would be another package."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from langchain_core.language_models import BaseChatModel  # type: ignore[import-not-found]  # stands in an environment of its own
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage  # type: ignore[import-not-found]  # likewise
from langchain_core.messages.ai import add_ai_message_chunks  # type: ignore[import-not-found]  # likewise
from langchain_core.outputs import ChatGenerationChunk  # type: ignore[import-not-found]  # likewise
from langchain_core.tools import tool  # type: ignore[import-not-found]  # likewise
from langchain_core.utils.function_calling import convert_to_openai_tool  # type: ignore[import-not-found]  # likewise

from benchmarks.crew import PIECE, QUESTION, Plan, Run, Take, paced, side_by_side

CALL = {"name": "add", "args": '{"a": 2, "b": 3}', "id": "c", "index": 0, "type": "tool_call_chunk"}


class Fake(BaseChatModel):  # type: ignore[misc]  # not installed here
    plan: Any

    @property
    def _llm_type(self) -> str:
        return "bench"

    def _generate(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    async def _astream(self, messages: list[Any], *_: Any, **__: Any) -> AsyncIterator[Any]:
        if self.plan.tool and not isinstance(messages[-1], ToolMessage):
            async for call in paced(self.plan, [CALL]):
                yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[call]))
            return
        async for text in paced(self.plan, [PIECE] * self.plan.deltas):
            yield ChatGenerationChunk(message=AIMessageChunk(content=text))

    def bind_tools(self, tools: Any, **options: Any) -> Any:
        return self.bind(tools=[convert_to_openai_tool(each) for each in tools], **options)


@tool  # type: ignore[untyped-decorator]  # not installed here
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def bare(plan: Plan, take: Take) -> None:
    async for chunk in Fake(plan=plan)._astream([ToolMessage("5", tool_call_id="c")]):  # noqa: SLF001 - the fake is ours
        take(0, chunk.message.content)


@asynccontextmanager
async def crew(plan: Plan, take: Take) -> AsyncIterator[Run]:
    model = Fake(plan=plan)

    def agent() -> Any:
        return model.bind_tools([add]) if plan.tool else model

    agents = [agent() for _ in range(plan.agents)] if plan.apart else [agent()] * plan.agents

    async def one(number: int) -> Any:
        history: list[Any] = [HumanMessage(QUESTION)]
        while isinstance(history[-1], HumanMessage | ToolMessage):
            chunks = []
            async for chunk in agents[number].astream(history):
                if chunk.content:
                    take(number, chunk.content)
                chunks.append(chunk)
            answer = add_ai_message_chunks(*chunks)
            history += [answer, *[await add.ainvoke(call) for call in answer.tool_calls]]
        return history

    yield side_by_side(one, plan.agents)
