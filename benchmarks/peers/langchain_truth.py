"""LangChain: its chat model, streamed, and its tool, called in the loop that its documentation shows; agents with a memory are another package."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

from langchain_core.messages import HumanMessage, ToolMessage  # type: ignore[import-not-found]  # stands in an environment of its own
from langchain_core.messages.ai import add_ai_message_chunks  # type: ignore[import-not-found]  # likewise
from langchain_core.tools import tool  # type: ignore[import-not-found]  # likewise
from langchain_openai import ChatOpenAI  # type: ignore[import-not-found]  # likewise

from benchmarks.truth.scene import CANCELLED, WHOLE, Scene, Screen, Used


class Client:
    """A chat model; `with_retry` is what there is for answers that fail."""

    def __init__(self, scene: Scene) -> None:
        self.runs: list[str] | None = []
        runs = self.runs

        @tool  # type: ignore[untyped-decorator]  # not installed here
        async def weather(city: str) -> str:
            """The weather in a city."""
            runs.append(city)
            return "sunny"

        model = ChatOpenAI(model="bench", api_key="bench", base_url=scene.base_url, stream_usage=True)
        self._tool = weather
        self._model: Any = model.bind_tools([weather]) if scene.tool else model
        if scene.retry:
            self._model = self._model.with_retry(stop_after_attempt=3, wait_exponential_jitter=False)
        self._usage: int | None = None

    async def ask(self, question: str, screen: Screen) -> str:
        self._usage = None
        messages: list[Any] = [HumanMessage(question)]
        while isinstance(messages[-1], HumanMessage | ToolMessage):
            chunks: list[Any] = []
            async with aclosing(self._model.astream(messages)) as stream:
                async for chunk in stream:
                    chunks.append(chunk)
                    if chunk.usage_metadata is not None:
                        self._usage = add_ai_message_chunks(*chunks).usage_metadata["total_tokens"]
                    if chunk.content and screen.take(chunk.content):
                        return CANCELLED
            answer = add_ai_message_chunks(*chunks)
            messages += [answer, *[await self._tool.ainvoke(call) for call in answer.tool_calls]]
        return WHOLE

    async def history(self) -> None:
        """There is none."""

    def used(self) -> Used:
        return Used(self._usage)


@asynccontextmanager
async def connect(scene: Scene) -> AsyncIterator[Client]:
    yield Client(scene)
