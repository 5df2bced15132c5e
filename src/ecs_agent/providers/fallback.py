"""FallbackProvider: asks the next provider when one cannot be asked.

Whose fault it was decides. Where the provider is at fault (nobody answers, a limit, no credit, a key that is not accepted, a page instead of an
answer) another one may do better. Where the request is (an unknown option, too long, refused by a filter) its error is raised at once.

An answer is passed on from its first delta. One that breaks off later is broken: only an agent can take back what was shown, and its
`StreamPolicy` does.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Self, TypeVar, Unpack, overload

from ecs_agent.errors import ErrorKind, ProviderError
from ecs_agent.logging import get_logger
from ecs_agent.providers.calling import ask
from ecs_agent.providers.capabilities import Capabilities, capabilities_of, common
from ecs_agent.providers.http.stream import check_seconds
from ecs_agent.providers.protocol import ProviderLike, RequestOptions
from ecs_agent.providers.recorded.error_data import LEAVES
from ecs_agent.providers.token_count import TokenCount, count_tokens
from ecs_agent.providers.wrapping import check_provider, close, model_of, name_of, stream_of
from ecs_agent.streaming.stream import CompletionStream
from ecs_agent.types import CompletionResult, Message, StreamDelta, ToolSchema

T = TypeVar("T")

PASSED_ON: Final = frozenset(
    {
        ErrorKind.AUTH,
        ErrorKind.RATE_LIMIT,
        ErrorKind.QUOTA,
        ErrorKind.SERVER,
        ErrorKind.CONNECTION,
        ErrorKind.TIMEOUT,
        ErrorKind.STREAM_INTERRUPTED,
        ErrorKind.MALFORMED,
    }
)
"""The kinds of failure after which the next provider is asked: those that say nothing against the request."""

_log = get_logger("ecs_agent.providers.fallback")


class FallbackProvider:
    """Asks the first of several providers that can be asked.

    One that failed is asked last for a while: for as long as its server asked to wait, else for `cooldown`. A request always asks all of them
    before it fails. The option `model` is for the first provider; the others answer with their own.

    Args:
        providers: whom to ask, the preferred one first.
        cooldown: seconds for which one that failed is passed over.
        on: the kinds of failure after which the next one is asked.
        clock: seconds, monotonic; the running loop's by default.
        name: how errors and logs call it.

    Attributes:
        last_used: the name of the provider that answered last; None before the first answer.
    """

    def __init__(
        self,
        providers: Sequence[ProviderLike],
        *,
        cooldown: float = 30.0,
        on: Collection[ErrorKind] = PASSED_ON,
        clock: Callable[[], float] | None = None,
        name: str = "fallback",
    ) -> None:
        if callable(getattr(providers, "complete", None)):
            raise TypeError(f"providers is one {type(providers).__name__}; give a list of providers: FallbackProvider([…])")
        unknown = [kind for kind in ((on,) if isinstance(on, str) else on) if kind not in list(ErrorKind)]
        if unknown or isinstance(on, str):
            kinds = ", ".join([kind.value for kind in ErrorKind])
            raise ValueError(f"on is {unknown[0] if unknown else on!r}; give a list of kinds of failure, of which there are {kinds}")
        if not providers:
            raise ValueError("there is no provider to fall back on; give at least one")
        check_seconds("cooldown", cooldown)
        self.providers = tuple([check_provider(provider) for provider in providers])
        self.name = name
        self.last_used: str | None = None
        self._cooldown = cooldown
        self._on = frozenset(on)
        self._clock = clock
        self._cool_at = [-math.inf] * len(self.providers)

    @property
    def model(self) -> str:
        """The first provider's model."""
        return model_of(self.providers[0])

    @property
    def capabilities(self) -> Capabilities:
        """What all of them can: nobody knows beforehand who will answer."""
        return common([capabilities_of(provider) for provider in self.providers])

    @overload
    async def complete(self, messages: Sequence[Message], stream: Literal[False] = False, **options: Unpack[RequestOptions]) -> CompletionResult: ...
    @overload
    async def complete(self, messages: Sequence[Message], stream: Literal[True], **options: Unpack[RequestOptions]) -> CompletionStream: ...
    @overload
    async def complete(self, messages: Sequence[Message], stream: bool, **options: Unpack[RequestOptions]) -> CompletionResult | CompletionStream: ...
    async def complete(
        self, messages: Sequence[Message], stream: bool = False, **options: Unpack[RequestOptions]
    ) -> CompletionResult | CompletionStream:
        """Ask one after the other.

        Raises:
            StructuredOutputError: the answer is no instance of the class given as `response_format`; nobody else is asked.
            ProviderError: the request is at fault, or nobody could be asked; then the message says who failed and why.
        """
        round_ = Round(self, self._time())
        if not stream:
            result = await round_.first(lambda place: ask(self.providers[place], messages, self._options(place, options)))
            self.note_answered(round_.place)
            return result
        loop = asyncio.get_running_loop()
        started = loop.time()

        async def ask_for_stream(place: int) -> CompletionStream:
            return await stream_of(self.providers[place], messages, self._options(place, options))

        first = await round_.first(ask_for_stream)
        return CompletionStream(_Source(self, round_, ask_for_stream, first), started=started, clock=loop.time)

    async def count_tokens(
        self, messages: Sequence[Message], *, tools: Sequence[ToolSchema] | None = None, system_prompt: str = "", model: str | None = None
    ) -> TokenCount:
        """As the first provider counts; see `ecs_agent.providers.count_tokens`.

        Raises:
            ProviderError: it could not count.
        """
        return await count_tokens(self.providers[0], messages, tools=tools, system_prompt=system_prompt, model=model)

    def _options(self, place: int, options: RequestOptions) -> RequestOptions:
        if not place or "model" not in options:
            return options
        own = options.copy()
        del own["model"]
        return own

    def _time(self) -> float:
        return self._clock() if self._clock is not None else asyncio.get_running_loop().time()

    # What a round asks and tells

    def order(self, now: float) -> list[int]:
        """The places of the providers: those that may be asked, then those that failed, whichever may be asked again first."""
        return sorted(range(len(self.providers)), key=lambda place: (max(now, self._cool_at[place]), place))

    def kind_of(self, error: Exception) -> ErrorKind | None:
        """The kind of a failure after which the next provider is asked; None for another one."""
        if isinstance(error, ProviderError):
            kind: ErrorKind | None = error.kind
        elif isinstance(error, TimeoutError):
            kind = ErrorKind.TIMEOUT
        else:
            kind = ErrorKind.CONNECTION if isinstance(error, OSError) else None
        return kind if kind in self._on else None

    def note_failed(self, place: int, error: Exception) -> None:
        """Pass over a provider for a while."""
        asked = getattr(error, "retry_after", None)
        self._cool_at[place] = self._time() + (asked if asked is not None else self._cooldown)

    def note_answered(self, place: int) -> None:
        """A provider answers."""
        self._cool_at[place] = -math.inf
        self.last_used = name_of(self.providers[place])

    async def aclose(self) -> None:
        """Close all of them that can be closed; the first failure to do so is raised at the end."""
        failures: list[Exception] = []
        for provider in self.providers:
            try:
                await close(provider)
            except Exception as error:  # noqa: BLE001 - the others are closed all the same
                failures.append(error)
        if failures:
            raise failures[0]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"FallbackProvider([{', '.join(map(repr, self.providers))}])"


