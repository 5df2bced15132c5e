"""Providers for tests of systems, in the plainest form a user may write one: an async generator of deltas."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from ecs_agent.types import Message, StreamDelta, ToolCall


class Scripted:
    """Streams the given answers, one a request. An exception among the deltas is raised there; an event is waited for."""

    model = "scripted"

    def __init__(self, *answers: Sequence[StreamDelta | BaseException | asyncio.Event]) -> None:
        self._answers = list(answers)
        self.requests: list[list[Message]] = []
        self.options: list[dict[str, Any]] = []
        self.closed = 0

    async def complete(self, messages: Sequence[Message], stream: bool = False, **options: Any) -> Any:
        self.requests.append(list(messages))
        self.options.append(options)
        return self._deltas(self._answers.pop(0))

    async def _deltas(self, answer: Sequence[StreamDelta | BaseException | asyncio.Event]) -> AsyncIterator[StreamDelta]:
        try:
            for item in answer:
                if isinstance(item, BaseException):
                    raise item
                if isinstance(item, asyncio.Event):
                    await item.wait()
                    continue
                yield item
        finally:
            self.closed += 1


def text(*pieces: str) -> list[Any]:
    """An answer of text."""
    return [*[StreamDelta(content=piece) for piece in pieces], StreamDelta(finish_reason="stop", final=True)]


def calls(*made: ToolCall, content: str | None = None) -> list[Any]:
    """An answer that calls tools."""
    return [StreamDelta(content=content, tool_calls=list(made), finish_reason="tool_calls", final=True)]
