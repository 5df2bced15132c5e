"""The codecs of what conversations and streams are made of, in the forms of `ecs_agent.streaming`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, get_args

from ecs_agent.store.value_codec import Misfits, ValueCodec, is_a, read_items, write_items
from ecs_agent.streaming.delta_data import DeltaReader, DeltaWriter
from ecs_agent.streaming.json_edge import is_list, is_object
from ecs_agent.streaming.message_data import (
    message_from_data,
    message_to_data,
    messages_from_data,
    messages_to_data,
    part_from_data,
    part_to_data,
    schema_from_data,
    schema_to_data,
    tool_call_from_data,
    tool_call_to_data,
    usage_from_data,
    usage_to_data,
)
from ecs_agent.types import JsonObject, Message, Part, StreamDelta, ToolCall, ToolSchema, Usage

T = TypeVar("T")

_ONLY_MESSAGES: Final = frozenset({Message})


def message_codecs(misfits: Misfits) -> dict[Any, ValueCodec]:
    """The codecs by hint."""
    parts: Any = Part
    codecs: dict[Any, ValueCodec] = {
        Message: _codec("Message", (Message,), message_to_data, message_from_data, misfits),
        ToolCall: _codec("ToolCall", (ToolCall,), tool_call_to_data, tool_call_from_data, misfits),
        Usage: _codec("Usage", (Usage,), usage_to_data, usage_from_data, misfits),
        ToolSchema: _codec("ToolSchema", (ToolSchema,), schema_to_data, schema_from_data, misfits),
        StreamDelta: _codec("StreamDelta", (StreamDelta,), _delta_to_data, _delta_from_data, misfits),
        parts: _codec("Part", get_args(parts), part_to_data, part_from_data, misfits),
    }
    for part in get_args(parts):
        if part is not ToolCall:
            codecs[part] = _codec(part.__name__, (part,), part_to_data, _part_reader(part), misfits)
    codecs[list[Message]] = _messages(codecs[Message], misfits)
    codecs[list[StreamDelta]] = _deltas(misfits)
    return codecs


def _codec(name: str, kinds: tuple[type, ...], write: Callable[[Any], Any], read: Callable[[Any], Any], misfits: Misfits) -> ValueCodec:
    def write_any(value: Any) -> Any:
        return write(value) if type(value) in kinds else misfits.write(value)

    def read_any(data: Any) -> Any:
        return read(data) if is_object(data) and data.keys() != {"$any"} else misfits.read(data, name)

    return ValueCodec(name, "other", lambda value: type(value) in kinds, write_any, read_any)


def _part_reader(kind: type[T]) -> Callable[[Any], T]:
    def read(data: Any) -> T:
        part = part_from_data(data)
        if isinstance(part, kind):
            return part
        raise ValueError(f"is a {type(part).__name__}, not a {kind.__name__}")

    return read


def _messages(message: ValueCodec, misfits: Misfits) -> ValueCodec:
    """Conversations are most of what a world holds, so they are read and written in one go."""

    def write(value: Any) -> Any:
        if not is_a(value, list):
            return misfits.write(value)
        try:
            if _ONLY_MESSAGES.issuperset(map(type, value)):
                return messages_to_data(value)
        except TypeError:
            pass  # once more, to say which
        return write_items(message.write, value)

    def read(data: Any) -> Any:
        if not is_list(data):
            return misfits.read(data, "a list of messages")
        try:
            return messages_from_data(data)
        except ValueError:
            return read_items(message.read, data)  # one is a misfit; or to say which is damaged

    return ValueCodec("list", "list", lambda value: type(value) is list, write, read)


def _deltas(misfits: Misfits) -> ValueCodec:
    """One element for each delta; but their calls are written by the fragments that stand before them in the list."""

    def write(value: Any) -> Any:
        if not is_a(value, list):
            return misfits.write(value)
        if not value:
            return []
        writer = DeltaWriter()
        return write_items(lambda each: writer.write_one(each) if type(each) is StreamDelta else misfits.write(each), value)

    def read(data: Any) -> Any:
        if not is_list(data):
            return misfits.read(data, "a list of deltas")
        reader = DeltaReader()
        return read_items(lambda each: misfits.read(each, "") if _is_misfit(each) else reader.read_one(each), data)

    return ValueCodec("list", "list", lambda value: type(value) is list, write, read)


def _is_misfit(data: Any) -> bool:
    return is_object(data) and data.keys() == {"$any"}


def _delta_to_data(delta: StreamDelta) -> JsonObject:
    return DeltaWriter().write_one(delta)


def _delta_from_data(data: Any) -> StreamDelta:
    return DeltaReader().read_one(data)
