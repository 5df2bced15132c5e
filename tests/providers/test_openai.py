"""OpenAIProvider over real sockets: answers, failures, time limits, and what happens to the connection."""

from __future__ import annotations

import asyncio
import gc
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ecs_agent.errors import (
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ContextLengthError,
    MalformedResponseError,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
    QuotaError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
    UnsupportedFeatureError,
)
from ecs_agent.providers import OpenAIProvider
from ecs_agent.providers.wire.call_ids import missing_id
from ecs_agent.testing import LoopbackServer, Received, Reply, chat_reply, chunk, error_reply, json_reply
from ecs_agent.types import Message, ToolCall, ToolSchema, Usage

HI = [Message("user", "Hi")]
CANARY = "sk-canary-0123456789abcdef"


def provider_for(server: LoopbackServer, **options: Any) -> OpenAIProvider:
    return OpenAIProvider(CANARY, server.base_url, "test-model", **options)


async def text_of(stream: AsyncIterator[Any]) -> str:
    return "".join([delta.content or "" async for delta in stream])


async def test_a_stream_gives_its_text_and_ends_with_finish_and_usage() -> None:
    async with LoopbackServer([chat_reply("Hello there, friend.")]) as server, provider_for(server) as provider:
        deltas = [delta async for delta in await provider.complete(HI, stream=True)]
    assert "".join(delta.content or "" for delta in deltas) == "Hello there, friend."
    assert [(d.finish_reason, d.usage) for d in deltas if d.final] == [("stop", Usage(10, 5, 15))]
    assert deltas[-1].final


async def test_a_whole_answer_is_asked_for_without_streaming() -> None:
    body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi!"}, "finish_reason": "stop"}]}
    async with LoopbackServer([json_reply(body)]) as server, provider_for(server) as provider:
        result = await provider.complete(HI)
    assert (result.message.content, result.finish_reason, result.usage) == ("Hi!", "stop", None)
    assert "stream" not in server.requests[0].body


async def test_what_is_sent() -> None:
    schema = ToolSchema("f", "Does f.", {"type": "object", "properties": {}})
    async with LoopbackServer([chat_reply("ok")]) as server, provider_for(server, headers={"x-team": "red"}) as provider:
        stream = await provider.complete(HI, stream=True, tools=[schema], temperature=0.5, extra_headers={"X-Run": "7"}, extra_body={"top_k": 4})
        await text_of(stream)
    request = server.requests[0]
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.headers["authorization"] == f"Bearer {CANARY}"
    assert (request.headers["x-team"], request.headers["x-run"], request.headers["accept-encoding"]) == ("red", "7", "identity")
    assert request.body["model"] == "test-model"
    assert request.body["stream_options"] == {"include_usage": True}
    assert (request.body["temperature"], request.body["top_k"]) == (0.5, 4)
    assert request.body["tools"][0]["function"]["name"] == "f"


async def test_half_a_surrogate_pair_in_a_question_is_replaced_and_not_an_error() -> None:
    async with LoopbackServer([chat_reply("ok")]) as server, provider_for(server) as provider:
        await text_of(await provider.complete([Message("user", "x\ud800y")], stream=True))
    assert server.requests[0].body["messages"][0]["content"] == "x\ufffdy"


async def test_tool_calls_arrive_whole() -> None:
    async with LoopbackServer([chat_reply("Let me see.", tool_calls=[ToolCall("c1", "f", {"a": 1})])]) as server, provider_for(server) as provider:
        stream = await provider.complete(HI, stream=True)
        await text_of(stream)
    assert stream.result().message.tool_calls == [ToolCall("c1", "f", {"a": 1})]
    assert stream.result().finish_reason == "tool_calls"


async def test_calls_without_ids_get_ids_of_their_own_in_each_turn() -> None:
    nameless = [chunk({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]}), chunk(finish="tool_calls"), b"data: [DONE]\n\n"]
    history = [Message("user", "go")]
    async with LoopbackServer([Reply(nameless)]) as server, OpenAIProvider(base_url=server.base_url, model="m") as provider:
        for _ in range(3):
            answer = (await provider.complete(history)).message
            history += [answer, *[Message("tool", "done", tool_call_id=call.id) for call in answer.tool_calls or ()]]
    ids = [message.tool_call_id for message in history if message.role == "tool"]
    assert len(ids) == len(set(ids)) == 3


