"""Coalescing: fewer deltas, the same answer, and every way in which a stream can end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_agent.errors import RateLimitError, StreamInterruptedError
from ecs_agent.providers import FakeProvider
from ecs_agent.streaming import CompletionStream, Finished, TextDelta, ToolCallLog, fold
from ecs_agent.streaming.coalesce import CoalescedStream, TextHolder, Unit, coalesce, merged
from ecs_agent.streaming.text_breaks import Cut, whole_sentences, whole_words
from ecs_agent.testing import run
from ecs_agent.types import Message, OpaquePart, Part, StreamDelta, TokenLogprob, ToolCall, ToolCallFragment, Usage

END = StreamDelta(finish_reason="stop", raw_finish_reason="stop", final=True)
OPAQUE = OpaquePart("openai-chat", {"signature": "s"})


class PacedSource:
    """Hands out its script on the loop's clock: a number is a pause, a list of deltas is a read, an error is raised."""

    def __init__(self, *script: float | Sequence[StreamDelta] | BaseException) -> None:
        self.script = list(script)
        self.reads = self.closes = self.aborts = 0
        self.closed = asyncio.Event()

    async def read(self) -> Sequence[StreamDelta]:
        self.reads += 1
        while self.script:
            item = self.script.pop(0)
            if isinstance(item, int | float):
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.closed.wait(), item)
            elif isinstance(item, BaseException):
                raise item
            else:
                return item
        return ()

    async def aclose(self) -> None:
        self.closes += 1
        self.script = []
        self.closed.set()

    def abort(self) -> None:
        self.aborts += 1
        self.script = []
        self.closed.set()

    @property
    def is_closed(self) -> bool:
        return self.closes + self.aborts > 0


def stream_of(source: PacedSource) -> CompletionStream:
    return CompletionStream(source, clock=asyncio.get_running_loop().time)


def texts(*pieces: str) -> list[StreamDelta]:
    return [StreamDelta(piece) for piece in pieces]


def paced(pieces: str, pause: float) -> list[float | Sequence[StreamDelta] | BaseException]:
    """One delta a read, with a pause before each."""
    return [step for piece in pieces for step in (pause, [StreamDelta(piece)])]


async def arrivals(stream: AsyncIterator[StreamDelta]) -> list[tuple[float, str]]:
    """The time and the text of each delta, in milliseconds; "." stands for the final one."""
    loop = asyncio.get_running_loop()
    seen: list[tuple[float, str]] = []
    async for delta in stream:
        moment = round(loop.time() * 1000)
        seen.append((moment, "." if delta.final else delta.content or ""))
    return seen


