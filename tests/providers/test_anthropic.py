"""AnthropicProvider over real sockets: where it asks, with which key, what it learns from a refusal."""

from __future__ import annotations

from typing import Any

import pytest
from tests.providers.messages_wire import error, message_body, messages_reply

from ecs_agent.errors import (
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ContextLengthError,
    ProviderError,
    QuotaError,
    RateLimitError,
    ServerError,
)
from ecs_agent.providers import AnthropicProvider, ClaudeProvider, RecordingTransport, ReplayTransport, Secret
from ecs_agent.providers.anthropic import AnthropicMessagesCodec
from ecs_agent.providers.protocol import ModelRequest
from ecs_agent.testing import LoopbackServer, Received, Reply, ScriptedTransport, assert_stream_laws, json_reply
from ecs_agent.types import Message, ToolCall, ToolSchema, Usage

HI = [Message("user", "Hi")]
CANARY = "sk-ant-canary-0123456789abcdef"
VARIABLES = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "LLM_API_KEY", "LLM_BASE_URL", "LLM_MODEL")


def provider_for(server: LoopbackServer, model: str = "claude-opus-5", **options: Any) -> AnthropicProvider:
    return AnthropicProvider(CANARY, server.base_url, model, **options)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


async def test_a_stream_gives_its_text_and_ends_with_finish_and_usage() -> None:
    async with LoopbackServer([messages_reply("Hello there", cache_read_input_tokens=90)]) as server, provider_for(server) as provider:
        stream = await provider.complete(HI, stream=True)
        assert "".join([text async for text in stream.text()]) == "Hello there"
    assert (stream.result().finish_reason, stream.result().usage) == ("stop", Usage(100, 5, 105, 90))
    request = server.requests[0]
    assert (request.method, request.path) == ("POST", "/v1/messages")
    assert (request.headers["x-api-key"], request.headers["anthropic-version"]) == (CANARY, "2023-06-01")
    assert {"authorization", "anthropic-beta"}.isdisjoint(request.headers)
    assert (request.body["model"], request.body["max_tokens"], request.body["stream"]) == ("claude-opus-5", 32_000, True)


async def test_a_whole_answer() -> None:
    call = {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}
    reply = json_reply(message_body({"type": "text", "text": "Hi!"}, call, reason="tool_use"))
    async with LoopbackServer([reply]) as server, provider_for(server) as provider:
        result = await provider.complete(HI, tools=[ToolSchema("f", "Does f.", {})])
    assert (result.message.content, result.message.tool_calls, result.finish_reason) == ("Hi!", [ToolCall("c1", "f", {"a": 1})], "tool_calls")
    assert "stream" not in server.requests[0].body


async def test_headers_of_the_users_own_and_features_that_are_not_for_everybody() -> None:
    async with LoopbackServer([messages_reply("ok")]) as server, provider_for(server, betas=["a-2025-01-01", "b-2025-01-01"]) as provider:
        await provider.complete(HI)
        await provider.complete(HI, extra_headers={"Anthropic-Beta": "c-2025-01-01"})
    assert [request.headers["anthropic-beta"] for request in server.requests] == ["a-2025-01-01,b-2025-01-01", "c-2025-01-01"]


async def test_a_beta_that_was_refused_is_named_and_the_key_is_not() -> None:
    reply = json_reply(error("invalid_request_error", f"Unexpected value(s) `a-2025-01-01` for the header ({CANARY})"), status=400)
    async with LoopbackServer([reply]) as server, provider_for(server, betas=["a-2025-01-01"]) as provider:
        with pytest.raises(BadRequestError, match="a-2025-01-01") as caught:
            await provider.complete(HI)
    assert CANARY not in str(caught.value)


async def test_a_bearer_token() -> None:
    async with LoopbackServer([messages_reply("ok")]) as server, AnthropicProvider(None, server.base_url, "m", auth_token=Secret(CANARY)) as provider:
        await provider.complete(HI)
    assert (server.requests[0].headers["authorization"], "x-api-key" in server.requests[0].headers) == (f"Bearer {CANARY}", False)


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/", "/v1/messages", "/v1/messages/", "/messages"])
@pytest.mark.parametrize("prefix", ["", "/anthropic"])
async def test_the_url_may_end_as_users_paste_it(prefix: str, ending: str) -> None:
    async with LoopbackServer([messages_reply("ok")]) as server:
        root = server.base_url.removesuffix("/v1") + prefix
        async with AnthropicProvider(CANARY, root + ending, "m") as provider:
            await provider.complete(HI)
            assert provider.base_url == root
            provider.base_url = root + ending
            await provider.complete(HI)
    assert [request.path for request in server.requests] == [f"{prefix}/v1/messages"] * 2


