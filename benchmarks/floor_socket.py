"""The least that reading a stream can cost: a raw asyncio socket, its body split at blank lines and decoded into typed values."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import msgspec

from benchmarks.asking import BODY, Ask, Take, each


class Delta(msgspec.Struct):
    content: str | None = None


class Choice(msgspec.Struct):
    delta: Delta
    finish_reason: str | None = None


class Chunk(msgspec.Struct):
    choices: list[Choice]


DECODER = msgspec.json.Decoder(Chunk)


def read_events(buffer: bytes, take: Take) -> bytes:
    """Take the whole events of a buffer in, and return what is left."""
    *events, rest = buffer.split(b"\n\n")
    for event in events:
        if event != b"data: [DONE]":
            chunk = DECODER.decode(event[6:])
            if chunk.choices and (text := chunk.choices[0].delta.content):
                take(text)
    return rest


@asynccontextmanager
async def connect(base_url: str) -> AsyncIterator[Ask]:
    address = urlsplit(base_url)
    request = f"POST {address.path}/chat/completions HTTP/1.1\r\nhost: {address.netloc}\r\ncontent-length: {len(BODY)}\r\n\r\n".encode() + BODY

    async def one(take: Take) -> None:
        reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=2**18)
        try:
            writer.write(request)
            await reader.readuntil(b"\r\n\r\n")
            rest = b""
            while data := await reader.read(2**18):
                rest = read_events(rest + data, take)
        finally:
            writer.close()

    yield each(one)
