"""OpenAIResponsesProvider over real sockets and scripted ones: what is sent, what comes back, and what is sent once more without what was refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.providers.families import RESPONSES
from tests.providers.wire import own_cases, written

from ecs_agent.errors import BadRequestError, ConfigurationError, RateLimitError, StreamInterruptedError, UnsupportedFeatureError
from ecs_agent.providers import OpenAIResponsesProvider
from ecs_agent.testing import LoopbackServer, Reply, ScriptedTransport, assert_stream_laws, error_reply, json_reply, run
from ecs_agent.types import AudioPart, JsonObject, Message, OpaquePart, TextPart, ToolSchema, Usage

HI = [Message("user", "Hi")]
KEY = "sk-canary-0123456789abcdef"
USAGE = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}


def streamed(
    text: str = "Hello there", *, response_id: str = "resp_1", items: tuple[JsonObject, ...] = (), end: Any = "eof", whole: bool = True
) -> Reply:
    """A streamed answer, a word an event."""
    events: list[JsonObject] = [{"type": "response.created", "response": {"id": response_id, "status": "in_progress"}}]
    events += [{"type": "response.output_item.done", "output_index": place, "item": item} for place, item in enumerate(items)]
    events += [
        {"type": "response.output_text.delta", "item_id": "m", "output_index": len(items), "delta": word}
        for word in text.replace(" ", "  ").split(" ", 1)
        if word
    ]
    events += [{"type": "response.completed", "response": {"id": response_id, "status": "completed", "usage": USAGE}}] if whole else []
    return Reply([written({**event, "sequence_number": number}, RESPONSES) for number, event in enumerate(events)], end=end)


def provider_for(server: LoopbackServer, **options: Any) -> OpenAIResponsesProvider:
    return OpenAIResponsesProvider(KEY, server.base_url, "test-model", **options)


async def answered(provider: OpenAIResponsesProvider, messages: list[Message], **options: Any) -> Message:
    stream = await provider.complete(messages, stream=True, **options)
    async for _ in stream:
        pass
    message: Message = stream.result().message
    return message


async def test_a_stream_gives_its_text_and_ends_with_finish_and_usage() -> None:
    async with LoopbackServer([streamed()]) as server, provider_for(server) as provider:
        deltas = [delta async for delta in await provider.complete(HI, stream=True)]
    assert "".join(delta.content or "" for delta in deltas) == "Hello there"
    assert [(delta.finish_reason, delta.usage) for delta in deltas if delta.final] == [("stop", Usage(10, 5, 15))]


async def test_what_is_sent() -> None:
    schema = ToolSchema("f", "Does f.", {"type": "object", "properties": {}})
    async with LoopbackServer([streamed()]) as server, provider_for(server, builtin_tools=[{"type": "web_search"}]) as provider:
        await answered(provider, [Message("system", "s"), *HI], tools=[schema], reasoning_effort="low", extra_headers={"X-Run": "7"})
    request = server.requests[0]
    assert (request.method, request.path) == ("POST", "/v1/responses")
    assert (request.headers["authorization"], request.headers["x-run"]) == (f"Bearer {KEY}", "7")
    assert request.body == {
        "model": "test-model",
        "instructions": "s",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
        "store": False,
        "stream": True,
        "tools": [
            {"type": "function", "name": "f", "description": "Does f.", "parameters": {"type": "object", "properties": {}}, "strict": False},
            {"type": "web_search"},
        ],
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
    }


async def test_a_whole_answer_is_asked_for_without_streaming() -> None:
    output = [{"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "Hi!"}]}]
    async with LoopbackServer([json_reply({"object": "response", "status": "completed", "output": output})]) as server:
        result = await provider_for(server).complete(HI)
    assert (result.message, result.finish_reason) == (Message("assistant", "Hi!"), "stop")
    assert "stream" not in server.requests[0].body


async def test_what_the_protocol_cannot_carry_is_refused_before_anything_is_sent() -> None:
    async with LoopbackServer([streamed()]) as server, provider_for(server) as provider:
        with pytest.raises(UnsupportedFeatureError, match="audio"):
            await provider.complete([Message("user", parts=[AudioPart(b"x")])])
        with pytest.raises(UnsupportedFeatureError, match="'seed'"):
            await provider.complete(HI, seed=1)
    assert server.requests == []


async def test_reasoning_goes_back_with_the_next_request() -> None:
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "ENC"}
    async with LoopbackServer([streamed(items=(reasoning,)), streamed()]) as server, provider_for(server) as provider:
        answer = await answered(provider, HI)
        await answered(provider, [*HI, answer, Message("user", "And?")])
    assert (answer.reasoning, answer.content) == ("hm", "Hello there")
    assert server.requests[1].body["input"][1:3] == [
        reasoning,
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello there"}]},
    ]


class TestStore:
    async def test_a_conversation_that_the_server_keeps_goes_on_from_its_last_response(self) -> None:
        async with LoopbackServer([streamed(), streamed(response_id="resp_2"), streamed()]) as server, provider_for(server, store=True) as provider:
            talk = [*HI, await answered(provider, HI)]
            talk += [Message("user", "And?")]
            talk += [await answered(provider, talk), Message("user", "So?")]
            await answered(provider, talk)
        sent = [(request.body["store"], request.body.get("previous_response_id"), len(request.body["input"])) for request in server.requests]
        assert sent == [(True, None, 1), (True, "resp_1", 1), (True, "resp_2", 1)]

    async def test_one_that_the_server_no_longer_knows_is_sent_once_more_in_full(self) -> None:
        lost = error_reply(400, "Previous response with id 'resp_1' not found.", code="previous_response_not_found")
        async with LoopbackServer([streamed(), lost, streamed(), streamed()]) as server, provider_for(server, store=True) as provider:
            talk = [*HI, await answered(provider, HI), Message("user", "And?")]
            assert (await answered(provider, talk)).content == "Hello there"
            await answered(provider, talk)
        sent = [(request.body.get("previous_response_id"), len(request.body["input"])) for request in server.requests]
        assert sent == [(None, 1), ("resp_1", 1), (None, 3), (None, 3)]

    async def test_the_id_is_not_kept_where_the_server_keeps_nothing(self) -> None:
        async with LoopbackServer([streamed(), streamed()]) as server, provider_for(server) as provider:
            assert (await answered(provider, HI)).parts == (TextPart("Hello there"),)
            kept = (await answered(provider, HI, extra_body={"store": True})).parts[-1]
        assert isinstance(kept, OpaquePart)
        assert kept.data["id"] == "resp_1"


async def test_what_a_server_does_not_take_back_is_left_out_and_the_request_sent_once_more() -> None:
    foreign = OpaquePart("openai-responses", {"type": "reasoning", "id": "rs_9", "summary": [], "encrypted_content": "of another account"})
    talk = [*HI, Message("assistant", parts=[foreign, TextPart("a")]), Message("user", "And?")]
    refused = error_reply(400, "The encrypted content could not be verified.", code="invalid_encrypted_content")
    async with LoopbackServer([refused, streamed(), streamed()]) as server, provider_for(server) as provider:
        await answered(provider, talk)
        await answered(provider, talk)
    assert [len(request.body["input"]) for request in server.requests] == [4, 3, 3]


async def test_a_model_without_encrypted_reasoning_is_asked_without() -> None:
    refused = error_reply(400, "Encrypted content is not supported with this model.")
    async with LoopbackServer([refused, streamed(), streamed()]) as server, provider_for(server) as provider:
        await answered(provider, HI)
        await answered(provider, HI)
    assert ["include" in request.body for request in server.requests] == [True, False, False]


@pytest.mark.parametrize(
    ("reply", "leaf"),
    [
        (error_reply(429, "Rate limit reached", code="rate_limit_exceeded"), RateLimitError),
        (error_reply(404, "The model does not exist", code="model_not_found"), BadRequestError),
        (streamed(end="reset", whole=False), StreamInterruptedError),
    ],
)
async def test_failures_are_typed_and_name_the_provider(reply: Reply, leaf: type[Exception]) -> None:
    async with LoopbackServer([reply]) as server, provider_for(server) as provider:
        with pytest.raises(leaf) as caught:
            await answered(provider, HI)
    assert (caught.value.provider, KEY in str(caught.value)) == ("openai-responses", False)  # type: ignore[attr-defined]


async def test_a_failure_in_the_middle_keeps_what_was_said() -> None:
    failed = {"type": "response.failed", "response": {"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "slow down"}}}
    pieces = [written({"type": "response.output_text.delta", "delta": "so far"}, RESPONSES), written(failed, RESPONSES)]
    async with LoopbackServer([Reply(pieces)]) as server, provider_for(server) as provider:
        with pytest.raises(RateLimitError) as caught:
            await answered(provider, HI)
    assert caught.value.partial is not None
    assert caught.value.partial.message == Message("assistant", "so far", interrupted=True)


@pytest.mark.parametrize(
    "url", ["https://x.example/v1", "https://x.example/v1/", "https://x.example/v1/responses", "https://x.example/v1/responses/"]
)
def test_the_address_is_understood_with_and_without_its_end(url: str) -> None:
    assert OpenAIResponsesProvider(KEY, url, "m").base_url == "https://x.example/v1"


def test_settings_are_those_of_the_chat_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_API_KEY", KEY)
    monkeypatch.setenv("LLM_BASE_URL", "https://y.example/v1")
    monkeypatch.setenv("LLM_MODEL", "m")
    provider = OpenAIResponsesProvider()
    assert (provider.base_url, provider.model, provider.name) == ("https://y.example/v1", "m", "openai-responses")
    with pytest.raises(ConfigurationError, match="not encrypted"):
        OpenAIResponsesProvider(KEY, "http://y.example/v1", "m")


def test_the_laws_of_streams_hold() -> None:
    def laws(reply: Reply, **more: Any) -> None:
        transport = ScriptedTransport([reply] * 8)
        run(lambda: assert_stream_laws(OpenAIResponsesProvider(KEY, "https://x.example/v1", "m", transport=transport), **more))

    laws(streamed("One two three four."), deterministic=True)
    laws(streamed("One two", end="reset", whole=False), may_fail=True)
    for case in own_cases(RESPONSES):
        if case.group.startswith("plain ") and "error" not in case.expect:
            laws(Reply(list(case.pieces)), deterministic=True)


async def test_calls_without_ids_get_ids_of_their_own_in_each_turn() -> None:
    item = {"type": "function_call", "name": "f", "arguments": "{}"}
    talk = [*HI]
    async with LoopbackServer([streamed("", items=(item,)), streamed("", items=(item,))]) as server, provider_for(server) as provider:
        for _ in range(2):
            answer = await answered(provider, talk)
            talk += [answer, *[Message("tool", "r", tool_call_id=call.id) for call in answer.tool_calls or ()]]
    assert len({message.tool_call_id for message in talk if message.role == "tool"}) == 2
    assert json.dumps(server.requests[1].body["input"]).count("call_1_0") == 2
