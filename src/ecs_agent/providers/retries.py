"""When a failed request is made again, and after how long."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from ecs_agent.errors import ProviderError
from ecs_agent.logging import get_logger
from ecs_agent.providers.classify import MAX_RETRY_AFTER
from ecs_agent.types import RetryConfig

MOST_DOUBLINGS: Final = 64
"""After so many the wait is `max_wait` whatever the numbers are, and a float still holds them."""

_OVERLOADED: Final = 529
"""Anthropic's word for 503."""

_Answer = TypeVar("_Answer")
_log = get_logger("ecs_agent.providers.retry")


class Retries:
    """Makes a request again while that may help; see `RetryConfig` for when and how long it waits.

    Args:
        config: the default one where it is None.
        sleep: how to wait.
        clock: seconds, monotonic; the running loop's by default.
        rng: where the jitter comes from.

    Raises:
        TypeError: `config` is none.
    """

    def __init__(
        self,
        config: RetryConfig | None = None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        if config is not None and not isinstance(config, RetryConfig):
            raise TypeError(f"retry_config is a {type(config).__name__}; give a RetryConfig")
        self.config = config if config is not None else RetryConfig()
        self._sleep = sleep
        self._clock = clock
        self._rng = rng if rng is not None else random.Random()  # noqa: S311 - jitter, not a secret

    async def of(self, ask: Callable[[], Awaitable[_Answer]], provider: str) -> _Answer:
        """What comes of asking a provider, whose name the log tells.

        Raises:
            ProviderError: the last failure.
        """
        clock = self._clock if self._clock is not None else asyncio.get_running_loop().time
        started, attempt = clock(), 1
        while True:
            try:
                return await ask()
            except ProviderError as error:
                wait = self.wait_after(attempt, error)
                elapsed = clock() - started
                if wait is None or (self.config.max_elapsed is not None and elapsed + wait > self.config.max_elapsed):
                    raise
                _log.warning("asking again", attempt=attempt, wait=round(wait, 3), kind=str(error.kind), status=error.status, provider=provider)
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
