"""FakeProvider: a model that answers from a script and streams as a real one does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, Unpack, cast, overload

from ecs_agent.errors import ProviderError, ProviderExhaustedError
from ecs_agent.providers.capabilities import ASSUMED, Capabilities
from ecs_agent.providers.protocol import ModelRequest, RequestOptions, check_options, checked_messages
from ecs_agent.providers.script import Answer, Move, Piece, check_piece, moves, script_of
from ecs_agent.providers.structured.parsing import asked_format, with_parsed
from ecs_agent.streaming.fold import Fold
from ecs_agent.streaming.stream import CompletionStream
from ecs_agent.types import CompletionResult, JsonObject, Message, StreamDelta, Usage


class FakeProvider:
    """Answers requests from a list, in order. Time is that of the running event loop, so on a virtual clock nothing takes any.

    Args:
        responses: the answers; a function is asked with the messages when its turn comes.
        delay: seconds before each delta; with 0 there is no waiting but the pauses of the scripts.
        by: what a delta holds: a character, a word, a chunk (a few words), or so many characters.
        name: how errors call it.
        model: the model it pretends to be.
        capabilities: what it pretends to be able to do.

    Attributes:
        calls: the requests so far.
        last_response_format: that of the last request, as the wire object that is sent; of a stream its `output_format`.
        open_streams: how many streams have neither ended nor been closed.
    """

    def __init__(
        self,
        responses: Sequence[Answer | Callable[[Sequence[Message]], Answer]],
        *,
        delay: float = 0.001,
        by: Piece = "character",
        name: str = "fake",
        model: str = "fake",
        capabilities: Capabilities = ASSUMED,
    ) -> None:
        if isinstance(responses, str):
            raise TypeError("responses is one string; give a list of answers: FakeProvider(['…'])")
        self.name = name
        self.model = model
        self.capabilities = capabilities
        self.calls: list[ModelRequest] = []
        self.last_response_format: JsonObject | None = None
        self.open_streams = 0
        self._responses = list(responses)
        self._delay = delay
        self._by: Piece = check_piece(by)

    @overload
    async def complete(self, messages: Sequence[Message], stream: Literal[False] = False, **options: Unpack[RequestOptions]) -> CompletionResult: ...
    @overload
    async def complete(self, messages: Sequence[Message], stream: Literal[True], **options: Unpack[RequestOptions]) -> CompletionStream: ...
    @overload
    async def complete(self, messages: Sequence[Message], stream: bool, **options: Unpack[RequestOptions]) -> CompletionResult | CompletionStream: ...
    async def complete(
        self, messages: Sequence[Message], stream: bool = False, **options: Unpack[RequestOptions]
    ) -> CompletionResult | CompletionStream:
        """Give the next answer. A whole one takes the time of the pauses in its script.

        Raises:
            ProviderExhaustedError: there is none left.
            UnsupportedFeatureError: `stream=True` together with `response_format`.
            StructuredOutputError: the answer is no instance of the class given as `response_format`.
            TypeError: an option that does not exist, or messages that are none.
        """
        check_options(options, stream)
        asked, options = options.get("response_format"), asked_format(options, self.capabilities)
        self.last_response_format = cast("JsonObject | None", options.get("response_format") or options.get("output_format"))
        self.calls.append(ModelRequest(options.get("model") or self.model, list(checked_messages(messages)), stream, options))
        if len(self.calls) > len(self._responses):
            raise ProviderExhaustedError(f"{self.name} has no answer left: {len(self._responses)} were scripted, this is request {len(self.calls)}")
        answer = self._responses[len(self.calls) - 1]
        if isinstance(answer, type):
            raise TypeError(f"a scripted answer is the class {answer.__name__}; give an instance of it")
        script = script_of(answer(messages) if callable(answer) else answer, messages)
        first = next(moves(script, self._by))
        if isinstance(first, Exception):
            raise first
        if not stream:
            return with_parsed(await _whole(moves(script, self._by)), asked)
        self.open_streams += 1
        loop = asyncio.get_running_loop()
        return CompletionStream(_Source(moves(script, self._by), self._delay, loop, self._released), clock=loop.time)

    def _released(self) -> None:
        self.open_streams -= 1

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self._responses) - len(self.calls)} answers left)"


async def _whole(played: Iterator[Move]) -> CompletionResult:
    folded = Fold()
    for move in played:
        match move:
            case StreamDelta():
                folded.add(move)
            case Usage():
                pass
            case Exception():
                if isinstance(move, ProviderError):
                    move.partial = folded.result()
                raise move
            case seconds:
                await asyncio.sleep(seconds)
    return folded.result()


class _Source:
    """Hands out one delta a read, with the pauses before it."""

    def __init__(self, played: Iterator[Move], delay: float, loop: asyncio.AbstractEventLoop, released: Callable[[], None]) -> None:
        self._played = played
        self._delay = delay
        self._loop = loop
        self._released = released
        self._closed = False
        self._pausing: asyncio.Future[None] | None = None

    async def read(self) -> Sequence[StreamDelta]:
        """The next delta."""
        for move in self._played:
            match move:
                case StreamDelta():
                    await self._pause(self._delay)
                    return () if self._closed else (move,)
                case Usage():
                    pass
                case Exception():
                    raise move
                case seconds:
                    await self._pause(seconds)
                    if self._closed:
                        break
        return ()

    async def _pause(self, seconds: float) -> None:
        """Wait, unless this is closed meanwhile."""
        if not seconds:
            return
        self._pausing = self._loop.create_future()
        timer = self._loop.call_later(seconds, self._wake)
        try:
            await self._pausing
        finally:
            timer.cancel()
            self._pausing = None

    def _wake(self) -> None:
        if self._pausing is not None and not self._pausing.done():
            self._pausing.set_result(None)

    async def aclose(self) -> None:
        """Forget the rest."""
        self.abort()

    def abort(self) -> None:
        """Forget the rest, and wake whoever waits for it."""
        if not self._closed:
            self._closed = True
            self._played = iter(())
            self._wake()
            self._released()
