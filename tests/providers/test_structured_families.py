"""Structured answers in every protocol: the API's own words for the schema, partials as they come, repairs that the API takes, also behind wrappers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from pydantic import BaseModel, Field

from ecs_agent.errors import RateLimitError, StructuredOutputError, UnsupportedFeatureError
from ecs_agent.providers import (
    AnthropicProvider,
    CachedProvider,
    Capabilities,
    Cassette,
    FallbackProvider,
    GeminiProvider,
    OpenAIProvider,
    OpenAIResponsesProvider,
    RateLimitedProvider,
    RecordingProvider,
    RetryProvider,
    capabilities_of,
    pydantic_to_response_format,
    resolve_model,
    stream_object,
)
from ecs_agent.testing import ScriptedTransport, WireFamily, request_problems
from ecs_agent.testing.virtual_clock import run
from ecs_agent.types import Message, ReasoningPart, RefusalPart, ToolCall

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


FOUND: Final = City(name="Oslo", inhabitants=717710, streets=["A", "B"])
CLOSED: Final = pydantic_to_response_format(City)["json_schema"]

PROVIDERS: Final[dict[WireFamily, Callable[[ScriptedTransport], Any]]] = {
    "openai-chat": lambda transport: OpenAIProvider("k", transport.base_url, "m", transport=transport),
    "openai-responses": lambda transport: OpenAIResponsesProvider("k", transport.base_url, "m", transport=transport),
    "anthropic": lambda transport: AnthropicProvider("k", transport.base_url, "claude-opus-5", transport=transport),
    "gemini": lambda transport: GeminiProvider("k", transport.base_url, "gemini-3-flash", transport=transport),
}

WRAPPERS: Final[dict[str, Callable[[Any], Any]]] = {
    "alone": lambda provider: provider,
    "retry": RetryProvider,
    "cached": CachedProvider,
    "rate limited": RateLimitedProvider,
    "recording": lambda provider: RecordingProvider(provider, Cassette()),
    "fallback": lambda provider: FallbackProvider([provider]),
    "all": lambda provider: RetryProvider(CachedProvider(RateLimitedProvider(RecordingProvider(provider, Cassette())))),
}


def schema_in(wire: WireFamily, body: Any) -> Any:
    """The schema of the answer, where the API wants it; what stands beside it is checked here."""
    match wire:
        case "openai-chat":
            assert {name: body["response_format"]["json_schema"][name] for name in ("name", "strict")} == {"name": "City", "strict": True}
            return body["response_format"]["json_schema"]["schema"]
        case "openai-responses":
            form = body["text"]["format"]
            assert (form["type"], form["name"], form["strict"]) == ("json_schema", "City", True)
            return form["schema"]
        case "anthropic":
            assert set(body["output_config"]) == {"format"}
            assert set(body["output_config"]["format"]) == {"type", "schema"}
            return body["output_config"]["format"]["schema"]
        case "gemini":
            assert body["generationConfig"]["responseMimeType"] == "application/json"
            return body["generationConfig"]["responseJsonSchema"]


def is_closed(schema: Any) -> bool:
    return schema["additionalProperties"] is False and schema["required"] == ["name", "inhabitants", "streets"]


def choice_in(wire: WireFamily, body: Any) -> Any:
    """Which call is asked for, in the API's words."""
    return body["toolConfig"]["functionCallingConfig"] if wire == "gemini" else body["tool_choice"]


CHOICES: Final[dict[WireFamily, Any]] = {
    "openai-chat": {"type": "function", "function": {"name": "City"}},
    "openai-responses": {"type": "function", "name": "City"},
    "anthropic": {"type": "tool", "name": "City"},
    "gemini": {"mode": "ANY", "allowedFunctionNames": ["City"]},
}


def all_requests_are_valid(wire: WireFamily, transport: ScriptedTransport) -> None:
    assert [problem for request in transport.requests for problem in request_problems(wire, request.body)] == []


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("wire", PROVIDERS)
async def test_a_whole_answer_is_an_instance_of_its_class(wire: WireFamily, wrapper: str) -> None:
    transport = ScriptedTransport([OSLO])
    result = await WRAPPERS[wrapper](PROVIDERS[wire](transport)).complete(HI, response_format=City)
    assert result.parsed == FOUND
    schema = schema_in(wire, transport.requests[0].body)
    assert is_closed(schema)
    bound = schema["properties"]["inhabitants"]
    assert bound.get("exclusiveMinimum") == 0 if wire.startswith("openai") else "exclusiveMinimum: 0" in bound["description"]


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("wire", PROVIDERS)
async def test_an_object_arrives_as_json_and_is_repaired(wire: WireFamily, wrapper: str) -> None:
    transport = ScriptedTransport([[ReasoningPart("Hm."), WRONG], OSLO])
    stream = stream_object(WRAPPERS[wrapper](PROVIDERS[wire](transport)), HI, City, mode="json", repairs=1)
    partials = [city async for city in stream]
    assert (partials[-1], stream.attempt) == (FOUND, 2)
    assert [city.name for city in partials[:2]] == [None, "Oslo"]
    assert len(partials) > 4
    assert is_closed(schema_in(wire, transport.requests[1].body))
    all_requests_are_valid(wire, transport)


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("wire", PROVIDERS)
async def test_an_object_arrives_as_a_call_and_is_repaired(wire: WireFamily, wrapper: str) -> None:
    wrong, right = ToolCall("c1", "City", raw_arguments=WRONG), ToolCall("c2", "City", raw_arguments=OSLO)
    transport = ScriptedTransport([[ReasoningPart("Hm."), wrong], [right]])
    stream = stream_object(WRAPPERS[wrapper](PROVIDERS[wire](transport)), HI, City, mode="tool", repairs=1)
    partials = [city async for city in stream]
    assert partials[-1] == FOUND
    assert (len(partials) > 4) == (wire != "gemini")  # there a call comes at once
    assert [choice_in(wire, request.body) for request in transport.requests] == [CHOICES[wire]] * 2
    all_requests_are_valid(wire, transport)


