"""Counting over HTTP: a codec says where, what is posted and where the number stands; the rest is that of all requests."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ecs_agent.errors import BadRequestError, MalformedResponseError, ProviderError, ProviderTimeoutError, RateLimitError
from ecs_agent.providers import TokenCount, TokenCounter, count_tokens
from ecs_agent.providers.http.counting import CountingHTTPProvider
from ecs_agent.providers.local.llama_codec import LlamaServerCodec
from ecs_agent.providers.openai import OpenAIChatCodec
from ecs_agent.providers.protocol import ModelRequest, RequestOptions
from ecs_agent.providers.secret import Secret
from ecs_agent.providers.settings import Settings
from ecs_agent.streaming.json_edge import is_object
from ecs_agent.testing import LoopbackServer, Reply, ScriptedTransport, chat_reply, error_reply, json_reply, run
from ecs_agent.types import JsonObject, Message, ToolSchema

HI = [Message("user", "Hi")]
CANARY = "sk-canary-0123456789abcdef"
SCHEMA = ToolSchema("f", "Does f.", {"type": "object"})


class ToyCodec(OpenAIChatCodec):
    """A protocol with a count of its own, a header, and a field that servers may refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.polite = True

    def headers(self, request: ModelRequest) -> dict[str, str]:
        return {"x-version": "1"}

    def count_path(self, request: ModelRequest) -> str:
        return f"/models/{request.model}:count"

    def count_body(self, request: ModelRequest) -> JsonObject:
        tools = request.options.get("tools") or []
        body: JsonObject = {"said": [f"{m.role}: {m.content}" for m in request.messages], "tools": [tool.name for tool in tools]}
        return {**body, "please": True} if self.polite else body

    def withdraw(self, error: ProviderError, sent: JsonObject) -> bool:
        refused = "please" in sent and "please" in str(error)
        self.polite = self.polite and not refused
        return refused

    def tokens_in(self, found: Any) -> int | None:
        tokens: Any = found.get("total") if is_object(found) else None
        return tokens if type(tokens) is int else None


def provider_for(server: LoopbackServer | ScriptedTransport, **http: Any) -> CountingHTTPProvider:
    return CountingHTTPProvider(ToyCodec(), Settings(server.base_url, "toy", Secret(CANARY)), name="toys", **http)


async def test_the_server_is_asked_in_the_words_of_the_codec() -> None:
    async with LoopbackServer([json_reply({"total": 12})]) as server, provider_for(server) as provider:
        assert isinstance(provider, TokenCounter)
        counted = await count_tokens(provider, HI, tools=[SCHEMA], system_prompt="Be brief.", model="other")
    assert counted == TokenCount(12, estimated=False)
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/v1/models/other:count")
    assert request.body == {"said": ["system: Be brief.", "user: Hi"], "tools": ["f"], "please": True}
    assert (request.headers["authorization"], request.headers["x-version"]) == (f"Bearer {CANARY}", "1")


async def test_without_more_only_the_messages_are_asked_for() -> None:
    async with LoopbackServer([json_reply({"total": 0})]) as server, provider_for(server) as provider:
        assert await provider.count_tokens(HI) == TokenCount(0)
    assert (server.requests[0].path, server.requests[0].body["said"]) == ("/v1/models/toy:count", ["user: Hi"])


async def test_it_answers_as_every_provider() -> None:
    async with LoopbackServer([chat_reply("Hello.")]) as server, provider_for(server) as provider:
        stream = await provider.complete(HI, stream=True)
        assert "".join([delta.content or "" async for delta in stream]) == "Hello."


async def test_a_request_is_counted_with_its_options() -> None:
    options = RequestOptions(extra_headers={"X-Run": "7"}, tools=[SCHEMA])
    async with LoopbackServer([json_reply({"total": 1})]) as server, provider_for(server) as provider:
        await provider.count_request(ModelRequest("toy", HI, options=options))
    assert (server.requests[0].headers["x-run"], server.requests[0].body["tools"]) == ("7", ["f"])


async def test_what_a_server_refuses_is_withdrawn() -> None:
    async with LoopbackServer([error_reply(400, "unknown: please"), json_reply({"total": 3})]) as server, provider_for(server) as provider:
        assert await provider.count_tokens(HI) == TokenCount(3)
    assert ["please" in request.body for request in server.requests] == [True, False]


@pytest.mark.parametrize("body", [{}, [], None, 7, {"total": "7"}])
async def test_an_answer_without_a_count_is_malformed_and_says_what_counts_without_it(body: Any) -> None:
    async with LoopbackServer([json_reply(body, headers={"x-request-id": "r-1"})]) as server, provider_for(server) as provider:
        with pytest.raises(MalformedResponseError, match="estimate_tokens") as caught:
            await provider.count_tokens(HI)
    assert (caught.value.provider, caught.value.model, caught.value.request_id) == ("toys", "toy", "r-1")


@pytest.mark.parametrize(
    ("reply", "error"),
    [(error_reply(404, "no such path"), BadRequestError), (error_reply(429, f"slow down, {CANARY}"), RateLimitError)],
)
async def test_a_failed_count_is_a_typed_error_without_the_key(reply: Reply, error: type[ProviderError]) -> None:
    async with LoopbackServer([reply]) as server, provider_for(server) as provider:
        with pytest.raises(error) as caught:
            await provider.count_tokens(HI)
    assert caught.value.provider == "toys"
    assert CANARY not in repr(caught.value)


async def test_what_is_no_conversation_is_named() -> None:
    async with LoopbackServer([json_reply({"total": 1})]) as server, provider_for(server) as provider:
        with pytest.raises(TypeError, match="messages holds a str"):
            await provider.count_tokens("Hi")  # type: ignore[arg-type]
    assert server.requests == []


@pytest.mark.parametrize(("options", "seconds"), [({}, 120.0), ({"read_timeout": 5.0}, 5.0), ({"total_timeout": 3.0}, 3.0)])
def test_a_server_that_keeps_silent_is_given_up(options: RequestOptions, seconds: float) -> None:
    async def main() -> float:
        transport = ScriptedTransport([Reply(end="silent")])
        with pytest.raises(ProviderTimeoutError):
            await provider_for(transport, transport=transport, first_delta_timeout=1.0).count_request(ModelRequest("toy", HI, options=options))
        return asyncio.get_running_loop().time()

    assert run(main) == pytest.approx(seconds)


class TestLlamaServer:
    REQUEST = ModelRequest("m", HI, options=RequestOptions(tools=[SCHEMA]))

    def test_the_request_itself_is_posted(self) -> None:
        codec = LlamaServerCodec()
        assert codec.count_path(self.REQUEST) == "/chat/completions/input_tokens"
        assert codec.count_body(self.REQUEST) == codec.encode(self.REQUEST)

    @pytest.mark.parametrize(
        ("found", "tokens"),
        [
            ({"input_tokens": 37, "object": "response.input_tokens"}, 37),
            ({"input_tokens": -1}, None),
            ({"input_tokens": True}, None),
            ({}, None),
            (7, None),
        ],
    )
    def test_where_the_count_stands(self, found: Any, tokens: int | None) -> None:
        assert LlamaServerCodec().tokens_in(found) == tokens
