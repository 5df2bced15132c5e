"""WaitingLine: who comes first is served first, and a turn that is given is never lost."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class WaitingLine(Generic[T]):
    """Tasks that wait for something that others hand out.

    A line outlives event loops: those who waited on a loop that is closed are passed over.
    """

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: OrderedDict[asyncio.Future[T], int] = OrderedDict()  # with what each wants; a deque would be searched through at each cancel

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait(self, give_back: Callable[[T], None], size: int = 1) -> T:
        """Stand at the end of the line until served.

        Args:
            give_back: called with what was handed over in the moment in which the waiting was cancelled.
            size: how much is wanted, for those who hand out by amount.
        """
        turn: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = size
        try:
            return await turn
        except BaseException:
            if turn in self._waiting:
                del self._waiting[turn]
            elif turn.done() and not turn.cancelled():
                give_back(turn.result())
            raise

    def next_size(self) -> int | None:
        """How much the first in line wants; None if nobody is there."""
        while self._waiting:
            turn, size = next(iter(self._waiting.items()))
            if not turn.done() and not turn.get_loop().is_closed():
                return size
            del self._waiting[turn]
        return None

    def serve(self, value: T) -> bool:
        """Hand something to the first in line; False if nobody is there to take it."""
        if self.next_size() is None:
            return False
        turn, _ = self._waiting.popitem(last=False)
        turn.set_result(value)
        return True
