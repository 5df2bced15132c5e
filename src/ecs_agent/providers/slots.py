"""How many streams a provider may have open at once: our own limit, explicit and large, instead of a silent one of an HTTP client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ecs_agent.core.permits import Permits
from ecs_agent.errors import ProviderTimeoutError


class StreamSlots:
    """How many streams may be open at once; who comes first is served first.

    Args:
        limit: the number.
        timeout: seconds to wait for a free one; None for as long as it takes.
    """

    def __init__(self, limit: int, timeout: float | None) -> None:
        if limit < 1:
            raise ValueError(f"max_streams is {limit}; at least one stream must be allowed")
        self._permits = Permits(limit)
        self._timeout = timeout

    @property
    def open(self) -> int:
        """How many are in use."""
        return self._permits.held

    async def acquire(self) -> Callable[[], None]:
        """Wait for a slot; call what is returned to give it back, once or more.

        Raises:
            ProviderTimeoutError: none became free in time.
        """
        release = self._permits.take()
        if release is not None:
            return release
        try:
            async with asyncio.timeout(self._timeout):
                return await self._permits.acquire()
        except TimeoutError as error:
            raise ProviderTimeoutError(
                f"no stream became free within {self._timeout} s (pool_timeout); {self._permits.limit} are open (max_streams)"
            ) from error
