"""Conversations that the server keeps: which response a request goes on from, and whether it still fits.

A stored response stands for everything before it. So its id is kept together with a digest of the messages that it answered, and is named only while
they are the same: after an edit or a cut the conversation is sent in full, and what was taken out of it does not come back from the server.
Instructions are no part of it, as they are sent with each request.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from ecs_agent.providers.openai_responses.items import RESPONSE, SOURCE
from ecs_agent.streaming.json_edge import without_surrogates
from ecs_agent.streaming.message_data import message_to_data
from ecs_agent.types import Message, OpaquePart


@dataclass(frozen=True, slots=True)
class Anchor:
    """The stored response from which a request goes on.

    Attributes:
        response_id: its id.
        start: where the messages begin that the server does not know.
    """

    response_id: str
    start: int


def digest_of(messages: Iterable[Message]) -> str:
    """What tells a conversation, its instructions left out."""
    digest = sha256()
    for message in messages:
        digest.update(msgspec.json.encode(without_surrogates(message_to_data(message))) + b"\n")
    return digest.hexdigest()[:32]


def anchor_of(messages: Sequence[Message], lost: AbstractSet[str]) -> Anchor | None:
    """The last stored response of a conversation without its instructions, if it still fits.

    `lost` are the ids that the server no longer knows.
    """
    for place in range(len(messages) - 1, -1, -1):
        for part in messages[place].parts:
            if isinstance(part, OpaquePart) and part.source == SOURCE and part.data.get("type") == RESPONSE:
                response_id, after = part.data.get("id"), part.data.get("after")
                fits = isinstance(response_id, str) and response_id not in lost and after == digest_of(messages[:place])
                return Anchor(response_id, place + 1) if isinstance(response_id, str) and fits else None
    return None
