"""litellm: a completion of an OpenAI-compatible server, streamed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litellm import acompletion  # type: ignore[import-not-found]  # stands in an environment of its own

from benchmarks.asking import Ask, Take, each


@asynccontextmanager
async def connect(base_url: str) -> AsyncIterator[Ask]:
    async def one(take: Take) -> None:
        stream = await acompletion(
            model="openai/bench",
            api_base=base_url,
            api_key="bench",
            messages=[{"role": "user", "content": "go"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                take(chunk.choices[0].delta.content)

    yield each(one)
