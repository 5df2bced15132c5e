"""Permits: how many may do something at once. First come, first served; whoever is cancelled in the moment of being served passes it on."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from types import TracebackType

from ecs_agent.core.waiting_line import WaitingLine

Release = Callable[[], None]


class Permits:
    """A number of permits, on one event loop after another.

    Args:
        limit: how many there are.

    Attributes:
        held: how many are in use.

    Raises:
        ValueError: there are none.
    """

    __slots__ = ("_line", "_waking", "held", "limit")

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"the limit is {limit}; at least one permit is needed, or everybody would wait for ever")
        self.limit = limit
        self.held = 0
        self._waking = 0  # those who were served and do not run yet: whoever comes meanwhile must not overtake them
        self._line: WaitingLine[None] = WaitingLine()

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        return len(self._line)

    async def acquire(self) -> Release:
        """Wait for a permit; call what is returned to give it back, once or more."""
        release = self.take()
        if release is not None:
            return release
        await self._line.wait(self._refuse)
        self._waking -= 1
        self._serve()
        return self._releaser()

    def take(self) -> Release | None:
        """A permit without waiting; None if none is free, or somebody was here before."""
        if self.held >= self.limit or self._waking:
            return None
        self.held += 1
        return self._releaser()

    def _releaser(self) -> Release:
        held = True

        def release() -> None:
            nonlocal held
            if held:
                held = False
                self.held -= 1
                self._serve()

        return release

    def _refuse(self, _: None) -> None:
        """Whoever was served is gone."""
        self._waking -= 1
        self.held -= 1
        self._serve()

    def _serve(self) -> None:
        while self.held < self.limit and self._line.serve(None):
            self.held += 1
            self._waking += 1


class PermitPool:
    """Permits for several keys that share a total: at most `each` for one key, at most `total` for all together; None is no limit.

    Whoever waits for one of the total has its key's permit already, so a key that is full holds up nobody but itself; and as everybody takes the
    two in this order, nobody waits in a circle.

        async with pool.hold(provider):
            ...
    """

    __slots__ = ("_each", "_keys", "_total")

    def __init__(self, total: int | None = None, each: int | None = None) -> None:
        self._total = Permits(total) if total is not None else None
        if each is not None:
            Permits(each)  # says what is wrong now, and not at the first use
        self._each = each
        self._keys: dict[Hashable, Permits] = {}

    @property
    def held(self) -> int:
        """How many of the total are in use; without a total, those of all keys."""
        return self._total.held if self._total is not None else sum([permits.held for permits in self._keys.values()])

    @property
    def waiting(self) -> int:
        """How many wait, for a permit of their key or for one of the total."""
        return (self._total.waiting if self._total is not None else 0) + sum([permits.waiting for permits in self._keys.values()])

    def hold(self, key: Hashable) -> Hold:
        """Hold one permit of a key, and one of the total, in an `async with`."""
        return Hold(self, key)

    async def acquire(self, key: Hashable) -> Release:
        """As `hold`, without a block: call what is returned to give both back, once or more."""
        give_back = await self._acquire_key(key)
        try:
            release = await self._total.acquire() if self._total is not None else _nothing
        except BaseException:
            give_back()
            raise

        def release_both() -> None:
            release()
            give_back()

        return release_both

    async def _acquire_key(self, key: Hashable) -> Release:
        if self._each is None:
            return _nothing
        permits = self._keys.get(key)
        if permits is None:
            permits = self._keys[key] = Permits(self._each)
        try:
            release = await permits.acquire()
        except BaseException:
            self._drop_unused(key, permits)
            raise

        def give_back() -> None:
            release()
            self._drop_unused(key, permits)

        return give_back

    def _drop_unused(self, key: Hashable, permits: Permits) -> None:
        if permits.held == 0 and self._keys.get(key) is permits:
            del self._keys[key]  # keys come and go with agents


class Hold:
    """A permit for the time of a block; made by `PermitPool.hold`."""

    __slots__ = ("_key", "_pool", "_release")

    def __init__(self, pool: PermitPool, key: Hashable) -> None:
        self._pool = pool
        self._key = key
        self._release: Release | None = None

    async def __aenter__(self) -> None:
        if self._release is not None:
            raise RuntimeError("this permit is held already; call hold() once for each block")
        self._release = await self._pool.acquire(self._key)

    async def __aexit__(self, _type: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None) -> None:
        release, self._release = self._release, None
        if release is not None:
            release()


def _nothing() -> None:
    """What gives nothing back."""
