"""A pydantic class as `response_format`: what is sent, the instance that comes back, and what is told when there is none."""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from pydantic import BaseModel, Field

from ecs_agent.errors import ServerError, StructuredOutputError, UnsupportedFeatureError
from ecs_agent.providers import (
    Capabilities,
    Cassette,
    FakeProvider,
    FallbackProvider,
    OpenAIProvider,
    RecordingProvider,
    ReplayProvider,
    RetryProvider,
    pydantic_to_response_format,
)
from ecs_agent.providers.calling import ask
from ecs_agent.providers.capabilities import ASSUMED
from ecs_agent.providers.recorded.request_data import request_to_data
from ecs_agent.providers.structured.parsing import LONGEST_PROBLEM, asked_format, unfenced, with_parsed
from ecs_agent.testing import ScriptedTransport, chat_reply
from ecs_agent.types import CompletionResult, Message, RefusalPart, RetryConfig, StreamDelta, ToolCall

HI = [Message("user", "Oslo?")]
OSLO = '{"name": "Oslo", "inhabitants": 717710}'
LOOSE = Capabilities(strict_schemas=False)


class City(BaseModel):
    name: str
    inhabitants: int = Field(gt=0)


class Tags(BaseModel):
    tags: dict[str, int]


CITY = City(name="Oslo", inhabitants=717710)


def fake(*answers: Any, **options: Any) -> FakeProvider:
    return FakeProvider(list(answers), delay=0, **options)


class Foreign:
    """Somebody's provider, which knows wire objects."""

    def __init__(self, answer: str = OSLO) -> None:
        self.answer = answer
        self.asked: Any = None

    async def complete(self, messages: Sequence[Message], stream: bool = False, response_format: dict[str, Any] | None = None) -> Any:
        self.asked = response_format
        return self._deltas()

    async def _deltas(self) -> AsyncIterator[StreamDelta]:
        yield StreamDelta(self.answer, finish_reason="stop")


class TestAskedFormat:
    def test_a_class_becomes_its_wire_object_and_the_options_given_stay_as_they_are(self) -> None:
        given: Any = {"response_format": City, "seed": 1}
        assert asked_format(given, ASSUMED) == {"response_format": pydantic_to_response_format(City), "seed": 1}
        assert given["response_format"] is City

    def test_anything_else_stays(self) -> None:
        for options in ({}, {"response_format": None}, {"response_format": {"type": "json_object"}}):
            given: Any = options
            assert asked_format(given, ASSUMED) is given

    def test_what_the_provider_takes_decides(self) -> None:
        with pytest.raises(UnsupportedFeatureError, match=r"Tags\.tags"):
            asked_format({"response_format": Tags}, ASSUMED)
        assert asked_format({"response_format": Tags}, LOOSE)["response_format"]["json_schema"]["strict"] is False  # type: ignore[index]

    def test_what_is_neither_is_named(self) -> None:
        with pytest.raises(TypeError, match="response_format is a str"):
            asked_format({"response_format": "json"}, ASSUMED)  # type: ignore[typeddict-item]


