"""The contract: every provider and every wrapper does what an agent relies on. Who is not in this table is not listed."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_agent.providers import FallbackProvider, GeminiProvider, OpenAIProvider, RetryProvider
from ecs_agent.testing import BEHAVIOURS, CANARY, ScriptedTransport, Subject, run

HTTP: dict[str, Any] = {"read_timeout": 5.0, "max_streams": 1, "pool_timeout": 1.0}  # so that a place that leaks is a timeout


def chat(transport: ScriptedTransport) -> OpenAIProvider:
    return OpenAIProvider(CANARY, "http://127.0.0.1/v1", "m", transport=transport, **HTTP)


def gemini(transport: ScriptedTransport) -> GeminiProvider:
    return GeminiProvider(CANARY, "http://127.0.0.1", "gemini-3-flash", transport=transport, **HTTP)


SUBJECTS = {
    "OpenAIProvider": Subject(chat, "openai-chat"),
    "GeminiProvider": Subject(gemini, "gemini"),
    "RetryProvider": Subject(lambda transport: RetryProvider(chat(transport)), "openai-chat"),
    "FallbackProvider": Subject(lambda transport: FallbackProvider([chat(transport)]), "openai-chat"),
}


@pytest.mark.parametrize("subject", SUBJECTS)
@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_the_contract(subject: str, behaviour: str) -> None:
    run(lambda: BEHAVIOURS[behaviour](SUBJECTS[subject]))
