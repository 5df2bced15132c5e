"""Parts of messages as content blocks of the Messages protocol."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from ecs_agent.errors import UnsupportedFeatureError
from ecs_agent.providers.anthropic_messages.fields import SOURCE
from ecs_agent.providers.wire.call_results import NO_RESULT
from ecs_agent.providers.wire.request_values import call_arguments
from ecs_agent.streaming.json_edge import is_object
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
    TextPart,
    ToolCall,
)

_LOCATIONS: Final = frozenset({"char_location", "page_location", "content_block_location", "web_search_result_location", "search_result_location"})
_TEXTS: Final = ("application/json", "application/xml", "application/yaml", "application/x-yaml", "application/javascript")


# What a user says, and a tool's result


def user_blocks(parts: Iterable[Part]) -> list[JsonObject]:
    """What a user's message, or a tool's result, holds. Blank texts are left out, since the API refuses them.

    Raises:
        UnsupportedFeatureError: a part that the protocol has no words for.
    """
    return [block for part in parts if (block := _user_block(part)) is not None]


def _user_block(part: Part) -> JsonObject | None:
    match part:
        case TextPart(text=text):
            return {"type": "text", "text": text} if text.strip() else None
        case ImagePart(url=url, data=data, media_type=kind):
            return {"type": "image", "source": _image(url, data, kind)}
        case FilePart():
            return _file(part)
        case OpaquePart() if _is_block(part):
            return part.data
        case AudioPart():
            raise UnsupportedFeatureError("the Messages API takes no audio; send what is said as text, or ask a model that hears")
        case _:
            return None


def _is_block(part: OpaquePart) -> bool:
    """Whether it is a block of the API's own, to be sent as it is."""
    return part.source == SOURCE and part.data.get("type", "text") != "text"


def _image(url: str | None, data: bytes | None, kind: str) -> JsonObject:
    if data is not None:
        return {"type": "base64", "media_type": kind, "data": b64encode(data).decode()}
    head, comma, content = (url or "").partition(",")
    if not head.startswith("data:") or not comma:
        return {"type": "url", "url": url}
    kind = head.removeprefix("data:").partition(";")[0] or kind
    in_base64 = head.endswith(";base64")
    return {"type": "base64", "media_type": kind, "data": content if in_base64 else b64encode(unquote_to_bytes(content)).decode()}


def _file(part: FilePart) -> JsonObject:
    kind = part.media_type.partition(";")[0].strip().lower()
    block = "image" if kind.startswith("image/") else "document"
    title: JsonObject = {"title": part.filename} if part.filename and block == "document" else {}
    if part.file_id is not None:
        return {"type": block, "source": {"type": "file", "file_id": part.file_id}, **title}
    data = part.data or b""
    if kind == "application/pdf" or block == "image":
        return {"type": block, "source": {"type": "base64", "media_type": kind, "data": b64encode(data).decode()}, **title}
    if not kind.startswith("text/") and kind not in _TEXTS:
        raise UnsupportedFeatureError(
            f"the Messages API takes no file of type {part.media_type!r}; send a PDF, an image or text, or upload it: file_id"
        )
    return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": data.decode("utf-8", "replace")}, **title}


def result_block(call_id: str, result: Message | None, call: ToolCall) -> JsonObject:
    """The result of a call; without one, what is told the model so that the conversation stays whole.

    Raises:
        UnsupportedFeatureError: a part that the protocol has no words for.
    """
    made: JsonObject = {"type": "tool_result", "tool_use_id": call_id}
    if "toolset_name" in (extra := _extra(call)):
        made["toolset_name"] = extra["toolset_name"]
    if result is None:
        return {**made, "content": NO_RESULT, "is_error": True}
    content: Any = user_blocks(result.parts)
    if len(content) == 1 and content[0]["type"] == "text":
        content = content[0]["text"]
    if content:
        made["content"] = content
    return {**made, "is_error": True} if result.is_error else made


# What the assistant said


def assistant_blocks(message: Message, call_ids: Mapping[int, str]) -> list[JsonObject]:
    """What an assistant's message holds, in its order.

    Thoughts go back with their signature, and without one not at all; what another family's server alone understands is set aside, and so are images,
    which only a user may send.

    Args:
        message: of the assistant.
        call_ids: the ids under which its calls are sent, by their positions among the parts.

    Raises:
        UnsupportedFeatureError: a part that the protocol has no words for.
    """
    blocks: list[JsonObject] = []
    spans = _cited(message.parts)
    said = 0
    for at, (part, following) in enumerate(pairwise([*message.parts, None])):
        match part:
            case TextPart(text=text):
                _add_text(blocks, text, said, spans)
                said += len(text)
            case RefusalPart(text=text):
                _add_text(blocks, text, 0, {})
            case ReasoningPart():
                if signature := _signature(part, following):
                    blocks.append({"type": "thinking", "thinking": part.text, "signature": signature})
            case OpaquePart() if _is_block(part):
                blocks.append(part.data)
            case ToolCall():
                blocks.append(_call(part, call_ids[at]))
            case AudioPart():
                raise UnsupportedFeatureError("the Messages API takes no audio; send what was said as text, or ask a model that hears")
            case _:
                pass
    return blocks


def _signature(thought: ReasoningPart, following: Part | None) -> str:
    kept = (thought.opaque or {}).get(SOURCE)
    if isinstance(following, OpaquePart) and following.source == SOURCE and "type" not in following.data:
        kept = following.data
    signature = kept.get("signature") if is_object(kept) else None
    return signature if isinstance(signature, str) else ""


def _call(call: ToolCall, call_id: str) -> JsonObject:
    return {"type": "tool_use", "id": call_id, "name": call.name, "input": call_arguments(call), **_extra(call)}


def _extra(call: ToolCall) -> JsonObject:
    """What the API said of a call beside its id, name and input."""
    found = (call.opaque or {}).get(SOURCE)
    return found if is_object(found) else {}


def _cited(parts: Sequence[Part]) -> dict[tuple[int, int], list[JsonObject]]:
    """The places of the text that have sources which the API itself named, in order."""
    spans: dict[tuple[int, int], list[JsonObject]] = {}
    for part in parts:
        match part:
            case CitationPart(start=int(start), end=int(end), data=dict(data)) if data.get("type") in _LOCATIONS and start < end:
                spans.setdefault((start, end), []).append({name: value for name, value in data.items() if name != "file_id"})
            case _:
                pass
    return dict(sorted(spans.items()))


def _add_text(blocks: list[JsonObject], text: str, start: int, spans: dict[tuple[int, int], list[JsonObject]]) -> None:
    """Add a text that begins at `start`, its cited places as blocks of their own. The API refuses a blank text, so one joins its neighbour."""
    pieces: list[tuple[str, list[JsonObject]]] = []
    at = 0
    for (begin, end), sources in spans.items():
        if start + at <= begin and end <= start + len(text):
            pieces += [(text[at : begin - start], []), (text[begin - start : end - start], sources)]
            at = end - start
    pieces.append((text[at:], []))
    blank = ""
    for piece, sources in pieces:
        if piece.strip():
            blocks.append({"type": "text", "text": blank + piece, **({"citations": sources} if sources else {})})
            blank = ""
        elif blocks and blocks[-1]["type"] == "text":
            blocks[-1] = {**blocks[-1], "text": blocks[-1]["text"] + piece}
        else:
            blank += piece
