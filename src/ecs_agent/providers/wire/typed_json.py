"""JSON of events by a typed decoder: fitting a type is all the checking there is, done in C, for many events at once."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from ecs_agent.streaming.sse import Run

T = TypeVar("T")


def fitting_lines(decoder: msgspec.json.Decoder[T], run: Run) -> list[T]:
    """The events of a run if every one of them fits the type; none if any does not."""
    try:
        found = decoder.decode_lines(run.lines)
    except (ValueError, RecursionError):  # the errors of msgspec are ValueErrors, and so is a text that is not UTF-8
        return []
    return found if len(found) == run.events else []  # a line may hold two values


def fitting(decoder: msgspec.json.Decoder[T], data: bytes) -> T | None:
    """What an event's data is, None if it does not fit the type."""
    try:
        return decoder.decode(data)
    except (ValueError, RecursionError):
        return None
