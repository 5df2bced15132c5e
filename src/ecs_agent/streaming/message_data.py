"""Messages as JSON data, and back without loss: what journals, recordings and snapshots hold.

    {"role": "user", "content": "Hello"}
    {"role": "assistant", "parts": [{"tag": "text", "text": "I look."}, {"tag": "tool_call", "id": "c1", "name": "look"}], "interrupted": true}
    {"role": "tool", "content": "Nothing there.", "tool_call_id": "c1"}

A message whose only part is a text has it under `content`, one without parts has neither. Fields that are as a message begins are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from ecs_agent.streaming.json_edge import is_list, is_object
from ecs_agent.streaming.record_data import BYTES, FLAG, OBJECT, TEXT, WHOLE, Form, Record, one_of
from ecs_agent.types import (
    AudioPart,
    CitationPart,
    FilePart,
    ImagePart,
    JsonObject,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCall,
    ToolSchema,
    Usage,
)

_ROLES: Final[dict[str, Role]] = {"system": "system", "user": "user", "assistant": "assistant", "tool": "tool"}

_TOOL_CALL: Final[Record[ToolCall]] = Record(ToolCall, id=TEXT, name=TEXT, arguments=OBJECT, raw_arguments=TEXT, arguments_error=TEXT, opaque=OBJECT)
_PARTS: Final[dict[type, Record[Any]]] = {
    TextPart: Record(TextPart, text=TEXT),
    ImagePart: Record(ImagePart, url=TEXT, data=BYTES, media_type=TEXT, detail=one_of("auto", "low", "high")),
    FilePart: Record(FilePart, data=BYTES, file_id=TEXT, filename=TEXT, media_type=TEXT),
    AudioPart: Record(AudioPart, data=BYTES, format=TEXT),
    ReasoningPart: Record(ReasoningPart, text=TEXT, opaque=OBJECT),
    RefusalPart: Record(RefusalPart, text=TEXT),
    CitationPart: Record(CitationPart, url=TEXT, title=TEXT, quote=TEXT, start=WHOLE, end=WHOLE, data=OBJECT),
    OpaquePart: Record(OpaquePart, source=TEXT, data=OBJECT),
    ToolCall: _TOOL_CALL,
}
_TAGGED: Final[dict[str, Record[Any]]] = {kind.tag: record for kind, record in _PARTS.items()}  # type: ignore[attr-defined]  # all parts have one
_USAGE: Final[Record[Usage]] = Record(
    Usage,
    prompt_tokens=WHOLE,
    completion_tokens=WHOLE,
    total_tokens=WHOLE,
    cached_tokens=WHOLE,
    reasoning_tokens=WHOLE,
    estimated=FLAG,
    cache_write_tokens=WHOLE,
)
_SCHEMA: Final[Record[ToolSchema]] = Record(ToolSchema, name=TEXT, description=TEXT, parameters=OBJECT)

tool_call_to_data: Final = _TOOL_CALL.write
tool_call_from_data: Final = _TOOL_CALL.read
usage_to_data: Final = _USAGE.write
usage_from_data: Final = _USAGE.read
schema_to_data: Final = _SCHEMA.write
schema_from_data: Final = _SCHEMA.read


def part_to_data(part: Part) -> JsonObject:
    """The data of a part, with its class's `tag`.

    Raises:
        TypeError: it is no part of ours, or holds what it cannot.
    """
    record = _PARTS.get(type(part))
    if record is None:
        raise TypeError(f"a {type(part).__name__} is no part of a message")
    return {"tag": part.tag, **record.write(part)}


def part_from_data(data: Any) -> Part:
    """The part of such data.

    Raises:
        ValueError: it is no such data.
    """
    if not is_object(data):
        raise ValueError(f"a part is a {type(data).__name__}, not an object")
    fields = dict(data)
    tag = fields.pop("tag", None)
    record = _TAGGED.get(tag) if isinstance(tag, str) else None
    if record is None:
        raise ValueError(f"there is no part with the tag {tag!r}")
    part: Part = record.read(fields)
    return part


def message_to_data(message: Message) -> JsonObject:
    """The data of a message.

    Raises:
        TypeError: it holds what is no data; the message is a sentence.
    """
    parts = message.parts
    data: JsonObject
    if len(parts) == 1 and type(parts[0]) is TextPart and type(parts[0].text) is str:
        data = {"role": message.role, "content": parts[0].text}
    elif parts:
        data = {"role": message.role, "parts": [part_to_data(part) for part in parts]}
    else:
        data = {"role": message.role}
    if message.tool_call_id is None and message.name is None and message.interrupted is False and message.is_error is False:
        return data
    for name, form in _REST.items():
        value = getattr(message, name)
        if value is not None and value is not False:
            data[name] = _written(name, form, value)
    return data


_REST: Final[dict[str, Form]] = {"tool_call_id": TEXT, "name": TEXT, "interrupted": FLAG, "is_error": FLAG}
_FIELDS: Final = frozenset({"role", "content", "parts", *_REST})


def _written(name: str, form: Form, value: object) -> Any:
    try:
        return form.write(value)
    except TypeError as error:
        raise TypeError(f"Message.{name} {error}") from None


def messages_to_data(messages: Iterable[Message]) -> list[JsonObject]:
    """The data of messages, each for itself."""
    return [message_to_data(message) for message in messages]


# A message is made without its __init__, which would look once more at what was looked at here: half of what reading costs.
_new: Final = object.__new__
_slots: Final[Any] = Message  # its descriptors, which no checker knows
_put_role: Final[Callable[[Message, str], None]] = _slots.role.__set__
_put_parts: Final[Callable[[Message, tuple[Part, ...]], None]] = _slots.parts.__set__
_put_call: Final[Callable[[Message, str | None], None]] = _slots.tool_call_id.__set__
_put_name: Final[Callable[[Message, str | None], None]] = _slots.name.__set__
_put_interrupted: Final[Callable[[Message, bool], None]] = _slots.interrupted.__set__
_put_error: Final[Callable[[Message, bool], None]] = _slots.is_error.__set__
_text_slots: Final[Any] = TextPart
_put_text: Final[Callable[[TextPart, str], None]] = _text_slots.text.__set__


def message_from_data(data: Any) -> Message:
    """The message of such data.

    Raises:
        ValueError: it is no such data; the message is a sentence.
    """
    try:
        role = _ROLES[data["role"]]
    except (TypeError, KeyError, IndexError):
        raise ValueError(_no_role(data)) from None
    if len(data) == 2 and type(text := data.get("content")) is str:
        part = _new(TextPart)
        _put_text(part, text)
        return _message(role, (part,), None, None, False, False)
    if not _FIELDS.issuperset(data):
        raise ValueError(f"a message has a field {next(key for key in data if key not in _FIELDS)!r}, which is not known")
    rest = [_read(data, name) for name in _REST]
    return _message(role, _parts_of(data), rest[0], rest[1], rest[2] or False, rest[3] or False)


def messages_from_data(data: list[JsonObject]) -> list[Message]:
    """The messages of such data; the same as `message_from_data` for each, for conversations by the thousand.

    Raises:
        ValueError: one is no such data; the message is a sentence.
    """
    messages: list[Message] = []
    for each in data:
        if (
            type(each) is dict
            and len(each) == 2
            and type(text := each.get("content")) is str
            and type(name := each.get("role")) is str
            and (role := _ROLES.get(name)) is not None
        ):
            part = _new(TextPart)
            _put_text(part, text)
            message = _new(Message)
            _put_role(message, role)
            _put_parts(message, (part,))
            _put_call(message, None)
            _put_name(message, None)
            _put_interrupted(message, False)
            _put_error(message, False)
            messages.append(message)
        else:
            messages.append(message_from_data(each))
    return messages


def _message(role: Role, parts: tuple[Part, ...], tool_call_id: str | None, name: str | None, interrupted: bool, is_error: bool) -> Message:
    message = _new(Message)
    _put_role(message, role)
    _put_parts(message, parts)
    _put_call(message, tool_call_id)
    _put_name(message, name)
    _put_interrupted(message, interrupted)
    _put_error(message, is_error)
    return message


def _no_role(data: Any) -> str:
    if not is_object(data):
        return f"a message is a {type(data).__name__}, not an object"
    return f"a message's role is {data.get('role')!r}, none of {', '.join(_ROLES)}"


def _read(data: JsonObject, name: str) -> Any:
    if name not in data:
        return None
    try:
        return _REST[name].read(data[name])
    except ValueError as error:
        raise ValueError(f"Message.{name} {error}") from None


def _parts_of(data: JsonObject) -> tuple[Part, ...]:
    if "content" in data:
        if "parts" in data:
            raise ValueError("a message has content and parts; it must be one of them")
        if type(data["content"]) is not str:
            raise ValueError(f"Message.content is a {type(data['content']).__name__}, not text")
        return (TextPart(data["content"]),)
    parts = data.get("parts", [])
    if not is_list(parts):
        raise ValueError(f"Message.parts is a {type(parts).__name__}, not a list")
    return tuple([part_from_data(part) for part in parts])