def timed(*script: float | Sequence[StreamDelta] | BaseException, seconds: float = 0.05) -> list[tuple[float, str]]:
    async def main() -> list[tuple[float, str]]:
        return await arrivals(coalesce(stream_of(PacedSource(*script)), seconds))

    return run(main)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class TestByTime:
    def test_the_first_delta_goes_out_at_once_then_there_is_one_a_window(self) -> None:
        assert timed(*paced("abcdefghij", 0.008), 0.5, [END]) == [(8, "a"), (58, "bcdefg"), (108, "hij"), (580, ".")]

    def test_the_window_is_the_callers(self) -> None:
        assert timed(*paced("abcdefg", 0.008), [END], seconds=0.03) == [(8, "a"), (38, "bcd"), (56, "efg"), (56, ".")]

    def test_it_is_50_ms_by_default(self) -> None:
        async def main() -> list[tuple[float, str]]:
            return await arrivals(coalesce(stream_of(PacedSource(*paced("abcdefg", 0.01), [END]))))

        assert run(main) == timed(*paced("abcdefg", 0.01), [END], seconds=0.05)

    def test_what_comes_after_a_silence_goes_out_at_once(self) -> None:
        assert timed(texts("a"), 0.2, texts("b"), 0.01, texts("c"), 0.2, [END]) == [(0, "a"), (200, "b"), (250, "c"), (410, ".")]

    def test_a_window_begins_when_its_deltas_went_out(self) -> None:
        assert timed(texts("a"), 0.03, texts("b"), 0.03, texts("c"), 0.2, [END]) == [(0, "a"), (50, "b"), (100, "c"), (260, ".")]

    def test_the_end_does_not_wait_for_its_window(self) -> None:
        assert timed(texts("a"), 0.01, texts("b"), [END]) == [(0, "a"), (10, "b"), (10, ".")]

    def test_with_no_window_only_what_came_while_the_consumer_was_busy_is_merged(self) -> None:
        async def main() -> list[str | None]:
            seen = []
            async for delta in coalesce(stream_of(PacedSource(*paced("abcdefg", 0.01), [END])), 0):
                seen.append(delta.content)
                await asyncio.sleep(0.023)
            return seen

        assert run(main) == ["a", "bc", "de", "fg", None]

    def test_kinds_keep_their_order_within_a_window(self) -> None:
        async def main() -> list[StreamDelta]:
            batch = [StreamDelta("a"), StreamDelta(reasoning="b"), StreamDelta(reasoning="c"), StreamDelta("d"), StreamDelta("e"), END]
            return [delta async for delta in coalesce(stream_of(PacedSource(texts("first"), 0.01, batch)))]

        assert run(main) == [StreamDelta("first"), StreamDelta("a"), StreamDelta("de", reasoning="bc"), END]

    def test_pieces_of_one_call_are_one_piece(self) -> None:
        pieces = [ToolCallFragment(0, "c", "f", "{"), ToolCallFragment(0, arguments="}"), ToolCallFragment(1, "d", "g", "{}")]

        async def main() -> list[StreamDelta]:
            script = [step for piece in pieces for step in (0.001, [StreamDelta(tool_calls=[ToolCall("c", "f")], tool_fragments=(piece,))])]
            return [delta async for delta in coalesce(stream_of(PacedSource([StreamDelta("a")], *script, [END])))]

        assert [delta.tool_fragments for delta in run(main)] == [(), (ToolCallFragment(0, "c", "f", "{}"), pieces[2]), ()]

    def test_two_of_them_too(self) -> None:
        pieces = (ToolCallFragment(0, "c", "f", "{"), ToolCallFragment(0, arguments="}"))

        async def main() -> list[StreamDelta]:
            stream = coalesce(stream_of(PacedSource([StreamDelta(tool_calls=[ToolCall("c", "f")], tool_fragments=pieces)], [END])))
            return [delta async for delta in stream]

        assert [delta.tool_fragments for delta in run(main)] == [(ToolCallFragment(0, "c", "f", "{}"),), ()]

    def test_an_idle_stream_sets_no_timer(self) -> None:
        async def main() -> int:
            loop = asyncio.get_running_loop()
            timers: list[float] = []
            set_timer = loop.call_at

            def noted(when: float, *arguments: Any, **options: Any) -> asyncio.TimerHandle:
                timers.append(when)
                return set_timer(when, *arguments, **options)

            more = asyncio.Event()

            async def source() -> AsyncGenerator[StreamDelta]:
                yield StreamDelta("a")
                await more.wait()
                yield END

            stream = coalesce(source())
            await anext(stream)
            loop.call_at = noted  # type: ignore[method-assign, assignment]  # only this test counts timers
            waiting = asyncio.ensure_future(anext(stream))
            await settled()
            idle = len(timers)
            more.set()
            assert await waiting == END
            return idle

        assert run(main) == 0

    def test_a_source_of_one_delta_a_read_is_read_while_its_deltas_wait(self) -> None:
        """100 reads of 1 ms take 100 ms, not 100 windows."""
        seen = timed(*paced("x" * 100, 0.001), [END])
        assert len(seen) == 4
        assert seen[-1] == (100, ".")

    def test_a_source_that_never_waits_lets_its_first_delta_and_other_tasks_through(self) -> None:
        async def main() -> tuple[list[int], int]:
            turns = 0

            async def other() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            async def source() -> AsyncGenerator[StreamDelta]:
                for _ in range(5_000):
                    yield StreamDelta("x")
                yield END

            task = asyncio.ensure_future(other())
            sizes = [len(delta.content or "") async for delta in coalesce(source())]
            task.cancel()
            return sizes, turns

        sizes, turns = run(main)
        assert sizes == [1, 4_999, 0]
        assert turns > 10


