"""RateLimitedProvider: limits of our own before a provider, shared by all agents that ask it.

Whoever asks stands in one line, first come, first served, until there is a free place and room in the last minute. Nothing polls: the line is
woken when a place is given back, when a count turns out lower, or when the minute has passed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from ecs_agent.core.permits import Permits
from ecs_agent.errors import RateLimitError
from ecs_agent.providers.http.stream import check_seconds
from ecs_agent.providers.minute_limits import check_count
from ecs_agent.providers.protocol import ProviderLike, RequestOptions
from ecs_agent.providers.rate_limiter import RateLimiter
from ecs_agent.providers.token_estimate import estimate_tokens, estimate_usage
from ecs_agent.providers.wrapping import NOTHING_SENT, WrapperProvider
from ecs_agent.streaming.stream import CompletionStream, StreamTap
from ecs_agent.types import CompletionResult, Message


class RateLimitedProvider(WrapperProvider):
    """Asks another provider no faster than allowed.

    Tokens are estimated when a request starts, as those of its prompt and its option `max_tokens`, which is how servers count; what it really
    used is settled when it is over. A stream keeps its place until it has ended or was closed or dropped.

    Give it to a `RetryProvider`, and not the other way round, so that each attempt counts.

    Args:
        provider: whom to ask.
        requests_per_minute: how many requests may start within any 60 seconds; None for no limit.
        tokens_per_minute: how many tokens they may have; None for no limit. A request of more than that has a minute for itself.
        max_concurrent: how many may be asked at once; None for no limit.
        wait: seconds to wait at most; None for as long as it takes.

    Raises:
        RateLimitError: from `complete`, there was no room in time; nothing was sent. Its `retry_after` is how long it would have taken.
        TypeError: a limit is no number.
        ValueError: it is less than one.
    """

    def __init__(
        self,
        provider: ProviderLike,
        *,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        max_concurrent: int | None = None,
        wait: float | None = None,
    ) -> None:
        super().__init__(provider)
        check_seconds("wait", wait)
        self._limiter = RateLimiter(requests_per_minute, tokens_per_minute=tokens_per_minute)
        self._permits = Permits(check_count("max_concurrent", max_concurrent)) if max_concurrent is not None else None
        self._counts_tokens = tokens_per_minute is not None
        self._wait = wait

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return self._limiter.waiting + (self._permits.waiting if self._permits is not None else 0)

    async def _whole(self, messages: Sequence[Message], options: RequestOptions) -> CompletionResult:
        place = await self._admitted(messages, options)
        try:
            result = await super()._whole(messages, options)
        except BaseException as error:
            place.refused(error)
            raise
        place.over(result)
        return result

    async def _stream(self, messages: Sequence[Message], options: RequestOptions) -> CompletionStream:
        place = await self._admitted(messages, options)
        try:
            return (await super()._stream(messages, options)).tap(place)
        except BaseException as error:
            place.refused(error)
            raise

    async def _admitted(self, messages: Sequence[Message], options: RequestOptions) -> _Place:
        """Wait until a request may start."""
        prompt = estimate_tokens(messages, tools=options.get("tools")) if self._counts_tokens else None
        tokens = prompt + (options.get("max_tokens") or 0) if prompt is not None else 0
        since = asyncio.get_running_loop().time()
        release: Callable[[], None] | None = None
        try:
            async with asyncio.timeout(self._wait):
                release = await self._permits.acquire() if self._permits is not None else _nothing
                turn = await self._limiter.ready(since, tokens)
        except BaseException as error:
            if release is not None:
                release()
            if isinstance(error, TimeoutError):
                raise self._too_late(tokens, options, has_place=release is not None) from None
            raise
        return _Place(self._limiter, turn, prompt, release)

    def _too_late(self, tokens: int, options: RequestOptions, *, has_place: bool) -> RateLimitError:
        if has_place:
            after = self._limiter.opens_in(tokens)
            said = f"{self._limiter.which(tokens)} left no room within {self._wait} s (wait); ask again in {after:.3g} s, or wait longer"
        else:
            after = None
            said = f"no request ended within {self._wait} s (wait), and no more may be open (max_concurrent); ask again later, or wait longer"
        return RateLimitError(said, retry_after=after, provider=self.name, model=options.get("model") or self.model)


class _Place(StreamTap):
    """What one request holds until it is over: its place among those that are open, and its turn of the limiter.

    Args:
        limiter: where the turn is from.
        turn: its number.
        prompt: how many tokens its prompt has, about; None if tokens do not count.
        release: gives the place back.
    """

    def __init__(self, limiter: RateLimiter, turn: int, prompt: int | None, release: Callable[[], None]) -> None:
        self._limiter = limiter
        self._turn = turn
        self._prompt = prompt
        self._release = release

    def complete(self, stream: CompletionStream, /) -> None:
        self.over(stream.result())

    def fail(self, stream: CompletionStream, _: Exception, /) -> None:
        self.over(stream.result())

    def leave(self, stream: CompletionStream, /) -> None:
        self.over(stream.result())

    def refused(self, error: BaseException) -> None:
        """The asking itself failed."""
        if isinstance(error, NOTHING_SENT):
            self._limiter.give_back(self._turn)
            self._release()
        else:
            self.over(getattr(error, "partial", None))

    def over(self, result: CompletionResult | None) -> None:
        """This is what came, all of it or not."""
        self._limiter.settle(self._turn, self._used(result))
        self._release()

    def _used(self, result: CompletionResult | None) -> int:
        """The provider's count, else an estimate."""
        if self._prompt is None:
            return 0
        if result is None:
            return self._prompt
        return result.usage.total_tokens if result.usage is not None else self._prompt + estimate_usage((), result.message).completion_tokens


def _nothing() -> None:
    """What gives no place back, as there are any number."""
