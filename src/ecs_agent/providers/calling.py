"""Asking any provider: ours, or anybody's object with an async `complete`.

Foreign providers are called by keyword with only what is set; a name they do not accept is left out with one warning. Whatever they return
(a `CompletionStream`, an async generator of deltas, a whole result) comes out as a `CompletionStream`.
"""

from __future__ import annotations

import asyncio
import inspect
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Sequence
from functools import lru_cache
from typing import Any, cast

from ecs_agent.core.tasks import resumed
from ecs_agent.providers.capabilities import capabilities_of
from ecs_agent.providers.protocol import TIME_LIMITS, ProviderLike, RequestOptions
from ecs_agent.providers.structured.parsing import asked_format, with_parsed
from ecs_agent.streaming.stream import CompletionStream
from ecs_agent.streaming.unfold import unfold
from ecs_agent.types import CompletionResult, Message, StreamDelta


async def open_answer(
    provider: ProviderLike, messages: Sequence[Message], options: RequestOptions
) -> CompletionStream | AsyncGenerator[StreamDelta, None]:
    """Ask for a stream. A generator of deltas is left one, for whoever folds them itself: it costs less. Close what is returned.

    Raises:
        ProviderError: the provider refused.
        TypeError: the provider returned something that is no answer.
    """
    answer: object = await provider.complete(messages, stream=True, **accepted(provider, options))
    if isinstance(answer, AsyncGenerator) and not isinstance(answer, CompletionStream):
        return cast("AsyncGenerator[StreamDelta, None]", answer)
    return as_stream(answer, provider)


async def ask(provider: ProviderLike, messages: Sequence[Message], options: RequestOptions) -> CompletionResult:
    """Ask for a whole answer.

    Raises:
        ProviderError: the provider refused, or its answer broke off.
        StructuredOutputError: the answer is no instance of the class given as `response_format`.
    """
    asked = asked_format(options, capabilities_of(provider))  # a foreign provider knows wire objects, not classes
    answer = cast("object", await provider.complete(messages, stream=False, **accepted(provider, asked)))
    return with_parsed(await _folded(answer, provider), options.get("response_format"))


async def _folded(answer: object, provider: object) -> CompletionResult:
    if isinstance(answer, CompletionResult):
        return answer
    async with as_stream(answer, provider) as stream:
        async for _ in stream:
            pass
        return stream.result()


def as_stream(answer: object, provider: object) -> CompletionStream:
    """What a provider returned, as a stream."""
    if isinstance(answer, CompletionStream):
        return answer
    if isinstance(answer, CompletionResult):
        return CompletionStream(_Deltas(_each(unfold(answer))))
    if isinstance(answer, AsyncIterator):
        return CompletionStream(_Deltas(cast("AsyncIterator[StreamDelta]", answer)))
    raise TypeError(
        f"{type(provider).__name__}.complete returned {type(answer).__name__}; expected a CompletionResult or an async iterator of StreamDelta"
    )


def accepted(provider: ProviderLike, options: RequestOptions) -> RequestOptions:
    """The options that are set and that a provider takes; it is warned once about each name it does not take.

    None is not set, but for a limit of time, which it lifts where the provider has one.
    """
    given = {name: value for name, value in options.items() if value is not None or name in TIME_LIMITS}
    names = _names(provider) if given else None
    if names is not None:
        for name in [name for name in given if name not in names]:
            if given[name] is not None:
                warnings.warn(f"{type(provider).__name__}.complete does not take {name!r}; it is left out", RuntimeWarning, stacklevel=3)
            del given[name]
    return cast("RequestOptions", given)


def takes(provider: ProviderLike, option: str) -> bool:
    """Whether a provider's `complete` has this option, and that of those it stands before."""
    names = _names(provider)
    if names is not None and option not in names:
        return False
    behind: list[Any] = [getattr(provider, "provider", None), *getattr(provider, "providers", ())]
    return all(takes(each, option) for each in behind if hasattr(each, "complete"))


def _names(provider: ProviderLike) -> frozenset[str] | None:
    return _parameter_names(getattr(type(provider), "complete", None) or provider.complete)


@lru_cache(maxsize=256)
def _parameter_names(complete: Callable[..., object]) -> frozenset[str] | None:
    """The parameters of a provider's `complete`, None if it takes any."""
    parameters = inspect.signature(complete).parameters.values()
    return None if any(p.kind is p.VAR_KEYWORD for p in parameters) else frozenset([p.name for p in parameters])


async def _each(deltas: Sequence[StreamDelta]) -> AsyncIterator[StreamDelta]:
    for delta in deltas:
        yield delta


class _Deltas:
    """An async iterator of deltas as a source; one that simply stops after a finish reason is complete."""

    def __init__(self, deltas: AsyncIterator[StreamDelta]) -> None:
        self._deltas = deltas
        self._next = deltas.__anext__
        self._reader: asyncio.Task[object] | None = None
        self._is_left = False

    async def read(self) -> Sequence[StreamDelta]:
        """The next delta, nothing at the end."""
        step = self._next().__await__()
        try:
            awaited = next(step)
        except StopIteration as taken:  # it did not have to wait: nobody needs to know who reads, which costs more than all the rest
            return (taken.value,)
        except StopAsyncIteration:
            return ()
        return await self._waited(step, awaited)

    async def _waited(self, step: Generator[Any, Any, StreamDelta], awaited: object) -> Sequence[StreamDelta]:
        self._reader = reader = asyncio.current_task()
        try:
            return (await resumed(step, awaited),)
        except StopAsyncIteration:
            return ()
        except asyncio.CancelledError:
            if not self._is_left or reader is None or reader.uncancel():
                raise
        finally:
            self._reader = None
        return ()

    async def aclose(self) -> None:
        """Close the generator. One that runs cannot be closed from outside, so the task that waits in it is woken by a cancel of ours."""
        self._is_left = True
        if self._reader is not None:
            self._reader.cancel()
            return
        close = getattr(self._deltas, "aclose", None)
        if close is not None:
            await close()

    def abort(self) -> None:
        """Nothing to do: a generator without references is closed by its event loop."""
