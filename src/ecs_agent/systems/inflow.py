"""Inflow: an answer that is arriving, on its way into state, log and budget."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from ecs_agent.components import StreamPolicy, StreamStateComponent, TurnComponent
from ecs_agent.core import Entity, EventKind
from ecs_agent.errors import ProviderError, ProviderTimeoutError, StreamInterruptedError
from ecs_agent.providers.protocol import ProviderLike, RequestOptions
from ecs_agent.providers.recorded.error_data import error_to_data
from ecs_agent.streaming.stream import CompletionStream
from ecs_agent.systems.attempt import AttemptFailed
from ecs_agent.systems.budget import Budget, LimitReached
from ecs_agent.systems.continuation import EchoGuard
from ecs_agent.systems.outside import Outside
from ecs_agent.systems.patience import Patience
from ecs_agent.types import CompletionResult, Message, StreamDelta, StreamDeltaEvent, StreamStartEvent

YIELD_EVERY = 64
"""After so many deltas without a suspension the loop gets a turn, so that one flood does not stop everyone else."""


class Inflow:
    """An answer that is arriving: gathered until the call waits, then written together. State first, then the log, then the budget.

    Args:
        me: whose answer it is.
        state: where it is stored.
        budget: what it may cost.
        policy: how long it may take.
    """

    __slots__ = ("_arrived", "_budget", "_cut", "_echo", "_is_open", "_lost", "_me", "_most", "_patience", "_policy", "_state")

    def __init__(self, me: Entity, state: StreamStateComponent, budget: Budget, policy: StreamPolicy) -> None:
        self._me = me
        self._state = state
        self._budget = budget
        self._policy = policy
        self._arrived: list[StreamDelta] = []
        self._most = 1 if me.may_block else YIELD_EVERY
        self._lost: LimitReached | ProviderTimeoutError | None = None
        self._is_open = True
        self._cut: asyncio.Task[Any] | None = None  # cancelled by us, for what is lost
        self._echo = EchoGuard(state.result().message.content) if state.prefix else None
        self._patience: Patience | None = None

    async def receive(self, provider: ProviderLike, messages: Sequence[Message], options: RequestOptions, *, stream: bool) -> CompletionResult:
        """Ask, and take the answer to its end.

        Raises:
            ProviderError: it was refused, or broke off, or took too long; `partial` is what had arrived.
            LimitReached: it may not go on.
        """
        me = self._me
        outside, turn = me.resource(Outside, Outside), me.get(TurnComponent) or TurnComponent()
        if stream:
            answer = self._streamed(outside.open_answer(me.id, turn, provider, messages, options))
        else:
            answer = outside.ask(me.id, turn, provider, messages, options)
        try:
            return await (self._in_time(answer) if self._policy.has_limits else answer)
        except asyncio.CancelledError:
            if self._lost is None or not self._is_cut_by_us():
                raise
            self._tell(self._lost)
            raise self._lost from None
        except (Exception, SystemExit) as error:
            self._tell(error)
            raise
        finally:
            self._is_open = False
            self._me.write()
            if self._cut is not None:
                self._cut.uncancel()  # the provider swallowed the cancel, which was ours

    def _tell(self, error: Exception | SystemExit) -> None:
        """Say in the log what failed, and in an error what had arrived where nobody else could: in earlier attempts, or until we lost patience."""
        self._me.write()
        if isinstance(error, ProviderError) and (self._state.prefix or error is self._lost):
            error.partial = self._state.result()
        if not isinstance(error, LimitReached):
            self._me.emit(AttemptFailed(self._me.id, error_to_data(error)), EventKind.INPUT)

    async def _in_time(self, answer: Coroutine[Any, Any, CompletionResult]) -> CompletionResult:
        task = asyncio.current_task()
        self._patience = patience = Patience(self._policy, lambda error: self._lose(error, task))
        try:
            return await answer
        finally:
            patience.stop()

    async def _streamed(self, opening: Coroutine[Any, Any, CompletionStream | AsyncGenerator[StreamDelta, None]]) -> CompletionResult:
        answer = await opening
        self._me.emit(StreamStartEvent(self._me.id))
        async with aclosing(answer):
            if isinstance(answer, CompletionStream):
                while deltas := await answer.read():
                    if self._take(deltas):
                        await self._pause()
                if self._echo is not None:
                    return replace(self._whole(), timing=answer.timing)
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
        result = self._whole()
        if result.message.interrupted:
            raise StreamInterruptedError("the answer ended without a finish; it may be incomplete", partial=result)
        return result

    def _whole(self) -> CompletionResult:
        """The answer, when nothing more comes."""
        if self._echo is not None:
            self._gather(self._echo.rest())
        self._me.write()
        return self._state.result()

    def _take(self, deltas: Sequence[StreamDelta]) -> bool:
        """Take pieces that arrived together; whether to pause now."""
        if self._lost is not None:
            raise self._lost
        if self._patience is not None:
            self._patience.hear()
        if self._echo is not None and not self._echo.is_done:
            deltas = self._echo.take(deltas)
        return self._gather(deltas)

    def _gather(self, deltas: Sequence[StreamDelta]) -> bool:
        if not self._arrived:
            if not deltas:
                return False
            self._arrived += deltas
            self._me.before_waiting(self._write)
        else:
            self._arrived += deltas
        return len(self._arrived) >= self._most

    def _write(self) -> None:
        deltas, self._arrived = self._arrived, []
        self._me.emit_each(StreamDeltaEvent, deltas, EventKind.INPUT, self._state)
        self._most = 1 if self._me.may_block else YIELD_EVERY
        try:
            self._budget.receive(deltas)
        except LimitReached as reached:
            # It is raised where the next piece is taken; if the model is silent meanwhile, the waiting is cut.
            asyncio.get_running_loop().call_soon(self._cut_off, asyncio.current_task())
            self._lost = reached

    def _lose(self, error: ProviderTimeoutError, task: asyncio.Task[Any] | None) -> None:
        if self._lost is None:
            self._lost = error
            self._cut_off(task)

    def _cut_off(self, task: asyncio.Task[Any] | None) -> None:
        if self._is_open and task is not None:
            self._cut = task
            task.cancel()

    def _is_cut_by_us(self) -> bool:
        """Whether the cancel that arrived is ours alone; then it is over."""
        task, self._cut = self._cut, None
        return task is not None and task.uncancel() == 0

    async def _pause(self) -> None:
        """Let the others run, and whoever holds back producers read."""
        self._me.write()
        if self._lost is not None:
            raise self._lost
        if self._patience is not None:
            self._patience.pause()
        await (self._me.room() if self._me.may_block else self._me.breathe())
        if self._patience is not None:
            self._patience.resume()
