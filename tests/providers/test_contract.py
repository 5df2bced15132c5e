"""The contract: every provider and every wrapper does what an agent relies on. Who is not in this table is not listed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from ecs_agent import providers
from ecs_agent.providers import (
    AnthropicProvider,
    CachedProvider,
    CallHooks,
    Cassette,
    FakeProvider,
    FallbackProvider,
    GeminiProvider,
    InstrumentedProvider,
    OpenAIProvider,
    OpenAIResponsesProvider,
    RateLimitedProvider,
    RecordingProvider,
    RetryProvider,
    WrapperProvider,
)
from ecs_agent.providers.protocol import ProviderLike
from ecs_agent.testing import BEHAVIOURS, CANARY, BrokenLawError, Law, ScriptedTransport, Subject, assert_provider_contract, run
from ecs_agent.testing.wires import WIRES

HTTP: dict[str, Any] = {"read_timeout": 5.0, "max_streams": 1, "pool_timeout": 1.0}  # so that a place that leaks is a timeout


def chat(transport: ScriptedTransport) -> OpenAIProvider:
    return OpenAIProvider(CANARY, "http://127.0.0.1/v1", "m", transport=transport, **HTTP)


def responses(transport: ScriptedTransport) -> OpenAIResponsesProvider:
    return OpenAIResponsesProvider(CANARY, "http://127.0.0.1/v1", "m", transport=transport, **HTTP)


def anthropic(transport: ScriptedTransport) -> AnthropicProvider:
    return AnthropicProvider(CANARY, "http://127.0.0.1", "claude-test", transport=transport, **HTTP)


def gemini(transport: ScriptedTransport) -> GeminiProvider:
    return GeminiProvider(CANARY, "http://127.0.0.1", "gemini-3-flash", transport=transport, **HTTP)


PROVIDERS = {
    "OpenAIProvider": Subject(chat, "openai-chat"),
    "OpenAIResponsesProvider": Subject(responses, "openai-responses"),
    "AnthropicProvider": Subject(anthropic, "anthropic"),
    "GeminiProvider": Subject(gemini, "gemini"),
}

WRAPPERS: dict[str, Callable[[Any], ProviderLike]] = {
    "WrapperProvider": WrapperProvider,
    "RetryProvider": RetryProvider,
    "FallbackProvider": lambda provider: FallbackProvider([provider]),
    "RateLimitedProvider": lambda provider: RateLimitedProvider(provider, max_concurrent=1),
    "CachedProvider": CachedProvider,
    "InstrumentedProvider": lambda provider: InstrumentedProvider(provider, CallHooks()),
    "RecordingProvider": lambda provider: RecordingProvider(provider, Cassette()),
}

EXCEPTED = {
    "FakeProvider": "it has no server; what needs none is held against it below",
    "LocalProvider": "its server is a process of its own that cannot be scripted; what reads and writes is the chat codec, as in OpenAIProvider",
    "ReplayProvider": "it answers as it was recorded, and tests/providers/test_replay.py compares",
}
"""Who is not held against the contract, and why."""

BESIDE_A_WRAPPER = {"CachedProvider": {"errors at every phase", "chaos"}}
"""What a wrapper is there to change: the same request gets the same answer, whatever its server would do the second time."""


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("subject", PROVIDERS)
def test_a_provider_keeps_the_contract(subject: str, behaviour: str) -> None:
    run(lambda: BEHAVIOURS[behaviour](PROVIDERS[subject]))


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("beneath", ["OpenAIProvider", "AnthropicProvider"])
def test_so_does_whoever_stands_before_one(wrapper: str, beneath: str, behaviour: str) -> None:
    if behaviour in BESIDE_A_WRAPPER.get(wrapper, ()):
        return
    subject = PROVIDERS[beneath]
    run(lambda: BEHAVIOURS[behaviour](Subject(lambda transport: WRAPPERS[wrapper](subject.make(transport)), subject.wire)))


def exported() -> set[str]:
    """Every class at the front door that can be asked; another name for one counts as that one, a protocol as none."""
    classes = [value for name in providers.__all__ if isinstance(value := getattr(providers, name), type)]
    return {each.__name__ for each in classes if hasattr(each, "complete") and not getattr(each, "_is_protocol", False)}


def test_a_provider_that_is_not_in_the_table_is_not_listed() -> None:
    assert exported() == {*PROVIDERS, *WRAPPERS, *EXCEPTED}


def test_every_wire_family_has_its_provider_in_the_table() -> None:
    assert sorted(subject.wire for subject in PROVIDERS.values()) == sorted(WIRES)


SAID_BY_A_SCRIPT = [
    "text",
    "reasoning",
    "refusal",
    "an empty turn",
    "stop reasons",
    "tool calls: one, without arguments, parallel",
    "tool calls: invalid and truncated arguments",
    "leaving at every phase",
    "wrong options",
]


@pytest.mark.parametrize("behaviour", SAID_BY_A_SCRIPT)
def test_a_fake_provider_keeps_what_needs_no_server(behaviour: str) -> None:
    def fake(transport: ScriptedTransport) -> FakeProvider:
        return FakeProvider([cast("Any", transport.answers[0])] * 20, delay=0)

    run(lambda: BEHAVIOURS[behaviour](Subject(fake)))


def test_the_whole_contract_names_the_behaviour_that_is_broken() -> None:
    class Forgetful(WrapperProvider):
        """Loses the usage."""

        async def _stream(self, messages: Any, options: Any) -> Any:
            return _without_usage(await super()._stream(messages, options))

    async def _without_usage(stream: Any) -> Any:
        async for delta in stream:
            yield replace(delta, usage=None)

    with pytest.raises(BrokenLawError, match="behaviour: an empty turn") as caught:
        run(lambda: assert_provider_contract(lambda transport: Forgetful(chat(transport))))
    assert caught.value.law in (Law.WHOLE, Law.FINISH)
