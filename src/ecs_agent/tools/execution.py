"""One tool call: arguments checked, the tool run within its limits, and whatever comes of it turned into text for the model.

Nothing a tool does gets past `execute_call` but its text, with two exceptions: a cancel from outside, and KeyboardInterrupt.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from types import coroutine
from typing import Any, cast

import msgspec

from ecs_agent.core.lease import Lease
from ecs_agent.errors import ToolArgumentsError, ToolError, ToolTimeoutError, UnknownToolError
from ecs_agent.logging import get_logger
from ecs_agent.tools.schema import MAX_ARGUMENT_BYTES, MAX_ARGUMENT_DEPTH, check_declared, check_size
from ecs_agent.tools.threads import ToolThreads
from ecs_agent.tools.tool import AnyTool, Tool
from ecs_agent.types import ImagePart, JsonObject, TextPart, ToolCall, ToolSchema

log = get_logger(__name__)

_GRACE = 5.0
_MAX_KNOWN = 50
_MAX_CAUSES = 5


@dataclass(frozen=True, slots=True)
class ToolLimits:
    """What one tool call may use, whatever the tool does.

    Attributes:
        timeout: seconds; a tool's own `timeout` takes its place.
        max_output: bytes of text, in UTF-8, that the model gets to see; the rest is cut off and a marker says so. At least 256.
        max_images: bytes of the pictures that a result holds; a result with more is an error.
        max_arguments: bytes of the arguments as JSON.
        max_depth: how deep objects and arrays may be nested in the arguments.
    """

    timeout: float = 60.0
    max_output: int = 64 * 1024
    max_images: int = 8 * 1024 * 1024
    max_arguments: int = MAX_ARGUMENT_BYTES
    max_depth: int = MAX_ARGUMENT_DEPTH

    def __post_init__(self) -> None:
        if not 0 < self.timeout < math.inf:
            raise ValueError(f"timeout is {self.timeout}; it must be a positive number of seconds")
        if self.max_output < 256:
            raise ValueError(f"max_output is {self.max_output}; it must be at least 256 bytes")
        if self.max_arguments < 2 or self.max_depth < 1:
            raise ValueError(f"no arguments fit max_arguments={self.max_arguments} and max_depth={self.max_depth}")


DEFAULT_LIMITS = ToolLimits()


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What the model is told about its call, and whether that is a failure.

    `seconds` is the time it took, `truncated` that text was cut off, `images` the pictures that belong to the result.
    """

    text: str
    is_error: bool
    seconds: float
    truncated: bool = False
    images: tuple[ImagePart, ...] = ()


