"""The words by which servers say why an answer ended, of all protocols: one table, as servers of one speak the words of others."""

from __future__ import annotations

from typing import Final

from ecs_agent.types import FinishReason

FINISH: Final[dict[str, FinishReason]] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "complete": "stop",
    "completed": "stop",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "tool_calls": "tool_calls",
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "sensitive": "content_filter",
    "safety": "content_filter",
    "refusal": "content_filter",
    "recitation": "content_filter",
    "prohibited_content": "content_filter",
    "blocklist": "content_filter",
    "spii": "content_filter",
    "image_safety": "content_filter",
    "image_prohibited_content": "content_filter",
    "image_recitation": "content_filter",
    "model_armor": "content_filter",
    "error_toxic": "content_filter",
    "guardrail_intervened": "content_filter",
    "content_policy_violation": "content_filter",
    "pause_turn": "pause",
}
"""Finish words in lower case; one that is not here is unknown, and never "stop"."""

FINISH_ERRORS: Final = frozenset(
    {
        "error",
        "network_error",
        "insufficient_system_resource",
        "malformed_function_call",
        "malformed_response",
        "unexpected_tool_call",
        "too_many_tool_calls",
        "missing_thought_signature",
    }
)
"""Finish words that say that there is no answer."""

NO_FINISH: Final = frozenset({"", "null", "none", "finish_reason_unspecified"})
"""Finish words that say that the answer goes on."""


def finish_words(word: str) -> tuple[str, ...]:
    """The ways to read a finish word, in lower case: as it stands, else its parts where a server puts two words in one ("content_filter: SPII")."""
    word = word.strip().lower()
    return (word, *[part.strip() for part in reversed(word.split(":"))]) if ":" in word else (word,)
