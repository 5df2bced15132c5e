"""CompletionStream: deltas as they arrive, a result at any moment, and every way to leave."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import cast

import pytest

from ecs_agent.errors import ProviderError, RateLimitError, StreamInterruptedError
from ecs_agent.streaming import CompletionStream, DeltaSource, Finished, StreamEvent, StreamTap, TextDelta, ToolCallStarted, UsageReported
from ecs_agent.streaming.fold import Fold, TextDeltas
from ecs_agent.types import CompletionResult, Message, StreamDelta, Timing, ToolCall, Usage

A, B, C = StreamDelta("a"), StreamDelta("b"), StreamDelta("c")
USAGE = Usage(1, 30, 31)
END = StreamDelta(finish_reason="stop", usage=USAGE, final=True)


class FakeClock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class FakeSource:
    """Hands out what it was given, one batch or error for each read, then the end; counts what is done to it."""

    def __init__(self, *script: Sequence[StreamDelta] | BaseException, clock: FakeClock | None = None, pace: float = 0.0) -> None:
        self.script = list(script)
        self.clock = clock
        self.pace = pace
        self.reads = self.closes = self.aborts = 0

    async def read(self) -> Sequence[StreamDelta]:
        self.reads += 1
        if not self.script:
            return ()
        if self.clock is not None:
            self.clock.now += self.pace
        item = self.script.pop(0)
        if isinstance(item, BaseException):
            raise item
        return item

    async def aclose(self) -> None:
        self.closes += 1

    def abort(self) -> None:
        self.aborts += 1


class WaitingSource(FakeSource):
    """Like its base, but the read after the script's end waits until the source is closed or `more` is set."""

    def __init__(self, *script: Sequence[StreamDelta] | BaseException) -> None:
        super().__init__(*script)
        self.waiting = asyncio.Event()
        self.more = asyncio.Event()

    async def read(self) -> Sequence[StreamDelta]:
        if not self.script:
            self.waiting.set()
            await self.more.wait()
        return await super().read()

    async def aclose(self) -> None:
        await super().aclose()
        self.more.set()


def content(stream: CompletionStream) -> str:
    return stream.result().message.content


async def failure(stream: CompletionStream) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        async for _ in stream:
            pass
    return caught.value


class TestReading:
    async def test_deltas_come_as_the_source_has_them_and_then_it_ends(self) -> None:
        source: DeltaSource = FakeSource([A, B], [C], [END])
        stream = CompletionStream(source)
        assert [delta async for delta in stream] == [A, B, C, END]
        assert stream.result().message == Message("assistant", "abc")
        assert (stream.result().finish_reason, stream.result().usage) == ("stop", USAGE)

    async def test_all_deltas_of_one_read_are_handed_out_without_awaiting(self) -> None:
        source = FakeSource([A, B, C, END])
        stream = CompletionStream(source)
        assert await anext(stream) is A
        for expected in (B, C, END):
            with pytest.raises(StopIteration) as ended:
                stream.__anext__().send(None)
            assert ended.value.value is expected
        assert source.reads == 1

    async def test_a_read_of_texts_is_folded_at_once_and_only_when_somebody_asks_or_more_is_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stream = CompletionStream(FakeSource([A], TextDeltas([B, C]), [END]))
        await anext(stream)
        assert content(stream) == "a"
        for expected in (B, C):
            assert await anext(stream) is expected
        with monkeypatch.context() as patch:
            patch.setattr(Fold, "add", lambda *_: pytest.fail("looked at one by one"))
            assert content(stream) == "abc"
        assert await anext(stream) is END
        assert content(stream) == "abc"

    async def test_a_result_in_the_middle_of_a_read_counts_nothing_twice(self) -> None:
        for moments in range(8):
            stream = CompletionStream(FakeSource([A], TextDeltas([B, C]), [B, C, END]))
            for number, text in enumerate(["a", "ab", "abc", "abcb", "abcbc", "abcbc"]):
                await anext(stream)
                assert not moments >> number % 3 & 1 or content(stream) == text
            assert content(stream) == "abcbc"

    async def test_reading_takes_what_the_iteration_has_left_of_a_read_first(self) -> None:
        stream = CompletionStream(FakeSource([A, B, C], [END]))
        assert await anext(stream) is A
        assert list(await stream.read()) == [B, C]
        assert list(await stream.read()) == [END]
        assert list(await stream.read()) == []
        assert content(stream) == "abc"

    async def test_nothing_is_read_before_it_is_asked_for(self) -> None:
        source = FakeSource([A], [END])
        stream = CompletionStream(source)
        assert source.reads == 0
        await anext(stream)
        assert source.reads == 1
        await stream.aclose()

    async def test_the_result_can_be_asked_at_any_moment_and_holds_what_was_handed_out(self) -> None:
        clock = FakeClock()
        stream = CompletionStream(FakeSource([A, B], [END]), clock=clock)
        assert stream.result() == CompletionResult(Message("assistant", interrupted=True), timing=Timing())
        seen = [(content(stream), stream.result().message.interrupted) async for _ in stream]
        assert seen == [("a", True), ("ab", True), ("ab", False)]

    async def test_iterating_after_the_end_keeps_ending(self) -> None:
        source = FakeSource([A, END])
        stream = CompletionStream(source)
        assert len([delta async for delta in stream]) == 2
        for _ in range(3):
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
        assert (source.reads, source.closes, source.aborts) == (2, 1, 0)
        assert content(stream) == "a"

    async def test_an_end_without_a_final_delta_is_an_interruption_with_what_had_arrived(self) -> None:
        source = FakeSource([A, B])
        stream = CompletionStream(source)
        error = await failure(stream)
        assert isinstance(error, StreamInterruptedError)
        assert str(error) == "the answer ended without a finish; it may be incomplete"
        assert error.partial == stream.result()
        assert error.partial.message == Message("assistant", "ab", interrupted=True)
        assert source.closes == 1

    async def test_so_is_an_end_without_any_delta(self) -> None:
        error = await failure(CompletionStream(FakeSource()))
        assert isinstance(error, StreamInterruptedError)
        assert error.partial is not None
        assert error.partial.message.parts == ()