class TestBackPressure:
    def test_a_slow_consumer_stops_the_reading_at_a_limit(self) -> None:
        async def main() -> tuple[int, int, int]:
            source = PacedSource(*[texts("x" * 1000) for _ in range(1000)], [END])
            stream = coalesce(stream_of(source))
            await anext(stream)
            await asyncio.sleep(10)
            stalled = source.reads
            held = len((await anext(stream)).content or "")
            await asyncio.sleep(10)
            again = source.reads
            await stream.aclose()
            return stalled, held, again

        assert run(main) == (67, 66_000, 133)

    @pytest.mark.parametrize(
        ("delta", "reads"),
        [
            (StreamDelta(reasoning="x" * 1000), 67),
            (StreamDelta(refusal="x" * 1000), 67),
            (StreamDelta(tool_fragments=(ToolCallFragment(0, arguments="x" * 500), ToolCallFragment(1, arguments="x" * 500))), 60),
            (StreamDelta(parts=(OPAQUE,) * 10), 104),
            (StreamDelta("x", logprobs=(TokenLogprob("x", -1.0),) * 10), 104),
        ],
        ids=["reasoning", "refusal", "calls", "parts", "logprobs"],
    )
    def test_text_of_every_kind_counts_and_what_is_no_text_weighs_too(self, delta: StreamDelta, reads: int) -> None:
        async def main() -> int:
            source = PacedSource(*[[delta] for _ in range(1000)])
            stream = coalesce(stream_of(source))
            await anext(stream)
            await asyncio.sleep(10)
            await stream.aclose()
            return source.reads

        assert run(main) == reads

    def test_deltas_that_do_not_merge_count_by_their_number(self) -> None:
        async def main() -> int:
            source = PacedSource(*[[StreamDelta(reasoning="x"), StreamDelta("x")] for _ in range(10_000)])
            stream = coalesce(stream_of(source))
            await anext(stream)
            await asyncio.sleep(10)
            reads = source.reads
            await stream.aclose()
            return reads

        assert 1024 <= run(main) < 1300

    def test_everything_arrives_however_slow_the_consumer_is(self) -> None:
        async def main() -> tuple[int, int]:
            source = PacedSource(*[texts("x" * 1000) for _ in range(1000)], [END])
            stream = coalesce(stream_of(source))
            deltas = 0
            async for _ in stream:
                deltas += 1
                await asyncio.sleep(1)
            return deltas, len(stream.result().message.content)

        assert run(main) == (18, 1_000_000)

    def test_many_small_deltas_cost_their_number(self) -> None:
        async def main() -> int:
            log = ToolCallLog()

            def delta(number: int) -> StreamDelta:
                fragment = ToolCallFragment(0, "c" if not number else None, "f" if not number else None, '{"a": "' if not number else "x")
                log.append(fragment)
                return StreamDelta(tool_calls=log.view(), tool_fragments=(fragment,))

            source = PacedSource([delta(number) for number in range(20_000)], [END])
            out = [delta async for delta in coalesce(stream_of(source))]
            return max(len(delta.tool_fragments) for delta in out)

        assert run(main) == 1


