"""The openai SDK: chat completions, streamed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from openai import AsyncOpenAI

from benchmarks.asking import Ask, Take, each


@asynccontextmanager
async def connect(base_url: str) -> AsyncIterator[Ask]:
    async with AsyncOpenAI(api_key="bench", base_url=base_url) as client:

        async def one(take: Take) -> None:
            stream = await client.chat.completions.create(
                model="bench", messages=[{"role": "user", "content": "go"}], stream=True, stream_options={"include_usage": True}
            )
            async for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content:
                    take(chunk.choices[0].delta.content)

        yield each(one)
