"""CPU per delta of one stream, and many paced streams, beside a raw socket and aiohttp with the same typed decode."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

import msgspec

from benchmarks.rows import Row
from benchmarks.server import running
from ecs_agent.providers import OpenAIProvider
from ecs_agent.types import Message

Read = Callable[[int], Awaitable[int]]
REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 2\r\n\r\n{}"


class Delta(msgspec.Struct):
    content: str | None = None


class Choice(msgspec.Struct):
    delta: Delta
    finish_reason: str | None = None


class Chunk(msgspec.Struct):
    choices: list[Choice]


DECODER = msgspec.json.Decoder(Chunk)


def _count(buffer: bytes) -> tuple[int, bytes]:
    *events, rest = buffer.split(b"\n\n")
    count = 0
    for event in events:
        if event != b"data: [DONE]":
            chunk = DECODER.decode(event[6:])
            if chunk.choices and chunk.choices[0].delta.content:
                count += 1
    return count, rest


async def raw_socket(port: int) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**18)
    writer.write(REQUEST)
    await reader.readuntil(b"\r\n\r\n")
    seen, rest = 0, b""
    while data := await reader.read(2**18):
        count, rest = _count(rest + data)
        seen += count
    writer.close()
    return seen


async def aiohttp_split(port: int) -> int:
    import aiohttp

    seen, rest = 0, b""
    async with aiohttp.ClientSession() as session, session.post(f"http://127.0.0.1:{port}/v1/chat/completions", data=b"{}") as response:
        async for data in response.content.iter_any():
            count, rest = _count(rest + data)
            seen += count
    return seen


async def ours(port: int) -> int:
    provider = OpenAIProvider(api_key="bench", base_url=f"http://127.0.0.1:{port}/v1", model="bench")
    return await _iterate(provider)


async def _iterate(provider: OpenAIProvider) -> int:
    seen = 0
    stream = await provider.complete([Message("user", "go")], stream=True)
    async with stream:
        async for delta in stream:
            if delta.content:
                seen += 1
    return seen


def _cpu_per_delta(read: Read, port: int, deltas: int) -> float:
    start = time.process_time()
    seen = asyncio.run(_checked(read, port, deltas))
    return (time.process_time() - start) / seen * 1e6


async def _checked(read: Read, port: int, deltas: int) -> int:
    seen = await read(port)
    if seen != deltas:
        raise RuntimeError(f"{read.__name__} saw {seen} of {deltas} deltas")
    return seen


def one_stream(deltas: int = 20_000, rounds: int = 7) -> list[Row]:
    """One stream at full speed: CPU microseconds per delta, median of several rounds in turn."""
    contestants: list[Read] = [raw_socket, aiohttp_split, ours]
    figures: dict[str, list[float]] = {read.__name__: [] for read in contestants}
    with running(deltas) as port:
        for _ in range(rounds):
            for read in contestants:
                figures[read.__name__].append(_cpu_per_delta(read, port, deltas))
    medians = {name: statistics.median(values) for name, values in figures.items()}
    floor = medians["raw_socket"]
    return [Row(f"one stream, {deltas} deltas: {name}", value, "µs CPU/delta", value / floor) for name, value in medians.items()]


def many_streams(streams: int = 500, deltas: int = 50, interval: float = 0.02) -> list[Row]:
    """Many paced streams at once: CPU per delta and the wall time against the nominal one."""
    rows: list[Row] = []
    floor = 0.0
    with running(deltas, interval) as port:
        for name, run in (("raw_socket", _many_raw), ("ours", _many_ours)):
            wall, start = time.perf_counter(), time.process_time()
            seen = asyncio.run(run(port, streams))
            cpu = (time.process_time() - start) / seen * 1e6
            wall = time.perf_counter() - wall
            floor = floor or cpu
            delivered = seen / (streams * deltas)
            rows.append(
                Row(
                    f"{streams} paced streams: {name}, {delivered:.0%} delivered, {wall / (deltas * interval):.2f} x nominal wall",
                    cpu,
                    "µs CPU/delta",
                    cpu / floor,
                )
            )
    return rows


async def _many_raw(port: int, streams: int) -> int:
    return sum(await asyncio.gather(*[raw_socket(port) for _ in range(streams)]))


async def _many_ours(port: int, streams: int) -> int:
    async with OpenAIProvider(api_key="bench", base_url=f"http://127.0.0.1:{port}/v1", model="bench") as provider:
        return sum(await asyncio.gather(*[_iterate(provider) for _ in range(streams)]))
