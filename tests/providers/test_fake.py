"""FakeProvider: streams as a real one does, from a script."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from ecs_agent.errors import ProviderExhaustedError, RateLimitError, ServerError, StreamInterruptedError, UnsupportedFeatureError
from ecs_agent.providers import FakeProvider, Script
from ecs_agent.providers.script import Step
from ecs_agent.streaming import CompletionStream, fold
from ecs_agent.testing import run
from ecs_agent.types import (
    CitationPart,
    CompletionResult,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    StreamDelta,
    TextPart,
    ToolCall,
    Usage,
)

HI = [Message("user", "Hi")]


async def deltas_of(provider: FakeProvider) -> list[StreamDelta]:
    return [delta async for delta in await provider.complete(HI, stream=True)]


@pytest.mark.parametrize(
    ("by", "pieces"), [("character", ["O", "h", " ", "n", "o"]), ("word", ["Oh ", "no"]), ("chunk", ["Oh no"]), (2, ["Oh", " n", "o"])]
)
async def test_it_streams_by_character_by_word_or_by_size(by: Any, pieces: list[str]) -> None:
    deltas = await deltas_of(FakeProvider(["Oh no"], delay=0, by=by))
    assert [delta.content for delta in deltas[:-1]] == pieces
    assert (deltas[-1].final, deltas[-1].finish_reason) == (True, "stop")


async def test_the_usage_of_a_plain_text_is_an_estimate_and_says_so() -> None:
    deltas = await deltas_of(FakeProvider(["Oh no"], delay=0))
    assert deltas[-1].usage is not None
    assert deltas[-1].usage.estimated


async def test_tool_calls_stream_as_fragments_and_end_whole() -> None:
    call = ToolCall("c1", "add", {"a": 1, "b": 2})
    deltas = await deltas_of(FakeProvider([CompletionResult(Message("assistant", "", [call]), Usage(1, 2, 3))], delay=0))
    assert sum(len(delta.tool_fragments) for delta in deltas) > 5
    assert deltas[-1].tool_calls == (call,)
    assert (deltas[-1].finish_reason, deltas[-1].usage) == ("tool_calls", Usage(1, 2, 3))


async def test_streamed_and_whole_are_the_same_answer() -> None:
    script = Script("text", reasoning="thought", tool_calls=[ToolCall("c", "f", {"x": "y"})], usage=Usage(1, 1, 2))
    streamed = fold(await deltas_of(FakeProvider([script], delay=0)))
    assert await FakeProvider([script]).complete(HI) == streamed


async def test_it_can_break_off_in_the_middle() -> None:
    provider = FakeProvider([Script("abcdef", error=StreamInterruptedError("lost"), fail_after=3)], delay=0)
    with pytest.raises(StreamInterruptedError) as caught:
        await deltas_of(provider)
    assert caught.value.partial is not None
    assert caught.value.partial.message == Message("assistant", "abc", interrupted=True)


@pytest.mark.parametrize("stream", [True, False])
async def test_an_error_in_the_script_is_raised_before_anything_is_said(stream: bool) -> None:
    with pytest.raises(RateLimitError):
        await FakeProvider([RateLimitError("slow")]).complete(HI, stream)


async def test_breaking_off_fails_a_whole_answer_too() -> None:
    with pytest.raises(StreamInterruptedError):
        await FakeProvider([Script("abc", error=StreamInterruptedError("lost"), fail_after=1)]).complete(HI)


async def test_a_script_that_is_used_up_says_how_many_there_were() -> None:
    provider = FakeProvider(["one"], delay=0)
    await provider.complete(HI)
    with pytest.raises(ProviderExhaustedError, match="1 were scripted, this is request 2"):
        await provider.complete(HI)
    with pytest.raises(IndexError):
        await provider.complete(HI)


async def test_an_answer_may_depend_on_the_question() -> None:
    provider = FakeProvider([lambda messages: messages[-1].content.upper()])
    assert (await provider.complete(HI)).message.content == "HI"


async def test_it_remembers_what_it_was_asked() -> None:
    provider = FakeProvider(["{}"], model="m")
    await provider.complete(HI, response_format={"type": "json_object"}, temperature=0.5)
    assert provider.last_response_format == {"type": "json_object"}
    assert provider.calls[0].messages == HI
    assert provider.calls[0].options["temperature"] == 0.5
    assert repr(provider) == "FakeProvider(0 answers left)"


async def test_structured_output_cannot_be_streamed() -> None:
    with pytest.raises(UnsupportedFeatureError):
        await FakeProvider(["{}"]).complete(HI, stream=True, response_format={})


def test_its_pauses_are_virtual_on_a_virtual_clock() -> None:
    async def main() -> tuple[float, float | None]:
        loop = asyncio.get_running_loop()
        stream = await FakeProvider(["x" * 1_000], delay=1.0).complete(HI, stream=True)
        async for _ in stream:
            pass
        return loop.time(), stream.timing.gap_p50

    elapsed, gap = run(main)
    assert elapsed == pytest.approx(1_002, abs=2)
    assert gap == pytest.approx(1.0, rel=0.05)


async def test_closing_forgets_the_rest() -> None:
    stream = await FakeProvider(["abc"], delay=0).complete(HI, stream=True)
    assert isinstance(stream, CompletionStream)
    await anext(stream)
    await stream.aclose()
    assert stream.result().message.content == "a"
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


def test_typical_mistakes_are_named() -> None:
    with pytest.raises(TypeError, match="list of answers"):
        FakeProvider("not a list")
    with pytest.raises(ValueError, match="'line'"):
        FakeProvider([], by="line")  # type: ignore[arg-type]  # the mistake under test


async def test_an_answer_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match="not int"):
        await FakeProvider([7]).complete(HI)  # type: ignore[list-item]  # the mistake under test


# Steps


async def test_steps_come_in_any_order() -> None:
    parts: list[Part] = [
        ReasoningPart("Hm. "),
        TextPart("Let me see. "),
        ToolCall("c1", "add", {"a": 1}),
        TextPart("And "),
        ReasoningPart("more."),
        RefusalPart("no."),
    ]
    steps: list[Step] = [*parts[:1], Usage(1, 1, 2), *parts[1:], Usage(1, 2, 3)]
    deltas = await deltas_of(FakeProvider([steps], delay=0))
    assert fold(deltas).message.parts == tuple(parts)
    assert [delta.usage for delta in deltas if delta.usage is not None] == [Usage(1, 2, 3)]
    assert (deltas[-1].final, deltas[-1].finish_reason, deltas[-1].usage) == (True, "tool_calls", Usage(1, 2, 3))


async def test_parts_that_cannot_be_cut_come_whole() -> None:
    parts: list[Part] = [ReasoningPart("Hm", {"sig": "s"}), OpaquePart("openai-chat", {"a": 1}), CitationPart("https://a.example")]
    deltas = await deltas_of(FakeProvider([parts], delay=0))
    assert [delta.parts for delta in deltas] == [(part,) for part in parts] + [()]


async def test_arguments_that_are_no_json_are_kept_and_marked() -> None:
    deltas = await deltas_of(FakeProvider([[ToolCall("c1", "add", raw_arguments='{"a')]], delay=0))
    (call,) = deltas[-1].tool_calls or ()
    assert (call.raw_arguments, call.arguments) == ('{"a', {})
    assert call.arguments_error


async def test_opaque_data_of_a_call_streams_with_it() -> None:
    deltas = await deltas_of(FakeProvider([[ToolCall("c1", "add", {"a": 1}, opaque={"sig": "s"})]], delay=0))
    assert (deltas[-1].tool_calls or ())[0].opaque == {"sig": "s"}


def test_pauses_take_their_time_streamed_and_whole() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        times: list[float] = []
        for stream in (False, True):
            started = loop.time()
            answer = await FakeProvider([["a", 60, "b", 30.5]], delay=0).complete(HI, stream)
            if isinstance(answer, CompletionStream):
                async for _ in answer:
                    pass
            times.append(loop.time() - started)
        return times

    assert run(main) == [pytest.approx(90.5), pytest.approx(90.5)]


@pytest.mark.parametrize("stream", [True, False])
async def test_an_exception_breaks_off_where_it_stands_with_what_was_said(stream: bool) -> None:
    with pytest.raises(ServerError) as caught:
        answer = await FakeProvider([["a", ServerError("overloaded"), "b"]], delay=0).complete(HI, stream)
        assert isinstance(answer, CompletionStream)
        async for _ in answer:
            pass
    assert caught.value.partial is not None
    assert caught.value.partial.message == Message("assistant", "a", interrupted=True)


@pytest.mark.parametrize("stream", [True, False])
async def test_an_exception_that_stands_first_is_raised_by_the_call(stream: bool) -> None:
    provider = FakeProvider([[ValueError("a bug"), "a"]])
    with pytest.raises(ValueError, match="a bug"):
        await provider.complete(HI, stream)
    assert provider.open_streams == 0


async def test_an_error_after_more_deltas_than_there_are_comes_before_the_final_one() -> None:
    provider = FakeProvider([Script("ab", error=ServerError("overloaded"), fail_after=9)], delay=0)
    with pytest.raises(ServerError) as caught:
        await deltas_of(provider)
    assert caught.value.partial is not None
    assert caught.value.partial.message.content == "ab"


async def test_a_stop_with_calls_is_tool_calls_and_other_reasons_stay() -> None:
    call = ToolCall("c1", "add")
    assert (await FakeProvider([Script(tool_calls=[call], finish_reason="stop")]).complete(HI)).finish_reason == "tool_calls"
    assert (await FakeProvider([Script(tool_calls=[call], finish_reason="length")]).complete(HI)).finish_reason == "length"


def test_closing_wakes_a_reader_at_once_and_open_streams_are_counted() -> None:
    async def main() -> float:
        provider = FakeProvider([["a", 3600.0, "b"]] * 2, delay=0)
        streams = [await provider.complete(HI, stream=True) for _ in range(2)]
        assert provider.open_streams == 2
        readers = [asyncio.create_task(_rest(stream)) for stream in streams]
        await asyncio.sleep(1)
        await streams[0].aclose()
        readers[1].cancel()
        assert await readers[0] == ["a"]
        with pytest.raises(asyncio.CancelledError):
            await readers[1]
        assert provider.open_streams == 0
        return asyncio.get_running_loop().time()

    assert run(main) == pytest.approx(1)


async def _rest(stream: CompletionStream) -> list[str | None]:
    return [delta.content async for delta in stream]


async def test_a_stream_that_nobody_holds_is_closed() -> None:
    provider = FakeProvider(["abc"], delay=0)
    stream = await provider.complete(HI, stream=True)
    await anext(stream)
    del stream
    gc.collect()
    assert provider.open_streams == 0


@pytest.mark.parametrize(("step", "words"), [(True, "not bool"), (b"a", "not bytes"), (None, "not NoneType")])
async def test_a_step_of_another_type_is_refused(step: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        await FakeProvider([["a", step]]).complete(HI)


@pytest.mark.parametrize("pause", [-1, float("nan")])
async def test_a_pause_that_cannot_be_made_is_refused(pause: float) -> None:
    with pytest.raises(ValueError, match="cannot be made"):
        await FakeProvider([["a", pause]]).complete(HI)


@pytest.mark.parametrize(("wrong", "words"), [([b"abc"], "not bytes"), ([RateLimitError], "the class RateLimitError"), ([["a", b"b"]], "not bytes")])
async def test_an_answer_of_another_kind_is_named(wrong: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        await FakeProvider(wrong).complete([Message("user", "Hi")])


async def test_an_option_that_no_provider_has_is_refused_as_by_a_real_one() -> None:
    options: dict[str, Any] = {"temprature": 1}
    with pytest.raises(TypeError, match="no option 'temprature'"):
        await FakeProvider(["Hi"]).complete([Message("user", "Hi")], **options)
