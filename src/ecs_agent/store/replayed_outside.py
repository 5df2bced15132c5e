"""Models and tools as they were when they were recorded: they take the place of the real ones, which are not asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from typing import Final, NoReturn

from ecs_agent.components import TurnComponent
from ecs_agent.errors import RecordingMissError
from ecs_agent.providers.protocol import ProviderLike, RequestOptions
from ecs_agent.store.recorded_session import AttemptEnd, CallKey, Moment, RecordedAttempt, RecordedBurst, RecordedResult, RecordedSession
from ecs_agent.store.turnstile import Turnstile
from ecs_agent.streaming.fold import Fold
from ecs_agent.streaming.stream import CompletionStream
from ecs_agent.systems.outside import Outside
from ecs_agent.tools.execution import ToolOutcome
from ecs_agent.types import CompletionResult, EntityId, Message, StreamDelta, ToolCall

AT_ONCE: Final = 1_000_000
"""Nanoseconds between two facts of which nobody knows whether anything else might have happened between them."""


class ReplayedOutside(Outside):
    """Answers from a recording, each in its turn and time. What it does not have is a `RecordingMissError`.

    What was cut off in the recording, as by a cancel, does not end here either: it has to be cut off again.

    Args:
        session: what was recorded.
        turnstile: when it may come in.
        missed: told about everything that the recording does not have.
        is_inside: whether a tool of an entity, by its name, is run all the same, since it acts in the world itself and not outside.
    """

    def __init__(
        self, session: RecordedSession, turnstile: Turnstile, missed: Callable[[EntityId, str], object], is_inside: Callable[[EntityId, str], bool]
    ) -> None:
        self._session = session
        self._turnstile = turnstile
        self._missed = missed
        self._is_inside = is_inside
        self._attempts = {key: iter(attempts) for key, attempts in session.attempts.items()}
        self._results = {key: iter(results) for key, results in session.results.items()}

    async def open_answer(
        self,
        entity: EntityId,
        turn: TurnComponent,
        provider: ProviderLike,  # noqa: ARG002 - as it is asked, so it is recorded
        messages: Sequence[Message],  # noqa: ARG002
        options: RequestOptions,  # noqa: ARG002
    ) -> CompletionStream | AsyncGenerator[StreamDelta, None]:
        """The next recorded answer to this attempt, as a stream.

        Raises:
            RecordingMissError: there is none.
            ProviderError: so it was recorded.
        """
        attempt = await self._attempt(entity, turn)
        if attempt.accepted is None:
            await self._fail(attempt)
            await self._turnstile.enter(attempt.end or attempt.begun)  # it was asked for a whole answer then
        else:
            await self._turnstile.enter(attempt.accepted)
        return CompletionStream(_Source(attempt, self._turnstile), clock=asyncio.get_running_loop().time)

    async def ask(
        self,
        entity: EntityId,
        turn: TurnComponent,
        provider: ProviderLike,  # noqa: ARG002
        messages: Sequence[Message],  # noqa: ARG002
        options: RequestOptions,  # noqa: ARG002
    ) -> CompletionResult:
        """The next recorded answer to this attempt, as a whole.

        Raises:
            RecordingMissError: there is none.
            ProviderError: so it was recorded.
        """
        attempt = await self._attempt(entity, turn)
        await self._fail(attempt)
        await self._turnstile.enter(attempt.end or attempt.begun)
        if attempt.result is not None:
            return attempt.result
        folded = Fold()
        for burst in attempt.bursts:
            folded.extend(burst.deltas)
        return folded.result()

    async def run_tool(self, entity: EntityId, turn: TurnComponent, call: ToolCall, run: Callable[[], Awaitable[ToolOutcome]]) -> ToolOutcome:
        """The next recorded result of this call.

        Raises:
            RecordingMissError: the call was not made then.
        """
        if self._is_inside(entity, call.name):
            return await run()
        key = entity, turn.run, turn.turn, call.id
        result = self._result(key)
        if result is None:
            if key not in self._session.begun:
                await self._miss(entity, f"the call {call.id} of {call.name} in turn {turn.turn} of run {turn.run} was not recorded")
            await _for_ever()
        await self._turnstile.enter(result.moment)
        return ToolOutcome(result.text, result.is_error, result.seconds, images=result.images)

    async def _attempt(self, entity: EntityId, turn: TurnComponent) -> RecordedAttempt:
        attempt = next(self._attempts.get((entity, turn.run, turn.turn, turn.attempt), iter(())), None)
        if attempt is None:
            await self._miss(entity, f"attempt {turn.attempt} of turn {turn.turn} of run {turn.run} was not recorded")
        return attempt

    def _result(self, key: CallKey) -> RecordedResult | None:
        return next(self._results.get(key, iter(())), None)

    async def _miss(self, entity: EntityId, what: str) -> NoReturn:
        """Where the recording was cut off it has no answers beyond; but one that is whole has all there were."""
        if not self._session.is_complete:
            await _for_ever()
        self._missed(entity, what)
        raise RecordingMissError(f"entity {entity} asks for what it did not ask for in the recording: {what}")

    async def _fail(self, attempt: RecordedAttempt) -> None:
        """Fail, or be silent, as an attempt did before there was any answer."""
        if attempt.bursts or attempt.outcome is AttemptEnd.COMPLETED:
            return
        if attempt.error is None or attempt.end is None:
            await _for_ever()
        await self._turnstile.enter(attempt.end)
        raise attempt.error.made()


async def _for_ever() -> NoReturn:
    while True:
        await asyncio.get_running_loop().create_future()


class _Source:
    """A recorded answer as the source of a stream.

    Args:
        attempt: what was recorded.
        turnstile: when it may come in.
    """

    def __init__(self, attempt: RecordedAttempt, turnstile: Turnstile) -> None:
        self._attempt = attempt
        self._turnstile = turnstile
        self._bursts: Iterator[RecordedBurst] = iter(attempt.bursts)
        self._awaited: asyncio.Future[None] | None = None
        self._last: RecordedBurst | None = None
        self._is_left = False

    async def read(self) -> Sequence[StreamDelta]:
        """The next pieces that came together."""
        attempt = self._attempt
        for burst in self._bursts:
            await self._until(self._turnstile.enter(burst.moment))
            self._last = burst
            return () if self._is_left else burst.deltas
        if attempt.end is None or (attempt.error is None and attempt.outcome is not AttemptEnd.COMPLETED):
            await self._until(asyncio.get_running_loop().create_future())
        else:
            if not self._came_with_the_last(attempt.end):
                await self._until(self._turnstile.enter(attempt.end))
            if attempt.error is not None and not self._is_left:
                raise attempt.error.made()
        return ()

    def _came_with_the_last(self, moment: Moment) -> bool:
        """Whether it came with the last pieces: nobody waited between, and these have not even been written when it is asked for."""
        last = self._last
        return last is not None and moment.pos == last.moment.pos + len(last.deltas) and moment.time - last.moment.time <= AT_ONCE

    async def _until(self, moment: asyncio.Future[None]) -> None:
        """Wait, unless this is closed meanwhile."""
        self._awaited = moment
        await moment
        self._awaited = None

    async def aclose(self) -> None:
        """Forget the rest."""
        self.abort()

    def abort(self) -> None:
        """Forget the rest, and wake whoever waits for it."""
        self._is_left = True
        if self._awaited is not None and not self._awaited.done():
            self._awaited.set_result(None)