class TestErrors:
    async def test_an_error_carries_the_partial_and_closes_the_source(self) -> None:
        limit = RateLimitError("slow down", retry_after=3.0)
        source = FakeSource([A, B], limit)
        stream = CompletionStream(source)
        assert await failure(stream) is limit
        assert limit.partial == stream.result()
        assert content(stream) == "ab"
        assert (source.closes, source.aborts) == (1, 0)

    async def test_after_an_error_the_iteration_is_over(self) -> None:
        source = FakeSource(RateLimitError("slow down"), [A])
        stream = CompletionStream(source)
        await failure(stream)
        assert [delta async for delta in stream] == []
        assert source.reads == 1

    @pytest.mark.parametrize("fault", [ZeroDivisionError("a bug"), KeyboardInterrupt()])
    async def test_any_other_exception_goes_through_and_aborts_the_source(self, fault: BaseException) -> None:
        source = FakeSource([A], fault)
        stream = CompletionStream(source)
        await anext(stream)
        with pytest.raises(type(fault)):
            stream.__anext__().send(None)
        assert (source.closes, source.aborts) == (0, 1)
        assert [delta async for delta in stream] == []


class TestLeaving:
    async def test_leaving_the_block_closes(self) -> None:
        source = FakeSource([A, B], [END])
        async with CompletionStream(source) as stream:
            assert await anext(stream) is A
        assert source.closes == 1
        assert [delta async for delta in stream] == []
        assert content(stream) == "a"

    async def test_leaving_it_by_an_exception_closes_too_and_lets_it_through(self) -> None:
        source = FakeSource([A])
        with pytest.raises(ZeroDivisionError):
            async with CompletionStream(source):
                raise ZeroDivisionError
        assert source.closes == 1

    async def test_closing_twice_is_closing_once(self) -> None:
        source = FakeSource([A])
        stream = CompletionStream(source)
        await stream.aclose()
        await stream.aclose()
        assert (source.reads, source.closes) == (0, 1)

    async def test_closing_while_another_task_reads_ends_its_iteration_without_an_error(self) -> None:
        source = WaitingSource([A])
        stream = CompletionStream(source)

        async def read_all() -> list[StreamDelta]:
            return [delta async for delta in stream]

        task = asyncio.create_task(read_all())
        await source.waiting.wait()
        await stream.aclose()
        await stream.aclose()
        assert await task == [A]
        assert (source.closes, source.aborts) == (1, 0)

    async def test_cancelling_the_reader_aborts_the_source(self) -> None:
        source = WaitingSource([A])
        stream = CompletionStream(source)

        async def read_all() -> None:
            async for _ in stream:
                pass

        task = asyncio.create_task(read_all())
        await source.waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (source.closes, source.aborts) == (0, 1)
        await stream.aclose()
        assert source.closes == 0
        assert content(stream) == "a"

    async def test_dropping_the_last_reference_aborts_the_source_and_warns_of_nothing(self) -> None:
        source = FakeSource([A], [END])
        stream = CompletionStream(source)
        await anext(stream)
        del stream
        gc.collect()
        assert (source.closes, source.aborts) == (0, 1)

    async def test_a_finaliser_that_runs_twice_aborts_once(self) -> None:
        source = FakeSource([A], [END])
        stream = CompletionStream(source)
        await anext(stream)
        stream.__del__()
        stream.__del__()
        assert (source.closes, source.aborts) == (0, 1)
        assert [delta async for delta in stream] == []

    async def test_dropping_a_stream_that_has_ended_or_was_closed_does_nothing(self) -> None:
        ended, closed = FakeSource([END]), FakeSource([A])
        stream = CompletionStream(ended)
        assert [delta async for delta in stream] == [END]
        stream = CompletionStream(closed)
        await stream.aclose()
        del stream
        gc.collect()
        assert (ended.closes, ended.aborts, closed.closes, closed.aborts) == (1, 0, 1, 0)

    def test_dropping_a_stream_that_was_never_made_does_nothing(self) -> None:
        def broken_clock() -> float:
            raise ZeroDivisionError

        source = FakeSource()
        with pytest.raises(ZeroDivisionError):
            CompletionStream(source, clock=broken_clock)
        gc.collect()
        assert source.aborts == 0