async def test_usage_is_not_asked_for_again_where_a_server_refuses_to_be_asked() -> None:
    refusal = error_reply(400, "Unrecognized request argument supplied: stream_options")
    async with LoopbackServer([refusal, chat_reply("ok"), chat_reply("ok")]) as server, provider_for(server) as provider:
        assert await text_of(await provider.complete(HI, stream=True)) == "ok"
        assert await text_of(await provider.complete(HI, stream=True)) == "ok"
    assert ["stream_options" in request.body for request in server.requests] == [True, False, False]


@pytest.mark.parametrize(
    ("reply", "leaf", "words"),
    [
        (error_reply(401, f"Incorrect API key provided: {CANARY}", code="invalid_api_key"), AuthenticationError, "check the key"),
        (error_reply(403, "not allowed"), AuthenticationError, "check the key"),
        (error_reply(404, "The model does not exist", code="model_not_found"), BadRequestError, "no model 'test-model'"),
        (error_reply(422, "bad option"), BadRequestError, "check the model"),
        (error_reply(429, "Rate limit reached", headers={"retry-after": "7"}), RateLimitError, "wait 7 s"),
        (error_reply(429, "You exceeded your current quota", code="insufficient_quota"), QuotaError, "no credit"),
        (error_reply(400, "maximum context length is 8192", code="context_length_exceeded"), ContextLengthError, "shorten"),
        (error_reply(503, "overloaded"), ServerError, "try again"),
        (error_reply(408, "timeout"), ProviderTimeoutError, "try again"),
        (Reply([b"<html>Bad gateway</html>"], 502, {"content-type": "text/html"}), ServerError, "web page"),
        (Reply([b"<html>Welcome</html>"], 200, {"content-type": "text/html"}), MalformedResponseError, "base_url"),
        (json_reply({"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}}), RateLimitError, "too many"),
        (Reply([b""], 302, {"location": f"https://elsewhere.example/?key={CANARY}"}), BadRequestError, "elsewhere.example"),
    ],
)
async def test_each_refusal_is_its_own_error_that_says_what_to_do_and_holds_no_key(reply: Reply, leaf: type[ProviderError], words: str) -> None:
    async with LoopbackServer([reply]) as server, provider_for(server) as provider:
        with pytest.raises(leaf) as caught:
            await text_of(await provider.complete(HI, stream=True))
    error = caught.value
    assert type(error) is leaf
    assert words in str(error)
    assert CANARY not in str(error) + repr(error) + repr(error.__cause__)
    assert (error.provider, error.model) == ("openai", "test-model")


async def test_a_retry_after_stands_on_the_error() -> None:
    async with LoopbackServer([error_reply(429, "slow down", headers={"retry-after-ms": "1500", "x-request-id": "req_7"})]) as server:
        with pytest.raises(RateLimitError) as caught:
            await provider_for(server).complete(HI)
    assert (caught.value.retry_after, caught.value.request_id, caught.value.retryable, caught.value.status) == (1.5, "req_7", True, 429)


async def test_an_error_in_the_middle_of_an_answer_keeps_what_was_said() -> None:
    pieces = [chunk({"content": "so far"}), b'data: {"error":{"message":"Rate limit reached","code":"rate_limit_exceeded"}}\n\n']
    async with LoopbackServer([Reply(pieces)]) as server, provider_for(server) as provider:
        stream = await provider.complete(HI, stream=True)
        with pytest.raises(RateLimitError) as caught:
            await text_of(stream)
    assert caught.value.partial is not None
    assert caught.value.partial.message == Message("assistant", "so far", interrupted=True)


@pytest.mark.parametrize("end", ["eof", "reset"])
async def test_a_cut_answer_is_an_error_with_the_partial(end: Any) -> None:
    async with LoopbackServer([chat_reply("so far", finish=False, end=end)]) as server, provider_for(server) as provider:
        with pytest.raises(StreamInterruptedError) as caught:
            await text_of(await provider.complete(HI, stream=True))
    assert caught.value.partial is not None
    assert caught.value.partial.message.content == "so far"


async def test_killing_the_server_in_the_middle_of_an_answer() -> None:
    server = LoopbackServer([chat_reply("so far", finish=False, end="stall")])
    async with server, provider_for(server) as provider:
        stream = await provider.complete(HI, stream=True)
        first = await anext(stream)
        await server.aclose()
        with pytest.raises(StreamInterruptedError):
            await text_of(stream)
    assert first.content == "so "


async def test_a_cut_after_the_finish_is_a_success() -> None:
    async with LoopbackServer([Reply([chunk({"content": "all"}), chunk(finish="stop")], end="reset")]) as server, provider_for(server) as provider:
        stream = await provider.complete(HI, stream=True)
        assert await text_of(stream) == "all"
    assert (stream.result().finish_reason, stream.result().usage) == ("stop", None)


async def test_nobody_listens() -> None:
    with pytest.raises(ProviderConnectionError, match="is the server running"):
        await OpenAIProvider(base_url="http://127.0.0.1:1/v1", model="m").complete(HI, stream=True)


async def test_a_name_that_does_not_exist() -> None:
    with pytest.raises(ProviderConnectionError):
        await OpenAIProvider("k" * 20, "https://does-not-exist.invalid/v1", "m").complete(HI, stream=True)


class TestTime:
    @pytest.mark.parametrize(
        ("reply", "limit"),
        [
            (Reply(end="silent"), "read_timeout"),
            (Reply(end="stall"), "read_timeout"),
            (Reply([chunk({"content": "a"})], end="stall"), "read_timeout"),
            (Reply([chunk({"content": "a"})[:40]], end="stall"), "read_timeout"),
            (Reply([b": comment\n\n", 0.03] * 50, end="stall"), "first_delta_timeout"),
            (Reply([chunk({"content": "a"}), 0.03] * 50, end="stall"), "total_timeout"),
        ],
        ids=["before headers", "after headers", "after a delta", "mid-event", "comments for ever", "deltas for ever"],
    )
    async def test_nothing_hangs(self, reply: Reply, limit: str) -> None:
        limits = {"read_timeout": 0.2, "first_delta_timeout": 5.0, "total_timeout": 5.0} | {limit: 0.2}
        async with LoopbackServer([reply]) as server, provider_for(server, **limits) as provider:
            loop = asyncio.get_running_loop()
            start = loop.time()
            with pytest.raises(ProviderTimeoutError, match=limit) as caught:
                await text_of(await provider.complete(HI, stream=True))
            assert loop.time() - start < 1.0  # and not for ever, nor until the next larger limit
        assert caught.value.retryable

    async def test_a_slow_consumer_is_not_a_silent_server(self) -> None:
        async with LoopbackServer([chat_reply("a b c d")]) as server, provider_for(server, read_timeout=0.05) as provider:
            stream = await provider.complete(HI, stream=True)
            said = ""
            async for delta in stream:
                said += delta.content or ""
                await asyncio.sleep(0.03)
        assert said == "a b c d"

    async def test_usage_that_never_comes_is_waited_for_only_briefly(self) -> None:
        pieces = [chunk({"content": "all"}), chunk(finish="stop")]
        async with LoopbackServer([Reply(pieces, end="stall")]) as server, provider_for(server, tail_timeout=0.05) as provider:
            stream = await provider.complete(HI, stream=True)
            assert await text_of(stream) == "all"
            await asyncio.wait_for(server.requests[0].closed.wait(), 1)
        assert stream.result().finish_reason == "stop"

    async def test_a_limit_of_one_request(self) -> None:
        async with LoopbackServer([Reply(end="stall")]) as server, provider_for(server) as provider:
            with pytest.raises(ProviderTimeoutError, match="read_timeout"):
                await text_of(await provider.complete(HI, stream=True, read_timeout=0.05))


class TestClosing:
    async def gone(self, server: LoopbackServer) -> None:
        await asyncio.wait_for(server.requests[-1].closed.wait(), 0.5)
        assert server.requests[-1].cut_off

    async def test_leaving_async_with(self) -> None:
        async with LoopbackServer([chat_reply("a b", finish=False, end="stall")]) as server, provider_for(server) as provider:
            async with await provider.complete(HI, stream=True) as stream:
                await anext(stream)
            await self.gone(server)

    async def test_aclose_while_another_task_waits(self) -> None:
        async with LoopbackServer([chat_reply("a", finish=False, end="stall")]) as server, provider_for(server) as provider:
            stream = await provider.complete(HI, stream=True)
            reading = asyncio.ensure_future(text_of(stream))
            await asyncio.sleep(0.02)
            await stream.aclose()
            assert await asyncio.wait_for(reading, 0.5) == "a"
            await self.gone(server)

    async def test_cancelling_the_task(self) -> None:
        async with LoopbackServer([chat_reply("a", finish=False, end="stall")]) as server, provider_for(server) as provider:
            reading = asyncio.ensure_future(text_of(await provider.complete(HI, stream=True)))
            await asyncio.sleep(0.02)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            await self.gone(server)

    async def test_cancelling_before_the_headers(self) -> None:
        async with LoopbackServer([Reply(end="silent")]) as server, provider_for(server, max_streams=1) as provider:
            asking = asyncio.ensure_future(provider.complete(HI, stream=True))
            while not server.requests:
                await asyncio.sleep(0)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await self.gone(server)

    async def test_asyncio_timeout(self) -> None:
        async with LoopbackServer([chat_reply("a", finish=False, end="stall")]) as server, provider_for(server) as provider:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await text_of(await provider.complete(HI, stream=True))
            await self.gone(server)

    async def test_a_bare_break_when_the_last_reference_goes(self) -> None:
        async with LoopbackServer([chat_reply("a", finish=False, end="stall")]) as server, provider_for(server) as provider:
            async for _ in await provider.complete(HI, stream=True):
                break
            gc.collect()
            await self.gone(server)

    async def test_many_cancels_leave_the_provider_healthy(self) -> None:
        replies = [chat_reply("a", finish=False, end="stall")] * 300 + [chat_reply("fine")]
        async with LoopbackServer(replies) as server, provider_for(server, max_streams=10) as provider:

            async def cancelled() -> None:
                async with await provider.complete(HI, stream=True) as stream:
                    await anext(stream)

            for _ in range(30):
                await asyncio.gather(*[cancelled() for _ in range(10)])
            assert await text_of(await provider.complete(HI, stream=True)) == "fine"

    async def test_a_stream_limit_that_is_reached_says_so(self) -> None:
        async with LoopbackServer([chat_reply("a", finish=False, end="stall")]) as server:
            provider = provider_for(server, max_streams=1, pool_timeout=0.02)
            async with provider, await provider.complete(HI, stream=True):
                with pytest.raises(ProviderTimeoutError, match="max_streams"):
                    await provider.complete(HI, stream=True)

    def test_one_provider_in_two_event_loops(self) -> None:
        async def ask(provider: OpenAIProvider) -> str:
            return await text_of(await provider.complete(HI, stream=True))

        async def both() -> list[str]:
            async with LoopbackServer([chat_reply("again")]) as server:
                provider.base_url = server.base_url
                return [await ask(provider), await ask(provider)]

        provider = OpenAIProvider(base_url="http://127.0.0.1:1/v1", model="m")
        assert asyncio.run(both()) == ["again", "again"]
        assert asyncio.run(both()) == ["again", "again"]


CONTRACT = """
import asyncio, sys
from ecs_agent.providers import OpenAIProvider
from ecs_agent.testing import LoopbackServer, chat_reply
from ecs_agent.types import Message

async def main():
    asyncio.get_running_loop().slow_callback_duration = 5  # the import of the HTTP client is no fault of the loop
    async with LoopbackServer([chat_reply("Once upon a time.")]) as server:
        provider = OpenAIProvider(api_key="...", base_url=server.base_url, model="qwen3.5-plus")
        deltas = await provider.complete([Message(role="user", content="Tell me a short story.")], stream=True)
        async for delta in deltas:
            if delta.content: print(delta.content, end="", flush=True)
            if delta.finish_reason: print(); print(delta.finish_reason, delta.usage.total_tokens)

asyncio.run(main(), debug=True)
"""


def test_the_contract_example_runs_as_printed_and_closing_nothing_leaves_no_warning() -> None:
    ran = subprocess.run([sys.executable, "-X", "dev", "-W", "error", "-c", CONTRACT], capture_output=True, text=True, timeout=30, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "Once upon a time.\nstop 15\n", "")


class TestArguments:
    async def test_structured_output_cannot_be_streamed(self) -> None:
        provider = OpenAIProvider(base_url="http://127.0.0.1:1/v1", model="m")
        with pytest.raises(UnsupportedFeatureError):
            await provider.complete(HI, stream=True, response_format={"type": "json_object"})

    @pytest.mark.parametrize(
        ("messages", "options", "words"),
        [
            ("Hello", {}, "messages holds a str; give a list of Message"),
            ([{"role": "user", "content": "Hello"}], {}, "messages holds a dict; give a list of Message"),
            ([Message("user", "Hi")], {"extra_body": {"a": object()}}, "cannot be written as JSON"),
            ([Message("user", "Hi")], {"extra_headers": {"x-a": 5}}, "the header 'x-a' is a int; give a str"),
            ([Message("user", "Hi")], {"tool_choice": {"type": "function"}}, "tool_choice is a dict; give 'auto'"),
            ([Message("user", "Hi")], {"read_timeout": "5"}, "read_timeout is a str; give seconds"),
            ([Message("user", "Hi")], {"total_timeout": -1}, "total_timeout is -1; give seconds from 0 on"),
        ],
    )
    async def test_a_value_that_is_none_for_its_place(self, messages: Any, options: Any, words: str) -> None:
        provider = OpenAIProvider(base_url="http://127.0.0.1:1/v1", model="m")
        for stream in (False, True):
            with pytest.raises((TypeError, ValueError), match=re.escape(words)):
                await provider.complete(messages, stream, **options)

    @pytest.mark.parametrize(
        "limit", ["connect_timeout", "read_timeout", "first_delta_timeout", "total_timeout", "write_timeout", "pool_timeout", "tail_timeout"]
    )
    def test_a_limit_is_seconds_or_none(self, limit: str) -> None:
        no_limit: dict[str, Any] = {limit: None}
        OpenAIProvider(base_url="http://127.0.0.1:1/v1", model="m", **no_limit)
        for wrong, error in ((-1, ValueError), (float("nan"), ValueError), ("5", TypeError), (True, TypeError)):
            arguments: dict[str, Any] = {limit: wrong}
            with pytest.raises(error, match=f"{limit} is"):
                OpenAIProvider(base_url="http://127.0.0.1:1/v1", model="m", **arguments)

    async def test_an_option_that_does_not_exist(self) -> None:
        provider = OpenAIProvider(base_url="http://127.0.0.1:1/v1", model="m")
        with pytest.raises(TypeError, match="'temprature'"):
            await provider.complete(HI, temprature=1)  # type: ignore[call-overload]  # the mistake under test

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"base_url": "https://api.example.com/v1", "model": "m"}, "OPENAI_API_KEY"),
            ({"api_key": "k", "base_url": "https://api.example.com/v1"}, "LLM_MODEL"),
            ({"api_key": "k", "base_url": "api.example.com/v1", "model": "m"}, "https://"),
            ({"api_key": "k", "base_url": "http://api.example.com/v1", "model": "m"}, "not encrypted"),
            ({"api_key": "k\nx", "base_url": "https://api.example.com/v1", "model": "m"}, "line break"),
            ({"api_key": " ", "base_url": "https://api.example.com/v1", "model": "m"}, "empty"),
            ({"api_key": "k", "base_url": "https://user:pw@api.example.com/v1", "model": "m"}, "api_key"),
        ],
    )
    def test_what_is_missing_or_wrong_is_one_sentence(self, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], words: str) -> None:
        for name in ("OPENAI_API_KEY", "LLM_API_KEY", "OPENAI_BASE_URL", "LLM_BASE_URL", "LLM_MODEL"):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(ConfigurationError, match=words):
            OpenAIProvider(**arguments)

    def test_the_environment_fills_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LLM_API_KEY", CANARY)
        monkeypatch.setenv("LLM_BASE_URL", "https://llm.example.com/v1/")
        monkeypatch.setenv("LLM_MODEL", "m1")
        provider = OpenAIProvider()
        assert (provider.base_url, provider.model) == ("https://llm.example.com/v1", "m1")
        assert CANARY not in repr(provider) + repr(vars(provider))

    async def test_a_header_with_a_line_break_is_refused_before_anything_is_sent(self) -> None:
        async with LoopbackServer([chat_reply("ok")]) as server, provider_for(server) as provider:
            with pytest.raises(ConfigurationError, match="line break"):
                await provider.complete(HI, extra_headers={"x-a": "b\r\nevil: 1"})
        assert server.requests == []


