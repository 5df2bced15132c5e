"""Counting tokens: the provider's own count where it has one, else an estimate that is marked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from ecs_agent.errors import ServerError
from ecs_agent.providers import (
    FakeProvider,
    FallbackProvider,
    LocalProvider,
    OpenAIProvider,
    RetryProvider,
    TokenCount,
    TokenCounter,
    WrapperProvider,
    count_tokens,
    estimate_tokens,
)
from ecs_agent.types import Message, ToolSchema

HI = [Message("user", "Hi")]
SCHEMA = ToolSchema("f", "Does f.", {"type": "object"})


class Counting:
    """A provider that counts, and notes how it was asked."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.asked: list[Any] = []

    async def complete(self, messages: Sequence[Message], stream: bool = False) -> Any:
        raise AssertionError("it is only counted")

    async def count_tokens(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSchema] | None = None, system_prompt: str = "", model: str | None = None
    ) -> TokenCount:
        self.asked.append((messages, tools, system_prompt, model))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[return-value]


async def test_a_provider_that_counts_is_asked() -> None:
    provider = Counting(TokenCount(7))
    assert await count_tokens(provider, HI, tools=[SCHEMA], system_prompt="Be brief.", model="m") == TokenCount(7, estimated=False)
    assert provider.asked == [(HI, [SCHEMA], "Be brief.", "m")]


@pytest.mark.parametrize("provider", [FakeProvider([]), OpenAIProvider("k", model="m"), object()])
async def test_every_other_count_is_an_estimate_and_marked(provider: object) -> None:
    assert not isinstance(provider, TokenCounter)
    counted = await count_tokens(provider, HI, tools=[SCHEMA], system_prompt="Be brief.")
    assert counted == TokenCount(estimate_tokens(HI, tools=[SCHEMA], system_prompt="Be brief."), estimated=True)


@pytest.mark.parametrize("wrap", [WrapperProvider, RetryProvider, lambda provider: FallbackProvider([provider, FakeProvider([])])])
async def test_who_stands_before_another_counts_as_that_one_does(wrap: Callable[[Any], TokenCounter]) -> None:
    counting = Counting(TokenCount(7))
    assert await count_tokens(wrap(counting), HI, tools=[SCHEMA], model="m") == TokenCount(7)
    assert counting.asked == [(HI, [SCHEMA], "", "m")]
    assert (await count_tokens(wrap(FakeProvider([])), HI)).estimated


async def test_a_count_that_fails_is_not_replaced_in_silence() -> None:
    with pytest.raises(ServerError, match="down"):
        await count_tokens(Counting(ServerError("down")), HI)


async def test_a_provider_that_answers_something_else_is_named() -> None:
    with pytest.raises(TypeError, match=r"Counting.count_tokens returned a int; expected a TokenCount"):
        await count_tokens(Counting(7), HI)


@pytest.mark.parametrize("provider", [FakeProvider([]), Counting(TokenCount(7))])
async def test_what_is_no_conversation_is_named(provider: object) -> None:
    with pytest.raises(TypeError, match="messages holds a str"):
        await count_tokens(provider, "Hi")  # type: ignore[arg-type]


def test_the_local_provider_counts() -> None:
    assert issubclass(LocalProvider, TokenCounter)