async def execute_call(
    call: ToolCall,
    handler: Callable[..., object] | None,
    *,
    threads: ToolThreads,
    limits: ToolLimits = DEFAULT_LIMITS,
    schema: ToolSchema | None = None,
    known: Iterable[str] = (),
    lease: Lease | None = None,
) -> ToolOutcome:
    """Run what a model asked for and return what to tell it. Only complete, valid arguments reach the tool.

    Args:
        call: the call; one with an `arguments_error` is answered with that error.
        handler: a `Tool`, or any sync or async function that takes the arguments by name; None when there is no such tool.
        threads: where sync tools run.
        limits: time and sizes.
        schema: for a handler that is no `Tool`: what its arguments are checked against, as far as `check_declared` goes.
        known: the names of the tools there are, for the answer to an unknown one.
        lease: the agent whose call it is, for tools that ask for it.

    Returns:
        The result as text: a str as it is, None as "null", UTF-8 bytes decoded, everything else as JSON if it can be, else its repr. An
        `ImagePart`, or a list of texts and such, is a result with pictures. A failure of any kind is an outcome, too, with `is_error` set.

    Raises:
        asyncio.CancelledError: the task was cancelled from outside, also when the tool tried to swallow that.
        KeyboardInterrupt: as it came.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    task = _current_task()
    cancels = task.cancelling()
    is_error, images = True, tuple[ImagePart, ...]()
    try:
        text, images = _said(await _result(call, handler, threads, limits, schema, known, lease), limits)
        is_error = False
    except asyncio.CancelledError as error:
        if task.cancelling() > cancels:
            raise
        text = _failure(call, "it was cancelled from within", error)
    except SystemExit as error:
        text = _failure(call, "it tried to end the process", error)
    except ToolError as error:
        text = _failure(call, str(error), error)
    except Exception as error:  # noqa: BLE001 - a tool's failure is news for the model, never for the loop
        text = _failure(call, _described(error), error)
    text, truncated = _cut(text, limits.max_output)
    return ToolOutcome(text, is_error, loop.time() - started, truncated, images)


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a tool call needs a task of its event loop to run in")
    return task


async def _result(
    call: ToolCall,
    handler: Callable[..., object] | None,
    threads: ToolThreads,
    limits: ToolLimits,
    schema: ToolSchema | None,
    known: Iterable[str],
    lease: Lease | None,
) -> object:
    if handler is None:
        raise UnknownToolError(_unknown(call.name, list(known)))
    if call.arguments_error is not None:
        raise ToolArgumentsError(f"The arguments of {call.name} could not be read: {call.arguments_error}")
    if isinstance(handler, Tool):
        tool: AnyTool = handler  # pyright: ignore[reportUnknownVariableType] - isinstance forgets the result's type
        arguments = tool.validate(call.arguments, max_bytes=limits.max_arguments, max_depth=limits.max_depth)
        function, is_async, timeout = tool.function, tool.is_async, tool.timeout or limits.timeout
        if tool.lease is not None:
            if lease is None:
                raise ToolError(f"The tool {call.name} needs an agent that calls it.")
            arguments = {**arguments, tool.lease: lease}
    else:
        arguments = _checked(call, schema, limits)
        function, is_async, timeout = handler, _is_async(handler), limits.timeout
    if not is_async:
        return await _run_sync(partial(function, **arguments), call.name, timeout, threads)
    running: Coroutine[Any, Any, object] = function(**arguments)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType] - see is_async
    try:
        awaited = running.send(None)
    except StopIteration as done:  # it never waited: no timer, which would cost more than all the rest
        return done.value
    return await _run_on(running, awaited, call.name, timeout)


def _checked(call: ToolCall, schema: ToolSchema | None, limits: ToolLimits) -> JsonObject:
    try:
        check_size(call.arguments, limits.max_arguments, limits.max_depth)
        if schema is not None:
            check_declared(call.arguments, schema.parameters)
    except ToolArgumentsError as error:
        raise ToolArgumentsError(f"The arguments of {call.name} do not fit: {error}.") from None
    return call.arguments


def _is_async(handler: Callable[..., object]) -> bool:
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(getattr(handler, "__call__", None))  # noqa: B004 - its method is meant


def _unknown(name: str, known: list[str]) -> str:
    if not known:
        return f"There is no tool {name}; there are no tools at all."
    more = f" and {len(known) - _MAX_KNOWN} more" if len(known) > _MAX_KNOWN else ""
    return f"There is no tool {name}; the tools are: {', '.join(known[:_MAX_KNOWN])}{more}."


# Running


async def _run_sync(function: Callable[[], object], name: str, timeout: float, threads: ToolThreads) -> object:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    result = await threads.run(function, timeout=timeout, name=f"The tool {name}")
    if inspect.isawaitable(result):  # a plain function around an async one
        return await _run_on(_awaiting(result), None, name, max(0.0, deadline - loop.time()))
    return result


async def _awaiting(awaitable: Awaitable[object]) -> object:
    return await awaitable


async def _run_on(running: Coroutine[Any, Any, object], awaited: object, name: str, timeout: float) -> object:
    """Go on with a coroutine that waits for `awaited`, for at most `timeout` seconds, and `_GRACE` more while it cleans up."""
    limit = _Limit(timeout)
    try:
        result = await _driven(running, awaited, limit)
    except (asyncio.CancelledError, Exception):
        limit.judge(name)
        raise
    except BaseException:
        limit.end()
        raise
    limit.judge(name)
    return result


class _Limit:
    """Cancels the current task when its time is over, and once more `_GRACE` seconds later.

    `asyncio.timeout` would need two of itself for that, at 5 µs each; this costs one timer.
    """

    __slots__ = ("_before", "_cancels", "_loop", "_task", "_timer", "seconds")

    def __init__(self, seconds: float) -> None:
        self._task = _current_task()
        self._before = self._task.cancelling()
        self._cancels = 0
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(seconds, self._cancel)
        self.seconds = seconds

    def _cancel(self) -> None:
        self._cancels += 1
        self._task.cancel()
        if self._cancels == 1:
            self._timer = self._loop.call_later(_GRACE, self._cancel)

    @property
    def exhausted(self) -> bool:
        """Whether the grace is over, too."""
        return self._cancels > 1

    def end(self) -> None:
        """Take back our own cancels, so that those that remain came from outside."""
        self._timer.cancel()
        for _ in range(self._cancels):
            self._task.uncancel()

    def judge(self, name: str) -> None:
        """Raise when the tool was told to stop: what it returns or raises after that is not its result."""
        self.end()
        if self._task.cancelling() > self._before:
            raise asyncio.CancelledError
        if self._cancels:
            raise ToolTimeoutError(f"The tool {name} took longer than {self.seconds:g} s and was cancelled.") from None


@coroutine
def _driven(running: Coroutine[Any, Any, object], awaited: object, limit: _Limit) -> Generator[object, object, object]:
    """Go on with a coroutine that waits for `awaited`; close it when it still runs after the grace."""
    try:
        while True:
            try:
                sent = yield awaited
            except BaseException as error:
                if limit.exhausted:
                    running.close()
                    raise
                awaited = running.throw(error)
            else:
                awaited = running.send(sent)
    except StopIteration as done:
        return done.value


# Text


def _failure(call: ToolCall, reason: str, error: BaseException) -> str:
    log.warning("tool call failed", tool=call.name, call=call.id, reason=reason)
    log.debug("traceback of the failed tool call", tool=call.name, call=call.id, exc_info=error)
    return reason if isinstance(error, ToolError) else f"The tool {call.name} failed: {reason}"


def _described(error: BaseException) -> str:
    name = type(error).__name__
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - an exception of somebody else may fail to print itself
        return name
    if isinstance(error, BaseExceptionGroup):
        causes = cast("BaseExceptionGroup[BaseException]", error).exceptions
        message = "; ".join([message, *map(_described, causes[:_MAX_CAUSES])])
    return f"{name}: {message}" if message else name


def _said(result: object, limits: ToolLimits) -> tuple[str, tuple[ImagePart, ...]]:
    """A result as text and pictures.

    Raises:
        ToolError: the pictures are too large.
    """
    given: object = result  # which is looked at as a list here, and as anything below
    parts = cast("Sequence[object]", given) if isinstance(given, list | tuple) else (given,)
    images = tuple([part for part in parts if isinstance(part, ImagePart)])
    if not images or not all(isinstance(part, str | TextPart | ImagePart) for part in parts):
        return _text(result), ()
    size = sum(len(image.data or b"") for image in images)
    if size > limits.max_images:
        raise ToolError(f"The tool returned pictures of {size} bytes, which is more than the {limits.max_images} that are allowed.")
    return "\n".join([part.text if isinstance(part, TextPart) else str(part) for part in parts if not isinstance(part, ImagePart)]), images


def _text(result: object) -> str:
    if type(result) is str:
        return result
    if isinstance(result, Enum):
        result = result.value
    if isinstance(result, str):
        return str.__str__(result)  # a subclass may print itself differently
    if isinstance(result, (bytes, bytearray)):
        return _decoded(result)
    try:
        return msgspec.json.encode(result, enc_hook=_plain).decode()
    except Exception:  # noqa: BLE001 - no JSON, whatever the reason
        return _shown(result)


def _plain(value: object) -> object:
    """What msgspec does not know: pydantic models, found by their method so that pydantic need not be imported."""
    dump = getattr(type(value), "model_dump", None)
    if dump is None:
        raise TypeError(f"{type(value).__name__} is not JSON")
    return dump(value, mode="json")


def _decoded(data: bytes | bytearray) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ToolError(f"The tool returned {len(data)} bytes that are not text; it should return text.") from None


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - an object of somebody else may fail to print itself
        return f"<{type(value).__name__}>"


def _cut(text: str, limit: int) -> tuple[str, bool]:
    """At most `limit` bytes of text that can be sent, and whether something is missing; lone surrogates become "?"."""
    if len(text) <= limit and text.isascii():
        return text, False
    data = text.encode(errors="replace")
    if len(data) <= limit:
        return data.decode(), False
    marker = f"\n[cut off: the output has {len(data)} bytes, the limit is {limit}]"
    return data[: limit - len(marker)].decode(errors="ignore") + marker, True