class TestByWordsAndSentences:
    async def out(self, deltas: Sequence[StreamDelta], by: Unit) -> list[StreamDelta]:
        return [delta async for delta in coalesce(stream_of(PacedSource(*[[delta] for delta in deltas])), by=by)]

    async def test_words_go_out_when_they_are_whole(self) -> None:
        assert await self.out([*texts("He", "llo", " wo", "rld", " a", "nd"), END], "word") == [*texts("Hello ", "world ", "and"), END]

    async def test_sentences_go_out_when_the_next_one_begins(self) -> None:
        deltas = texts("It", " is. S", "o is", " it? No", "。是", "的")
        assert await self.out([*deltas, END], "sentence") == [*texts("It is. ", "So is it? ", "No。", "是的"), END]

    async def test_what_is_held_goes_out_before_anything_that_is_not_text_of_its_kind(self) -> None:
        call = StreamDelta(tool_calls=[ToolCall("c", "f")], tool_fragments=(ToolCallFragment(0, "c", "f"),))
        others = [StreamDelta(reasoning="thi"), call, StreamDelta(parts=(OPAQUE,)), StreamDelta(usage=Usage(1, 1, 2)), StreamDelta(""), END]
        for other in others:
            seen = await self.out([StreamDelta("wor"), other, *([] if other is END else [StreamDelta("ds"), END])], "word")
            assert seen == [StreamDelta("wor"), other, *([] if other is END else [StreamDelta("ds"), END])]

    async def test_thoughts_and_refusals_are_held_as_text_is(self) -> None:
        deltas = [StreamDelta(reasoning=piece) for piece in ("a", "b c")] + [StreamDelta(refusal=piece) for piece in ("d", "e f")]
        assert await self.out([*deltas, END], "word") == [
            *[StreamDelta(reasoning=piece) for piece in ("ab ", "c")],
            *[StreamDelta(refusal=piece) for piece in ("de ", "f")],
            END,
        ]

    async def test_a_delta_of_two_kinds_passes_as_it_is(self) -> None:
        both = StreamDelta("text", reasoning="thought")
        assert await self.out([StreamDelta("a"), both, END], "word") == [StreamDelta("a"), both, END]

    async def test_usage_and_logprobs_go_with_the_text_that_they_came_with(self) -> None:
        tokens = [TokenLogprob(text, -0.5) for text in ("Hel", "lo", " wor", "ld")]
        deltas = [StreamDelta(token.token, logprobs=(token,), usage=Usage(1, number, 1 + number)) for number, token in enumerate(tokens)]
        assert await self.out([*deltas, END], "word") == [
            StreamDelta("Hello ", logprobs=(tokens[0], tokens[1]), usage=Usage(1, 2, 3)),
            StreamDelta("world", logprobs=(tokens[2], tokens[3]), usage=Usage(1, 3, 4)),
            END,
        ]

    def test_what_comes_with_the_text_is_merged_with_it(self) -> None:
        tokens = [TokenLogprob(text, -0.5) for text in ("a", "b", "c")]
        assert merged([StreamDelta(token.token, logprobs=(token,)) for token in tokens]) == [StreamDelta("abc", logprobs=tuple(tokens))]
        assert merged([StreamDelta("a", usage=Usage(1, 1, 2)), StreamDelta("b", usage=Usage(1, 2, 3))]) == [StreamDelta("ab", usage=Usage(1, 2, 3))]

    def test_two_deltas_that_merge_are_one(self) -> None:
        assert merged([StreamDelta(reasoning="a"), StreamDelta(reasoning="b")]) == [StreamDelta(reasoning="ab")]

    @pytest.mark.parametrize("kind", ["content", "reasoning", "refusal"])
    def test_of_every_kind_the_tokens_that_end_in_what_goes_out_go_with_it(self, kind: str) -> None:
        tokens = [TokenLogprob(text, -0.5) for text in ("one", " ", "two")]
        holder = TextHolder(whole_words)
        made = StreamDelta(logprobs=tuple(tokens), usage=Usage(1, 1, 2))
        (first,) = holder.feed(replace(made, **{kind: "one two"}))  # type: ignore[arg-type]
        (second,) = holder.flush()
        assert (getattr(first, kind), first.logprobs, first.usage) == ("one ", tuple(tokens[:2]), Usage(1, 1, 2))
        assert (getattr(second, kind), second.logprobs, second.usage) == ("two", (tokens[2],), None)

    def test_the_first_delta_may_hold_whole_sentences(self) -> None:
        assert TextHolder(whole_sentences).feed(StreamDelta("One. Two. Three")) == [StreamDelta("One. Two. ")]

    async def test_after_an_error_nothing_more_is_read(self) -> None:
        class GoesOn:
            """An iterator that has more to say after it failed."""

            def __init__(self) -> None:
                self.script: list[StreamDelta | Exception] = [StreamDelta("wor"), RateLimitError("slow down"), StreamDelta("ds "), END]

            def __aiter__(self) -> GoesOn:
                return self

            async def __anext__(self) -> StreamDelta:
                step = self.script.pop(0)
                if isinstance(step, Exception):
                    raise step
                return step

        stream = coalesce(GoesOn(), by="word")
        assert await anext(stream) == StreamDelta("wor")
        with pytest.raises(RateLimitError):
            await anext(stream)

    async def test_it_reads_no_further_than_it_must(self) -> None:
        source = PacedSource(texts("one "), texts("tw"), texts("o "), [END])
        stream = coalesce(stream_of(source), by="word")
        reads = [source.reads async for _ in stream]
        assert reads == [1, 3, 4]

    def test_every_field_of_a_delta_is_thought_of(self) -> None:
        """A new one must be held with text, or pass as it is."""
        values: dict[str, Any] = {
            "content": "a",
            "tool_calls": [],
            "finish_reason": "stop",
            "usage": Usage(1, 1, 2),
            "reasoning": "b",
            "refusal": "c",
            "tool_fragments": (ToolCallFragment(0),),
            "parts": (OPAQUE,),
            "raw_finish_reason": "stop",
            "final": True,
            "logprobs": (TokenLogprob("a", -1.0),),
        }
        assert [field.name for field in fields(StreamDelta)] == list(values)
        holder = TextHolder(whole_words)
        for name, value in values.items():
            delta = replace(StreamDelta("x"), **{name: value})
            assert [*holder.feed(delta), *holder.flush()] == [delta]


EVERY_WAY: list[dict[str, Any]] = [{"seconds": 0.05}, {"seconds": 0}, {"by": "word"}, {"by": "sentence"}]
every_way = pytest.mark.parametrize("how", EVERY_WAY, ids=["by time", "with no window", "by word", "by sentence"])


