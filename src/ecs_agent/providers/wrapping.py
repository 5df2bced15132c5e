"""What providers share that stand before others: how they ask them, and what they say of themselves in their place."""

from __future__ import annotations

from collections.abc import Sequence

from ecs_agent.providers.calling import accepted, as_stream
from ecs_agent.providers.protocol import ProviderLike, RequestOptions
from ecs_agent.streaming.stream import CompletionStream
from ecs_agent.types import Message


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
    answer: object = await provider.complete(messages, stream=True, **accepted(provider, options))
    return as_stream(answer, provider)


async def close(provider: object) -> None:
    """Close a provider, if it can be closed."""
    aclose = getattr(provider, "aclose", None)
    if aclose is not None:
        await aclose()
