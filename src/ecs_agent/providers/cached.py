"""CachedProvider: the same question is asked once.

Opt-in, and exact: a request is the same only if everything that is asked is: the messages, every option, the values of headers, the model and the
provider. A cache is for tests, evaluations and prompts that repeat; where a model is to say something new each time, it is wrong.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final, TypeAlias

from ecs_agent.providers.answer_cache import AnswerCache
from ecs_agent.providers.calling import as_stream
from ecs_agent.providers.http.stream import check_seconds
from ecs_agent.providers.minute_limits import check_count
from ecs_agent.providers.protocol import TIME_LIMITS, ProviderLike, RequestOptions
from ecs_agent.providers.recorded.request_data import exact_request_to_data, secrets_in, to_json
from ecs_agent.providers.wrapping import WrapperProvider, address_of
from ecs_agent.streaming.stream import CompletionStream, StreamTap
from ecs_agent.types import CompletionResult, Message, Timing

_AT_ONCE: Final = Timing(time_to_first_delta=0.0, duration=0.0, deltas=1)
"""How an answer arrives that is there already."""

_FlightKey: TypeAlias = tuple[str, tuple[tuple[str, object], ...]]


class CachedProvider(WrapperProvider):
    """Answers from what another provider answered before, and asks it only what is new.

    Only whole answers are kept that ended with "stop" or "tool_calls"; no errors, no cut and no left ones. A whole answer serves a stream and a
    stream a whole answer, with the same message and usage; its `timing` says that nothing was waited for. Equal requests for a whole answer that
    come while it is being asked wait for it, and share its error.

    A request that cannot be written as data passes through, and so does an answer that holds a key: nothing secret is kept. A key of the store is
    a digest of everything that was asked, from which none of it can be read.

    Args:
        provider: whom to ask.
        max_entries: how many answers are kept; those that were used least recently go first.
        store: where to keep them, as JSON; in memory by default. A damaged entry is a miss, and a warning in the log.
        ttl: seconds for which an answer is kept; None for ever.
        clock: UTC in seconds, for `ttl`.

    Attributes:
        hits: how many requests were answered without asking.
        misses: how many were asked that might have been kept.

    Raises:
        TypeError: a limit is no number, or `store` no mapping.
        ValueError: it is less than one.
    """

    def __init__(
        self,
        provider: ProviderLike,
        *,
        max_entries: int = 1024,
        store: MutableMapping[str, bytes] | None = None,
        ttl: float | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(provider)
        check_seconds("ttl", ttl)
        given: object = store
        if given is not None and not isinstance(given, MutableMapping):
            raise TypeError(f"store is a {type(given).__name__}; give a mapping of text to bytes, such as a dict, or None for one in memory")
        self.hits = 0
        self.misses = 0
        self._answers = AnswerCache({} if store is None else store, check_count("max_entries", max_entries), ttl, clock)
        self._flights: dict[_FlightKey, _Flight] = {}

    async def _whole(self, messages: Sequence[Message], options: RequestOptions) -> CompletionResult:
        key = self._key(messages, options)
        if key is None:
            return await super()._whole(messages, options)
        limits = tuple([(name, value) for name, value in options.items() if name in TIME_LIMITS])
        while (kept := self._found(key)) is None:
            flight = self._flights.get((key, limits))
            if flight is None or flight.loop is not asyncio.get_running_loop():
                return await self._asked((key, limits), messages, options)
            await flight.over.wait()
            if isinstance(flight.outcome, Exception):
                raise flight.outcome
            if flight.outcome is not None:
                self.hits += 1
                return flight.outcome
        return replace(kept, timing=_AT_ONCE)

    async def _asked(self, key: _FlightKey, messages: Sequence[Message], options: RequestOptions) -> CompletionResult:
        """Ask, for all who want to know the same."""
        self.misses += 1
        self._flights[key] = flight = _Flight()
        try:
            flight.outcome = result = await super()._whole(messages, options)
            self._answers.keep(key[0], result, _secrets(options))
            return result
        except Exception as error:
            flight.outcome = error
            raise
        finally:  # after a cancel there is no outcome, and the next one asks
            if self._flights.get(key) is flight:
                del self._flights[key]
            flight.over.set()

    async def _stream(self, messages: Sequence[Message], options: RequestOptions) -> CompletionStream:
        key = self._key(messages, options) if options.get("response_format") is None else None  # which nobody streams, so it is refused below
        if key is None:
            return await super()._stream(messages, options)
        kept = self._found(key)
        if kept is not None:
            return as_stream(kept, self)
        self.misses += 1
        return (await super()._stream(messages, options)).tap(_KeepingTap(self._answers, key, _secrets(options)))

    def _found(self, key: str) -> CompletionResult | None:
        kept = self._answers.get(key)
        self.hits += kept is not None
        return kept

    def _key(self, messages: Sequence[Message], options: RequestOptions) -> str | None:
        """A digest of what is asked; None if it is no data."""
        try:
            asked = {"provider": self.name, "address": address_of(self.provider), **exact_request_to_data(messages, options, self.model)}
            return sha256(to_json(asked, in_order=True)).hexdigest()
        except (TypeError, ValueError, AttributeError):  # whatever is wrong with it, the provider says it better
            return None


@dataclass(slots=True)
class _Flight:
    """A request that is being asked for all who want to know the same."""

    over: asyncio.Event = field(default_factory=asyncio.Event)
    outcome: CompletionResult | Exception | None = None
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)


class _KeepingTap(StreamTap):
    """Keeps the answer of a stream that is whole."""

    def __init__(self, answers: AnswerCache, key: str, secrets: Sequence[str]) -> None:
        self._answers = answers
        self._key = key
        self._secrets = secrets

    def complete(self, stream: CompletionStream, /) -> None:
        self._answers.keep(self._key, stream.result(), self._secrets)


def _secrets(options: RequestOptions) -> list[str]:
    return secrets_in(options.get("extra_headers") or {})
