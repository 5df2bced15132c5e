"""How many streams a provider may have open at once: our own limit, explicit and large, instead of a silent one of an HTTP client."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

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
        self._limit = limit
        self._timeout = timeout
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.open = 0

    async def acquire(self) -> Callable[[], None]:
        """Wait for a slot; call what is returned to give it back, once or more.

        Raises:
            ProviderTimeoutError: none became free in time.
        """
        if self.open < self._limit and not self._waiting:
            self.open += 1
            return self._releaser()
        slot = asyncio.get_running_loop().create_future()
        self._waiting.append(slot)
        try:
            async with asyncio.timeout(self._timeout):
                await slot
        except BaseException as error:
            if slot.done() and not slot.cancelled():
                self._release()  # it was given in the moment we left
            elif slot in self._waiting:
                self._waiting.remove(slot)
            if isinstance(error, TimeoutError):
                raise ProviderTimeoutError(
                    f"no stream became free within {self._timeout} s (pool_timeout); {self._limit} are open (max_streams)"
                ) from error
            raise
        return self._releaser()

    def _releaser(self) -> Callable[[], None]:
        held = True

        def release() -> None:
            nonlocal held
            if held:
                held = False
                self._release()

        return release

    def _release(self) -> None:
        while self._waiting:
            slot = self._waiting.popleft()
            if not slot.done() and not slot.get_loop().is_closed():
                slot.set_result(None)  # the slot changes hands, the count stays
                return
        self.open -= 1