@every_way
class TestEnds:
    def test_an_error_comes_after_all_that_came_before_it(self, how: dict[str, Any]) -> None:
        async def main() -> tuple[str, str, bool]:
            source = PacedSource(texts("one"), texts(" two thr"), RateLimitError("slow down"))
            stream = coalesce(stream_of(source), **how)
            seen = ""
            with pytest.raises(RateLimitError) as caught:
                async for delta in stream:
                    seen += delta.content or ""
            assert caught.value.partial == stream.result()
            return seen, stream.result().message.content, source.is_closed

        assert run(main) == ("one two thr", "one two thr", True)

    def test_an_error_before_anything_is_raised_at_once(self, how: dict[str, Any]) -> None:
        async def main() -> None:
            with pytest.raises(RateLimitError):
                await anext(coalesce(stream_of(PacedSource(RateLimitError("slow down"))), **how))

        run(main)

    def test_an_end_without_a_finish_is_no_success(self, how: dict[str, Any]) -> None:
        async def main() -> tuple[str, bool]:
            stream = coalesce(stream_of(PacedSource(texts("one two"))), **how)
            with pytest.raises(StreamInterruptedError):
                async for _ in stream:
                    pass
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
            return stream.result().message.content, stream.result().message.interrupted

        assert run(main) == ("one two", True)

    def test_a_generator_that_fails_or_ends_too_early_is_told_as_well(self, how: dict[str, Any]) -> None:
        async def main() -> None:
            async def breaks() -> AsyncGenerator[StreamDelta]:
                yield StreamDelta("one")
                raise ZeroDivisionError

            async def stops() -> AsyncGenerator[StreamDelta]:
                yield StreamDelta("one")

            for source, error in ((breaks(), ZeroDivisionError), (stops(), StreamInterruptedError)):
                stream = coalesce(source, **how)
                with pytest.raises(error):
                    async for _ in stream:
                        pass
                assert stream.result().message.content == "one"

        run(main)

    def test_closing_closes_the_stream_beneath(self, how: dict[str, Any]) -> None:
        async def main() -> tuple[bool, bool, int]:
            source = PacedSource(*paced("a b c", 0.01), 1000, [END])
            beneath = stream_of(source)
            stream = coalesce(beneath, **how)
            await anext(stream)
            before = source.is_closed
            await stream.aclose()
            after = source.is_closed
            await stream.aclose()
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
            return before, after, len(asyncio.all_tasks())

        assert run(main) == (False, True, 1)

    def test_closing_what_was_never_read_closes_it_too(self, how: dict[str, Any]) -> None:
        async def main() -> tuple[bool, int]:
            source = PacedSource([END])
            async with coalesce(stream_of(source), **how):
                pass
            return source.is_closed, source.reads

        assert run(main) == (True, 0)

    def test_leaving_the_context_closes_it_while_nothing_comes(self, how: dict[str, Any]) -> None:
        async def main() -> tuple[bool, float, int]:
            source = PacedSource(texts("a "), 0.01, texts("is. C"), 1000, [END])
            stream = coalesce(stream_of(source), **how)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5), stream:
                    async for _ in stream:
                        pass
            await settled()
            return source.is_closed, asyncio.get_running_loop().time(), len(asyncio.all_tasks())

        assert run(main) == (True, 0.5, 1)

    def test_closing_ends_the_wait_of_another_task(self, how: dict[str, Any]) -> None:
        async def main() -> tuple[bool, float]:
            source = PacedSource(texts("Ah. B"), 1000, [END])
            stream = coalesce(stream_of(source), **how)

            async def read() -> int:
                return len([delta async for delta in stream])

            reader = asyncio.ensure_future(read())
            await asyncio.sleep(0.5)
            closed_at = asyncio.get_running_loop().time()
            await stream.aclose()
            assert await reader == 1
            return source.is_closed, asyncio.get_running_loop().time() - closed_at

        assert run(main) == (True, 0.0)

    def test_cancelling_the_reader_closes_it(self, how: dict[str, Any]) -> None:
        async def main() -> tuple[bool, str, int]:
            source = PacedSource(texts("Ah. B"), 1000, [END])
            stream = coalesce(stream_of(source), **how)
            await anext(stream)
            waiting = asyncio.ensure_future(anext(stream))
            await settled()
            waiting.cancel()
            await asyncio.wait([waiting])
            await settled()
            assert waiting.cancelled()
            return source.is_closed, stream.result().message.content[:4], len(asyncio.all_tasks())

        assert run(main) == (True, "Ah. ", 1)

    def test_a_break_closes_it_when_the_last_reference_goes(self, how: dict[str, Any]) -> None:
        async def main() -> tuple[bool, int]:
            source = PacedSource(texts("Ah. B"), 0.01, texts("b"), 1000, [END])
            async for _ in coalesce(stream_of(source), **how):
                break
            await settled()
            return source.is_closed, len(asyncio.all_tasks())

        assert run(main) == (True, 1)

    def test_a_generator_is_closed_too(self, how: dict[str, Any]) -> None:
        async def main() -> list[str]:
            closed = []

            async def source(name: str) -> AsyncGenerator[StreamDelta]:
                try:
                    yield StreamDelta("Ah. B")
                    await asyncio.sleep(1000)
                    yield END
                finally:
                    closed.append(name)

            async with coalesce(source("left"), **how) as left:
                await anext(left)
            async for _ in coalesce(source("broken off"), **how):
                break
            await settled()
            return closed

        assert run(main) == ["left", "broken off"]

    def test_there_is_one_final_delta_and_it_stands_alone(self, how: dict[str, Any]) -> None:
        async def main() -> list[StreamDelta]:
            return [delta async for delta in coalesce(stream_of(PacedSource([*texts("a", "b"), END])), **how)]

        *before, last = run(main)
        assert last == END
        assert "".join([delta.content or "" for delta in before]) == "ab"
        assert not any(delta.final for delta in before)

    def test_it_is_a_stream_with_events_text_result_and_the_timing_of_the_one_beneath(self, how: dict[str, Any]) -> None:
        async def main() -> None:
            answer = "It is so. And so."
            provider = FakeProvider([answer] * 2, delay=0.01)
            beneath = await provider.complete([Message("user", "?")], stream=True)
            stream = coalesce(beneath, **how)
            events = [event async for event in stream.events()]
            assert "".join([event.text for event in events if isinstance(event, TextDelta)]) == answer
            assert events[-1] == Finished(stream.result())
            assert stream.timing == stream.result().timing == beneath.timing
            assert stream.timing.deltas == len(answer) + 1
            assert stream.timing.time_to_first_delta == pytest.approx(0.01)
            assert stream.result() == beneath.result()
            again = coalesce(await provider.complete([Message("user", "?")], stream=True), **how)
            assert "".join([piece async for piece in again.text()]) == answer

        run(main)

    def test_the_result_is_what_was_handed_out(self, how: dict[str, Any]) -> None:
        async def main() -> tuple[str, bool]:
            beneath = stream_of(PacedSource(texts("Ah. B"), 0.01, texts("c"), 0.01, [END]))
            stream = coalesce(beneath, **how)
            first = await anext(stream)
            return first.content or "", stream.result() == replace(fold([first]), timing=beneath.timing)

        content, equal = run(main)
        assert content in ("Ah. B", "Ah. ")
        assert equal

    def test_a_generator_has_the_timing_of_what_was_handed_out(self, how: dict[str, Any]) -> None:
        async def main() -> float | None:
            async def source() -> AsyncGenerator[StreamDelta]:
                await asyncio.sleep(2)
                yield StreamDelta("a", final=True)

            stream = coalesce(source(), **how)
            async for _ in stream:
                pass
            return stream.timing.time_to_first_delta

        assert run(main) == 2.0


