"""Inflow: an answer that is arriving, on its way into state, log and budget."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from ecs_agent.components import StreamStateComponent
from ecs_agent.core import Entity, EventKind
from ecs_agent.errors import ProviderError, StreamInterruptedError
from ecs_agent.streaming.stream import CompletionStream
from ecs_agent.systems.budget import Budget, LimitReached
from ecs_agent.types import CompletionResult, StreamDelta, StreamDeltaEvent, StreamStartEvent

YIELD_EVERY = 64
"""After so many deltas without a suspension the loop gets a turn, so that one flood does not stop everyone else."""


class Inflow:
    """An answer that is arriving: gathered until the call waits, then written together. State first, then the log, then the budget.

    Args:
        me: whose answer it is.
        state: where it is stored.
        budget: what it may cost.
    """

    __slots__ = ("_arrived", "_budget", "_cut", "_is_open", "_me", "_most", "_reached", "_state")

    def __init__(self, me: Entity, state: StreamStateComponent, budget: Budget) -> None:
        self._me = me
        self._state = state
        self._budget = budget
        self._arrived: list[StreamDelta] = []
        self._most = 1 if me.may_block else YIELD_EVERY
        self._reached: LimitReached | None = None
        self._is_open = True
        self._cut: asyncio.Task[Any] | None = None  # cancelled by us, for the limit

    async def receive(self, answer: CompletionStream | AsyncGenerator[StreamDelta, None]) -> CompletionResult:
        """Take an answer to its end.

        Raises:
            ProviderError: it broke off; `partial` is what had arrived.
            LimitReached: it may not go on.
        """
        try:
            return await self._read(answer)
        except asyncio.CancelledError:
            if self._cut is None or self._reached is None or self._cut.uncancel():
                raise
            raise self._reached from None
        finally:
            self._is_open = False

    async def _read(self, answer: CompletionStream | AsyncGenerator[StreamDelta, None]) -> CompletionResult:
        self._me.emit(StreamStartEvent(self._me.id))
        async with aclosing(answer):
            if isinstance(answer, CompletionStream):
                while deltas := await answer.read():
                    if self._take(deltas):
                        await self._pause()
                self._me.write()
                return answer.result()
            try:
                async for delta in answer:
                    if self._take((delta,)):
                        await self._pause()
            except ProviderError as error:
                self._me.write()
                error.partial = self._state.result()
                raise
        self._me.write()
        result = self._state.result()
        if result.message.interrupted:
            raise StreamInterruptedError("the answer ended without a finish; it may be incomplete", partial=result)
        return result

    def _take(self, deltas: Sequence[StreamDelta]) -> bool:
        """Take pieces that arrived together; whether to pause now."""
        if self._reached is not None:
            raise self._reached
        arrived = self._arrived
        if not arrived:
            self._me.before_waiting(self._write)
        arrived += deltas
        return len(arrived) >= self._most

    def _write(self) -> None:
        deltas, self._arrived = self._arrived, []
        self._me.emit_each(StreamDeltaEvent, deltas, EventKind.INPUT, self._state)
        self._most = 1 if self._me.may_block else YIELD_EVERY
        try:
            self._budget.receive(deltas)
        except LimitReached as reached:
            self._reached = reached  # raised where the next piece is taken; if the model is silent meanwhile, the waiting is cut
            asyncio.get_running_loop().call_soon(self._cut_off, asyncio.current_task())

    def _cut_off(self, task: asyncio.Task[Any] | None) -> None:
        if self._is_open and task is not None:
            self._cut = task
            task.cancel()

    async def _pause(self) -> None:
        """Let the others run, and whoever holds back producers read."""
        self._me.write()
        if self._reached is not None:
            raise self._reached
        await (self._me.room() if self._me.may_block else self._me.breathe())
