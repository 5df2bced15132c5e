"""Which wire protocols a scripted server speaks, and which of them a request is in."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from ecs_agent.testing.anthropic_wire import AnthropicWire
from ecs_agent.testing.chat_wire import ChatWire
from ecs_agent.testing.gemini_wire import GeminiWire
from ecs_agent.testing.responses_wire import ResponsesWire
from ecs_agent.testing.wire import WireWriter

WireFamily: TypeAlias = Literal["openai-chat", "openai-responses", "anthropic", "gemini"]
"""A wire protocol."""

WIRES: Final[dict[WireFamily, type[WireWriter]]] = {
    "openai-chat": ChatWire,
    "openai-responses": ResponsesWire,
    "anthropic": AnthropicWire,
    "gemini": GeminiWire,
}

_ENDINGS: Final[tuple[tuple[str, WireFamily], ...]] = (
    ("/messages", "anthropic"),
    ("/responses", "openai-responses"),
    (":streamGenerateContent", "gemini"),
    (":generateContent", "gemini"),
)


def family_of(path: str) -> WireFamily:
    """The protocol of a request, by the end of its path; the chat protocol if it is none of the others'."""
    path = path.partition("?")[0].rstrip("/")
    for ending, family in _ENDINGS:
        if path.endswith(ending):
            return family
    return "openai-chat"


def writer_of(wire: WireFamily) -> type[WireWriter]:
    """Who writes a protocol.

    Raises:
        ValueError: there is no such protocol.
    """
    if wire not in WIRES:
        raise ValueError(f"wire is {wire!r}; it must be one of {', '.join(map(repr, WIRES))}")
    return WIRES[wire]
