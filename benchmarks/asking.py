"""What all contestants have in common. It imports nothing but the standard library: it also runs in the environments of the peers.

A contestant is a module with an async context manager `connect(base_url)` that sets its client up and gives a function that asks for so many
streams at once and hands each piece of text to `take`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias

BODY = b'{"stream":true,"stream_options":{"include_usage":true}}'
"""What those send who build the request themselves: with usage, as the others ask for it too."""

Take: TypeAlias = Callable[[str], object]
Ask: TypeAlias = Callable[[int, Take], Awaitable[Counter[str]]]
"""Asks for so many streams at once; returns the failures by their names."""


class Contestant(Protocol):
    """The module of a contestant."""

    def connect(self, base_url: str) -> AbstractAsyncContextManager[Ask]:
        """Set the client up."""
        ...


def each(one: Callable[[Take], Awaitable[None]]) -> Ask:
    """Ask for many streams by asking for one in many tasks."""

    async def ask(streams: int, take: Take) -> Counter[str]:
        if streams == 1:
            await one(take)
            return Counter()
        outcomes = await asyncio.gather(*[one(take) for _ in range(streams)], return_exceptions=True)
        return Counter(type(outcome).__name__ for outcome in outcomes if outcome is not None)

    return ask