@pytest.mark.parametrize(
    ("variables", "url", "headers"),
    [
        ({"ANTHROPIC_API_KEY": "own-key"}, "https://api.anthropic.com", {"x-api-key": "own-key"}),
        ({"ANTHROPIC_AUTH_TOKEN": "own-token"}, "https://api.anthropic.com", {"authorization": "Bearer own-token"}),
        ({"ANTHROPIC_API_KEY": "own-key", "ANTHROPIC_AUTH_TOKEN": "own-token"}, "https://api.anthropic.com", {"x-api-key": "own-key"}),
        ({"ANTHROPIC_API_KEY": "own-key", "ANTHROPIC_BASE_URL": "https://gate.example/v1"}, "https://gate.example", {"x-api-key": "own-key"}),
        ({"ANTHROPIC_API_KEY": "own-key", "LLM_API_KEY": "other", "LLM_BASE_URL": "https://llm.example/v1"}, "https://api.anthropic.com", {"x-api-key": "own-key"}),
        ({"LLM_API_KEY": "other", "LLM_BASE_URL": "https://llm.example/v1"}, "https://llm.example", {"x-api-key": "other"}),
    ],
)  # fmt: skip
def test_each_key_goes_to_its_own_address(environment: pytest.MonkeyPatch, variables: dict[str, str], url: str, headers: dict[str, str]) -> None:
    for name, value in {"LLM_MODEL": "m", **variables}.items():
        environment.setenv(name, value)
    provider = AnthropicProvider(transport=ScriptedTransport([messages_reply()]))
    assert (provider.base_url, provider.model) == (url, "m")
    assert {name: value for name, value in provider._client._head({}).items() if name in ("x-api-key", "authorization")} == headers
    assert "own-key" not in repr(provider) + repr(vars(provider))


