"""Items of a response's output: what was already told of one, and what stands in its fields."""

from __future__ import annotations

import json
from base64 import b64decode
from binascii import Error as NotBase64
from dataclasses import dataclass, field
from typing import Any, Final

from ecs_agent.providers.openai_chat.fields import usage_of
from ecs_agent.streaming.json_edge import is_list, is_object
from ecs_agent.types import CitationPart, ImagePart, JsonObject, OpaquePart, Part, Usage

SOURCE: Final = "openai-responses"
RESPONSE: Final = "response"
"""The `type` of the opaque part that holds a stored response's id."""

_CALL_FIELDS: Final = frozenset({"type", "id", "call_id", "name", "arguments", "status"})
_MEDIA: Final = {"svg": "image/svg+xml", "jpg": "image/jpeg"}


@dataclass(slots=True)
class OutputItem:
    """What was told of one item of the output so far.

    Attributes:
        kind: its type.
        number: of its call, if it is one of ours.
        call_id: of its call.
        name: of its call.
        streamed: the channels of which deltas came; what a `done` repeats of them is not told again.
        told: the parts (channel, index) that came whole.
        thought: the channel of its reasoning, as only one is told.
        summary: which of its summaries came last.
        base: how many characters the message had before its text.
        cited: the citations that were told.
        done: whether it is complete.
    """

    kind: str
    number: int | None = None
    call_id: str = ""
    name: str = ""
    streamed: set[str] = field(default_factory=set[str])
    told: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    thought: str = ""
    summary: int = 0
    base: int = 0
    cited: set[str] = field(default_factory=set[str])
    done: bool = False

    def misses(self, channel: str, index: int = 0) -> bool:
        """Whether nothing of a part was told yet."""
        return channel not in self.streamed and (channel, index) not in self.told


def place_of(index: Any) -> int:
    """The index of a part in its item; 0 where a server does not say."""
    return index if isinstance(index, int) else 0


def text_of(value: Any) -> str:
    """A text, "" for anything else."""
    return value if isinstance(value, str) else ""


def arguments_of(value: Any) -> str:
    """A call's arguments: null is none, an object is written as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def call_extras(item: JsonObject) -> JsonObject | None:
    """What a function call holds beyond the call and has to go back with it, such as its `namespace`.

    Its id is not among it: the server does not need it, and one that is sent back binds the call to a reasoning item that may be gone.
    """
    extras = {name: value for name, value in item.items() if name not in _CALL_FIELDS and value is not None}
    return {SOURCE: extras} if extras else None


def objects_in(found: Any) -> list[JsonObject]:
    """The objects of a list."""
    return [entry for entry in found if is_object(entry)] if is_list(found) else []


def usage_in(response: JsonObject) -> Usage | None:
    """The usage of a response, None if it does not say."""
    found = response.get("usage")
    if not is_object(found):
        return None
    details = {"prompt_tokens_details": found.get("input_tokens_details"), "completion_tokens_details": found.get("output_tokens_details")}
    return usage_of(details | found)


def thoughts_in(item: JsonObject) -> list[tuple[str, int, str]]:
    """The readable thoughts of a whole reasoning item, each with its channel and place."""
    summaries = [("summary", place, text_of(part.get("text"))) for place, part in enumerate(objects_in(item.get("summary")))]
    return summaries or [("reasoning", 0, "".join([text_of(part.get("text")) for part in objects_in(item.get("content"))]))]


def citation_of(found: JsonObject, base: int) -> CitationPart:
    """A citation; its positions, which count from its text, are moved to count from the message's first character.

    A file has no URL: its name is the title, and `data` holds its id.
    """
    start, end = (_position(found.get(name, found.get("index"))) for name in ("start_index", "end_index"))
    return CitationPart(
        text_of(found.get("url")),
        text_of(found.get("title")) or text_of(found.get("filename")),
        "",
        None if start is None else base + start,
        None if end is None else base + end,
        found,
    )


def _position(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def image_parts(item: JsonObject) -> tuple[Part, ...]:
    """An image that the model made, behind its item, which is kept without the bytes that the image has."""
    result = item.get("result")
    try:
        data = b64decode(result, validate=True) if isinstance(result, str) else b""
    except (NotBase64, ValueError):
        data = b""
    if not data:
        return (OpaquePart(SOURCE, item),)
    form = text_of(item.get("output_format")) or "png"
    rest = {name: value for name, value in item.items() if name != "result"}
    return (OpaquePart(SOURCE, rest), ImagePart(data=data, media_type=_MEDIA.get(form, f"image/{form}")))
