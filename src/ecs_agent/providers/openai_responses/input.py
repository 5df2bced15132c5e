"""The input of a request in the OpenAI Responses protocol: a conversation as a list of items.

* Reasoning items and those of built-in tools go back as they came, a reasoning item where its readable text stands. Servers refuse one that nothing
  of its answer follows, and calls of tools of ours without a result; such items are left out.
* A call has one result and a result its call: one that is missing is said to be missing, one whose call is gone, or has a result, is a user's text.
* Ids of calls that no server of this protocol would make are written otherwise, in call and result alike, and so is an id that was used before.
* What this protocol only takes from users (images, files) is a user's when an assistant of another family made it.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from hashlib import sha256
from typing import Final

import msgspec

from ecs_agent.errors import UnsupportedFeatureError
from ecs_agent.providers.openai_responses.items import RESPONSE, SOURCE, text_of
from ecs_agent.providers.wire.call_ids import sent_ids
from ecs_agent.providers.wire.call_results import NO_RESULT, orphan_text, results_of_calls
from ecs_agent.providers.wire.request_values import call_text, data_url
from ecs_agent.streaming.json_edge import without_surrogates
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

OURS: Final = frozenset({"message", "function_call", "function_call_output"})
"""Types of items that are written from a conversation's own parts; all others are replayed."""

LONGEST_ID: Final = 64
"""So long at most is a `call_id`."""
_CLIENT_CALLS: Final = frozenset(
    {"apply_patch_call", "computer_call", "custom_tool_call", "local_shell_call", "mcp_approval_request", "shell_call", "tool_search_call"}
)
"""Calls that wait for an answer of the client, which stands, if there is one, in an opaque part of a later message."""


def replay_key(item: JsonObject) -> str:
    """What tells an item that is sent back as it came."""
    return text_of(item.get("id")) or sha256(msgspec.json.encode(without_surrogates(item))).hexdigest()


