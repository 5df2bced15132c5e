"""What is known of Claude models by their names."""

from __future__ import annotations

import pytest

from ecs_agent.providers.anthropic_messages.models import claude_capabilities, version_of


@pytest.mark.parametrize(
    ("model", "version"),
    [
        ("claude-opus-4-5-20251101", (4, 5)),
        ("claude-sonnet-4-20250514", (4, 0)),
        ("claude-3-5-haiku-20241022", (3, 5)),
        ("claude-3-opus-20240229", (3, 0)),
        ("claude-haiku-4-5", (4, 5)),
        ("claude-opus-4-8", (4, 8)),
        ("claude-sonnet-5", (5, 0)),
        ("claude-fable-5-2", (5, 2)),
        ("us.anthropic.claude-opus-4-1-20250805-v1:0", (4, 1)),
        ("Claude-4.6-Opus", (4, 6)),
        ("claude-2.1", (2, 1)),
        ("claude-mythos-preview", None),
        ("gpt-5", None),
        ("m", None),
    ],
)
def test_the_version_in_a_name(model: str, version: tuple[int, int] | None) -> None:
    assert version_of(model) == version


@pytest.mark.parametrize(
    ("model", "prefill", "structured", "window"),
    [
        ("claude-3-7-sonnet-latest", True, False, 200_000),
        ("claude-sonnet-4-5", True, True, 200_000),
        ("claude-opus-4-6", False, True, None),
        ("claude-opus-5", False, True, None),
        ("qwen", False, True, None),
    ],
)
def test_a_model_can_what_its_name_tells(model: str, prefill: bool, structured: bool, window: int | None) -> None:
    can = claude_capabilities(model)
    assert (can.prefill, can.structured_output, can.context_window) == (prefill, structured, window)
