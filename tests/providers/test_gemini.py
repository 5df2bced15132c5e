"""GeminiProvider: where it asks, with which key, and what becomes of answers and refusals."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ecs_agent.errors import (
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ProviderError,
    QuotaError,
    RateLimitError,
    UnsupportedFeatureError,
)
from ecs_agent.providers import GeminiProvider
from ecs_agent.providers.gemini import GeminiCodec, with_version
from ecs_agent.providers.gemini_content.messages import STAND_IN
from ecs_agent.providers.protocol import ModelRequest, RequestOptions
from ecs_agent.testing import LoopbackServer, Received, Reply, ScriptedTransport, assert_stream_laws, json_reply, run
from ecs_agent.types import Message, ToolCall, ToolSchema, Usage

HI = [Message("user", "Hi")]
CANARY = "AIza-canary-0123456789abcdef"
GOOGLE = "https://generativelanguage.googleapis.com"


def chunk(*parts: Any, finish: str | None = None, **beside: Any) -> bytes:
    candidate = {"content": {"parts": list(parts), "role": "model"}} | ({"finishReason": finish} if finish else {})
    return b"data: " + json.dumps({"candidates": [candidate], **beside}).encode() + b"\r\n\r\n"


def said(text: str) -> Reply:
    counts = {"promptTokenCount": 4, "candidatesTokenCount": 2, "totalTokenCount": 6}
    *words, last = text.split(" ")
    return Reply([*[chunk({"text": f"{word} "}) for word in words], chunk({"text": last}, finish="STOP", usageMetadata=counts)])


def streamed_or_whole(request: Received) -> Reply:
    if ":stream" in request.path:
        return said("One two three four.")
    return json_reply(
        json.loads(
            chunk(
                {"text": "One two three four."}, finish="STOP", usageMetadata={"promptTokenCount": 4, "candidatesTokenCount": 2, "totalTokenCount": 6}
            )[6:]
        )
    )


def refusal(status: int, message: str, word: str, **more: Any) -> Reply:
    return json_reply([{"error": {"code": status, "message": message, "status": word, **more}}], status=status)


def provider_for(server: LoopbackServer, **options: Any) -> GeminiProvider:
    return GeminiProvider(CANARY, server.base_url, **{"model": "gemini-2.5-flash", **options})


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY", "GEMINI_BASE_URL", "LLM_MODEL"):
        monkeypatch.delenv(name, raising=False)


async def test_a_stream_is_asked_for_by_its_path_with_the_key_in_a_header() -> None:
    async with LoopbackServer([said("Hello there.")]) as server, provider_for(server) as provider:
        stream = await provider.complete(HI, stream=True)
        deltas = [delta async for delta in stream]
        asked = server.requests[0]
    assert "".join(delta.content or "" for delta in deltas) == "Hello there."
    assert (deltas[-1].finish_reason, deltas[-1].usage) == ("stop", Usage(4, 2, 6))
    assert asked.path.endswith("/models/gemini-2.5-flash:streamGenerateContent?alt=sse")
    assert asked.headers["x-goog-api-key"] == CANARY
    assert CANARY not in asked.path
    assert "authorization" not in asked.headers
    assert asked.body == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


async def test_a_whole_answer_is_asked_for_by_another_path() -> None:
    async with LoopbackServer([streamed_or_whole]) as server, provider_for(server) as provider:
        result = await provider.complete(HI, model="tunedModels/mine", max_tokens=9)
        asked = server.requests[0]
    assert (result.message.content, result.finish_reason, result.usage) == ("One two three four.", "stop", Usage(4, 2, 6))
    assert asked.path.endswith("/tunedModels/mine:generateContent")
    assert asked.body["generationConfig"] == {"maxOutputTokens": 9}


async def test_a_turn_with_a_tool_goes_there_and_back() -> None:
    calls = chunk(
        {"functionCall": {"id": "x", "name": "f", "args": {"a": 1}}, "thoughtSignature": "SIG=="},
        {"functionCall": {"name": "f", "args": {}}},
        finish="STOP",
    )
    async with LoopbackServer([Reply([calls]), said("Done.")]) as server, provider_for(server, model="gemini-3-flash") as provider:
        result = await provider.complete(HI, tools=[ToolSchema("f", "Does f.", {"type": "object"})])
        first, second = result.message.tool_calls or []
        answers = [Message("tool", "one", tool_call_id=first.id), Message("tool", "two", tool_call_id=second.id)]
        await provider.complete([*HI, result.message, *answers])
        asked = server.requests[1].body["contents"]
    assert (first.id, second.id, result.finish_reason) == ("x", "call_1_1", "tool_calls")
    assert asked[1:] == [
        {
            "role": "model",
            "parts": [
                {"functionCall": {"id": "x", "name": "f", "args": {"a": 1}}, "thoughtSignature": "SIG=="},
                {"functionCall": {"name": "f", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "x", "name": "f", "response": {"result": "one"}}},
                {"functionResponse": {"name": "f", "response": {"result": "two"}}},
            ],
        },
    ]


def test_its_streams_keep_the_laws() -> None:
    transport = ScriptedTransport([streamed_or_whole] * 8)
    run(lambda: assert_stream_laws(GeminiProvider(model="gemini-2.5-flash", base_url="http://localhost:1", transport=transport), deterministic=True))


def test_broken_streams_keep_the_laws() -> None:
    for reply in (
        Reply([chunk({"text": "One "})], end="reset"),
        Reply([chunk({"text": "One "}), b'data: {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}\r\n\r\n']),
        Reply([chunk({"functionCall": {"name": "f"}}, finish="MALFORMED_FUNCTION_CALL")]),
        Reply([b'data: {"promptFeedback": {"blockReason": "SAFETY"}}\r\n\r\n']),
    ):
        transport = ScriptedTransport([reply] * 8)
        provider = GeminiProvider(model="gemini-2.5-flash", base_url="http://localhost:1", transport=transport)
        run(lambda provider=provider: assert_stream_laws(provider, may_fail=True))  # type: ignore[misc]


# Refusals


@pytest.mark.parametrize(
    ("reply", "kind", "retry_after"),
    [
        (refusal(400, "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT"), AuthenticationError, None),
        (refusal(404, "models/x is not found for API version v1beta.", "NOT_FOUND"), BadRequestError, None),
        (refusal(429, "Resource has been exhausted.", "RESOURCE_EXHAUSTED", details=[{"retryDelay": "27s"}]), RateLimitError, 27.0),
        (
            refusal(429, "You exceeded your current quota.", "RESOURCE_EXHAUSTED", details=[{"violations": [{"quotaId": "RequestsPerDay"}]}]),
            QuotaError,
            None,
        ),
    ],
)
async def test_a_refusal_is_told_apart_and_says_no_key(reply: Reply, kind: type[ProviderError], retry_after: float | None) -> None:
    async with LoopbackServer([reply]) as server, provider_for(server) as provider:
        with pytest.raises(kind) as caught:
            await provider.complete(HI)
    assert caught.value.retry_after == retry_after
    assert (caught.value.provider, caught.value.model) == ("gemini", "gemini-2.5-flash")
    assert CANARY not in repr(caught.value)


async def test_what_cannot_be_said_is_refused_before_anything_is_sent() -> None:
    async with LoopbackServer([said("no")]) as server, provider_for(server) as provider:
        with pytest.raises(UnsupportedFeatureError, match="no word for logit_bias"):
            await provider.complete(HI, logit_bias={"1": 1.0})
        with pytest.raises(UnsupportedFeatureError, match="is no name of a model"):
            await provider.complete(HI, model="models/../x")
        assert server.requests == []


async def test_a_model_that_wants_signatures_gets_the_documented_one_though_its_name_does_not_say() -> None:
    """The conversation came from another provider; from then on it is sent at once."""
    wants = refusal(400, "Function call is missing a thought_signature in functionCall parts.", "INVALID_ARGUMENT")
    turn = [*HI, Message("assistant", "", [ToolCall("toolu_1", "f", {})]), Message("tool", "ok", tool_call_id="toolu_1")]
    async with LoopbackServer([wants, said("a"), said("b")]) as server, provider_for(server, model="endpoints/7") as provider:
        assert (await provider.complete(turn)).message.content == "a"
        assert (await provider.complete(turn)).message.content == "b"
        signed = [STAND_IN in json.dumps(request.body) for request in server.requests]
    assert signed == [False, True, True]


async def test_a_refusal_that_cannot_be_healed_is_not_asked_again() -> None:
    codec = GeminiCodec()
    assert [codec.withdraw(BadRequestError("Function call is missing a thought_signature"), {}) for _ in range(2)] == [True, True]  # of two at once
    assert not GeminiCodec().withdraw(BadRequestError("missing field"), {})
    assert not GeminiCodec().withdraw(RateLimitError("missing thought signature"), {})


async def test_a_model_that_wants_another_signature_than_the_documented_one_is_asked_twice_and_tells_why() -> None:
    wants = refusal(400, "Function call is missing a thought_signature in functionCall parts.", "INVALID_ARGUMENT")
    turn = [*HI, Message("assistant", "", [ToolCall("toolu_1", "f", {})]), Message("tool", "ok", tool_call_id="toolu_1")]
    async with LoopbackServer([wants]) as server, provider_for(server, model="endpoints/7") as provider:
        with pytest.raises(BadRequestError, match="thought_signature"):
            await provider.complete(turn)
    assert len(server.requests) == 2


# Counting


def test_the_codec_writes_what_counts_the_tokens_of_a_request() -> None:
    codec = GeminiCodec()
    request = ModelRequest("gemini-2.5-flash", [Message("system", "Be kind."), *HI], options=RequestOptions(tools=[ToolSchema("f", "", {})]))
    assert codec.count_path(request) == "/models/gemini-2.5-flash:countTokens"
    assert codec.count_body(request) == {"generateContentRequest": {"model": "models/gemini-2.5-flash", **codec.encode(request)}}


# Keys and addresses


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="no API key for generativelanguage.googleapis.com; set GEMINI_API_KEY"):
        GeminiProvider(model="gemini-2.5-flash")
    monkeypatch.setenv("GOOGLE_API_KEY", "google-key")
    assert key_of(GeminiProvider(model="m")) == "google-key"
    monkeypatch.setenv("GEMINI_API_KEY", "gemini-key")
    assert key_of(GeminiProvider(model="m")) == "gemini-key"
    assert key_of(GeminiProvider("given", model="m")) == "given"


def key_of(provider: GeminiProvider) -> str | None:
    key = provider._client.settings.key
    return key.reveal() if key is not None else None


async def test_vertex_ai_is_asked_with_a_token_in_the_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", CANARY)
    transport = ScriptedTransport([said("Hello.")])
    base = "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1/publishers/google"
    provider = GeminiProvider(base_url=base, model="gemini-2.5-flash", headers={"Authorization": "Bearer token-0123456789"}, transport=transport)
    await provider.complete(HI)
    [asked] = transport.requests
    assert provider.base_url == base
    assert asked.path == "/v1/projects/p/locations/us-central1/publishers/google/models/gemini-2.5-flash:generateContent"
    assert asked.headers["authorization"] == "Bearer token-0123456789"
    assert "x-goog-api-key" not in asked.headers


def test_a_token_in_the_headers_is_not_sent_unencrypted_either() -> None:
    with pytest.raises(ConfigurationError, match="is not encrypted, so what is said is not sent there"):
        GeminiProvider(base_url="http://proxy.example", model="m", headers={"authorization": "Bearer t"})


@pytest.mark.parametrize(
    ("given", "used"),
    [
        (GOOGLE, f"{GOOGLE}/v1beta"),
        (f"{GOOGLE}/v1beta", f"{GOOGLE}/v1beta"),
        (f"{GOOGLE}/v1", f"{GOOGLE}/v1"),
        (f"{GOOGLE}/v1alpha", f"{GOOGLE}/v1alpha"),
        (f"{GOOGLE}/v1beta/openai", f"{GOOGLE}/v1beta"),
        (f"{GOOGLE}/v1beta/models", f"{GOOGLE}/v1beta"),
        (f"{GOOGLE}/v1beta/models/gemini-2.5-flash:generateContent", f"{GOOGLE}/v1beta"),
        ("https://proxy.example/gemini", "https://proxy.example/gemini/v1beta"),
        ("https://proxy.example/models", "https://proxy.example/models/v1beta"),
        ("https://proxy.example/v1beta1/projects/p", "https://proxy.example/v1beta1/projects/p"),
        ("https://v1.example", "https://v1.example/v1beta"),
    ],
)
def test_an_address_without_a_version_gets_one_and_keeps_the_rest(given: str, used: str) -> None:
    assert with_version(given) == used
    assert GeminiProvider("key", f"{given}/", "m").base_url == used