@pytest.mark.parametrize("model", ["claude-opus-5", "claude-sonnet-4-5", "claude-3-7-sonnet-latest"])
async def test_a_claude_that_has_to_call_does_not_think(model: str) -> None:
    transport = ScriptedTransport([[ToolCall("c1", "City", raw_arguments=OSLO)]])
    provider = AnthropicProvider("k", transport.base_url, model, transport=transport)
    _ = [city async for city in stream_object(provider, HI, City, mode="tool", reasoning_effort="high")]
    assert "thinking" not in transport.requests[0].body
    assert transport.requests[0].body["tool_choice"] == CHOICES["anthropic"]


@pytest.mark.parametrize("mode", ["json", "tool"])
@pytest.mark.parametrize("wire", PROVIDERS)
async def test_an_answer_that_stays_wrong_is_told_with_its_problems(wire: WireFamily, mode: Any) -> None:
    transport = ScriptedTransport([[ToolCall(f"c{number}", "City", raw_arguments=WRONG)] if mode == "tool" else WRONG for number in range(3)])
    with pytest.raises(StructuredOutputError, match="inhabitants should be greater than 0"):
        _ = [city async for city in stream_object(PROVIDERS[wire](transport), HI, City, mode=mode, repairs=2)]
    assert len(transport.requests) == 3
    all_requests_are_valid(wire, transport)


@pytest.mark.parametrize("wire", ["openai-chat", "openai-responses"])
async def test_a_refusal_is_no_object_and_is_not_repaired(wire: WireFamily) -> None:
    transport = ScriptedTransport([[RefusalPart("Not that.")]])
    with pytest.raises(StructuredOutputError, match=r"was refused: Not that\."):
        _ = [city async for city in stream_object(PROVIDERS[wire](transport), HI, City, repairs=2)]
    with pytest.raises(StructuredOutputError, match=r"was refused: Not that\."):
        await PROVIDERS[wire](ScriptedTransport([[RefusalPart("Not that.")]])).complete(HI, response_format=City)
    assert len(transport.requests) == 1


@pytest.mark.parametrize("wire", PROVIDERS)
def test_a_server_that_is_busy_before_an_object_is_asked_again(wire: WireFamily) -> None:
    async def main() -> None:
        transport = ScriptedTransport([RateLimitError("slow down", retry_after=1.0), OSLO])
        assert (await RetryProvider(PROVIDERS[wire](transport)).complete(HI, response_format=City)).parsed == FOUND
        with pytest.raises(RateLimitError):
            _ = [city async for city in stream_object(PROVIDERS[wire](ScriptedTransport([RateLimitError("slow down")])), HI, City)]

    run(main)


class TestSchemasThatCannotBeClosed:
    @pytest.mark.parametrize("wire", ["openai-chat", "openai-responses", "anthropic"])
    async def test_they_are_refused_where_the_api_takes_only_closed_ones(self, wire: WireFamily) -> None:
        transport = ScriptedTransport(["{}"])
        with pytest.raises(UnsupportedFeatureError, match=r"Tags\.tags: a dict with free keys"):
            await PROVIDERS[wire](transport).complete(HI, response_format=Tags)
        assert transport.requests == []

    async def test_gemini_is_sent_the_original(self) -> None:
        transport = ScriptedTransport(['{"tags": {"a": 1}}'])
        provider = PROVIDERS["gemini"](transport)
        assert (await provider.complete(HI, response_format=Tags)).parsed == Tags(tags={"a": 1})
        schema = transport.requests[0].body["generationConfig"]["responseJsonSchema"]
        assert schema["properties"]["tags"]["additionalProperties"] == {"type": "integer"}
        assert [tags async for tags in stream_object(provider, HI, Tags)][-1] == Tags(tags={"a": 1})

    def test_by_name_gemini_says_so_too(self) -> None:
        assert (
            resolve_model("gemini/gemini-3-flash", api_key="k").capabilities
            == GeminiProvider("k", model="m").capabilities
            == Capabilities(strict_schemas=False)
        )

    def test_of_several_providers_the_narrowest_counts(self) -> None:
        wide, narrow = [PROVIDERS[wire](ScriptedTransport(["x"])) for wire in ("gemini", "anthropic")]
        assert capabilities_of(FallbackProvider([wide, narrow])).strict_schemas
        assert not capabilities_of(FallbackProvider([wide])).strict_schemas

    @pytest.mark.parametrize("wire", PROVIDERS)
    async def test_a_tool_takes_them_everywhere(self, wire: WireFamily) -> None:
        transport = ScriptedTransport([[ToolCall("c1", "Tags", raw_arguments='{"tags": {"a": 1}}')]])
        assert [tags async for tags in stream_object(PROVIDERS[wire](transport), HI, Tags, mode="tool")][-1] == Tags(tags={"a": 1})


def test_the_closed_schema_is_what_openai_is_sent() -> None:
    async def main() -> None:
        for wire in ("openai-chat", "openai-responses"):
            transport = ScriptedTransport([OSLO])
            await PROVIDERS[wire](transport).complete(HI, response_format=City)
            assert schema_in(wire, transport.requests[0].body) == CLOSED["schema"]

    run(main)