class TestTwoReaders:
    async def test_a_second_reader_is_refused_and_the_first_goes_on(self) -> None:
        source = WaitingSource()
        stream = CompletionStream(source)

        async def read_one() -> StreamDelta:
            return await anext(stream)

        first = asyncio.create_task(read_one())
        await source.waiting.wait()
        with pytest.raises(RuntimeError, match="^this stream is already being read by another task; a stream has one reader$"):
            await anext(stream)
        source.script.append([A, END])
        source.more.set()
        assert await first is A
        assert await anext(stream) is END
        assert (source.closes, source.aborts) == (0, 0)
        await stream.aclose()

    async def test_readers_may_take_turns(self) -> None:
        stream = CompletionStream(FakeSource([A], [B], [END]))

        async def read_one() -> StreamDelta:
            return await anext(stream)

        assert [await asyncio.create_task(read_one()) for _ in range(3)] == [A, B, END]
        await stream.aclose()


class TestEventsAndText:
    async def test_events_are_typed_and_close_the_stream_at_the_end(self) -> None:
        source = FakeSource([A], [StreamDelta(tool_calls=[ToolCall("c1", "search")])], [END])
        stream = CompletionStream(source)
        events = [event async for event in stream.events()]
        assert events[:3] == [TextDelta("a"), ToolCallStarted(0, "c1", "search"), UsageReported(USAGE)]
        assert isinstance(events[3], Finished)
        assert events[3].result.message == stream.result().message
        assert source.closes == 1

    async def test_text_is_the_text_alone(self) -> None:
        source = FakeSource([A, StreamDelta(reasoning="why"), StreamDelta("")], [B, END])
        assert [text async for text in CompletionStream(source).text()] == ["a", "b"]
        assert source.closes == 1

    async def test_both_go_on_where_the_stream_stands(self) -> None:
        stream = CompletionStream(FakeSource([A, B, END]))
        await anext(stream)
        assert [text async for text in stream.text()] == ["b"]
        assert content(stream) == "ab"

    async def test_leaving_events_early_closes_the_stream(self) -> None:
        source = FakeSource([A, B], [END])
        stream = CompletionStream(source)
        async with aclosing(cast("AsyncGenerator[StreamEvent]", stream.events())) as events:
            assert await anext(events) == TextDelta("a")
        assert source.closes == 1
        assert [delta async for delta in stream] == []

    async def test_leaving_text_early_closes_the_stream(self) -> None:
        source = FakeSource([A, B], [END])
        stream = CompletionStream(source)
        async with aclosing(cast("AsyncGenerator[str]", stream.text())) as texts:
            assert await anext(texts) == "a"
        assert source.closes == 1
        assert content(stream) == "a"

    @pytest.mark.parametrize("method", ["events", "text"])
    async def test_dropping_them_half_way_closes_the_stream_in_the_next_turn_of_the_loop(self, method: str) -> None:
        source = FakeSource([A, B], [END])
        iterator = getattr(CompletionStream(source), method)()
        await anext(iterator)
        del iterator
        gc.collect()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert source.closes + source.aborts == 1

    @pytest.mark.parametrize("method", ["events", "text"])
    async def test_errors_come_through_with_their_partial(self, method: str) -> None:
        source = FakeSource([A], RateLimitError("slow down"))
        items = getattr(CompletionStream(source), method)()
        assert await anext(items) in ("a", TextDelta("a"))
        with pytest.raises(RateLimitError) as caught:
            await anext(items)
        assert caught.value.partial is not None
        assert caught.value.partial.message.content == "a"
        assert source.closes == 1