@pytest.mark.parametrize("how", [{"seconds": 0.05}, {"by": "word"}])
async def test_a_stream_that_was_never_read_can_be_aborted(how: dict[str, Any]) -> None:
    source = PacedSource([StreamDelta("a")], [END])
    coalesce(stream_of(source), **how).abort()
    assert (source.reads, source.closes, source.aborts) == (0, 0, 1)


def test_a_stream_that_waits_for_room_is_closed_with_a_break() -> None:
    async def main() -> tuple[bool, int]:
        source = PacedSource(*[texts("x" * 70_000) for _ in range(5)])
        async for _ in coalesce(stream_of(source)):
            await asyncio.sleep(1)
            break
        await settled()
        return source.is_closed, len(asyncio.all_tasks())

    assert run(main) == (True, 1)


class PlainDeltas:
    """An async iterator that can do nothing else."""

    def __init__(self, *deltas: StreamDelta) -> None:
        self.deltas = list(deltas)

    def __aiter__(self) -> PlainDeltas:
        return self

    async def __anext__(self) -> StreamDelta:
        if not self.deltas:
            raise StopAsyncIteration
        return self.deltas.pop(0)


class AbortableDeltas(PlainDeltas):
    """One that can be closed without awaiting, and counts it."""

    aborts = 0

    def abort(self) -> None:
        self.aborts += 1


@every_way
def test_an_iterator_that_cannot_be_closed_will_do(how: dict[str, Any]) -> None:
    async def main() -> str:
        async with coalesce(PlainDeltas(StreamDelta("one"), END), **how) as stream:
            return "".join([delta.content or "" async for delta in stream])

    assert run(main) == "one"


@every_way
def test_a_break_closes_at_once_what_can_be_closed_without_awaiting_although_others_hold_it(how: dict[str, Any]) -> None:
    async def main() -> int:
        beneath = AbortableDeltas(StreamDelta("Ah. B"), StreamDelta("c"), END)
        async for _ in coalesce(beneath, **how):
            break
        return beneath.aborts

    assert run(main) == 1