class TestProviders:
    async def test_the_result_holds_the_instance(self) -> None:
        provider = fake(OSLO)
        result = await provider.complete(HI, response_format=City)
        assert result.parsed == CITY
        assert result.message.content == OSLO
        assert provider.last_response_format == pydantic_to_response_format(City)
        assert provider.calls[0].options == {"response_format": pydantic_to_response_format(City)}

    async def test_a_wire_object_is_not_read(self) -> None:
        result = await fake("no JSON").complete(HI, response_format=pydantic_to_response_format(City))
        assert result.parsed is None

    async def test_a_stream_refuses_a_class_before_anything_is_asked(self) -> None:
        provider = fake(OSLO)
        with pytest.raises(UnsupportedFeatureError, match=r"stream_object"):
            await provider.complete(HI, stream=True, response_format=City)
        assert provider.calls == []

    async def test_a_schema_that_cannot_be_closed_is_refused_before_anything_is_asked(self) -> None:
        provider = fake('{"tags": {"a": 1}}', capabilities=ASSUMED)
        with pytest.raises(UnsupportedFeatureError):
            await provider.complete(HI, response_format=Tags)
        assert provider.calls == []
        assert (await fake('{"tags": {"a": 1}}', capabilities=LOOSE).complete(HI, response_format=Tags)).parsed == Tags(tags={"a": 1})

    async def test_over_http(self) -> None:
        transport = ScriptedTransport([chat_reply(OSLO), chat_reply('{"name": 1}')])
        async with OpenAIProvider("key", model="m", transport=transport) as provider:
            assert (await provider.complete(HI, response_format=City)).parsed == CITY
            with pytest.raises(StructuredOutputError) as caught:
                await provider.complete(HI, response_format=City)
        assert caught.value.problems == ("name should be a valid string", "inhabitants is missing")
        assert transport.requests[0].body["response_format"] == pydantic_to_response_format(City)

    async def test_a_foreign_provider_is_given_the_wire_object(self) -> None:
        foreign = Foreign()
        assert (await ask(foreign, HI, {"response_format": City})).parsed == CITY
        assert foreign.asked == pydantic_to_response_format(City)

    async def test_each_of_several_is_asked_in_its_own_way(self) -> None:
        first, second = fake(ServerError("down"), capabilities=LOOSE), Foreign()
        assert (await FallbackProvider([first, second]).complete(HI, response_format=City)).parsed == CITY
        with pytest.raises(UnsupportedFeatureError):
            await FallbackProvider([Foreign()]).complete(HI, response_format=Tags)

    async def test_an_answer_that_does_not_fit_is_asked_of_nobody_else_and_not_again(self) -> None:
        spare = fake(OSLO)
        with pytest.raises(StructuredOutputError):
            await FallbackProvider([fake("no"), spare]).complete(HI, response_format=City)
        with pytest.raises(StructuredOutputError):
            await RetryProvider(fake("no", OSLO), RetryConfig(min_wait=0)).complete(HI, response_format=City)
        assert spare.calls == []

    async def test_a_retry_holds_the_instance(self) -> None:
        foreign: Any = Foreign()
        foreign.complete = fake(ServerError("down"), OSLO).complete
        assert (await RetryProvider(foreign, RetryConfig(min_wait=0, max_wait=0.01)).complete(HI, response_format=City)).parsed == CITY


class TestRecording:
    async def test_a_recording_holds_the_wire_object_and_a_replay_the_instance(self) -> None:
        cassette = Cassette()
        inner = fake(OSLO, '{"name": "Oslo"}')
        recorder = RecordingProvider(inner, cassette)
        assert (await recorder.complete(HI, response_format=City)).parsed == CITY
        with pytest.raises(StructuredOutputError) as first:
            await recorder.complete(HI, response_format=City, seed=1)
        assert inner.last_response_format == pydantic_to_response_format(City)
        replay = ReplayProvider(cassette, speed=None)
        assert (await replay.complete(HI, response_format=City)).parsed == CITY
        with pytest.raises(StructuredOutputError) as again:
            await replay.complete(HI, response_format=City, seed=1)
        assert str(again.value) == str(first.value)
        assert replay.unused() == []

    def test_a_class_is_recorded_as_its_wire_object(self) -> None:
        asked = request_to_data(HI, False, {"response_format": City}, "m")
        assert asked["options"] == {"response_format": pydantic_to_response_format(City)}
        assert asked == request_to_data(HI, False, {"response_format": pydantic_to_response_format(City)}, "m")


def failing(result: CompletionResult, model: type[BaseModel] = City) -> StructuredOutputError:
    with pytest.raises(StructuredOutputError) as caught:
        with_parsed(result, model)
    assert caught.value.result is result
    return caught.value