@dataclass(frozen=True, slots=True)
class _Failure:
    name: str
    kind: ErrorKind
    error: Exception


class Round:
    """One request on its way from provider to provider.

    Attributes:
        place: who was asked last.
    """

    def __init__(self, owner: FallbackProvider, now: float) -> None:
        self._owner = owner
        self._left = owner.order(now)
        self._failures: list[_Failure] = []
        self.place = self._left[0]

    async def first(self, ask: Callable[[int], Awaitable[T]]) -> T:
        """The answer of the first one that is left and can be asked.

        Raises:
            Exception: see `goes_on`.
        """
        while True:
            self.place = self._left.pop(0)
            try:
                return await ask(self.place)
            except Exception as error:  # noqa: BLE001 - judged there
                self.goes_on(error)

    def goes_on(self, error: Exception) -> None:
        """Take note of a failure, after which the next one is to be asked.

        Raises:
            Exception: this failure, or one that tells of all; there is no next, or it is the request that is at fault.
        """
        name, kind = name_of(self._owner.providers[self.place]), self._owner.kind_of(error)
        self.sign(error)
        if kind is None:
            raise error
        self._owner.note_failed(self.place, error)
        self._failures.append(_Failure(name, kind, error))
        if not self._left:
            if len(self._failures) == 1:
                raise error
            raise _told_of_all(self._failures) from error
        _log.warning("asking the next provider", failed=name, kind=str(kind), next=name_of(self._owner.providers[self._left[0]]))

    def sign(self, error: Exception) -> None:
        """Say on an error who failed, unless it says so itself."""
        if isinstance(error, ProviderError):
            error.provider = error.provider or name_of(self._owner.providers[self.place])