class TestWithdrawal:
    """What a server refuses that can be left out, or called otherwise, does not fail the request."""

    FORMS = (
        {"error": {"message": "Unrecognized request argument supplied: stream_options"}},
        {"error": {"message": "Unknown parameter.", "param": "stream_options"}},
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]},
    )

    @pytest.mark.parametrize("refusal", FORMS)
    async def test_usage_is_not_asked_for_where_it_is_refused_also_by_many_at_once(self, refusal: Any) -> None:
        def answer(request: Received) -> Reply:
            return json_reply(refusal, status=400) if "stream_options" in request.body else chat_reply("fine", usage=None)

        async with LoopbackServer([answer]) as server, OpenAIProvider(base_url=server.base_url, model="m") as provider:
            streams = await asyncio.gather(*[provider.complete(HI, stream=True) for _ in range(5)])
            texts = ["".join([text async for text in stream.text()]) for stream in streams]
            await provider.complete(HI)
        assert texts == ["fine"] * 5
        assert "stream_options" not in server.requests[-1].body

    async def test_the_limit_of_tokens_is_called_as_the_model_wants_it(self) -> None:
        refusal = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."

        def answer(request: Received) -> Reply:
            return error_reply(400, refusal) if "max_tokens" in request.body else chat_reply("fine")

        async with LoopbackServer([answer]) as server, OpenAIProvider(base_url=server.base_url, model="m") as provider:
            for _ in range(2):
                assert (await provider.complete(HI, max_tokens=7)).message.content == "fine"
        assert [request.body.get("max_completion_tokens") for request in server.requests] == [None, 7, 7]

    async def test_what_the_user_insists_on_is_refused_once_and_told(self) -> None:
        async with LoopbackServer([json_reply(self.FORMS[0], status=400)]) as server, OpenAIProvider(base_url=server.base_url, model="m") as provider:
            with pytest.raises(BadRequestError):
                await provider.complete(HI, stream=True, extra_body={"stream_options": {"include_usage": True}})
        assert len(server.requests) == 1