def test_an_error_while_closing_what_was_aborted_is_told_to_nobody() -> None:
    class Stuck:
        """Waits for ever and cannot be closed."""

        def __aiter__(self) -> Stuck:
            return self

        async def __anext__(self) -> StreamDelta:
            await asyncio.Event().wait()
            raise AssertionError

        async def aclose(self) -> None:
            raise OSError("close failed")

    async def main() -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        stream = coalesce(Stuck())
        reading = asyncio.ensure_future(anext(stream))
        await settled()
        stream.abort()
        with pytest.raises(StopAsyncIteration):
            await reading
        del stream, reading
        await settled()
        gc.collect()
        return told

    assert run(main) == []


def test_an_error_while_closing_is_told_to_whoever_closes_and_to_nobody_else() -> None:
    class Stubborn(PacedSource):
        async def aclose(self) -> None:
            await super().aclose()
            raise ZeroDivisionError

    async def main() -> None:
        stream = coalesce(stream_of(Stubborn(texts("a"), 0.1, texts("b"))))
        await anext(stream)
        await stream.aclose()  # the task's own cancel has aborted the source: nothing is left to fail
        untouched = coalesce(stream_of(Stubborn(texts("a"))))
        with pytest.raises(ZeroDivisionError):
            await untouched.aclose()

    run(main)


def test_it_is_dropped_after_its_loop_has_gone() -> None:
    kept: list[CoalescedStream] = []

    async def main() -> None:
        kept.append(coalesce(stream_of(PacedSource(texts("a"), 1000, [END]))))
        await anext(kept[0])

    run(main)
    kept.clear()
    gc.collect()


class TestArguments:
    async def refused(self, error: type[Exception], words: str, *arguments: Any, **options: Any) -> None:
        stream = stream_of(PacedSource())
        with pytest.raises(error, match=words):
            cast("Callable[..., Any]", coalesce)(stream, *arguments, **options)
        await stream.aclose()

    @pytest.mark.parametrize("seconds", [-0.1, float("nan"), float("inf")])
    async def test_seconds_are_finite_and_not_negative(self, seconds: float) -> None:
        await self.refused(ValueError, f"seconds is {seconds}; it must be a finite number of at least 0", seconds)

    @pytest.mark.parametrize("seconds", ["1", True, [1]])
    async def test_seconds_are_a_number(self, seconds: object) -> None:
        await self.refused(TypeError, f"seconds is a {type(seconds).__name__}; it must be a number", seconds)

    @pytest.mark.parametrize("by", ["line", "", 1, ["word"]])
    async def test_by_is_one_of_two_words(self, by: object) -> None:
        await self.refused(ValueError, "it must be 'word' or 'sentence'", by=by)

    async def test_time_and_units_exclude_each_other(self) -> None:
        await self.refused(ValueError, "^seconds and by exclude each other; give one of them$", 0.05, by="word")

    async def test_a_call_that_was_not_awaited_is_told(self) -> None:
        call: Awaitable[Any] = FakeProvider(["a"]).complete([], stream=True)
        with pytest.raises(TypeError, match="stream is a coroutine, not an async iterator of deltas; was the call of complete.. awaited"):
            cast("Callable[..., Any]", coalesce)(call)
        await call


CALLS = [ToolCall("c1", "f", {"q": 1}), ToolCall("c2", "g", {})]
FRAGMENTS = st.builds(
    ToolCallFragment,
    st.integers(0, 1),
    st.sampled_from([None, "", "c1", "c2"]),
    st.sampled_from([None, "", "f"]),
    st.sampled_from(["", "{", '"a": 1}']),
    st.sampled_from([None, None, {}, {"s": 1}, {"t": 2}]),
)
TEXT = st.text(st.sampled_from("ab .。\n"), max_size=6)
PARTS: list[tuple[Part, ...]] = [(OPAQUE,), (OPAQUE, OPAQUE)]
DELTAS = st.one_of(
    TEXT.map(StreamDelta),
    TEXT.map(lambda text: StreamDelta(reasoning=text)),
    TEXT.map(lambda text: StreamDelta(refusal=text)),
    st.builds(StreamDelta, TEXT, reasoning=TEXT, refusal=TEXT, usage=st.sampled_from([None, Usage(1, 1, 2)])),
    st.sampled_from(PARTS).map(lambda parts: StreamDelta(parts=parts)),
    st.builds(StreamDelta, TEXT, usage=st.just(Usage(2, 2, 4)), logprobs=st.sampled_from([(), (TokenLogprob("a", -1.0), TokenLogprob("b ", -2.0))])),
    st.lists(FRAGMENTS, max_size=3).map(lambda fragments: StreamDelta(tool_fragments=tuple(fragments))),
)
ENDS = st.builds(
    StreamDelta, st.none() | TEXT, finish_reason=st.sampled_from(["stop", None]), usage=st.sampled_from([None, Usage(3, 3, 6)]), final=st.just(True)
)