def _told_of_all(failures: Sequence[_Failure]) -> ProviderError:
    """One error for all failures. It is of the kind of the first one after which asking again may help, else of the first."""
    hopeful = [failure for failure in failures if getattr(failure.error, "retryable", True)]
    leading = (hopeful or list(failures))[0]
    waits = [getattr(failure.error, "retry_after", None) for failure in hopeful]
    known = [wait for wait in waits if wait is not None]
    said = "; ".join([f"{failure.name}: {failure.error}" for failure in failures])
    return LEAVES[leading.kind](
        f"none of {len(failures)} providers could be asked: {said}",
        status=getattr(leading.error, "status", None),
        retryable=bool(hopeful),
        retry_after=min(known) if known and len(known) == len(waits) else None,
        request_id=getattr(leading.error, "request_id", None),
        provider=leading.name,
        model=getattr(leading.error, "model", None),
    )


class _Source:
    """The deltas of the provider that answers; until its first one, of the next when it fails."""

    def __init__(self, owner: FallbackProvider, round_: Round, ask: Callable[[int], Awaitable[CompletionStream]], stream: CompletionStream) -> None:
        self._owner = owner
        self._round = round_
        self._ask = ask
        self._stream = stream
        self._begun = False
        self._closed = False
        self._asking: asyncio.Task[object] | None = None

    async def read(self) -> Sequence[StreamDelta]:
        """The deltas of the next read; empty at the end."""
        while not self._closed:
            try:
                deltas = await self._stream.read()
            except Exception as error:
                if self._begun or self._closed:
                    self._round.sign(error)
                    raise
                self._round.goes_on(error)
            else:
                if deltas and not self._begun:
                    self._begun = True
                    self._owner.note_answered(self._round.place)
                return deltas
            await self._ask_next()
        return ()

    async def _ask_next(self) -> None:
        """Another provider is asked in the middle of a read, which a close ends by a cancel."""
        self._asking = reader = asyncio.current_task()
        try:
            self._stream = await self._round.first(self._ask)
        except asyncio.CancelledError:
            if not self._closed or reader is None or reader.uncancel():
                raise
        finally:
            self._asking = None
        if self._closed:
            self._stream.abort()

    async def aclose(self) -> None:
        """Leave."""
        self._leave()
        await self._stream.aclose()

    def abort(self) -> None:
        """Leave, without awaiting."""
        self._leave()
        self._stream.abort()

    def _leave(self) -> None:
        if not self._closed:
            self._closed = True
            if self._asking is not None:
                self._asking.cancel()
