"""Conversations as the Gemini protocol wants them: contents of the roles user and model in turn, results right behind their calls.

The rules:

* Neighbours of one role become one content. System messages stand apart; several are joined by a blank line.
* The results of a turn's calls stand together, in the order of the calls, right behind them; a call without a result gets one that says so. A result
  without its call is told as text.
* A signature goes back on the part it came with, to the character; nothing signed is joined with anything
  (https://ai.google.dev/gemini-api/docs/thought-signatures). Ids of calls go back where they came from the protocol: in messages that bear its marks.
* Thoughts go back only where they are signed; citations and what other wire families keep do not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from ecs_agent.errors import UnsupportedFeatureError
from ecs_agent.providers.gemini_content.decoder import CHARACTERS, SIGNATURE, SOURCE
from ecs_agent.providers.gemini_content.media import audio_part, file_part, image_part
from ecs_agent.providers.wire.call_results import NO_RESULT, answered_calls, orphan_text, results_of_calls
from ecs_agent.providers.wire.request_values import call_arguments
from ecs_agent.types import (
    AudioPart,
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

_MADE_BY_US: Final = re.compile(r"call_[0-9]+(?:_[0-9]+)?")
"""Ids of calls that came without one."""

STAND_IN: Final = "skip_thought_signature_validator"
"""The signature that is documented for calls which another model made; Gemini 3 refuses calls of the current turn that have none."""


def system_text(messages: Sequence[Message]) -> str:
    """The system messages in one text.

    Raises:
        UnsupportedFeatureError: one of them holds something else.
    """
    for message in messages:
        strange = next((part for part in message.parts if message.role == "system" and not isinstance(part, TextPart)), None)
        if strange is not None:
            raise UnsupportedFeatureError(f"a system message of the Gemini protocol is text; put the {strange.tag} into a user's message")
    return "\n\n".join([message.content for message in messages if message.role == "system" and message.content])


def contents_of(messages: Sequence[Message], *, media_in_results: bool, stand_in: bool) -> list[JsonObject]:
    """The conversation without its system messages.

    Args:
        messages: of any provider.
        media_in_results: whether the model takes images and files inside of results; else they stand behind them.
        stand_in: whether calls of the current turn that have no signature get the one that is documented for that.

    Raises:
        UnsupportedFeatureError: there is a part that the protocol cannot carry.
    """
    contents = _Contents(media_in_results)
    results = results_of_calls(messages)
    answering = set(results.values())
    for at, message in enumerate(messages):
        if message.role == "assistant":
            contents.add("model", _parts(message))
            contents.add("user", contents.results(_is_ours(message), answered_calls(messages, at, results)))
        elif message.role == "tool" and at not in answering:
            contents.add("user", [{"text": orphan_text(message)}, *[part for part in _parts(message) if "text" not in part]])
        elif message.role == "user":
            contents.add("user", _parts(message))
    return _with_stand_ins(contents.made) if stand_in else contents.made


class _Contents:
    """The contents as they are written."""

    def __init__(self, media_in_results: bool) -> None:
        self.made: list[JsonObject] = []
        self._media_in_results = media_in_results

    def add(self, role: str, parts: list[JsonObject]) -> None:
        """Add parts to the content that is last, or as a new one if that has another role."""
        if parts and self.made and self.made[-1]["role"] == role:
            self.made[-1]["parts"] += parts
        elif parts:
            self.made.append({"role": role, "parts": parts})

    def results(self, ours: bool, calls: Iterable[tuple[int, ToolCall, Message | None]]) -> list[JsonObject]:
        """The results of a turn's calls, in their order; what no result can hold stands behind all of them."""
        made: list[JsonObject] = []
        behind: list[JsonObject] = []
        for _, call, answer in calls:
            response: JsonObject = {**_named(call, ours), "response": _response(answer)}
            media = [_part(part) for part in answer.parts if isinstance(part, ImagePart | FilePart | AudioPart)] if answer is not None else []
            inside = [part for part in media if self._media_in_results and "inlineData" in part]  # those with an address are not taken there
            made.append({"functionResponse": {**response, "parts": inside} if inside else response})
            behind += [part for part in media if part not in inside]
        return made + behind


