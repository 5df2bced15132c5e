"""stream_object: an object while it arrives, by JSON or by a tool, repaired when it does not fit, and left at once."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import AsyncIterator, Sequence
from typing import Any, assert_type

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, RootModel, model_validator

from ecs_agent.errors import ServerError, StreamInterruptedError, StructuredOutputError, UnsupportedFeatureError
from ecs_agent.providers import (
    Capabilities,
    FakeProvider,
    FallbackProvider,
    ObjectStream,
    OpenAIProvider,
    RetryProvider,
    Script,
    pydantic_to_response_format,
    stream_object,
)
from ecs_agent.testing import ScriptedTransport
from ecs_agent.testing.virtual_clock import run
from ecs_agent.types import (
    CompletionResult,
    Message,
    OpaquePart,
    ReasoningPart,
    RefusalPart,
    StreamDelta,
    ToolCall,
    ToolCallFragment,
    ToolSchema,
    Usage,
)

HI = [Message("user", "Oslo?")]
OSLO = '{"name": "Oslo", "inhabitants": 717710, "streets": ["A", "B"]}'
WRONG = '{"name": "Oslo", "inhabitants": -1, "streets": ["A", "B"]}'


class City(BaseModel):
    """A city."""

    name: str
    inhabitants: int = Field(gt=0)
    streets: list[str] = []


class Tags(BaseModel):
    tags: dict[str, int]


def fake(*answers: Any, by: Any = 4, **options: Any) -> FakeProvider:
    return FakeProvider(list(answers), delay=0, by=by, **options)


def call(arguments: str, name: str = "City", call_id: str = "c1") -> ToolCall:
    return ToolCall(call_id, name, raw_arguments=arguments)


async def failing(stream: ObjectStream[Any]) -> StructuredOutputError:
    with pytest.raises(StructuredOutputError) as caught:
        _ = [each async for each in stream]
    with pytest.raises(StructuredOutputError) as again:
        stream.result()
    assert again.value is caught.value
    return caught.value


class TestStreaming:
    async def test_partials_fill_up_and_the_last_is_the_object(self) -> None:
        provider = fake(OSLO)
        stream = stream_object(provider, HI, City)
        assert_type(stream, ObjectStream[City])
        seen: list[City] = []
        async for city in stream:
            assert_type(city, City)
            seen.append(city)
        assert [city.name for city in seen[:4]] == [None, "Os", "Oslo", "Oslo"]
        assert {type(city).__name__ for city in seen[:-1]} == {"PartialCity"}
        assert type(seen[-1]) is City
        assert seen[-1] == stream.result() == City.model_validate_json(OSLO)
        assert provider.open_streams == 0
        assert provider.last_response_format == pydantic_to_response_format(City)
        assert "response_format" not in provider.calls[0].options

    async def test_nothing_is_sent_before_the_first_is_asked_for(self) -> None:
        provider = fake(OSLO)
        stream = stream_object(provider, HI, City, temperature=0.5, model="m")
        assert (provider.calls, stream.completion, stream.usage, stream.attempt) == ([], None, None, 0)
        await anext(stream)
        assert (provider.calls[0].model, provider.calls[0].options["temperature"], stream.attempt) == ("m", 0.5, 1)
        await stream.aclose()

    async def test_there_is_one_partial_for_what_arrives_at_once_and_none_without_news(self) -> None:
        class Bursts:
            async def complete(self, messages: Sequence[Message], stream: bool = False, output_format: Any = None) -> Any:
                return self._deltas()

            async def _deltas(self) -> AsyncIterator[StreamDelta]:
                for text in (" ", '{"name"', ": ", '"Oslo", "inhab', 'itants": 1', " ", "}", " "):
                    yield StreamDelta(text, reasoning="hm")
                yield StreamDelta(finish_reason="stop")

        seen = [repr(city) async for city in stream_object(Bursts(), HI, City)]
        assert seen == [
            "PartialCity()",
            "PartialCity(name='Oslo')",
            "PartialCity(name='Oslo', inhabitants=1)",
            "City(name='Oslo', inhabitants=1, streets=[])",
        ]

    async def test_the_completion_and_the_usage_are_the_answers(self) -> None:
        stream = stream_object(fake(Script(OSLO, reasoning="hm", usage=Usage(1, 2, 3))), HI, City)
        await anext(stream)
        assert stream.completion is not None
        assert stream.completion.message.interrupted
        city = [each async for each in stream][-1]
        assert stream.completion.parsed == city
        assert (stream.completion.message.reasoning, stream.completion.usage, stream.usage) == ("hm", Usage(1, 2, 3), Usage(1, 2, 3))

    async def test_the_result_cannot_be_asked_for_before_the_end(self) -> None:
        stream = stream_object(fake(OSLO), HI, City)
        await anext(stream)
        with pytest.raises(RuntimeError, match="read its stream to the end"):
            stream.result()
        await stream.aclose()
        with pytest.raises(RuntimeError):
            stream.result()

    async def test_a_fence_is_taken_off(self) -> None:
        stream = stream_object(fake(f"```json\n{OSLO}\n```"), HI, City)
        assert [city async for city in stream][-1] == City.model_validate_json(OSLO)

    async def test_defaults_and_validators_count_at_the_end(self) -> None:
        class Checked(City):
            @model_validator(mode="after")
            def has_streets(self) -> Checked:
                if not self.streets:
                    raise ValueError("a city has streets")
                return self

        stream = stream_object(fake('{"name": "Oslo", "inhabitants": 1}'), HI, Checked)
        assert (await failing(stream)).problems == ("it: Value error, a city has streets",)

    async def test_over_http(self) -> None:
        transport = ScriptedTransport([OSLO])
        async with OpenAIProvider("key", model="m", transport=transport) as provider:
            assert [city async for city in stream_object(provider, HI, City)][-1].name == "Oslo"
        body = transport.requests[0].body
        assert (body["stream"], body["response_format"]) == (True, pydantic_to_response_format(City))
        assert "output_format" not in body

    @given(
        st.integers(1, 80),
        st.builds(City, name=st.text(st.characters(exclude_categories=["Cs"])), inhabitants=st.integers(1), streets=st.lists(st.text('ab\n"é'))),
    )
    def test_the_last_is_what_pydantic_reads_and_all_before_lead_to_it(self, by: int, city: City) -> None:
        async def main(mode: Any) -> list[City]:
            text = city.model_dump_json()
            provider = fake(text if mode == "json" else [call(text)], by=by)
            return [each async for each in stream_object(provider, HI, City, mode=mode)]

        for mode in ("json", "tool"):
            seen = asyncio.run(main(mode))
            assert seen[-1] == City.model_validate_json(city.model_dump_json())
            assert all(city.name.startswith(each.name or "") for each in seen)
            assert len({repr(each) for each in seen}) == len(seen)


class TestTool:
    async def test_a_tool_of_the_models_name_is_called(self) -> None:
        provider = fake([call(OSLO)], capabilities=Capabilities(structured_output=False))
        stream = stream_object(provider, HI, City)
        seen = [city async for city in stream]
        assert (seen[1].name, seen[-1]) == ("Os", City.model_validate_json(OSLO))
        schema = pydantic_to_response_format(City)["json_schema"]["schema"]
        assert provider.calls[0].options == {"tools": [ToolSchema("City", "A city.", schema)], "tool_choice": "City"}
        assert provider.last_response_format is None

    async def test_a_schema_need_not_be_closed(self) -> None:
        provider = fake([call('{"tags": {"a": 1}}', "Tags")])
        seen = [each async for each in stream_object(provider, HI, Tags, mode="tool")]
        assert seen[-1] == Tags(tags={"a": 1})
        tools = provider.calls[0].options["tools"] or ()
        assert (tools[0].description, tools[0].parameters) == ("Give the answer as a Tags.", Tags.model_json_schema())

    async def test_a_foreign_provider_that_takes_no_output_format_is_given_the_tool_without_a_warning(self) -> None:
        class Foreign:
            asked: Any = None

            async def complete(self, messages: Sequence[Message], stream: bool = False, tools: Any = None) -> Any:
                self.asked = tools
                return CompletionResult(Message("assistant", tool_calls=[ToolCall("c", "City", json.loads(OSLO))]))

        foreign = Foreign()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert [city async for city in stream_object(foreign, HI, City)] == [City.model_validate_json(OSLO)]
            assert [city async for city in stream_object(FallbackProvider([foreign]), HI, City)] == [City.model_validate_json(OSLO)]
        assert foreign.asked[0].name == "City"

    async def test_other_calls_beside_it_do_not_matter(self) -> None:
        class Two:
            async def complete(self, messages: Sequence[Message], stream: bool = False, tools: Any = None, tool_choice: Any = None) -> Any:
                return self._deltas()

            async def _deltas(self) -> AsyncIterator[StreamDelta]:
                yield StreamDelta(tool_fragments=(ToolCallFragment(0, "a", "City", OSLO[:20]), ToolCallFragment(1, "b", "City", "{")))
                yield StreamDelta(tool_fragments=(ToolCallFragment(0, arguments=OSLO[20:]),))
                yield StreamDelta(finish_reason="tool_calls")

        assert [city async for city in stream_object(Two(), HI, City)][-1].name == "Oslo"

    async def test_an_answer_without_a_call_is_told(self) -> None:
        error = await failing(stream_object(fake("Oslo is nice."), HI, City, mode="tool"))
        assert str(error) == "the answer does not call the tool 'City'"

    async def test_a_whole_call_with_arguments_that_are_no_json(self) -> None:
        result = CompletionResult(Message("assistant", tool_calls=[ToolCall("c", "City", raw_arguments="{x", arguments_error="no")]))

        class Foreign:
            async def complete(self, messages: Sequence[Message], stream: bool = False, tools: Any = None) -> Any:
                return result

        assert "Invalid JSON" in str(await failing(stream_object(Foreign(), HI, City)))


class TestFailing:
    async def test_a_value_that_does_not_fit_ends_the_stream_early(self) -> None:
        provider = fake(WRONG)
        stream = stream_object(provider, HI, City)
        error = await failing(stream)
        assert error.problems == ("inhabitants should be greater than 0",)
        assert error.result is not None
        assert error.result == stream.completion
        assert error.result.message.content == '{"name": "Oslo", "inhabitants": -1, '
        assert (provider.open_streams, [each async for each in stream]) == (0, [])

    @pytest.mark.parametrize(
        ("answer", "sentence"),
        [
            ([RefusalPart("No.")], "the answer was refused: No."),
            (Script('{"name": "Os', finish_reason="length"), "the answer was cut off at its length limit; raise max_tokens, or ask for less"),
            (Script('{"name": "Os', finish_reason="content_filter"), "the answer was stopped by the provider's content filter"),
        ],
    )
    async def test_what_asking_again_does_not_help_is_not_repaired(self, answer: Any, sentence: str) -> None:
        provider = fake(answer, OSLO)
        assert str(await failing(stream_object(provider, HI, City, repairs=3))) == sentence
        assert len(provider.calls) == 1

    async def test_an_empty_answer_is_told(self) -> None:
        assert str(await failing(stream_object(fake(""), HI, City))) == "the answer has no text"

    async def test_text_around_the_object_is_told_at_once(self) -> None:
        error = await failing(stream_object(fake(f"Sure! {OSLO}"), HI, City))
        assert error.problems == ("it is no JSON object; give the object alone, without other text",)

    async def test_errors_of_the_provider_pass_as_they_are(self) -> None:
        refused = ServerError("down")
        with pytest.raises(ServerError) as caught:
            await anext(stream_object(fake(refused), HI, City, repairs=1))
        assert caught.value is refused
        stream = stream_object(fake(['{"name": "Os', StreamInterruptedError("cut")]), HI, City, repairs=1)
        with pytest.raises(StreamInterruptedError) as cut:
            _ = [each async for each in stream]
        assert cut.value.partial is not None
        assert cut.value.partial.message.content == '{"name": "Os'
        assert [each async for each in stream] == []
        with pytest.raises(RuntimeError):
            stream.result()


class TestRepairs:
    async def test_the_model_is_told_what_was_wrong_and_the_partials_begin_anew(self) -> None:
        provider = fake(Script(WRONG, usage=Usage(1, 1, 2)), Script('{"name": "Oslo"}', usage=Usage(1, 1, 2)), Script(OSLO, usage=Usage(5, 5, 10)))
        stream = stream_object(provider, HI, City, repairs=2)
        seen = [(stream.attempt, city.name) async for city in stream]
        assert [name for attempt, name in seen if attempt == 2][:2] == [None, "Os"]
        assert (stream.attempt, stream.result()) == (3, City.model_validate_json(OSLO))
        assert stream.usage == Usage(6, 6, 12)  # the first was ended before it could tell
        first, second = provider.calls[1].messages, provider.calls[2].messages
        assert first == [
            *HI,
            Message("assistant", '{"name": "Oslo", "inhabitants": -1, '),
            Message(
                "user",
                "This is not the object that was asked for: inhabitants should be greater than 0. Give the whole object again, corrected, and nothing else.",
            ),
        ]
        assert second[:3] == first
        assert second[3] == Message("assistant", '{"name": "Oslo"}')
        assert "inhabitants is missing" in second[4].content

    async def test_they_are_bounded(self) -> None:
        provider = fake(WRONG, WRONG, OSLO)
        await failing(stream_object(provider, HI, City, repairs=1))
        assert len(provider.calls) == 2

    async def test_an_answer_without_a_word_is_left_out(self) -> None:
        provider = fake("", OSLO)
        _ = [each async for each in stream_object(provider, HI, City, repairs=1)]
        assert [message.role for message in provider.calls[1].messages] == ["user", "user"]

    @pytest.mark.parametrize("call_id", ["c1", ""])
    async def test_a_call_that_was_ended_is_answered_by_a_result(self, call_id: str) -> None:
        opaque = OpaquePart("fake", {"a": 1})
        provider = fake([ReasoningPart("hm"), opaque, call(WRONG, call_id=call_id)], [call(OSLO)])
        _ = [each async for each in stream_object(provider, HI, City, mode="tool", repairs=1)]
        said, result = provider.calls[1].messages[1:]
        made = (said.tool_calls or [])[0]
        assert said.parts[:2] == (ReasoningPart("hm"), opaque)
        assert (made.id, made.name, made.raw_arguments) == (call_id or "object_1", "City", '{"name": "Oslo", "inhabitants": -1, ')
        assert made.arguments_error
        assert (result.role, result.tool_call_id, result.is_error) == ("tool", made.id, True)
        assert "inhabitants should be greater than 0" in result.content

    async def test_a_whole_call_stays_as_it_is(self) -> None:
        provider = fake([call('{"name": "Oslo"}'), call("{}", call_id="c2")], [call(OSLO)])
        _ = [each async for each in stream_object(provider, HI, City, mode="tool", repairs=1)]
        said, *results = provider.calls[1].messages[1:]
        assert said.tool_calls == [ToolCall("c1", "City", {"name": "Oslo"}), ToolCall("c2", "City", {})]
        assert [each.tool_call_id for each in results] == ["c1", "c2"]


class TestLeaving:
    async def test_leaving_closes_the_providers_stream(self) -> None:
        provider = fake(OSLO)
        async with stream_object(provider, HI, City) as stream:
            async for city in stream:
                if city.name:
                    break
            assert provider.open_streams == 1
        assert provider.open_streams == 0
        assert [each async for each in stream] == []
        await stream.aclose()

    def test_closing_wakes_who_waits_for_the_next(self) -> None:
        async def main() -> None:
            provider = FakeProvider([['{"name": "', 100.0, OSLO]], delay=0)
            stream = stream_object(provider, HI, City)
            waiting = asyncio.ensure_future(_all(stream))
            await asyncio.sleep(1)
            await stream.aclose()
            assert len(await waiting) == 2
            assert provider.open_streams == 0

        run(main)

    def test_a_cancel_releases_the_stream(self) -> None:
        async def main() -> None:
            provider = FakeProvider([['{"name": "', 100.0, OSLO]], delay=0)
            waiting = asyncio.ensure_future(_all(stream_object(provider, HI, City)))
            await asyncio.sleep(1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert provider.open_streams == 0

        run(main)

    @pytest.mark.parametrize("stubborn", [False, True])
    def test_closing_ends_the_wait_for_the_head(self, stubborn: bool) -> None:
        class Slow(FakeProvider):
            async def complete(self, *args: Any, **options: Any) -> Any:
                try:
                    await asyncio.sleep(100)
                except asyncio.CancelledError:
                    if not stubborn:
                        raise
                return await super().complete(*args, **options)

        async def main() -> None:
            provider = Slow([OSLO], delay=0)
            stream = stream_object(provider, HI, City)
            waiting = asyncio.ensure_future(_all(stream))
            await asyncio.sleep(1)
            await stream.aclose()
            assert await waiting == []
            assert (provider.open_streams, asyncio.get_running_loop().time() < 50) == (0, True)

        run(main)

    def test_a_cancel_of_the_wait_for_the_head_is_the_callers(self) -> None:
        class Slow:
            async def complete(self, messages: Any, stream: bool = False, **options: Any) -> Any:
                await asyncio.sleep(100)

        async def main() -> None:
            waiting = asyncio.ensure_future(_all(stream_object(Slow(), HI, City)))
            await asyncio.sleep(1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

        run(main)


async def _all(stream: ObjectStream[City]) -> list[City]:
    return [each async for each in stream]


class Unable:
    async def complete(self, messages: Sequence[Message], stream: bool = False) -> Any: ...


class TestAsking:
    @pytest.mark.parametrize(
        ("provider", "mode", "sentence"),
        [
            (Unable(), "auto", "Unable takes neither output_format nor tools"),
            (Unable(), "json", "Unable does not take output_format"),
            (Unable(), "tool", "Unable does not take tools"),
            (RetryProvider(Unable()), "json", "RetryProvider does not take output_format"),
            (fake(capabilities=Capabilities(structured_output=False, tools=False)), "auto", "FakeProvider takes neither"),
        ],
    )
    def test_a_provider_that_cannot_is_refused_at_once(self, provider: Any, mode: Any, sentence: str) -> None:
        with pytest.raises(UnsupportedFeatureError, match=f"^{sentence}"):
            stream_object(provider, HI, City, mode=mode)

    def test_a_schema_that_cannot_be_closed_is_refused_at_once_where_it_must_be(self) -> None:
        with pytest.raises(UnsupportedFeatureError, match=r"Tags\.tags"):
            stream_object(fake(), HI, Tags)
        stream_object(fake(capabilities=Capabilities(strict_schemas=False)), HI, Tags)

    async def test_who_does_not_need_a_closed_schema_streams_a_dict(self) -> None:
        provider = fake('{"tags": {"a": 1, "b": 2}}', by=1, capabilities=Capabilities(strict_schemas=False))
        seen = [each.tags async for each in stream_object(provider, HI, Tags)]
        assert seen == [None, {}, {"a": 1}, {"a": 1, "b": 2}, {"a": 1, "b": 2}]

    @pytest.mark.parametrize(
        ("arguments", "options", "error"),
        [
            ((HI, RootModel[list[int]]), {}, TypeError),
            ((HI, dict), {}, TypeError),
            (("Oslo?", City), {}, TypeError),
            ((HI, City), {"response_format": City}, TypeError),
            ((HI, City), {"tools": []}, TypeError),
            ((HI, City), {"sede": 1}, TypeError),
            ((HI, City), {"repairs": -1}, ValueError),
            ((HI, City), {"mode": "xml"}, ValueError),
        ],
    )
    def test_what_cannot_be_asked_is_told_at_once(self, arguments: Any, options: Any, error: type[Exception]) -> None:
        with pytest.raises(error):
            stream_object(fake(), *arguments, **options)