@pytest.mark.parametrize("options", [{"proxy": "http://user:hidden@[::1"}, {}])
async def test_a_proxy_that_is_no_url_is_an_error_of_the_request_that_shows_no_password(options: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://user:hidden@[::1")
    async with OpenAIProvider(base_url="http://localhost:9/v1", model="m", **options) as provider:
        with pytest.raises(ProviderConnectionError) as caught:
            await provider.complete(HI)
    assert "hidden" not in str(caught.value)


class TestClosingTheProvider:
    @pytest.mark.parametrize("turns", range(0, 40, 3))
    async def test_whatever_arrives_meanwhile_is_a_typed_end(self, turns: int) -> None:
        async with LoopbackServer([chat_reply("a b c")]) as server:
            provider = OpenAIProvider(base_url=server.base_url, model="m")

            async def ask() -> str:
                return "".join([text async for text in (await provider.complete(HI, stream=True)).text()])

            asking = asyncio.ensure_future(ask())
            for _ in range(turns):
                await asyncio.sleep(0)
            await provider.aclose()
            try:
                assert await asking == "a b c"
            except (ProviderConnectionError, StreamInterruptedError):
                pass
            await provider.aclose()


async def test_looking_up_a_name_counts_as_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object, **__: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
    async with OpenAIProvider("k", "https://models.invalid/v1", "m", connect_timeout=0.05) as provider:
        with pytest.raises(ProviderTimeoutError, match="connect_timeout"):
            await provider.complete(HI)


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([], "call_1_0"),
        ([Message("user", "a"), Message("assistant", "b")], "call_2_0"),
        ([Message("assistant", tool_calls=[ToolCall("call_7_0", "f")])], "call_8_0"),
        ([Message("assistant", tool_calls=[ToolCall("call_x", "f")])], "call_2_0"),
    ],
)
def test_the_number_of_a_missing_id_is_above_all_there_are(history: list[Message], expected: str) -> None:
    assert missing_id(history, 0) == expected


@pytest.mark.parametrize("url", ["", "  "])
def test_an_empty_url_is_not_everybodys_server(url: str) -> None:
    with pytest.raises(ConfigurationError, match="base_url is empty"):
        OpenAIProvider("k", url, "m")
