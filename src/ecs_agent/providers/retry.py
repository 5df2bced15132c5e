"""RetryProvider: asks again when asking again may help.

Whole answers only: a stream passes through untouched, since what was shown cannot be taken back.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from ecs_agent.errors import ProviderError
from ecs_agent.providers.protocol import ProviderLike, RequestOptions
from ecs_agent.providers.retries import Retries
from ecs_agent.providers.wrapping import WrapperProvider
from ecs_agent.types import CompletionResult, Message, RetryConfig


class RetryProvider(WrapperProvider):
    """Wraps a provider and repeats a failed request; see `RetryConfig` for when and how long it waits. What is raised is the last failure.

    Args:
        provider: whom to ask.
        retry_config: when to ask again.
        sleep: how to wait.
        clock: seconds, monotonic; the running loop's by default.
        rng: where the jitter comes from.
    """

    def __init__(
        self,
        provider: ProviderLike,
        retry_config: RetryConfig | None = None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._retries = Retries(retry_config, sleep=sleep, clock=clock, rng=rng)
        super().__init__(provider)

    @property
    def config(self) -> RetryConfig:
        """When it asks again."""
        return self._retries.config

    async def _whole(self, messages: Sequence[Message], options: RequestOptions) -> CompletionResult:
        return await self._retries.of(partial(super()._whole, messages, options), self.name)

    def wait_after(self, attempt: int, error: ProviderError) -> float | None:
        """Seconds to wait after a failed attempt, None when it is not to be repeated."""
        return self._retries.wait_after(attempt, error)