def _response(answer: Message | None) -> JsonObject:
    if answer is None:
        return {"error": NO_RESULT}
    return {"error" if answer.is_error else "result": answer.content}


# Parts


def _parts(message: Message) -> list[JsonObject]:
    made: list[JsonObject] = []
    before: Part | None = None
    for part in message.parts:
        if isinstance(part, OpaquePart):
            if part.source == SOURCE and part.data:
                _put_back(made, before, part.data)
        elif isinstance(part, ToolCall):
            made.append(_call(part, _is_ours(message)))
        elif written := _part(part):
            made.append(written)
        before = part
    return made


def _put_back(made: list[JsonObject], before: Part | None, data: JsonObject) -> None:
    """Write what the protocol sent and nobody else reads: a signature onto its part, any other part as it came."""
    if not isinstance(data.get(SIGNATURE), str) or data.keys() - {SIGNATURE, CHARACTERS, "thought"}:
        made.append(dict(data))
    elif isinstance(before, ImagePart | FilePart) and CHARACTERS not in data:
        made[-1] = made[-1] | data
    elif data.get("thought"):
        thought = before.text if isinstance(before, ReasoningPart) else ""
        made.append({"text": _own(thought, data), "thought": True, SIGNATURE: data[SIGNATURE]})
    else:
        text = before.text if isinstance(before, TextPart) else ""
        own = _own(text, data)
        if own and (rest := text[: len(text) - len(own)]):
            made[-1] = {"text": rest}
        elif own:
            made.pop()
        made.append({"text": own, SIGNATURE: data[SIGNATURE]})


def _own(text: str, data: JsonObject) -> str:
    """The end of a text to which a signature belongs; all of it where it is shorter than what was signed."""
    count = data.get(CHARACTERS)
    return text[max(0, len(text) - count) :] if isinstance(count, int) else ""


def _part(part: Part) -> JsonObject:
    """A part in the words of the protocol; nothing where it has nothing to say."""
    match part:
        case TextPart(text=text) | RefusalPart(text=text):
            return {"text": text} if text else {}
        case ImagePart():
            return image_part(part)
        case FilePart():
            return file_part(part)
        case AudioPart():
            return audio_part(part)
        case _:
            return {}


def _own_fields(call: ToolCall) -> dict[str, Any]:
    return (call.opaque or {}).get(SOURCE) or {}


def _call(call: ToolCall, ours: bool) -> JsonObject:
    fields = _own_fields(call)
    call_fields = {**_named(call, ours), "args": call_arguments(call)}
    return {"functionCall": call_fields, **{name: value for name, value in fields.items() if name != "id"}}


def _is_ours(message: Message) -> bool:
    """Whether a message holds anything that says that the protocol sent it."""
    return any(part.source == SOURCE if isinstance(part, OpaquePart) else isinstance(part, ToolCall) and _own_fields(part) for part in message.parts)


def _named(call: ToolCall, ours: bool) -> JsonObject:
    """The name of a call, with its id where the protocol gave it: the one that was kept, else the call's in a message of the protocol."""
    call_id = _own_fields(call).get("id") or (call.id if ours and not _MADE_BY_US.fullmatch(call.id) else None)
    return {"name": call.name} if call_id is None else {"id": call_id, "name": call.name}


def _with_stand_ins(contents: list[JsonObject]) -> list[JsonObject]:
    """The same, with a signature on the first call of each step of the current turn, which begins with the last words of the user."""
    begins = max(
        [at for at, content in enumerate(contents) if content["role"] == "user" and any("text" in part for part in content["parts"])], default=0
    )
    for content in contents[begins:]:
        first = next((part for part in content["parts"] if "functionCall" in part), None)
        if first is not None:
            first.setdefault(SIGNATURE, STAND_IN)
    return contents
