"""The wire families that the tests of bodies run over: a new codec adds a line to `FAMILIES`, and its corpus beside the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ecs_agent.providers.anthropic_messages.decoder import MessagesDecoder
from ecs_agent.providers.gemini_content.decoder import GeminiDecoder
from ecs_agent.providers.openai_chat.decoder import ChatDecoder
from ecs_agent.providers.openai_responses.decoder import ResponsesDecoder
from ecs_agent.streaming.decoder import StreamDecoder


@dataclass(frozen=True)
class Family:
    """A wire protocol.

    Attributes:
        name: as the shared cases call it; the folder of its corpus is called so too, with underscores.
        decoder: makes one from a content type.
        ends: whether an event (its type, its JSON) says that the answer is over; by a reading that shares nothing with the decoder but the rules.
        mark: what stands in every recorded body of the family.
        names_events: an event of the corpus that is an object is sent with its `type` as the event's type.
    """

    name: str
    decoder: Callable[[str], StreamDecoder]
    ends: Callable[[str, Any], bool]
    mark: bytes
    names_events: bool = False

    @property
    def folder(self) -> str:
        return self.name.replace("-", "_")

    def says_the_end(self, kind: str, data: str) -> bool:
        """Whether an event's data says that the answer is over."""
        if data.strip() == "[DONE]":
            return True
        try:
            return self.ends(kind, json.loads(data))
        except (ValueError, TypeError, KeyError, AttributeError):
            return False


def _chat_ends(_: str, found: Any) -> bool:
    return any(choice.get("index") in (0, None) and choice.get("finish_reason") not in (None, "", "null") for choice in found["choices"])


def _responses_ends(kind: str, found: Any) -> bool:
    ends = {f"response.{word}" for word in ("completed", "incomplete", "failed", "cancelled", "done")}
    return found.get("type", kind) in ends or ("type" not in found and found.get("object") == "response")


def _gemini_ends(_: str, found: Any) -> bool:
    if (found.get("promptFeedback") or {}).get("blockReason"):
        return True
    ours = [candidate for candidate in found["candidates"] if candidate.get("index") in (0, None)]
    return any(candidate.get("finishReason") not in (None, "", "FINISH_REASON_UNSPECIFIED") for candidate in ours[:1])


GEMINI: Final = Family("gemini", GeminiDecoder, _gemini_ends, b'"candidates"')


def _messages_ends(kind: str, found: Any) -> bool:
    said = found.get("type", kind)
    return said == "message_stop" or (said == "message_delta" and found["delta"].get("stop_reason") not in (None, "", "null"))


ANTHROPIC: Final = Family("anthropic", MessagesDecoder, _messages_ends, b'"message_start"', names_events=True)

CHAT: Final = Family("openai-chat", ChatDecoder, _chat_ends, b'"chat.completion')
RESPONSES: Final = Family("openai-responses", ResponsesDecoder, _responses_ends, b'"response.', names_events=True)

FAMILIES: Final = {family.name: family for family in (ANTHROPIC, CHAT, GEMINI, RESPONSES)}
