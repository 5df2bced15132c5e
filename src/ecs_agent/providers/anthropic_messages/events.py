"""Events of the Messages protocol as they are read from bytes: typed where the protocol is kept, leniently where a server is not.

Two types read the same bytes. `PlainEvent` fits only an event that is nothing but new text, so that its fitting is all the checking there is, done
in C for many events at once. `Event` fits everything that has the protocol's shape; what has another shape is read by `lenient`.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from ecs_agent.providers.wire.typed_json import fitting, fitting_lines
from ecs_agent.streaming.json_edge import is_object
from ecs_agent.streaming.sse import Run
from ecs_agent.types import JsonObject


class PlainDelta(msgspec.Struct, gc=False):
    """New text and nothing else."""

    type: Literal["text_delta"]
    text: str


class PlainEvent(msgspec.Struct, gc=False):
    """An event that holds new text and nothing else that is read here. Which block it belongs to makes no difference to a text."""

    type: Literal["content_block_delta"]
    delta: PlainDelta
    error: None = None


class Delta(msgspec.Struct, gc=False):
    """The fields we read; msgspec skips all others without building them. Values are Any, since servers put anything anywhere."""

    type: Any = None
    text: Any = None
    thinking: Any = None
    signature: Any = None
    partial_json: Any = None
    citation: Any = None
    content: Any = None
    encrypted_content: Any = None
    stop_reason: Any = None


class Event(msgspec.Struct, gc=False):
    """One event of a stream."""

    type: Any = None
    index: Any = None
    message: Any = None
    content_block: Any = None
    delta: Delta | None = None
    usage: Any = None
    error: Any = None


_EVENT: Final = msgspec.json.Decoder(Event)
_PLAIN: Final = msgspec.json.Decoder(PlainEvent)


def plain_texts(run: Run) -> list[str]:
    """The texts of a run's events if every one of them is new text and nothing else; none if any is more."""
    return [event.delta.text for event in fitting_lines(_PLAIN, run)]


def event_of(data: bytes) -> Event | None:
    """The event that its data is, None if it has not the protocol's shape."""
    return fitting(_EVENT, data)


def lenient(found: JsonObject) -> Event:
    """An event from an object of any shape: what does not fit is as if it were not there."""
    fields = {name: found.get(name) for name in Event.__struct_fields__}
    delta = found.get("delta")
    fields["delta"] = Delta(**{name: delta.get(name) for name in Delta.__struct_fields__}) if is_object(delta) else None
    return Event(**fields)