class TestFailing:
    @pytest.mark.parametrize(
        ("result", "sentence"),
        [
            (CompletionResult(Message("assistant", '{"name": 1}')), "the answer is no City: name should be a valid string; inhabitants is missing"),
            (CompletionResult(Message("assistant")), "the answer has no text"),
            (CompletionResult(Message("assistant", " \n")), "the answer has no text"),
            (CompletionResult(Message("assistant", tool_calls=[ToolCall("c", "look")])), "the answer has no text, it calls the tool 'look'"),
            (CompletionResult(Message("assistant", parts=[RefusalPart("I\nwill not.")])), "the answer was refused: I will not."),
            (
                CompletionResult(Message("assistant", "{"), finish_reason="length"),
                "the answer was cut off at its length limit; raise max_tokens, or ask for less",
            ),
            (CompletionResult(Message("assistant", "{"), finish_reason="content_filter"), "the answer was stopped by the provider's content filter"),
        ],
    )
    def test_the_error_says_why(self, result: CompletionResult, sentence: str) -> None:
        error = failing(result)
        assert str(error) == sentence
        assert isinstance(error, ValueError)
        fits = sentence.startswith("the answer is no City: ")
        assert error.problems == (tuple(sentence.removeprefix("the answer is no City: ").split("; ")) if fits else (f"it {sentence[11:]}",))

    def test_a_whole_object_counts_whatever_the_finish_says(self) -> None:
        assert with_parsed(CompletionResult(Message("assistant", OSLO), finish_reason="length"), City).parsed == CITY

    def test_what_is_no_json_is_told(self) -> None:
        assert str(failing(CompletionResult(Message("assistant", f"Here: {OSLO}")))).startswith("the answer is no City: it: Invalid JSON")

    def test_an_unknown_key_is_told_where_none_may_be(self) -> None:
        class Strict(City):
            model_config = {"extra": "forbid"}

        assert failing(CompletionResult(Message("assistant", OSLO[:-1] + ', "x": 1}')), Strict).problems == ("x is unknown",)

    def test_it_is_bounded_and_holds_neither_values_nor_keys(self) -> None:
        class Many(BaseModel):
            items: list[City]

        class Long(BaseModel):
            word: str = Field(pattern="x" * 1000)

        error = failing(CompletionResult(Message("assistant", f'{{"items": [{", ".join(["1"] * 20)}]}}')), Many)
        assert error.problems[7:] == ("items[7] should be an object", "and 12 more")
        error = failing(CompletionResult(Message("assistant", f'{{"items": [{", ".join(["1"] * 2000)}]}}')), Many)
        assert error.problems == ("2000 values do not fit",)
        error = failing(CompletionResult(Message("assistant", '{"word": "secret"}')), Long)
        assert len(error.problems[0]) == LONGEST_PROBLEM
        assert "secret" not in str(error)
        key = "sk-" + "a1B2" * 10
        assert key not in str(failing(CompletionResult(Message("assistant", parts=[RefusalPart(f"not with {key}")]))))

    def test_it_survives_being_sent_to_another_process(self) -> None:
        error = failing(CompletionResult(Message("assistant", "{}")))
        copy = pickle.loads(pickle.dumps(error))
        assert (str(copy), copy.problems, copy.result) == (str(error), error.problems, error.result)


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        (f"```json\n{OSLO}\n```", f"{OSLO}\n"),
        (f"\n```\n{OSLO}```\n", OSLO),
        (f"```JSON \r\n{OSLO}\n", OSLO),
        (OSLO, OSLO),
        (f"Look:\n```json\n{OSLO}\n```", f"Look:\n```json\n{OSLO}\n```"),
    ],
)
def test_a_fence_around_all_is_taken_off(text: str, inner: str) -> None:
    assert unfenced(text) == inner


def test_half_a_surrogate_pair_is_no_reason_to_fail() -> None:
    result = with_parsed(CompletionResult(Message("assistant", '{"name": "a\ud800", "inhabitants": 1}')), City)
    assert result.parsed == City(name="a�", inhabitants=1)


def test_replacing_a_result_keeps_the_instance_and_equality_counts_it() -> None:
    result = CompletionResult(Message("assistant", OSLO))
    assert with_parsed(result, City) != result
    assert with_parsed(result, City) == with_parsed(result, City)
    assert with_parsed(result, None) is result