def with_calls(deltas: list[StreamDelta]) -> list[StreamDelta]:
    """The deltas with the view of all calls so far wherever there are new fragments, as a codec makes them."""
    log, out = ToolCallLog(), []
    for delta in deltas:
        for fragment in delta.tool_fragments:
            log.append(fragment)
        calls = (log.final(delta.finish_reason, "call_{}".format) or None) if delta.final else log.view() if delta.tool_fragments else None
        out.append(replace(delta, tool_calls=calls))
    return out


ANSWERS = st.tuples(st.lists(DELTAS, max_size=12), ENDS).map(lambda answer: with_calls([*answer[0], answer[1]]))


def said(deltas: Sequence[StreamDelta]) -> tuple[str, ...]:
    return tuple("".join([getattr(delta, kind) or "" for delta in deltas]) for kind in ("content", "reasoning", "refusal"))


def as_events(deltas: Sequence[StreamDelta]) -> list[ToolCall]:
    log = ToolCallLog()
    for delta in deltas:
        for fragment in delta.tool_fragments:
            log.append(fragment)
    return list(log.view())


def assert_same_answer(out: Sequence[StreamDelta], deltas: Sequence[StreamDelta]) -> None:
    assert fold(out) == fold(deltas)
    assert said(out) == said(deltas)
    assert as_events(out) == as_events(deltas)
    assert [delta.final for delta in out] == [False] * (len(out) - 1) + [True]
    assert len(out) <= 2 * len(deltas)


BOTH_CUTS: list[Cut] = [whole_words, whole_sentences]


class TestLaws:
    @settings(max_examples=150, deadline=None)
    @given(ANSWERS)
    def test_merging_keeps_the_answer(self, deltas: list[StreamDelta]) -> None:
        before = repr(deltas)
        out = merged(deltas)
        assert_same_answer(out, deltas)
        assert len(out) <= len(deltas)
        assert repr(deltas) == before

    @settings(max_examples=150, deadline=None)
    @given(ANSWERS, st.sampled_from(BOTH_CUTS))
    def test_holding_text_keeps_the_answer(self, deltas: list[StreamDelta], cut: Cut) -> None:
        holder = TextHolder(cut)
        out = [delta for given_delta in deltas for delta in holder.feed(given_delta)]
        assert holder.flush() == []
        assert_same_answer(out, deltas)

    @settings(max_examples=100, deadline=None)
    @given(
        ANSWERS, st.lists(st.sampled_from([0.0, 0.01, 0.06]), min_size=13, max_size=13), st.sampled_from(EVERY_WAY), st.sampled_from([0.0, 0.02, 0.2])
    )
    def test_every_way_at_every_pace_keeps_the_answer(self, deltas: list[StreamDelta], pauses: list[float], how: dict[str, Any], slow: float) -> None:
        async def main() -> list[StreamDelta]:
            source = PacedSource(*[step for pause, delta in zip(pauses, deltas, strict=False) for step in (pause, [delta])])
            stream = coalesce(stream_of(source), **how)
            out = []
            async for delta in stream:
                out.append(delta)
                assert stream.result().message == fold(out).message
                await asyncio.sleep(slow)
            return out

        assert_same_answer(run(main), deltas)

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.sampled_from([0.0, 0.01, 0.03, 0.06, 0.2]), min_size=1, max_size=15))
    def test_no_window_has_two_hand_outs_but_for_the_end(self, pauses: list[float]) -> None:
        times = [time for time, text in timed(*[step for pause in pauses for step in (pause, texts("x"))], 0.3, [END]) if text != "."]
        assert all(later - earlier >= 49.9 for earlier, later in pairwise(times))
        assert times[0] == round(pauses[0] * 1000)


def test_what_has_no_text_is_read_ahead_within_bounds_too() -> None:
    async def many(read: list[int]) -> AsyncIterator[StreamDelta]:
        for number in range(100_000):
            read.append(number)
            yield StreamDelta("", logprobs=(TokenLogprob("a", -1.0),))
        yield StreamDelta(finish_reason="stop", final=True)

    async def main() -> None:
        read: list[int] = []
        stream = coalesce(many(read))
        await anext(stream)
        await asyncio.sleep(60)
        assert len(read) < 5_000
        await stream.aclose()

    run(main)
