"""Counting in every protocol: only what the API reads there is posted, its answer is read, its refusals are typed, also behind wrappers and SDKs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from ecs_agent.errors import AuthenticationError, BadRequestError, MalformedResponseError, ProviderError, RateLimitError
from ecs_agent.providers import (
    AnthropicProvider,
    CachedProvider,
    Cassette,
    FallbackProvider,
    GeminiProvider,
    OpenAIResponsesProvider,
    RateLimitedProvider,
    RecordingProvider,
    RetryProvider,
    TokenCount,
    count_tokens,
)
from ecs_agent.providers.protocol import ModelRequest, RequestOptions
from ecs_agent.testing import Received, Reply, ScriptedTransport, WireFamily, json_reply, request_problems
from ecs_agent.types import ImagePart, Message, TextPart, ToolCall, ToolSchema

TOOL: Final = ToolSchema("draw", "Draws.", {"type": "object", "properties": {}})
TALK: Final = [
    Message("user", [TextPart("Hi"), ImagePart(data=b"x", media_type="image/png")]),
    Message("assistant", "Now.", tool_calls=[ToolCall("c1", "draw")]),
    Message("tool", "Done.", tool_call_id="c1"),
]
ALL: Final = RequestOptions(
    tools=[TOOL], tool_choice="auto", temperature=0.5, max_tokens=2000, reasoning_effort="low", output_format={"type": "json_schema", "json_schema": {"name": "A", "schema": {"type": "object", "properties": {}}}}
)  # fmt: skip

PROVIDERS: Final[dict[WireFamily, Callable[[ScriptedTransport], Any]]] = {
    "openai-responses": lambda transport: OpenAIResponsesProvider("k", transport.base_url, "m", transport=transport),
    "anthropic": lambda transport: AnthropicProvider("k", transport.base_url, "claude-sonnet-4-5", transport=transport),
    "gemini": lambda transport: GeminiProvider("k", transport.base_url, "gemini-2.5-flash", transport=transport),
}
PATHS: Final[dict[WireFamily, str]] = {
    "openai-responses": "/v1/responses/input_tokens",
    "anthropic": "/v1/messages/count_tokens",
    "gemini": "/v1/models/gemini-2.5-flash:countTokens",
}
READ: Final[dict[WireFamily, set[str]]] = {
    "openai-responses": {"model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "text", "reasoning", "truncation", "conversation", "previous_response_id"},
    "anthropic": {"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control"},
    "gemini": {"contents", "generateContentRequest"},
}  # fmt: skip
"""All fields that the reference of each API names; anything else is refused."""

COUNTED: Final[dict[WireFamily, Any]] = {
    "openai-responses": {"object": "response.input_tokens", "input_tokens": 12},
    "anthropic": {"input_tokens": 12},
    "gemini": {"totalTokens": 12, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 12}]},
}
every = pytest.mark.parametrize("wire", PROVIDERS)


@every
async def test_what_is_posted_is_what_the_api_reads_there(wire: WireFamily) -> None:
    transport = ScriptedTransport([json_reply(COUNTED[wire])])
    provider = PROVIDERS[wire](transport)
    request = ModelRequest(provider.model, [Message("system", "Be brief."), *TALK], options=ALL)
    assert await provider.count_request(request) == TokenCount(12)
    (asked,) = transport.requests
    assert asked.path == PATHS[wire]
    assert set(asked.body) <= READ[wire]
    whole = asked.body["generateContentRequest"] if wire == "gemini" else asked.body
    assert request_problems(wire, {"max_tokens": 1, **whole}) == []
    assert "Be brief." in str(whole)
    assert "draw" in str(whole["tools"])
    assert wire != "gemini" or whole["model"] == "models/gemini-2.5-flash"


@every
@pytest.mark.parametrize(
    "wrap",
    [RetryProvider, CachedProvider, RateLimitedProvider, lambda provider: RecordingProvider(provider, Cassette()), lambda provider: FallbackProvider([provider])],
)  # fmt: skip
async def test_wrappers_count_as_what_they_stand_before(wire: WireFamily, wrap: Callable[[Any], Any]) -> None:
    transport = ScriptedTransport([json_reply(COUNTED[wire])])
    assert await count_tokens(wrap(PROVIDERS[wire](transport)), TALK, tools=[TOOL], system_prompt="Be brief.") == TokenCount(12)
    assert transport.requests[0].path == PATHS[wire]


@every
@pytest.mark.parametrize(("status", "leaf"), [(401, AuthenticationError), (429, RateLimitError), (400, BadRequestError)])
async def test_refusals_are_typed(wire: WireFamily, status: int, leaf: type[ProviderError]) -> None:
    provider = PROVIDERS[wire](ScriptedTransport([json_reply({"error": {"message": "no"}}, status=status)]))
    with pytest.raises(leaf) as caught:
        await provider.count_tokens(TALK)
    assert (caught.value.provider, caught.value.status) == (wire, status)
    assert "estimate_tokens" not in str(caught.value)


@every
@pytest.mark.parametrize("status", [404, 405])
async def test_a_server_that_cannot_count_is_told_apart_from_one_that_knows_no_such_model(wire: WireFamily, status: int) -> None:
    provider = PROVIDERS[wire](ScriptedTransport([json_reply({"detail": "Not Found"}, status=status)]))
    with pytest.raises(
        BadRequestError, match=r"perhaps this server does not count tokens; estimate_tokens counts without it, about\. It said: "
    ) as caught:
        await provider.count_tokens(TALK)
    assert caught.value.status == status
    assert "Not Found" in str(caught.value)


@every
@pytest.mark.parametrize("body", [{}, {"input_tokens": "7", "totalTokens": None}, [12]])
async def test_an_answer_without_a_count_is_malformed(wire: WireFamily, body: Any) -> None:
    with pytest.raises(MalformedResponseError, match="did not answer with a count of tokens"):
        await PROVIDERS[wire](ScriptedTransport([json_reply(body)])).count_tokens(TALK)


async def test_vertex_is_asked_without_the_envelope_once_it_has_refused_that() -> None:
    def answer(request: Received) -> Reply:
        if "generateContentRequest" in request.body:
            words = 'Invalid JSON payload received. Unknown name "generateContentRequest": Cannot find field.'
            return json_reply({"error": {"code": 400, "message": words, "status": "INVALID_ARGUMENT"}}, status=400)
        return json_reply({"totalTokens": 12, "totalBillableCharacters": 30})

    transport = ScriptedTransport([answer])
    provider = PROVIDERS["gemini"](transport)
    for _ in range(2):
        assert await provider.count_request(ModelRequest("publishers/google/models/gemini-2.5-flash", TALK, options=ALL)) == TokenCount(12)
    assert [request.path for request in transport.requests] == ["/v1/publishers/google/models/gemini-2.5-flash:countTokens"] * 3
    assert set(transport.requests[2].body) == {"contents", "tools", "generationConfig"}
