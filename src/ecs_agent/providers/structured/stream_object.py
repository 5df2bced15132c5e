"""stream_object: a structured answer while it arrives, as instances of a pydantic class that fill up, and at the end a valid one."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Generic, Literal, Self, TypeAlias, TypeVar, Unpack, cast

from ecs_agent.errors import StructuredOutputError, UnsupportedFeatureError
from ecs_agent.providers.calling import takes
from ecs_agent.providers.capabilities import capabilities_of
from ecs_agent.providers.protocol import ProviderLike, RequestOptions, check_options, checked_messages
from ecs_agent.providers.structured.object_answer import ObjectAnswer
from ecs_agent.providers.structured.parsing import lost, parsed, unfit
from ecs_agent.providers.structured.partial_object import UnfitError
from ecs_agent.providers.structured.partial_shape import is_streamed
from ecs_agent.providers.structured.response_format import response_format_of, wire_name
from ecs_agent.providers.wrapping import check_provider, stream_of
from ecs_agent.streaming.stream import CompletionStream
from ecs_agent.types import CompletionResult, Message, ToolSchema, Usage

if TYPE_CHECKING:
    from pydantic import BaseModel

M = TypeVar("M", bound="BaseModel")

Mode: TypeAlias = Literal["auto", "json", "tool"]
"""How the object is asked for: by a schema for the whole answer, by a tool whose arguments it is, or by what the provider can."""

_OURS: Final = ("output_format", "response_format", "tool_choice", "tools")


def stream_object(
    provider: ProviderLike,
    messages: Sequence[Message],
    object_type: type[M],
    *,
    mode: Mode = "auto",
    repairs: int = 0,
    **options: Unpack[RequestOptions],
) -> ObjectStream[M]:
    """Ask for an object of a class, and hand it out while it arrives.

    Use it as in `async for city in stream_object(provider, messages, City): …`. What is handed out before the end are *partial* instances: of a
    class derived from it, each a new one. A field that has not arrived is None, whatever its default is, and not in `model_fields_set`; likewise
    in the models it holds that are still open. A text, a list and a dict are handed out as far as they have come; everything else, and every model
    that is complete, when it is whole, and then it is valid: its type and the bounds of its field are checked as soon as it closes, the validators
    of a model when its object closes. `partial_shape` has the details. Private attributes do not exist on a partial;
    `model_dump(exclude_unset=True)` is what has arrived. The last one is an instance of the class itself, validated as a whole.

    Nothing is sent before the first is asked for. There is at most one partial for what arrives at once, and none when that changes nothing.

    Args:
        provider: whom to ask; anybody's, if it streams JSON by `output_format` or takes tools.
        messages: the conversation.
        object_type: a pydantic class, no `RootModel`.
        mode: "json" asks for an answer that is the object, "tool" for a call with the object as arguments; "auto" for the former where the
            provider says that it can.
        repairs: how many times the model is told what was wrong with its answer, and asked again; the partials begin anew then. An answer that was
            refused, or cut by a limit, is not repaired.
        options: as those of `complete`, but for `response_format`, `output_format`, `tools` and `tool_choice`, which are made here.

    Raises:
        UnsupportedFeatureError: the schema cannot be closed and must be, or the provider can do neither.
        TypeError: that is no class of a model, or an option does not exist or is made here.
        ValueError: a negative number of repairs, or a mode that does not exist.
    """
    if not is_streamed(object_type):
        raise TypeError(f"{object_type!r} is no pydantic model with fields; give a class of BaseModel")
    if repairs < 0:
        raise ValueError(f"repairs is {repairs}; give 0 or more")
    wrong = next((name for name in _OURS if name in options), None)
    if wrong is not None:
        raise TypeError(f"stream_object() makes {wrong} itself; leave it out")
    check_options(options, stream=True)
    check_provider(provider)
    chosen = _mode(provider, mode)
    return ObjectStream(provider, checked_messages(messages), object_type, _asking(provider, object_type, chosen, options), chosen, repairs)


def _mode(provider: ProviderLike, mode: Mode) -> Literal["json", "tool"]:
    """What "auto" is for a provider.

    Raises:
        UnsupportedFeatureError: it can do nothing of it.
    """
    if mode not in ("auto", "json", "tool"):
        raise ValueError(f"mode is {mode!r}; it must be 'auto', 'json' or 'tool'")
    can = capabilities_of(provider)
    if mode != "tool" and takes(provider, "output_format") and (mode == "json" or can.structured_output):
        return "json"
    if mode != "json" and takes(provider, "tools") and (mode == "tool" or can.tools):
        return "tool"
    wanted = {"json": "does not take output_format", "tool": "does not take tools", "auto": "takes neither output_format nor tools"}[mode]
    raise UnsupportedFeatureError(f"{type(provider).__name__} {wanted}, so it cannot stream an object; ask another provider, or in another mode")


def _asking(provider: ProviderLike, model: type[BaseModel], mode: Literal["json", "tool"], options: RequestOptions) -> RequestOptions:
    """The options that ask for the object."""
    made = options.copy()
    wire = response_format_of(model, strict=mode == "json" and capabilities_of(provider).strict_schemas)
    if mode == "json":
        made["output_format"] = wire
        return made
    name = wire_name(model)
    said = inspect.cleandoc(model.__doc__) if model.__doc__ else f"Give the answer as a {name}."
    made["tools"] = [ToolSchema(name, said, wire["json_schema"]["schema"])]
    if takes(provider, "tool_choice"):
        made["tool_choice"] = name
    return made


class ObjectStream(Generic[M]):
    """An object that is arriving; see `stream_object`, which makes it. Iterate it, or leave it by `async with` or `aclose()`.

    Attributes:
        attempt: the number of the answer that is being read, from 1 on; 0 before anything was asked.

    Raises:
        StructuredOutputError: from the iteration, when the answer is not the object and may not be repaired. A value that does not fit ends the
            answer as soon as it is complete.
        ProviderError: from the iteration, as the provider raised it.
    """

    def __init__(
        self,
        provider: ProviderLike,
        messages: Sequence[Message],
        model: type[M],
        options: RequestOptions,
        mode: Literal["json", "tool"],
        repairs: int,
    ) -> None:
        self.attempt = 0
        self._provider = provider
        self._messages = list(messages)
        self._model = model
        self._options = options
        self._mode: Literal["json", "tool"] = mode
        self._repairs = repairs
        self._stream: CompletionStream | None = None
        self._answer = ObjectAnswer(model, mode, len(self._messages))
        self._last: CompletionResult | None = None  # of an answer that is over
        self._spent: Usage | None = None
        self._object: M | None = None
        self._failed: StructuredOutputError | None = None
        self._opening: asyncio.Task[object] | None = None
        self._is_over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> M:
        while not self._is_over:
            found = await self._next()
            if found is not None:
                return found
        raise StopAsyncIteration

    @property
    def completion(self) -> CompletionResult | None:
        """The answer of the last attempt, or what has arrived of it; None before there is any. At the end its `parsed` is the object."""
        return self._last if self._stream is None else self._stream.result()

    @property
    def usage(self) -> Usage | None:
        """What all answers cost that told it; one that was ended early often does not."""
        now = self.completion if self._stream is not None else None
        return _together(self._spent, now.usage if now is not None else None)

    def result(self) -> M:
        """The object.

        Raises:
            StructuredOutputError: there is none; as the iteration raised it.
            RuntimeError: it is not complete: this was not read to its end, was closed, or its provider failed.
        """
        if self._failed is not None:
            raise self._failed
        if self._object is None:
            raise RuntimeError("the object is not complete; read its stream to the end before you ask for the result")
        return self._object

    async def aclose(self) -> None:
        """Leave: the provider's stream is closed at once. Safe to call twice, and while another task waits for the next partial."""
        self._is_over = True
        if self._opening is not None:
            self._opening.cancel()
        if self._stream is not None:
            await self._stream.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _next(self) -> M | None:
        """Deal with what arrives next; what is to be handed out, if anything is."""
        try:
            if self._stream is None:
                await self._open()
            stream = self._stream
            deltas = await stream.read() if stream is not None else ()
        except BaseException:
            self._is_over = True
            raise
        if self._is_over or stream is None:
            return None
        try:
            if deltas:
                return cast("M", self._answer.shown()) if self._answer.take(deltas) else None
            return await self._end(stream)
        except UnfitError as error:
            await stream.aclose()
            result = stream.result()
            await self._unfit(result, unfit(result, self._model, error.problems))
            return None

    async def _open(self) -> None:
        """Ask. A close meanwhile cancels whoever waits here."""
        self._opening = reader = asyncio.current_task()
        try:
            self._stream = await stream_of(self._provider, self._messages, self._options)
            self.attempt += 1
        except asyncio.CancelledError:
            if not self._is_over or reader is None or reader.uncancel():
                raise
        finally:
            self._opening = None
        if self._is_over and self._stream is not None:
            self._stream.abort()

    async def _end(self, stream: CompletionStream) -> M | None:
        """The answer is complete."""
        result = stream.result()
        try:
            found = parsed(result, self._model, self._answer.text_of(result), self._answer.nothing)
        except StructuredOutputError as error:
            await self._unfit(result, error)
            return None
        self._note(replace(result, parsed=found))
        self._object, self._is_over = found, True
        return found

    async def _unfit(self, result: CompletionResult, error: StructuredOutputError) -> None:
        """The answer is not the object: ask once more, or fail."""
        self._note(result)
        if not self._repairs or (lost(result) is not None):
            self._is_over, self._failed = True, error
            raise error
        self._repairs -= 1
        self._messages += self._answer.repair(result, error.problems)
        self._answer = ObjectAnswer(self._model, self._mode, len(self._messages))

    def _note(self, result: CompletionResult) -> None:
        """An answer is over."""
        self._stream, self._last = None, result
        self._spent = _together(self._spent, result.usage)


def _together(one: Usage | None, other: Usage | None) -> Usage | None:
    return one + other if one is not None and other is not None else one or other
