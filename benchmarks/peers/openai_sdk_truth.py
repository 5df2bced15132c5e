"""The openai SDK: chat completions, streamed. History and the running of tools are left to its caller."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from openai import AsyncOpenAI

from benchmarks.truth.scene import CANCELLED, SCHEMA, WHOLE, Scene, Screen, Used


class Client:
    """Its client, whose own `max_retries` is what there is for answers that fail."""

    runs: list[str] | None = None

    def __init__(self, client: AsyncOpenAI, scene: Scene) -> None:
        self._client = client
        self._options: dict[str, Any] = {"tools": [SCHEMA]} if scene.tool else {}
        self._usage: int | None = None

    async def ask(self, question: str, screen: Screen) -> str:
        self._usage = None
        stream = await self._client.chat.completions.create(
            model="bench", messages=[{"role": "user", "content": question}], stream=True, stream_options={"include_usage": True}, **self._options
        )
        async for chunk in stream:
            if chunk.usage is not None:
                self._usage = chunk.usage.total_tokens
            if chunk.choices and chunk.choices[0].delta.content and screen.take(chunk.choices[0].delta.content):
                await stream.close()
                return CANCELLED
        return WHOLE

    async def history(self) -> None:
        """There is none."""

    def used(self) -> Used:
        return Used(self._usage)


@asynccontextmanager
async def connect(scene: Scene) -> AsyncIterator[Client]:
    async with AsyncOpenAI(api_key="bench", base_url=scene.base_url) as client:
        yield Client(client, scene)