class TestTiming:
    async def test_times_are_counted_from_the_sending_of_the_request(self) -> None:
        clock = FakeClock()
        stream = CompletionStream(FakeSource([A, B], [C], [END], clock=clock, pace=2.0), started=99.0, clock=clock)
        assert stream.timing == Timing()
        await anext(stream)
        assert stream.timing == Timing(time_to_first_delta=3.0, duration=3.0, deltas=2)
        assert len([delta async for delta in stream]) == 3
        timing = stream.timing
        assert (timing.time_to_first_delta, timing.duration, timing.deltas, timing.gap_max) == (3.0, 7.0, 4, 2.0)
        assert timing.gap_p50 == pytest.approx(2.0, rel=0.045)
        assert timing.tokens_per_second == 30 / 4
        assert stream.result().timing == timing

    async def test_they_begin_when_the_stream_is_made_if_nobody_says_otherwise(self) -> None:
        clock = FakeClock()
        stream = CompletionStream(FakeSource([END], clock=clock, pace=0.5), clock=clock)
        await anext(stream)
        assert stream.timing.time_to_first_delta == 0.5
        await stream.aclose()

    async def test_the_clock_is_the_machines_monotonic_one_by_default(self) -> None:
        before = time.monotonic()
        stream = CompletionStream(FakeSource([END]), started=before)
        await anext(stream)
        assert 0 <= (stream.timing.time_to_first_delta or 0.0) <= time.monotonic() - before
        await stream.aclose()

    async def test_the_partial_of_an_error_has_its_timing(self) -> None:
        clock = FakeClock()
        error = await failure(CompletionStream(FakeSource([A], RateLimitError("slow down"), clock=clock, pace=1.0), clock=clock))
        assert error.partial is not None
        assert error.partial.timing == Timing(time_to_first_delta=1.0, duration=1.0, deltas=1)


class TestOddProviders:
    async def test_events_after_some_deltas_end_with_the_whole_result_and_its_timing(self) -> None:
        stream = CompletionStream(FakeSource([A, B, END]), clock=FakeClock())
        await anext(stream)
        events = [event async for event in stream.events()]
        assert isinstance(events[-1], Finished)
        assert events[-1].result.message == Message("assistant", "ab")
        assert events[-1].result.timing is not None

    async def test_two_finishes_are_one(self) -> None:
        stream = CompletionStream(FakeSource([A, StreamDelta(finish_reason="stop"), StreamDelta(final=True)]))
        events = [event async for event in stream.events()]
        assert sum(isinstance(event, Finished) for event in events) == 1

    async def test_a_source_that_fails_to_close_does_not_hide_why_the_answer_broke(self) -> None:
        class Broken(FakeSource):
            async def aclose(self) -> None:
                raise OSError("close failed")

        stream = CompletionStream(Broken([A], RateLimitError("slow down")))
        with pytest.raises(RateLimitError) as caught:
            _ = [delta async for delta in stream]
        assert caught.value.partial is not None
        assert caught.value.partial.message.content == "a"

    async def test_what_comes_after_the_close_is_not_handed_out(self) -> None:
        released = asyncio.Event()

        class Late(FakeSource):
            async def read(self) -> Sequence[StreamDelta]:
                await released.wait()
                return [A]

        stream = CompletionStream(Late())
        reading = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        await stream.aclose()
        released.set()
        with pytest.raises(StopAsyncIteration):
            await reading
        assert content(stream) == ""


