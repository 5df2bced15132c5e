"""RetryProvider: asks again when asking again may help.

Whole answers only: a stream passes through untouched, since what was shown cannot be taken back.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

from ecs_agent.errors import ProviderError
from ecs_agent.logging import get_logger
from ecs_agent.providers.classify import MAX_RETRY_AFTER
from ecs_agent.providers.protocol import ProviderLike, RequestOptions
from ecs_agent.providers.wrapping import WrapperProvider
from ecs_agent.types import CompletionResult, Message, RetryConfig

MOST_DOUBLINGS = 64
"""After so many the wait is `max_wait` whatever the numbers are, and a float still holds them."""

_OVERLOADED = 529
"""Anthropic's word for 503."""

_log = get_logger("ecs_agent.providers.retry")


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
        if retry_config is not None and not isinstance(retry_config, RetryConfig):
            raise TypeError(f"retry_config is a {type(retry_config).__name__}; give a RetryConfig")
        super().__init__(provider)
        self.config = retry_config if retry_config is not None else RetryConfig()
        self._sleep = sleep
        self._clock = clock
        self._rng = rng if rng is not None else random.Random()  # noqa: S311 - jitter, not a secret

    async def _whole(self, messages: Sequence[Message], options: RequestOptions) -> CompletionResult:
        clock = self._clock if self._clock is not None else asyncio.get_running_loop().time
        started, attempt = clock(), 1
        while True:
            try:
                return await super()._whole(messages, options)
            except ProviderError as error:
                wait = self.wait_after(attempt, error)
                elapsed = clock() - started
                if wait is None or (self.config.max_elapsed is not None and elapsed + wait > self.config.max_elapsed):
                    raise
                _log.warning("asking again", attempt=attempt, wait=round(wait, 3), kind=str(error.kind), status=error.status, provider=self.name)
            await self._sleep(wait)
            attempt += 1

    def wait_after(self, attempt: int, error: ProviderError) -> float | None:
        """Seconds to wait after a failed attempt, None when it is not to be repeated."""
        config = self.config
        status = 503 if error.status == _OVERLOADED and _OVERLOADED not in config.retry_status_codes else error.status
        listed = status is None or status in config.retry_status_codes
        if attempt >= config.max_attempts or not error.retryable or not listed:
            return None
        if error.retry_after is not None:
            return error.retry_after if error.retry_after <= MAX_RETRY_AFTER else None
        base = min(max(config.multiplier * 2.0 ** min(attempt - 1, MOST_DOUBLINGS), config.min_wait), config.max_wait)
        return min(config.max_wait, base + self._rng.uniform(0, base)) if config.jitter else base
