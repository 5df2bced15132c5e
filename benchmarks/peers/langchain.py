"""LangChain: its chat model for OpenAI, streamed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from langchain_openai import ChatOpenAI  # type: ignore[import-not-found]  # stands in an environment of its own

from benchmarks.asking import Ask, Take, each


@asynccontextmanager
async def connect(base_url: str) -> AsyncIterator[Ask]:
    model = ChatOpenAI(model="bench", api_key="bench", base_url=base_url, stream_usage=True)

    async def one(take: Take) -> None:
        async for chunk in model.astream("go"):
            if chunk.content:
                take(chunk.content)

    yield each(one)
