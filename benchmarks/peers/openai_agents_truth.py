"""openai-agents: an agent's run over chat completions, with a session; with the retries of its model settings where it is to ask again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from agents import (  # type: ignore[import-not-found]  # stands in an environment of its own
    Agent,
    ModelRetrySettings,
    ModelSettings,
    OpenAIChatCompletionsModel,
    Runner,
    SQLiteSession,
    function_tool,
    retry_policies,
)
from openai import AsyncOpenAI
from openai.types.responses import ResponseTextDeltaEvent

from benchmarks.truth.scene import CANCELLED, WHOLE, Entry, Scene, Screen, Used


class Client:
    """An agent and its session."""

    def __init__(self, client: AsyncOpenAI, scene: Scene) -> None:
        self.runs: list[str] | None = []
        runs = self.runs

        @function_tool  # type: ignore[untyped-decorator]  # not installed here
        async def weather(city: str) -> str:
            """The weather in a city."""
            runs.append(city)
            return "sunny"

        settings = ModelSettings(include_usage=True)
        if scene.retry:
            policy = retry_policies.any(retry_policies.provider_suggested(), retry_policies.network_error())
            settings.retry = ModelRetrySettings(max_retries=2, policy=policy)
        model = OpenAIChatCompletionsModel(model="bench", openai_client=client)
        self._agent = Agent(name="bench", model=model, model_settings=settings, tools=[weather] if scene.tool else [])
        self._session = SQLiteSession("bench")
        self._result: Any = None

    async def ask(self, question: str, screen: Screen) -> str:
        ended = WHOLE
        self._result = Runner.run_streamed(self._agent, question, session=self._session)
        async for event in self._result.stream_events():
            if (
                event.type == "raw_response_event"
                and isinstance(event.data, ResponseTextDeltaEvent)
                and ended == WHOLE
                and screen.take(event.data.delta)
            ):
                self._result.cancel()
                ended = CANCELLED
        return ended

    async def history(self) -> list[Entry]:
        return [_entry(item) for item in await self._session.get_items()]

    def used(self) -> Used:
        return Used(self._result.context_wrapper.usage.total_tokens)


def _entry(item: dict[str, Any]) -> Entry:
    if "role" not in item:
        call = item.get("arguments")
        return Entry("tool" if call is None else "assistant", str(item.get("output", "")), calls=[] if call is None else [call])
    content = item["content"]
    text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    return Entry(item["role"], text, item.get("status") == "incomplete")


@asynccontextmanager
async def connect(scene: Scene) -> AsyncIterator[Client]:
    async with AsyncOpenAI(api_key="bench", base_url=scene.base_url) as client:
        yield Client(client, scene)