class InputWriter:
    """Writes the messages of one request.

    Args:
        stored: whether the server keeps what it said, so that an item's id alone tells it.
        refused: keys of items that the server does not take back.
    """

    def __init__(self, *, stored: bool, refused: AbstractSet[str]) -> None:
        self._stored = stored
        self._refused = refused
        self._answered: set[str] = set()

    def items(self, messages: Sequence[Message], start: int = 0) -> list[JsonObject]:
        """The items of the messages from `start` on; those before it are known to the server.

        Raises:
            UnsupportedFeatureError: a message holds what the protocol cannot carry.
        """
        self._answered = _answers(messages)
        ids = sent_ids(messages, LONGEST_ID, known=start)
        answers = {found: ids[at][place] for (at, place), found in results_of_calls(messages).items()}
        written = [item for at in range(start, len(messages)) for item in self._message(messages[at], ids[at], answers.get(at))]
        return _with_missing_results(written, ids[start - 1].values() if start else ())

    def _message(self, message: Message, ids: Mapping[int, str], answers: str | None) -> list[JsonObject]:
        """The items of a message, by the ids of its calls, or that of the call it answers."""
        if message.role == "assistant":
            return self._assistant(message, ids)
        kept = [item for part in message.parts if (item := self._replayed(part)) is not None]
        if message.role == "tool":
            told = [] if kept else [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": orphan_text(message)}]}]
            return [*(told if answers is None else [_result(answers, _output(message))]), *kept]
        content = [made for part in message.parts if (made := input_part(part)) is not None]
        return [*([{"type": "message", "role": message.role, "content": content}] if content else []), *kept]

    def _assistant(self, message: Message, ids: Mapping[int, str]) -> list[JsonObject]:
        parts = _in_place(message.parts)
        call_ids = iter(ids.values())  # calls keep their order
        items: list[JsonObject] = []
        texts = _Texts(items)
        for place, part in enumerate(parts):
            match part:
                case TextPart(text=text):
                    texts.add("output_text", "text", text)
                case RefusalPart(text=text):
                    texts.add("refusal", "refusal", text)
                case ToolCall():
                    texts.close()
                    items.append(_call(part, next(call_ids)))
                case OpaquePart():
                    self._opaque(part, parts[place + 1 : place + 2], texts, items)
                case ImagePart() | FilePart() | AudioPart() if not _is_result(parts, place):
                    made = input_part(part)
                    texts.close()
                    items.append({"type": "message", "role": "user", "content": [made]})
                case _:
                    pass  # thoughts go back as items, citations do not
        texts.close()
        while items and items[-1]["type"] == "reasoning":
            items.pop()
        return items

    def _opaque(self, part: OpaquePart, following: Sequence[Part], texts: _Texts, items: list[JsonObject]) -> None:
        if part.source == SOURCE and part.data.get("type") == "message":
            texts.close()
            texts.phase = part.data.get("phase")
        elif (item := self._replayed(part)) is not None:
            texts.close()
            match following:
                case [ImagePart(data=bytes(data))] if item["type"] == "image_generation_call" and "result" not in item:
                    item["result"] = b64encode(data).decode()
                case _:
                    pass
            items.append(item)

    def _replayed(self, part: Part) -> JsonObject | None:
        """The item that an opaque part holds, if it is one of this family that the server takes."""
        if not isinstance(part, OpaquePart) or part.source != SOURCE:
            return None
        item = {name: value for name, value in part.data.items() if value is not None}
        kind = item.get("type")
        if not isinstance(kind, str) or kind in (RESPONSE, "message"):
            return None
        if kind == "reasoning":
            item.pop("status", None)  # servers hand it out and do not take it
            if not (item.get("encrypted_content") or item.get("content") or self._stored):
                return None  # nobody knows it any more
        elif kind in _CLIENT_CALLS:
            call_id = item.get("id") if kind == "mcp_approval_request" else item.get("call_id")
            if isinstance(call_id, str) and call_id not in self._answered:
                return None
        return None if replay_key(item) in self._refused else item


class _Texts:
    """Gathers the texts of one item."""

    def __init__(self, items: list[JsonObject]) -> None:
        self._items = items
        self._content: list[JsonObject] = []
        self.phase: object = None

    def add(self, kind: str, name: str, text: str) -> None:
        """Take the next text; what a citation had divided is one again."""
        if text and self._content and self._content[-1]["type"] == kind:
            self._content[-1][name] += text
        elif text:
            self._content.append({"type": kind, name: text})

    def close(self) -> None:
        """Something else comes."""
        if self._content:
            phase = {"phase": self.phase} if isinstance(self.phase, str) else {}
            self._items.append({"type": "message", "role": "assistant", "content": self._content, **phase})
            self._content = []
        self.phase = None


def _call(call: ToolCall, call_id: str) -> JsonObject:
    written = {"type": "function_call", "call_id": call_id, "name": call.name, "arguments": call_text(call)}
    return {**((call.opaque or {}).get(SOURCE) or {}), **written}


def _in_place(parts: Iterable[Part]) -> list[Part]:
    """The parts with each reasoning item right behind its readable text, also where the server handed it out only at the end."""
    placed: list[Part] = []
    behind: int | None = None
    for part in parts:
        if isinstance(part, OpaquePart) and part.source == SOURCE and part.data.get("type") == "reasoning":
            placed.insert(len(placed) if behind is None else behind, part)
            behind = None
            continue
        placed.append(part)
        if isinstance(part, ReasoningPart):
            behind = len(placed)
    return placed


def _is_result(parts: Sequence[Part], place: int) -> bool:
    """Whether an image is that of the item before it."""
    before = parts[place - 1] if place else None
    return isinstance(before, OpaquePart) and before.source == SOURCE and before.data.get("type") == "image_generation_call"


def _answers(messages: Iterable[Message]) -> set[str]:
    """The calls of the client's own tools that are answered by items of the conversation."""
    found: set[str] = set()
    for message in messages:
        for part in message.parts:
            if isinstance(part, OpaquePart) and part.source == SOURCE and str(part.data.get("type")).endswith(("_output", "_response")):
                found |= {value for name in ("call_id", "id", "approval_request_id") if isinstance(value := part.data.get(name), str)}
    return found


def _with_missing_results(items: list[JsonObject], waiting: Iterable[str]) -> list[JsonObject]:
    """The items, with a result for each call that has none."""
    answered = {item["call_id"] for item in items if item["type"] == "function_call_output"}
    whole = [_result(call_id, NO_RESULT) for call_id in waiting if items and call_id not in answered]
    for item in items:
        whole.append(item)
        if item["type"] == "function_call" and item["call_id"] not in answered:
            whole.append(_result(item["call_id"], NO_RESULT))
    return whole


def _result(call_id: str, output: object) -> JsonObject:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def _output(message: Message) -> object:
    if all(isinstance(part, TextPart | OpaquePart | ReasoningPart | CitationPart) for part in message.parts):
        return message.content
    return [made for part in message.parts if (made := input_part(part)) is not None]


def input_part(part: Part) -> JsonObject | None:
    """A part of a message of a user, of the system, or of a tool; None for one that says nothing here.

    Raises:
        UnsupportedFeatureError: the protocol cannot carry it.
    """
    match part:
        case TextPart(text=text):
            return {"type": "input_text", "text": text} if text else None
        case ImagePart(url=url, data=data, media_type=kind, detail=detail):
            return {"type": "input_image", "image_url": url if data is None else data_url(kind, data), "detail": detail or "auto"}
        case FilePart(file_id=str(file_id)):
            return {"type": "input_file", "file_id": file_id}
        case FilePart(data=data, filename=name, media_type=kind):
            return {"type": "input_file", "filename": name or "file", "file_data": data_url(kind, data or b"")}
        case AudioPart():
            raise UnsupportedFeatureError(
                "the Responses protocol takes no audio; send what is said as text, or ask with OpenAIProvider and a model that listens"
            )
        case _:
            return None
