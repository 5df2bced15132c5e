"""Ids of tool calls: of those that came without one, and of those that go to a server which would refuse theirs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from itertools import count
from typing import Final

from ecs_agent.types import Message, ToolCall

_OWN_ID: Final = re.compile(r"call_([0-9]{1,9})_[0-9]+")
_FORBIDDEN: Final = re.compile(r"[^A-Za-z0-9_-]")
_DIGEST: Final = 8


def missing_id(messages: Sequence[Message], slot: int) -> str:
    """The id of a call that came without one: unique in the conversation, as its number is above those of the turns and of such ids in it."""
    turns = sum(message.role == "assistant" for message in messages)
    ids = [call.id for message in messages for call in message.tool_calls or ()]
    taken = [int(found[1]) for call_id in ids if (found := _OWN_ID.fullmatch(call_id))]
    return f"call_{max([turns, *taken]) + 1}_{slot}"


def sendable_id(call_id: str, longest: int, *, any_character: bool = False) -> str:
    """The same id if an API takes it, else one made from it: always the same one for the same id, so that a call and its result agree.

    Args:
        call_id: as it stands in the conversation.
        longest: how many characters the API takes.
        any_character: it takes other characters than letters, digits, `_` and `-` as well.
    """
    clean = call_id if any_character else _FORBIDDEN.sub("_", call_id)
    if clean == call_id and len(call_id) <= longest:
        return call_id
    digest = hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
    return f"{clean[: longest - _DIGEST - 1]}_{digest}"


def sent_ids(messages: Sequence[Message], longest: int, *, any_character: bool = False, known: int = 0) -> list[dict[int, str]]:
    """Under which id each message's calls are sent, by their places in it: the call's own where the API takes it and it is new, else one made of it.

    Args:
        messages: the conversation.
        longest: how many characters the API takes.
        any_character: see `sendable_id`.
        known: of so many messages the server knows the calls, by the ids they have.
    """
    taken: set[str] = set()
    sent: list[dict[int, str]] = []
    for at, message in enumerate(messages):
        spoken = enumerate(message.parts if message.role == "assistant" else ())
        calls = {place: part.id for place, part in spoken if isinstance(part, ToolCall)}
        for place, call_id in calls.items():
            if at >= known:
                calls[place] = _new_id(sendable_id(call_id, longest, any_character=any_character) or "call", longest, taken)
            taken.add(calls[place])
        sent.append(calls)
    return sent


def _new_id(base: str, longest: int, taken: set[str]) -> str:
    endings = (f"_{number}" if number > 1 else "" for number in count(1))
    return next(made for ending in endings if (made := base[: longest - len(ending)] + ending) not in taken)
