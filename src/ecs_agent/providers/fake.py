"""FakeProvider: a model that answers from a script and streams as a real one does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, Unpack, overload

from ecs_agent.errors import ProviderExhaustedError, UnsupportedFeatureError
from ecs_agent.providers.protocol import ModelRequest, RequestOptions
from ecs_agent.streaming.fold import fold
from ecs_agent.streaming.stream import CompletionStream
from ecs_agent.streaming.tool_calls import ToolCallLog
from ecs_agent.types import CompletionResult, FinishReason, JsonObject, Message, StreamDelta, ToolCall, ToolCallFragment, Usage


@dataclass(frozen=True, slots=True)
class Script:
    """One scripted answer.

    It streams reasoning, then text, then tool calls. With `fail_after` it breaks off with `error` after so many deltas.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: Sequence[ToolCall] = ()
    usage: Usage | None = None
    finish_reason: FinishReason | None = None
    error: Exception | None = None
    fail_after: int = 0


Answer: TypeAlias = str | CompletionResult | Exception | Script
"""What a script may hold: a text, a whole result, an error raised before anything is said, or a `Script`."""

Piece: TypeAlias = Literal["character", "chunk"] | int


class FakeProvider:
    """Answers requests from a list, in order.

    Args:
        responses: the answers; a function is asked with the messages when its turn comes.
        delay: seconds between deltas; with 0 there is no waiting at all.
        by: what a delta holds: a character, a chunk (a word), or so many characters.
        name: how errors call it.
        model: the model it pretends to be.

    Attributes:
        calls: the requests so far.
        last_response_format: that of the last request.
    """

    def __init__(
        self,
        responses: Sequence[Answer | Callable[[Sequence[Message]], Answer]],
        *,
        delay: float = 0.001,
        by: Piece = "character",
        name: str = "fake",
        model: str = "fake",
    ) -> None:
        if isinstance(responses, str):
            raise TypeError("responses is one string; give a list of answers: FakeProvider(['…'])")
        if (isinstance(by, str) and by not in ("character", "chunk")) or (isinstance(by, int) and by < 1):
            raise ValueError(f"by is {by!r}; it must be 'character', 'chunk' or a number of characters")
        self.name = name
        self.model = model
        self.calls: list[ModelRequest] = []
        self.last_response_format: JsonObject | None = None
        self._responses = list(responses)
        self._delay = delay
        self._by: Piece = by

    @overload
    async def complete(self, messages: Sequence[Message], stream: Literal[False] = False, **options: Unpack[RequestOptions]) -> CompletionResult: ...
    @overload
    async def complete(self, messages: Sequence[Message], stream: Literal[True], **options: Unpack[RequestOptions]) -> CompletionStream: ...
    @overload
    async def complete(self, messages: Sequence[Message], stream: bool, **options: Unpack[RequestOptions]) -> CompletionResult | CompletionStream: ...
    async def complete(
        self, messages: Sequence[Message], stream: bool = False, **options: Unpack[RequestOptions]
    ) -> CompletionResult | CompletionStream:
        """Give the next answer.

        Raises:
            ProviderExhaustedError: there is none left.
            UnsupportedFeatureError: `stream=True` together with `response_format`.
        """
        self.last_response_format = options.get("response_format")
        if stream and self.last_response_format is not None:
            raise UnsupportedFeatureError("response_format cannot be streamed; ask with stream=False")
        self.calls.append(ModelRequest(options.get("model") or self.model, list(messages), stream, options))
        if len(self.calls) > len(self._responses):
            raise ProviderExhaustedError(f"{self.name} has no answer left: {len(self._responses)} were scripted, this is request {len(self.calls)}")
        answer = self._responses[len(self.calls) - 1]
        script = _script(answer(messages) if callable(answer) else answer, messages)
        if script.error is not None and not script.fail_after:
            raise script.error
        if stream:
            return CompletionStream(_Source(_deltas(script, self._by), script, self._delay), clock=asyncio.get_running_loop().time)
        if script.error is not None:
            raise script.error
        return fold(_deltas(script, self._by))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self._responses) - len(self.calls)} answers left)"


def _script(answer: Answer, messages: Sequence[Message]) -> Script:
    match answer:
        case Script():
            return answer
        case Exception():
            return Script(error=answer)
        case CompletionResult(message=message):
            return Script(message.content, message.reasoning, message.tool_calls or (), answer.usage, answer.finish_reason)
        case str():
            said = sum(len(message.content) for message in messages)
            tokens = (max(1, said // 4), max(1, len(answer) // 4))
            return Script(answer, usage=Usage(*tokens, sum(tokens), estimated=True))
        case _:
            raise TypeError(f"a scripted answer is a str, a CompletionResult, a Script or an exception, not {type(answer).__name__}")


def _deltas(script: Script, by: Piece) -> Iterator[StreamDelta]:
    for piece in _pieces(script.reasoning, by):
        yield StreamDelta(reasoning=piece)
    for piece in _pieces(script.text, by):
        yield StreamDelta(piece)
    log = ToolCallLog()
    for index, call in enumerate(script.tool_calls):
        text = call.raw_arguments if call.raw_arguments is not None else json.dumps(call.arguments, ensure_ascii=False)
        fragments = [ToolCallFragment(index, call.id, call.name), *[ToolCallFragment(index, arguments=piece) for piece in _pieces(text, by)]]
        for fragment in fragments:
            log.append(fragment)
            yield StreamDelta(tool_calls=log.view(), tool_fragments=(fragment,))
    finish = script.finish_reason or ("tool_calls" if script.tool_calls else "stop")
    calls = log.final(finish, "call_{}".format) or None
    yield StreamDelta(tool_calls=calls, finish_reason=finish, raw_finish_reason=finish, usage=script.usage, final=True)


def _pieces(text: str, by: Piece) -> Iterator[str]:
    if by == "chunk":
        start = 0
        while start < len(text):
            end = text.find(" ", start) + 1 or len(text)
            yield text[start:end]
            start = end
    else:
        size = by if isinstance(by, int) else 1
        yield from (text[at : at + size] for at in range(0, len(text), size))


class _Source:
    """Hands out one delta a read, with the pause before it."""

    def __init__(self, deltas: Iterator[StreamDelta], script: Script, delay: float) -> None:
        self._deltas = deltas
        self._script = script
        self._delay = delay
        self._given = 0

    async def read(self) -> Sequence[StreamDelta]:
        """The next delta."""
        if self._delay:
            await asyncio.sleep(self._delay)
        if self._script.error is not None and self._given >= self._script.fail_after:
            raise self._script.error
        self._given += 1
        return [delta for delta in (next(self._deltas, None),) if delta is not None]

    async def aclose(self) -> None:
        """Forget the rest."""
        self.abort()

    def abort(self) -> None:
        """Forget the rest."""
        self._deltas = iter(())