def test_a_key_that_is_given_does_not_go_to_the_address_of_another(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("LLM_BASE_URL", "https://llm.example/v1")
    environment.setenv("LLM_API_KEY", "other")
    for arguments in ({"api_key": "k"}, {"auth_token": "t"}, {"key_names": ()}):
        provider = AnthropicProvider(model="m", transport=ScriptedTransport([messages_reply()]), **arguments)
        assert provider.base_url == "https://api.anthropic.com"
        assert "other" not in str(provider._client._head({}))


@pytest.mark.parametrize("names", [(), ("MY_KEY",)])
def test_the_variables_of_the_key_can_be_named(environment: pytest.MonkeyPatch, names: tuple[str, ...]) -> None:
    environment.setenv("ANTHROPIC_API_KEY", "own-key")
    environment.setenv("MY_KEY", "mine")
    provider = AnthropicProvider(model="m", key_names=names, transport=ScriptedTransport([messages_reply()]))
    assert provider._client._head({}).get("x-api-key") == ("mine" if names else None)


async def test_a_client_of_the_sdk_asks_in_its_own_way() -> None:
    anthropic = pytest.importorskip("anthropic")
    async with (
        LoopbackServer([messages_reply("Hello there")]) as server,
        anthropic.AsyncAnthropic(api_key=CANARY, base_url=server.base_url.removesuffix("/v1")) as client,
        AnthropicProvider(client=client, model="m") as provider,
    ):
        stream = await provider.complete(HI, stream=True)
        assert "".join([text async for text in stream.text()]) == "Hello there"
    request = server.requests[0]
    assert request.path == "/v1/messages"
    assert CANARY in request.headers.get("x-api-key", "") + request.headers.get("authorization", "")


@pytest.mark.parametrize(
    ("variables", "arguments"),
    [
        ({"LLM_API_KEY": "other"}, {}),
        ({"LLM_API_KEY": "other", "ANTHROPIC_BASE_URL": "https://gate.example"}, {}),
        ({"LLM_API_KEY": "other", "LLM_BASE_URL": "https://llm.example"}, {"base_url": "https://api.anthropic.com"}),
        ({"ANTHROPIC_BASE_URL": "https://gate.example", "LLM_API_KEY": "other", "LLM_BASE_URL": "https://llm.example"}, {}),
    ],
)
def test_a_key_is_not_taken_for_an_address_that_it_was_not_given_with(
    environment: pytest.MonkeyPatch, variables: dict[str, str], arguments: Any
) -> None:
    for name, value in variables.items():
        environment.setenv(name, value)
    with pytest.raises(ConfigurationError, match="ANTHROPIC_API_KEY"):
        AnthropicProvider(model="m", **arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"api_key": "k", "auth_token": "t", "model": "m"}, "both given"),
        ({"api_key": "k", "model": "m", "cache": "sometimes"}, "'always'"),
        ({"api_key": "k", "model": "m", "betas": "x"}, "give a list"),
        ({"api_key": "k"}, "no model"),
    ],
)
def test_what_is_missing_or_wrong_is_one_sentence(environment: pytest.MonkeyPatch, arguments: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        AnthropicProvider(**arguments)


@pytest.mark.parametrize(
    ("status", "kind", "message", "leaf"),
    [
        (401, "authentication_error", "invalid x-api-key", AuthenticationError),
        (403, "permission_error", "not allowed", AuthenticationError),
        (404, "not_found_error", "model: m", BadRequestError),
        (413, "request_too_large", "too large", BadRequestError),
        (400, "invalid_request_error", "prompt is too long: 3 tokens > 2 maximum", ContextLengthError),
        (400, "invalid_request_error", "Your credit balance is too low", QuotaError),
        (429, "rate_limit_error", "slow down", RateLimitError),
        (529, "overloaded_error", "Overloaded", ServerError),
    ],
)
async def test_each_refusal_is_its_own_error(status: int, kind: str, message: str, leaf: type[ProviderError]) -> None:
    reply = json_reply(error(kind, message), status=status, headers={"request-id": "req_7"})
    async with LoopbackServer([reply]) as server, provider_for(server) as provider:
        with pytest.raises(ProviderError) as caught:
            await provider.complete(HI, stream=True)
    assert type(caught.value) is leaf
    assert (caught.value.provider, caught.value.request_id) == ("anthropic", "req_7")


class TestWithdrawal:
    """What a model refuses that can be asked for in another way does not fail the request, and is not asked for again."""

    async def asked(self, refuse: Any, model: str, **options: Any) -> list[dict[str, Any]]:
        def answer(request: Received) -> Reply:
            words = refuse(request.body)
            return json_reply(error("invalid_request_error", words), status=400) if words else messages_reply("fine")

        async with LoopbackServer([answer]) as server, provider_for(server, model) as provider:
            for _ in range(2):
                assert (await provider.complete(HI, **options)).message.content == "fine"
        return [request.body for request in server.requests]

    async def test_a_model_that_gives_fewer_tokens(self) -> None:
        def refuse(body: Any) -> str:
            most = body["max_tokens"]
            return f"max_tokens: {most} > 8192, which is the maximum allowed number of output tokens for m" if most > 8192 else ""

        assert [body["max_tokens"] for body in await self.asked(refuse, "claude-3-5-haiku-latest")] == [32_000, 8192, 8192]

    async def test_a_model_that_takes_a_budget(self) -> None:
        def refuse(body: Any) -> str:
            return "adaptive thinking is not supported on this model" if body["thinking"]["type"] == "adaptive" else ""

        bodies = await self.asked(refuse, "m", reasoning_effort="low")
        assert [body["thinking"]["type"] for body in bodies] == ["adaptive", "enabled", "enabled"]
        assert "output_config" not in bodies[-1]

    async def test_a_model_that_takes_none(self) -> None:
        def refuse(body: Any) -> str:
            fixed = body["thinking"]["type"] == "enabled"
            return (
                '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and "output_config.effort".' if fixed else ""
            )

        bodies = await self.asked(refuse, "claude-odd-4-5", reasoning_effort="low")
        assert [body["thinking"]["type"] for body in bodies] == ["enabled", "adaptive", "adaptive"]

    async def test_a_model_that_always_thinks(self) -> None:
        def refuse(body: Any) -> str:
            return '"thinking.type.disabled" is not supported for this model.' if "thinking" in body else ""

        bodies = await self.asked(refuse, "m", reasoning_effort="none")
        assert [(body.get("thinking"), body.get("output_config")) for body in bodies] == [
            ({"type": "disabled"}, None),
            (None, {"effort": "low"}),
            (None, {"effort": "low"}),
        ]

    @pytest.mark.parametrize(
        "options", [{"max_tokens": 50_000}, {"extra_body": {"thinking": {"type": "adaptive"}}}, {"extra_body": {"thinking": "odd"}}]
    )
    async def test_what_the_user_insists_on_is_refused_once_and_told(self, options: Any) -> None:
        reply = json_reply(error("invalid_request_error", "max_tokens: 50000 > 8192; adaptive thinking is not supported"), status=400)
        async with LoopbackServer([reply]) as server, provider_for(server) as provider:
            with pytest.raises(BadRequestError):
                await provider.complete(HI, **options)
        assert len(server.requests) == 1

    async def test_a_model_that_takes_thoughts_in_neither_way_is_asked_in_both_and_tells_why(self) -> None:
        def answer(request: Received) -> Reply:
            return json_reply(error("invalid_request_error", "this model takes neither 'enabled' nor 'adaptive' thinking"), status=400)

        async with LoopbackServer([answer]) as server, provider_for(server, "m") as provider:
            with pytest.raises(BadRequestError, match="neither"):
                await provider.complete(HI, reasoning_effort="low")
        assert [request.body["thinking"]["type"] for request in server.requests] == ["adaptive", "enabled"]

    @pytest.mark.parametrize(
        ("refusal", "sent"),
        [
            ("max_tokens: 32000 > 8192, which is the maximum", {"model": "m", "max_tokens": 32_000}),
            ("adaptive thinking is not supported", {"model": "m", "thinking": {"type": "adaptive"}}),
            ("'thinking' cannot be 'disabled'", {"model": "m", "thinking": {"type": "disabled"}}),
        ],
    )
    def test_requests_that_were_under_way_meanwhile_are_sent_again_too(self, refusal: str, sent: Any) -> None:
        codec = AnthropicMessagesCodec()
        assert [codec.withdraw(BadRequestError(refusal), sent) for _ in range(3)] == [True, True, True]

    def test_of_two_limits_the_lower_one_holds(self) -> None:
        codec = AnthropicMessagesCodec()
        for told in ("8192 > 4096", "32000 > 8192"):
            assert codec.withdraw(BadRequestError(f"max_tokens: {told}"), {"model": "m", "max_tokens": int(told.split()[0])})
        assert codec.encode(ModelRequest("m", HI))["max_tokens"] == 4096

    def test_another_failure_teaches_nothing(self) -> None:
        assert not AnthropicMessagesCodec().withdraw(ServerError("max_tokens: 32000 > 8192"), {"model": "m"})


def test_what_is_posted_to_count_tokens() -> None:
    sent = AnthropicMessagesCodec(cache="none").count_body(ModelRequest("m", [Message("system", "s"), *HI], True, {"temperature": 1.0}))
    assert sent == {"model": "m", "system": "s", "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}


def test_the_references_name() -> None:
    assert ClaudeProvider is AnthropicProvider


def test_capabilities_follow_the_models_name() -> None:
    def can_prefill(model: str) -> bool:
        return AnthropicProvider("k", model=model, transport=ScriptedTransport([messages_reply()])).capabilities.prefill

    assert (can_prefill("claude-opus-4-5"), can_prefill("claude-opus-4-6")) == (True, False)


async def test_calls_without_ids_get_ids_of_their_own_in_each_turn() -> None:
    history = [*HI]
    async with LoopbackServer([messages_reply("", {"type": "tool_use", "name": "f", "input": {}})]) as server, provider_for(server) as provider:
        for _ in range(2):
            message = (await provider.complete(history)).message
            history += [message, *[Message("tool", "ok", tool_call_id=call.id) for call in message.tool_calls or ()]]
    assert len({message.tool_call_id for message in history if message.role == "tool"}) == 2


async def test_the_laws_of_streams_hold() -> None:
    call = {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}
    async with AnthropicProvider(
        CANARY, "https://a.example", "m", transport=ScriptedTransport([messages_reply("Let me see it all", call)] * 7)
    ) as it:
        await assert_stream_laws(it)


async def test_a_recording_holds_no_key_and_plays_again(tmp_path: Any) -> None:
    path = tmp_path / "tape.jsonl"
    tape = RecordingTransport(ScriptedTransport([messages_reply("Hello")]), path)
    async with AnthropicProvider(CANARY, "https://a.example", "m", transport=tape, betas=["a-2025-01-01"]) as provider:
        assert (await provider.complete(HI)).message.content == "Hello"
    assert CANARY not in path.read_text("utf-8")
    async with AnthropicProvider("another-key", "https://a.example", "m", transport=ReplayTransport(path)) as provider:
        assert (await provider.complete(HI)).message.content == "Hello"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("said", "goes_on", "rest"),
    [
        ("Once ", " upon a time", "upon a time"),
        ("Once ", "upon a time", "upon a time"),
        ("Once ", "\n\nUpon", "\n\nUpon"),
        ("Once\n\n", "\nUpon", "Upon"),
        ("Once\n\n", "\n\n\nUpon", "\nUpon"),
        ("Once", " upon", " upon"),
        ("Once ", " ", ""),
    ],
)
async def test_who_goes_on_does_not_repeat_the_blanks_that_the_api_does_not_take_at_the_end(said: str, goes_on: str, rest: str, stream: bool) -> None:
    messages = [*HI, Message("assistant", said)]
    transport = ScriptedTransport([goes_on], by="character")
    provider = AnthropicProvider(CANARY, transport.base_url, "claude-sonnet-4-5", transport=transport)
    found: Any = await provider.complete(messages, stream=stream)
    if stream:
        _ = [delta async for delta in found]
        found = found.result()
    assert transport.requests[0].body["messages"][-1]["content"][0]["text"] == "Once"
    assert found.message.content == rest
