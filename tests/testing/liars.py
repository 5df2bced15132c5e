"""Providers that break one law each, so that the laws can be seen to fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

from ecs_agent.errors import ProviderError, ServerError, StreamInterruptedError
from ecs_agent.providers import OpenAIProvider
from ecs_agent.providers.transport import Transport, TransportRequest, TransportResponse
from ecs_agent.streaming import CompletionStream, Fold, fold
from ecs_agent.types import CompletionResult, Message, StreamDelta, TextPart, ToolCall, ToolCallFragment, Usage

CALL = ToolCall("c1", "look_up", {"city": "Oslo"})
HONEST = (
    *(StreamDelta(word) for word in ("One ", "two ", "three ", "four.")),
    StreamDelta(tool_calls=[CALL], tool_fragments=(ToolCallFragment(0, "c1", "look_up", '{"city": "Oslo"}'),)),
    StreamDelta(tool_calls=[CALL], finish_reason="tool_calls", raw_finish_reason="tool_calls", usage=Usage(1, 2, 3), final=True),
)


class Stream:
    """An honest stream with a result of its own; one delta every 10 ms."""

    def __init__(self, deltas: Sequence[StreamDelta]) -> None:
        self.left = list(deltas)
        self.folded = Fold()

    def __aiter__(self) -> AsyncIterator[StreamDelta]:
        return self

    async def __anext__(self) -> StreamDelta:
        await asyncio.sleep(0.01)
        if not self.left:
            raise StopAsyncIteration
        delta = self.left.pop(0)
        self.folded.add(delta)
        return delta

    def result(self) -> CompletionResult:
        return self.folded.result()

    async def aclose(self) -> None:
        self.left.clear()


class Honest:
    """Breaks nothing; the others change one thing of it."""

    stream: type[Stream] = Stream
    deltas: Sequence[StreamDelta] = HONEST

    async def complete(self, messages: Sequence[Message], stream: bool = False) -> Any:
        return self.stream(self.deltas) if stream else fold(self.deltas)


def changed(place: int, **fields: Any) -> list[StreamDelta]:
    return [replace(delta, **fields) if number == place % len(HONEST) else delta for number, delta in enumerate(HONEST)]


class DropsTheTail(Honest):
    deltas = HONEST[:-1]

    async def complete(self, messages: Sequence[Message], stream: bool = False) -> Any:
        async def told() -> AsyncIterator[StreamDelta]:
            for delta in self.deltas:
                yield delta

        return told()


class EndsTwice(Honest):
    deltas = (*HONEST, HONEST[-1])


class EndsWithoutAFinalDelta(Honest):
    deltas = changed(-1, final=False)


class FinishesEarly(Honest):
    deltas = changed(1, finish_reason="stop")


class _OtherText(Stream):
    def result(self) -> CompletionResult:
        told = super().result()
        return replace(told, message=replace_parts(told.message, TextPart("Something else.")))


class SaysOneThingAndStoresAnother(Honest):
    stream = _OtherText


class _OtherUsage(Stream):
    def result(self) -> CompletionResult:
        return replace(super().result(), usage=Usage(7, 7, 14))


class CountsOneThingAndStoresAnother(Honest):
    stream = _OtherUsage


class _LostCalls(Stream):
    def result(self) -> CompletionResult:
        told = super().result()
        return replace(told, message=Message("assistant", told.message.content, interrupted=told.message.interrupted))


class LosesCalls(Honest):
    stream = _LostCalls


class ForgetsCalls(Honest):
    deltas = (*HONEST[:-1], StreamDelta(tool_calls=[]), HONEST[-1])


class InventsFragments(Honest):
    deltas = changed(4, tool_fragments=(ToolCallFragment(0, "c1", "look_up", '{"city": "Rome"}'),))


class PassesBrokenArgumentsOn(Honest):
    deltas = (*HONEST[:4], StreamDelta(tool_calls=[ToolCall("c1", "look_up", raw_arguments='{"city"')], finish_reason="tool_calls", final=True))


class GivesTwoCallsOneId(Honest):
    deltas = (*HONEST[:4], StreamDelta(tool_calls=[CALL, CALL], finish_reason="tool_calls", final=True))


class _Unmarked(Stream):
    def result(self) -> CompletionResult:
        told = super().result()
        return replace(told, message=Message("assistant", parts=told.message.parts))


class TakesAPartForTheWhole(Honest):
    stream = _Unmarked


class RaisesItsOwnErrors(Honest):
    async def complete(self, messages: Sequence[Message], stream: bool = False) -> Any:
        raise KeyError("choices")


class _Failing(Stream):
    async def __anext__(self) -> StreamDelta:
        if len(self.left) < 3:
            raise ServerError("overloaded")
        return await super().__anext__()


class LosesThePartial(Honest):
    stream = _Failing


class _Leaking(Stream):
    def __init__(self, deltas: Sequence[StreamDelta]) -> None:
        super().__init__(deltas)
        self.pump = asyncio.create_task(asyncio.sleep(3600))


class LeavesATask(Honest):
    stream = _Leaking


class _Deaf(Stream):
    async def __anext__(self) -> StreamDelta:
        try:
            return await super().__anext__()
        except asyncio.CancelledError:
            raise StreamInterruptedError("lost") from None


class SwallowsACancel(Honest):
    stream = _Deaf


class _Slow(Stream):
    async def __anext__(self) -> StreamDelta:
        if self.left:
            await asyncio.sleep(5)
        return await super().__anext__()


class MakesItsReaderWaitWhenItIsClosed(Honest):
    stream = _Slow


class _Closing(Stream):
    async def aclose(self) -> None:
        if self.left:
            await asyncio.sleep(5)


class TakesItsTimeToClose(Honest):
    stream = _Closing


class _FailingWhenClosed(Stream):
    async def __anext__(self) -> StreamDelta:
        waited = bool(self.left)
        await asyncio.sleep(0.01)
        if waited and not self.left:
            raise StreamInterruptedError("closed")
        return await super().__anext__()


class FailsItsReaderWhenItIsClosed(Honest):
    stream = _FailingWhenClosed


class _Grumbling(Stream):
    async def aclose(self) -> None:
        raise ServerError("already gone")


class CannotBeClosed(Honest):
    stream = _Grumbling


class RefusesAWholeAnswer(Honest):
    async def complete(self, messages: Sequence[Message], stream: bool = False) -> Any:
        if not stream:
            raise ServerError("streams only")
        return self.stream(HONEST)


class GivesHalfAnAnswer(Honest):
    async def complete(self, messages: Sequence[Message], stream: bool = False) -> Any:
        return self.stream(HONEST) if stream else fold(HONEST[:2])


class CountsWholeAnswersDifferently(Honest):
    async def complete(self, messages: Sequence[Message], stream: bool = False) -> Any:
        return self.stream(HONEST) if stream else replace(fold(HONEST), usage=None)


class RefusesStructuredOutputAsABug(Honest):
    async def complete(self, messages: Sequence[Message], stream: bool = False, response_format: Any = None) -> Any:
        if response_format:
            raise ServerError("not now")
        return await super().complete(messages, stream)


class _Undead(Stream):
    async def aclose(self) -> None:
        """Does not close."""


class GoesOnAfterItWasClosed(Honest):
    stream = _Undead


class SaysAnotherThingWhole(Honest):
    async def complete(self, messages: Sequence[Message], stream: bool = False) -> Any:
        return self.stream(HONEST) if stream else fold([StreamDelta("Short."), *HONEST[4:]])


class StreamsStructuredOutput(Honest):
    async def complete(self, messages: Sequence[Message], stream: bool = False, response_format: Any = None) -> Any:
        return await super().complete(messages, stream)


def replace_parts(message: Message, *parts: TextPart) -> Message:
    return Message("assistant", parts=parts, interrupted=message.interrupted)


class OverHTTP:
    """An honest client of a server; what follows changes what it reports."""

    def __init__(self, transport: Transport, *, read_timeout: float | None = 5.0) -> None:
        self.inner = OpenAIProvider("k", "http://127.0.0.1/v1", "m", transport=transport, read_timeout=read_timeout)

    async def complete(self, messages: Sequence[Message], stream: bool = False) -> Any:
        return self.told(await self.inner.complete(messages, stream=True))

    async def told(self, stream: CompletionStream) -> AsyncIterator[StreamDelta]:
        async with stream:
            async for delta in stream:
                yield delta


class TakesACutForTheEnd(OverHTTP):
    async def told(self, stream: CompletionStream) -> AsyncIterator[StreamDelta]:
        try:
            async for delta in stream:
                yield delta
        except StreamInterruptedError:
            yield StreamDelta(finish_reason="stop", final=True)


class CallsEverythingAnInterruption(OverHTTP):
    async def told(self, stream: CompletionStream) -> AsyncIterator[StreamDelta]:
        try:
            async for delta in stream:
                yield delta
        except ProviderError as error:
            raise StreamInterruptedError("lost") from error


class LosesTheUsage(OverHTTP):
    async def told(self, stream: CompletionStream) -> AsyncIterator[StreamDelta]:
        async for delta in stream:
            yield replace(delta, usage=None)


class LosesADelta(OverHTTP):
    async def told(self, stream: CompletionStream) -> AsyncIterator[StreamDelta]:
        number = 0
        async for delta in stream:
            number += bool(delta.content)
            if number != 2 or not delta.content:
                yield delta


class KeepsTheLastCallOnly(OverHTTP):
    async def told(self, stream: CompletionStream) -> AsyncIterator[StreamDelta]:
        async for delta in stream:
            if delta.tool_calls is None or delta.final:
                yield replace(delta, tool_calls=list(delta.tool_calls or ())[-1:] or None)


class PassesABugOnFromTheCall(OverHTTP):
    async def complete(self, messages: Sequence[Message], stream: bool = False) -> Any:
        raise KeyError("choices")


class PassesABugOnFromTheStream(OverHTTP):
    async def told(self, stream: CompletionStream) -> AsyncIterator[StreamDelta]:
        yield await anext(stream)
        await stream.aclose()
        raise TimeoutError


class DoesNotAsk(OverHTTP):
    async def complete(self, messages: Sequence[Message], stream: bool = False) -> Any:
        return Stream([StreamDelta("Made up."), StreamDelta(finish_reason="stop", final=True)])


class _WithoutPartial(Stream):
    async def __anext__(self) -> StreamDelta:
        raise StreamInterruptedError("lost")


class LosesThePartialOverHTTP(OverHTTP):
    async def complete(self, messages: Sequence[Message], stream: bool = False) -> Any:
        return _WithoutPartial([])


class _Kept:
    """A response that is not closed."""

    def __init__(self, response: TransportResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.read = response.read

    async def aclose(self) -> None: ...

    def abort(self) -> None: ...


class _Keeping:
    def __init__(self, transport: Transport) -> None:
        self.inner = transport

    async def open(self, request: TransportRequest) -> TransportResponse:
        return _Kept(await self.inner.open(request))

    async def aclose(self) -> None: ...


class KeepsTheConnection(OverHTTP):
    def __init__(self, transport: Transport) -> None:
        super().__init__(_Keeping(transport))
