"""`assert_stream_laws`: hold any provider's own streams against the laws."""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Unpack, cast

from ecs_agent.errors import ProviderError, UnsupportedFeatureError
from ecs_agent.providers.calling import accepted, ask
from ecs_agent.providers.protocol import ProviderLike, RequestOptions
from ecs_agent.testing.laws import BrokenLawError, Law, check_calls, check_deltas, check_error, check_typed
from ecs_agent.testing.watched import TaskWatch, WatchedStream, opened
from ecs_agent.types import CompletionResult, Message, StreamDelta


async def assert_stream_laws(
    provider: ProviderLike,
    messages: Sequence[Message] | None = None,
    *,
    deterministic: bool = False,
    may_fail: bool = False,
    structured: bool = True,
    patience: float = 0.5,
    **options: Unpack[RequestOptions],
) -> None:
    """Hold a provider's streams against the laws, as they come: read to the end, and left in every way there is.

    The provider is asked seven times; a scripted one needs as many answers.

    Args:
        provider: any object with an async `complete`.
        messages: what to ask; "Hello" by default.
        deterministic: it answers the same each time, so that its whole answer and its streams must agree.
        may_fail: its answer may end with an error, which then must be typed and carry what had arrived.
        structured: it takes `response_format`, which it must not stream; not tried on one whose `complete` has no such parameter.
        patience: seconds within which a stream that was left must have let go of everything.
        options: sent with every request.

    Raises:
        BrokenLawError: the law, and what differed. It is an AssertionError.
        TypeError: it is no provider.
    """
    if not callable(getattr(provider, "complete", None)):
        raise TypeError(f"a {type(provider).__name__} is no provider: it has no method complete()")
    trial = _Trial(provider, [Message("user", "Hello")] if messages is None else messages, accepted(provider, options), patience)
    natural = await trial.read_to_the_end(may_fail=may_fail)
    if natural is not None:
        for way in (trial.close, trial.leave, trial.cancel, trial.close_while_reading, trial.drop):
            await way(len(natural) // 2)
        await trial.whole(natural if deterministic else None)
    if structured and _takes_response_format(provider):
        await trial.structured()


class _Trial:
    """One provider, asked the same thing again and again."""

    def __init__(self, provider: ProviderLike, messages: Sequence[Message], options: RequestOptions, patience: float) -> None:
        self._provider = provider
        self._messages = messages
        self._options = options
        self._patience = patience

    @asynccontextmanager
    async def _asked(self) -> AsyncGenerator[WatchedStream]:
        """A stream whose tasks are watched, and whatever it raises judged."""
        with TaskWatch() as watch:
            try:
                yield await opened(self._provider, self._messages, self._options)
            except BrokenLawError:
                raise
            except Exception as error:
                check_typed(error)
                raise BrokenLawError(Law.COMPLETE, f"{type(error).__name__}: {error}") from error
            await watch.check(self._patience)

    async def read_to_the_end(self, *, may_fail: bool) -> list[StreamDelta] | None:
        """The deltas of an undisturbed answer; None if it failed and may."""
        deltas: list[StreamDelta] = []
        async with self._asked() as stream:
            try:
                async for delta in stream:
                    deltas.append(delta)  # noqa: PERF401 - what came before an error is kept
            except ProviderError as error:
                check_error(error, deltas)
                if not may_fail:
                    raise
                await _stays_ended(stream, self._patience)
                return None
            check_deltas(deltas, stream.result(), ended=True)
            await _stays_ended(stream, self._patience)
            check_deltas(deltas, stream.result(), ended=True)
        return deltas

    async def close(self, after: int) -> None:
        """Close it midway, twice."""
        async with self._asked() as stream:
            seen = await _first(stream, after)
            await self._closed(stream)
            _check_left(stream, seen)
            await _stays_ended(stream, self._patience)
            _check_left(stream, seen)

    async def leave(self, after: int) -> None:
        """Leave its `async with` midway, if it has one."""
        async with self._asked() as stream:
            if hasattr(stream, "__aenter__"):
                async with AsyncExitStack() as stack:
                    await stack.enter_async_context(cast("AsyncExitStack", stream))
                    seen = await _first(stream, after)
                _check_left(stream, seen)
            await _stays_ended(stream, self._patience)

    async def cancel(self, after: int) -> None:
        """Cancel the task that reads it."""
        async with self._asked() as stream:
            seen: list[StreamDelta] = []
            task = await _reading(stream, seen, after)
            task.cancel()
            await self._ends(task, "cancelled")
            if not task.cancelled() and not (seen and seen[-1].final):
                raise BrokenLawError(Law.AT_ONCE, f"the cancel was swallowed; its task ended with {task.exception()!r}")
            _check_left(stream, seen)
            await _stays_ended(stream, self._patience)

    async def close_while_reading(self, after: int) -> None:
        """Close it while another task waits for a delta."""
        async with self._asked() as stream:
            seen: list[StreamDelta] = []
            task = await _reading(stream, seen, after)
            try:
                await self._closed(stream)
            except BrokenLawError:
                task.cancel()
                raise
            await self._ends(task, "closed")
            failure = "a cancel" if task.cancelled() else task.exception()
            if failure is not None:
                raise BrokenLawError(Law.AT_ONCE, f"closing made the task that read fail with {failure!r}")
            _check_left(stream, seen)

    async def drop(self, after: int) -> None:
        """Break out of the loop and forget it."""
        with TaskWatch() as watch:
            stream = await opened(self._provider, self._messages, self._options)
            await _first(stream, after)
            del stream
            gc.collect()
            await watch.check(self._patience)

    async def whole(self, natural: Sequence[StreamDelta] | None) -> None:
        """Ask for the whole answer."""
        try:
            result = await ask(self._provider, self._messages, self._options)
        except Exception as error:
            check_typed(error)
            raise BrokenLawError(Law.COMPLETE, f"asked for a whole answer: {type(error).__name__}: {error}") from error
        check_calls(result.message.tool_calls or [])
        if result.message.interrupted:
            raise BrokenLawError(Law.MARKED, "the whole answer is marked as interrupted")
        if natural is not None:
            _check_same(result, natural)

    async def structured(self) -> None:
        """Ask for a stream of structured output."""
        options = cast("RequestOptions", {**self._options, "response_format": {"type": "json_object"}})
        try:
            stream = await opened(self._provider, self._messages, options)
        except UnsupportedFeatureError:
            return
        except Exception as error:
            raise BrokenLawError(Law.STRUCTURED, f"{type(error).__name__} was raised instead of UnsupportedFeatureError: {error}") from error
        await stream.aclose()
        raise BrokenLawError(Law.STRUCTURED, "stream=True with response_format was accepted; UnsupportedFeatureError was expected")

    async def _closed(self, stream: WatchedStream) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await stream.aclose()
        except Exception as error:
            raise BrokenLawError(Law.AT_ONCE, f"closing it raised {type(error).__name__}: {error}") from error

    async def _ends(self, task: asyncio.Task[None], how: str) -> None:
        await asyncio.wait((task,), timeout=self._patience)
        if not task.done():
            task.cancel()
            raise BrokenLawError(Law.AT_ONCE, f"the stream was {how}, but the task that reads it still waits after {self._patience} s")


async def _first(stream: WatchedStream, count: int) -> list[StreamDelta]:
    """The first deltas, in a frame of their own, so that nobody holds the stream afterwards."""
    seen: list[StreamDelta] = []
    while len(seen) < count:
        try:
            seen.append(await stream.__anext__())
        except StopAsyncIteration:
            break
    return seen


async def _reading(stream: WatchedStream, seen: list[StreamDelta], after: int) -> asyncio.Task[None]:
    """A task that reads a stream to its end and now waits for another delta than the first ones, or is done."""
    reached = asyncio.Event()

    async def read() -> None:
        try:
            if not after:
                reached.set()
            async for delta in stream:
                seen.append(delta)
                if len(seen) == after:
                    reached.set()
        finally:
            reached.set()

    task = asyncio.get_running_loop().create_task(read())
    await reached.wait()
    return task


def _check_left(stream: WatchedStream, seen: Sequence[StreamDelta]) -> None:
    check_deltas(seen, stream.result(), ended=bool(seen) and seen[-1].final)


async def _stays_ended(stream: WatchedStream, patience: float) -> None:
    try:
        async with asyncio.timeout(patience):
            await stream.aclose()
            await stream.aclose()
            await stream.__anext__()
    except StopAsyncIteration:
        return
    except Exception as error:
        raise BrokenLawError(Law.ENDED, f"{type(error).__name__} was raised: {error}") from error
    raise BrokenLawError(Law.ENDED, "after it was closed it gave another delta")


def _check_same(result: CompletionResult, natural: Sequence[StreamDelta]) -> None:
    message, final = result.message, natural[-1]
    streamed = {
        "content": "".join(delta.content or "" for delta in natural),
        "reasoning": "".join(delta.reasoning or "" for delta in natural),
        "refusal": "".join(delta.refusal or "" for delta in natural),
        "tool_calls": list(final.tool_calls or ()) or None,
    }
    for name, value in streamed.items():
        if getattr(message, name) != value:
            raise BrokenLawError(Law.WHOLE, f"the {name} of the whole answer is {getattr(message, name)!r}, of the streamed one {value!r}")
    if (result.finish_reason, result.usage) != (final.finish_reason, final.usage):
        told = f"{result.finish_reason!r} and {result.usage}"
        raise BrokenLawError(Law.WHOLE, f"the whole answer ended with {told}, the streamed one {final.finish_reason!r} and {final.usage}")


def _takes_response_format(provider: ProviderLike) -> bool:
    parameters = inspect.signature(provider.complete).parameters
    return "response_format" in parameters or any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
