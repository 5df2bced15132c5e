"""How many tokens a request has: as exact as the provider can say, else estimated, and marked as what it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ecs_agent.providers.protocol import checked_messages
from ecs_agent.providers.token_estimate import estimate_tokens
from ecs_agent.types import Message, ToolSchema


@dataclass(frozen=True, slots=True)
class TokenCount:
    """So many tokens; `estimated` marks a count of our own, which may be a third off."""

    tokens: int
    estimated: bool = False


@runtime_checkable
class TokenCounter(Protocol):
    """A provider that can say how many tokens a request has, usually by asking its server.

    One that stands before others asks `count_tokens` of this module about them, and so hands on an estimate where they cannot say.
    """

    async def count_tokens(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSchema] | None = None, system_prompt: str = "", model: str | None = None
    ) -> TokenCount:
        """See `count_tokens` of this module."""
        ...


async def count_tokens(
    provider: object,
    messages: Sequence[Message],
    *,
    tools: Sequence[ToolSchema] | None = None,
    system_prompt: str = "",
    model: str | None = None,
) -> TokenCount:
    """How many tokens a request would have, before it is sent.

    A provider that can count (`TokenCounter`) is asked, which may be a request over the network; for every other the count is `estimate_tokens`, and
    is marked. A count that fails is never replaced by an estimate in silence: whoever can do with one catches the error and calls
    `estimate_tokens(messages, …)`, which asks nobody and cannot fail.

    Args:
        provider: whom the request is for; any object.
        messages: the conversation.
        tools: what the model may call.
        system_prompt: one that is not among the messages.
        model: replaces the provider's own.

    Raises:
        ProviderError: the provider could not be asked, or did not accept the request.
        TypeError: `messages` is no conversation, or the provider's own `count_tokens` returned something else than a `TokenCount`.
    """
    checked = checked_messages(messages)
    if not isinstance(provider, TokenCounter):
        return TokenCount(estimate_tokens(checked, tools=tools, system_prompt=system_prompt), estimated=True)
    counted: object = await provider.count_tokens(checked, tools=tools, system_prompt=system_prompt, model=model)
    if not isinstance(counted, TokenCount):
        raise TypeError(f"{type(provider).__name__}.count_tokens returned a {type(counted).__name__}; expected a TokenCount")
    return counted
