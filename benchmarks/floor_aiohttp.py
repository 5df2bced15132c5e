"""The floor over the HTTP client that the package uses: aiohttp, and the same splitting and decoding."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from benchmarks.asking import BODY, Ask, Take, each
from benchmarks.floor_socket import read_events


@asynccontextmanager
async def connect(base_url: str) -> AsyncIterator[Ask]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one(take: Take) -> None:
            async with session.post(f"{base_url}/chat/completions", data=BODY) as response:
                rest = b""
                async for data in response.content.iter_any():
                    rest = read_events(rest + data, take)

        yield each(one)