class Ear(StreamTap):
    """Notes what it hears."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def note(self, deltas: Sequence[StreamDelta], /) -> None:
        self.heard.append(list(deltas))

    def complete(self, stream: CompletionStream, /) -> None:
        self.heard.append(("complete", stream.result().message.content))

    def fail(self, stream: CompletionStream, error: Exception, /) -> None:
        self.heard.append(("fail", stream.result().message.content, type(error)))

    def leave(self, stream: CompletionStream, /) -> None:
        self.heard.append(("leave", stream.result().message.content))


class TestTap:
    async def test_it_hears_of_every_read_and_once_of_the_end(self) -> None:
        ear = Ear()
        stream = CompletionStream(FakeSource([A, B], [C, END]))
        assert stream.tap(ear) is stream
        async for _ in stream:
            pass
        await stream.aclose()
        stream.abort()
        assert ear.heard == [[A, B], [C, END], ("complete", "abc")]

    async def test_it_hears_of_reads_that_are_taken_whole(self) -> None:
        ear = Ear()
        stream = CompletionStream(FakeSource([A, B], [END])).tap(ear)
        while await stream.read():
            pass
        assert ear.heard == [[A, B], [END], ("complete", "ab")]

    async def test_the_first_one_hears_first(self) -> None:
        heard: list[str] = []

        class Named(StreamTap):
            def __init__(self, name: str) -> None:
                self.name = name

            def complete(self, stream: CompletionStream, /) -> None:
                heard.append(self.name)

        stream = CompletionStream(FakeSource([END])).tap(Named("a")).tap(Named("b"))
        _ = [delta async for delta in stream]
        assert heard == ["a", "b"]

    async def test_an_end_without_a_finish_is_a_failure(self) -> None:
        ear = Ear()
        with pytest.raises(StreamInterruptedError):
            _ = [delta async for delta in CompletionStream(FakeSource([A])).tap(ear)]
        assert ear.heard == [[A], ("fail", "a", StreamInterruptedError)]

    @pytest.mark.parametrize("error", [RateLimitError("slow"), ZeroDivisionError()])
    async def test_so_is_an_error(self, error: Exception) -> None:
        ear = Ear()
        with pytest.raises(type(error)):
            _ = [delta async for delta in CompletionStream(FakeSource([A], error)).tap(ear)]
        assert ear.heard == [[A], ("fail", "a", type(error))]

    @pytest.mark.parametrize("way", ["close", "abort", "drop", "cancelled"])
    async def test_every_way_to_leave_is_heard_with_what_was_handed_out(self, way: str) -> None:
        ear = Ear()
        rest: list[Sequence[StreamDelta] | BaseException] = [asyncio.CancelledError()] if way == "cancelled" else [[C]]
        stream = CompletionStream(FakeSource([A, B], *rest)).tap(ear)
        await anext(stream)
        if way == "close":
            await stream.aclose()
        elif way == "abort":
            stream.abort()
        elif way == "drop":
            del stream
        else:
            await anext(stream)
            with pytest.raises(asyncio.CancelledError):
                await anext(stream)
        assert ear.heard == [[A, B], ("leave", "ab" if way == "cancelled" else "a")]

    async def test_one_that_is_left_after_its_finish_is_complete(self) -> None:
        ear = Ear()
        stream = CompletionStream(FakeSource([A, END])).tap(ear)
        _ = [await anext(stream) for _ in range(2)]
        await stream.aclose()
        assert ear.heard[-1] == ("complete", "a")

    async def test_whoever_comes_after_the_end_hears_of_it_at_once(self) -> None:
        stream = CompletionStream(FakeSource([A, END]))
        _ = [delta async for delta in stream]
        ear = Ear()
        stream.tap(ear)
        assert ear.heard == [("complete", "a")]

    async def test_a_tap_that_overrides_nothing_hears_nothing(self) -> None:
        for script in ([[A], [END]], [[A]], [[A], RateLimitError("slow")]):
            stream = CompletionStream(FakeSource(*script)).tap(StreamTap())
            try:
                await anext(stream)
                await anext(stream)
            except ProviderError:
                pass
        CompletionStream(FakeSource([A])).tap(StreamTap()).abort()
