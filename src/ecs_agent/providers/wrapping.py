"""What providers share that stand before others: how they ask them, and what they say of themselves in their place."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import cast

from ecs_agent.providers.calling import accepted, as_stream
from ecs_agent.providers.protocol import ProviderLike, RequestOptions
from ecs_agent.streaming.stream import CompletionStream
from ecs_agent.types import CompletionResult, Message


def name_of(provider: object) -> str:
    """What a provider calls itself, else its class."""
    return str(getattr(provider, "name", "") or type(provider).__name__)


def model_of(provider: object) -> str:
    """The model a provider asks when a request names none; "" when it does not say."""
    return str(getattr(provider, "model", "") or "")


async def stream_of(provider: ProviderLike, messages: Sequence[Message], options: RequestOptions) -> CompletionStream:
    """Ask for a stream.

    Raises:
        ProviderError: the provider refused.
        TypeError: the provider returned something that is no answer.
    """
    answer: object = await provider.complete(messages, stream=True, **passed_on(provider, options))
    return as_stream(answer, provider)


async def whole_of(provider: ProviderLike, messages: Sequence[Message], options: RequestOptions) -> CompletionResult:
    """Ask for a whole answer.

    Raises:
        ProviderError: the provider refused, or its answer broke off.
    """
    answer: object = await provider.complete(messages, stream=False, **passed_on(provider, options))
    if isinstance(answer, CompletionResult):
        return answer
    async with as_stream(answer, provider) as stream:
        async for _ in stream:
            pass
        return stream.result()


def passed_on(provider: ProviderLike, options: RequestOptions) -> RequestOptions:
    """The options that a provider takes; None is passed on as well, as it lifts a time limit."""
    unset = [name for name, value in options.items() if value is None]
    taken = dict(accepted(provider, options))
    if unset:
        parameters = inspect.signature(provider.complete).parameters
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        taken |= dict.fromkeys([name for name in unset if takes_any or name in parameters])
    return cast("RequestOptions", taken)


async def close(provider: object) -> None:
    """Close a provider, if it can be closed."""
    aclose = getattr(provider, "aclose", None)
    if aclose is not None:
        await aclose()
