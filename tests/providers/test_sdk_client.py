"""Clients of the official SDKs, real ones, over real sockets: they open the response, we read it, and what goes wrong is ours to tell."""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
import subprocess
import sys
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any

import httpx2
import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, OpenAI

from ecs_agent.errors import (
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    MalformedResponseError,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
)
from ecs_agent.providers import OpenAIProvider, TransportRequest
from ecs_agent.providers.http.sdk_client import SDKTransport, client_base_url
from ecs_agent.testing import LoopbackServer, Reply, assert_stream_laws, chat_reply, chunk, error_reply, json_reply
from ecs_agent.types import CompletionResult, Message, ToolCall

HI = [Message("user", "Hi")]
CANARY = "sk-canary-0123456789abcdef"
AT_ONCE = {"retry-after-ms": "1"}  # how long the SDKs wait before they ask again
BUSY = error_reply(429, "slow down", headers=AT_ONCE)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def openai() -> AsyncGenerator[Callable[..., AsyncOpenAI]]:
    """Makes clients, and closes them."""
    made: list[AsyncOpenAI] = []

    def make(server: LoopbackServer | str, **options: Any) -> AsyncOpenAI:
        url = server if isinstance(server, str) else server.base_url
        made.append(AsyncOpenAI(**{"api_key": CANARY, "base_url": url, "max_retries": 0, **options}))
        return made[-1]

    yield make
    for client in made:
        await client.close()


async def answer_of(provider: OpenAIProvider, **options: Any) -> CompletionResult:
    stream = await provider.complete(HI, stream=True, **options)
    async for _ in stream:
        pass
    result: CompletionResult = stream.result()
    return replace(result, timing=None)


async def failure(provider: OpenAIProvider, **options: Any) -> ProviderError:
    """What asking raises; no secret is in it, nor in anything that hangs on it."""
    with pytest.raises(ProviderError) as caught:
        await answer_of(provider, **options)
    assert "canary" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.provider == "openai"
    return caught.value


class TestAnswers:
    @pytest.mark.parametrize(
        "reply",
        [
            chat_reply("Hello there, friend."),
            chat_reply("", tool_calls=[ToolCall("call_1", "f", {"a": 1})]),
            chat_reply("No usage.", usage=None),
            json_reply({"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi!"}, "finish_reason": "stop"}]}),
            Reply([chunk({"content": "ä" * 100_000}), chunk(finish="stop"), b"data: [DONE]\n\n"]),
        ],
        ids=["text", "call", "no usage", "json", "large"],
    )
    async def test_they_are_what_our_own_transport_makes_of_them(self, openai: Callable[..., AsyncOpenAI], reply: Reply) -> None:
        async with LoopbackServer([reply]) as server, OpenAIProvider(CANARY, server.base_url, "m") as own:
            assert await answer_of(OpenAIProvider(client=openai(server), model="m")) == await answer_of(own)

    async def test_a_whole_one(self, openai: Callable[..., AsyncOpenAI]) -> None:
        body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi!"}, "finish_reason": "stop"}]}
        async with LoopbackServer([json_reply(body)]) as server:
            assert (await OpenAIProvider(client=openai(server), model="m").complete(HI)).message.content == "Hi!"

    async def test_one_that_was_read_to_its_end_leaves_its_connection_for_the_next(self, openai: Callable[..., AsyncOpenAI]) -> None:
        async with LoopbackServer([chat_reply("a")]) as server:
            provider = OpenAIProvider(client=openai(server), model="m")
            await answer_of(provider)
            await answer_of(provider)
            assert len(server._serving) == 1
            assert not server.requests[0].cut_off

    async def test_the_laws_of_streams(self, openai: Callable[..., AsyncOpenAI]) -> None:
        def reply(request: Any) -> Reply:
            body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "one two three"}, "finish_reason": "stop"}]}
            return chat_reply("one two three", usage=None) if request.body.get("stream") else json_reply(body)

        async with LoopbackServer([reply]) as server:
            await assert_stream_laws(OpenAIProvider(client=openai(server), model="m"), deterministic=True)


class TestWhatIsSent:
    async def test_the_client_says_who_asks_and_we_what(self, openai: Callable[..., AsyncOpenAI]) -> None:
        async with LoopbackServer([chat_reply("ok")]) as server:
            await answer_of(OpenAIProvider(client=openai(server, default_headers={"x-of-client": "1"}), model="m", headers={"X-Team": "red"}))
        request = server.requests[0]
        assert (request.method, request.path) == ("POST", "/v1/chat/completions")
        assert request.body == {
            "model": "m",
            "messages": [{"role": "user", "content": "Hi"}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        assert request.headers["authorization"] == f"Bearer {CANARY}"
        assert (request.headers["x-of-client"], request.headers["x-team"]) == ("1", "red")
        assert request.headers["user-agent"].startswith("AsyncOpenAI/")
        assert request.headers["accept"] == "application/json"  # the client's; if ours has changed, it is not told from a user's
        assert request.headers["accept-encoding"] == "identity"  # compression holds deltas back

    async def test_a_header_of_the_user_takes_the_place_of_the_clients(self, openai: Callable[..., AsyncOpenAI]) -> None:
        async with LoopbackServer([chat_reply("ok")]) as server:
            await answer_of(OpenAIProvider(client=openai(server), model="m"), extra_headers={"Authorization": "Bearer mine", "User-Agent": "me/1"})
        assert server.requests[0].headers["authorization"] == "Bearer mine"
        assert server.requests[0].headers["user-agent"] == "me/1"

    async def test_azure_names_the_model_in_the_path(self) -> None:
        async with (
            LoopbackServer([chat_reply("Hi.")]) as server,
            AsyncAzureOpenAI(azure_endpoint=server.base_url.removesuffix("/v1"), api_key="azure-canary-1", api_version="2026-01-01") as client,
        ):
            assert (await answer_of(OpenAIProvider(client=client, model="my-gpt"))).message.content == "Hi."
        assert server.requests[0].path == "/openai/deployments/my-gpt/chat/completions?api-version=2026-01-01"
        assert server.requests[0].headers["api-key"] == "azure-canary-1"

    async def test_another_address_than_the_clients_is_refused(self, openai: Callable[..., AsyncOpenAI]) -> None:
        transport = SDKTransport(openai("http://127.0.0.1:9/v1"))
        for url in ("http://127.0.0.1:9/v10/chat", "http://127.0.0.2:9/v1/chat", "http://127.0.0.1:9/v1"):
            with pytest.raises(ConfigurationError, match="sends requests to http://127.0.0.1:9/v1 only"):
                await transport.open(TransportRequest(url, {}, b"{}"))


class TestRefusals:
    async def test_the_client_retries_as_it_was_told(self, openai: Callable[..., AsyncOpenAI]) -> None:
        async with LoopbackServer([BUSY, chat_reply("Hi.")]) as server:
            result = await answer_of(OpenAIProvider(client=openai(server, max_retries=2), model="m"))
        assert result.message.content == "Hi."
        assert [request.headers["x-stainless-retry-count"] for request in server.requests] == ["0", "1"]

    async def test_what_it_gives_up_on_is_classified(self, openai: Callable[..., AsyncOpenAI]) -> None:
        headers = {"retry-after": "7", "x-request-id": "req_1"}
        async with LoopbackServer([error_reply(429, "slow down", headers=headers)]) as server:
            error = await failure(OpenAIProvider(client=openai(server), model="m"))
        assert isinstance(error, RateLimitError)
        assert (error.status, error.retry_after, error.retryable, error.request_id) == (429, 7.0, True, "req_1")
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        ("reply", "leaf", "words"),
        [
            (error_reply(401, f"Incorrect API key provided: {CANARY}"), AuthenticationError, "did not accept the API key"),
            (error_reply(400, "no such option"), BadRequestError, "no such option"),
            (error_reply(404, "no such model"), BadRequestError, "the server knows no model 'm'"),
            (error_reply(500, "we broke"), ServerError, "we broke"),
            (Reply([b"<html>502</html>"], 502, {"content-type": "text/html"}), ServerError, "web page"),
            (Reply([], 503, {}), ServerError, "503"),
        ],
    )
    async def test_each_is_the_leaf_it_would_be_without_a_client(
        self, openai: Callable[..., AsyncOpenAI], reply: Reply, leaf: Any, words: str
    ) -> None:
        async with LoopbackServer([reply]) as server:
            error = await failure(OpenAIProvider(client=openai(server), model="m"))
        assert type(error) is leaf
        assert words in str(error)

    async def test_a_refused_option_is_withdrawn_as_ever(self, openai: Callable[..., AsyncOpenAI]) -> None:
        refusal = error_reply(400, "Unsupported parameter: 'stream_options'")
        async with LoopbackServer([refusal, chat_reply("Hi.")]) as server:
            assert (await answer_of(OpenAIProvider(client=openai(server), model="m"))).message.content == "Hi."
        assert "stream_options" not in server.requests[1].body

    async def test_a_key_that_was_made_for_the_request_is_not_repeated(self, openai: Callable[..., AsyncOpenAI]) -> None:
        async def renewed() -> str:
            return "renewed-canary-42"

        def echo(request: Any) -> Reply:
            return error_reply(403, f"no access for {request.headers['authorization']}")

        async with LoopbackServer([echo]) as server:
            client = openai(server, api_key=renewed)
            error = await failure(OpenAIProvider(client=client, model="m"))
            client.api_key = ""  # as if it had been renewed meanwhile
            await failure(OpenAIProvider(client=client, model="m"))
        assert "no access for Bearer ***" in str(error)


class TestNoAnswer:
    async def test_a_refused_connection(self, openai: Callable[..., AsyncOpenAI], unused_port: int) -> None:
        error = await failure(OpenAIProvider(client=openai(f"http://127.0.0.1:{unused_port}/v1"), model="m"))
        assert isinstance(error, ProviderConnectionError)
        assert error.retryable
        assert f"http://127.0.0.1:{unused_port} refused the connection" in str(error)
        assert isinstance(error.__cause__, OSError)
        assert error.__cause__.__traceback__ is None

    async def test_a_name_that_does_not_exist(self, openai: Callable[..., AsyncOpenAI]) -> None:
        error = await failure(OpenAIProvider(client=openai("http://nowhere.invalid/v1"), model="m"))
        assert isinstance(error, ProviderConnectionError)
        assert "the name in http://nowhere.invalid cannot be resolved" in str(error)

    async def test_a_connection_that_is_closed_without_an_answer(self, openai: Callable[..., AsyncOpenAI]) -> None:
        async with LoopbackServer([Reply(end="hangup")]) as server:
            error = await failure(OpenAIProvider(client=openai(server), model="m"))
        assert isinstance(error, ProviderConnectionError)
        assert "no answer from http://127.0.0.1" in str(error)

    async def test_the_clients_own_timeout(self, openai: Callable[..., AsyncOpenAI]) -> None:
        async with LoopbackServer([Reply(end="silent")]) as server:
            error = await failure(OpenAIProvider(client=openai(server, timeout=0.05), model="m"))
        assert isinstance(error, ProviderTimeoutError)
        assert "the client's own timeout" in str(error)

    async def test_our_time_limit_before_the_head_of_the_response(self, openai: Callable[..., AsyncOpenAI]) -> None:
        async with LoopbackServer([Reply(end="silent")]) as server:
            error = await failure(OpenAIProvider(client=openai(server), model="m"), read_timeout=0.3)
            assert "read_timeout" in str(error)
            await gone(server)

    async def test_a_closed_client_is_told_at_once(self, openai: Callable[..., AsyncOpenAI]) -> None:
        client = openai("http://127.0.0.1:9/v1", max_retries=5)
        await client.close()
        error = await failure(OpenAIProvider(client=client, model="m"))
        assert "is closed; keep it open as long as its provider" in str(error)
        assert not error.retryable

    async def test_a_key_that_is_no_header_stays_out_of_the_error(self, openai: Callable[..., AsyncOpenAI]) -> None:
        async with LoopbackServer([chat_reply("never")]) as server:
            await failure(OpenAIProvider(client=openai(server, api_key=f"{CANARY}\nx"), model="m"))


class TestReading:
    async def test_a_cut_stream_keeps_what_had_arrived(self, openai: Callable[..., AsyncOpenAI]) -> None:
        async with LoopbackServer([chat_reply("half an answer", end="reset", finish=False)]) as server:
            error = await failure(OpenAIProvider(client=openai(server), model="m"))
        assert isinstance(error, StreamInterruptedError)
        assert "lost in the middle of the answer" in str(error)
        assert error.partial is not None
        assert error.partial.message.content == "half an answer"

    async def test_the_clients_own_timeout_cuts_it_likewise(self, openai: Callable[..., AsyncOpenAI]) -> None:
        async with LoopbackServer([chat_reply("half", end="stall", finish=False)]) as server:
            error = await failure(OpenAIProvider(client=openai(server, timeout=httpx2.Timeout(5.0, read=0.3)), model="m"))
        assert isinstance(error, StreamInterruptedError)
        assert "ReadTimeout" in str(error)

    async def test_our_read_timeout(self, openai: Callable[..., AsyncOpenAI]) -> None:
        async with LoopbackServer([chat_reply("half", end="stall", finish=False)]) as server:
            error = await failure(OpenAIProvider(client=openai(server), model="m"), read_timeout=0.3)
            assert isinstance(error, ProviderTimeoutError)
            assert error.partial is not None
            assert error.partial.message.content == "half"
            await gone(server)

    async def test_a_cancel_closes_the_connection(self, openai: Callable[..., AsyncOpenAI]) -> None:
        async with LoopbackServer([chat_reply("a b", end="stall", finish=False)]) as server:
            task = asyncio.ensure_future(answer_of(OpenAIProvider(client=openai(server), model="m")))
            await asyncio.wait_for(begun(server), 2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await gone(server)

    @pytest.mark.parametrize("left", ["closed", "dropped"])
    async def test_an_answer_that_is_left_closes_it_too(self, openai: Callable[..., AsyncOpenAI], left: str) -> None:
        async with LoopbackServer([chat_reply("a b", end="stall", finish=False)]) as server:
            stream = await OpenAIProvider(client=openai(server), model="m").complete(HI, stream=True)
            assert (await anext(stream)).content == "a "
            if left == "closed":
                await stream.aclose()
                await stream.aclose()
            del stream
            gc.collect()
            await gone(server)

    async def test_the_client_stays_open(self, openai: Callable[..., AsyncOpenAI]) -> None:
        async with LoopbackServer([chat_reply("a")]) as server:
            client = openai(server)
            async with OpenAIProvider(client=client, model="m") as provider:
                await answer_of(provider)
            await provider.aclose()
            assert not client.is_closed()
            assert (await answer_of(provider)).message.content == "a"


async def begun(server: LoopbackServer) -> None:
    """A request has come, and its answer has been read as far as it goes."""
    while not server.requests:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.02)


async def gone(server: LoopbackServer) -> None:
    await asyncio.wait_for(server.requests[-1].closed.wait(), 2.0)
    assert server.requests[-1].cut_off


@pytest.fixture
async def unused_port() -> int:
    async with LoopbackServer(["x"]) as server:
        return int(server.base_url.split(":")[2].removesuffix("/v1"))


# Anthropic's clients: until a provider takes them, their transport alone.

ANTHROPIC = [b'event: message_start\ndata: {"type": "message_start"}\n\n', b'event: message_stop\ndata: {"type": "message_stop"}\n\n']
ASKED = b'{"model": "claude", "max_tokens": 5, "messages": [], "stream": true}'


class TestAnthropic:
    @pytest.fixture
    def anthropic(self) -> Any:
        return pytest.importorskip("anthropic", reason="the anthropic SDK is not installed")

    async def body_of(self, client: Any) -> bytes:
        transport = SDKTransport(client)
        response = await transport.open(TransportRequest(client_base_url(client) + "/v1/messages", {"x-team": "red"}, ASKED))
        assert (response.status, response.headers["content-type"]) == (200, "text/event-stream")
        body = b""
        while data := await response.read():
            body += data
        assert await response.read() == b""
        await response.aclose()
        await transport.aclose()
        return body

    async def test_a_stream_comes_byte_by_byte_as_it_was_sent(self, anthropic: Any) -> None:
        async with LoopbackServer([BUSY, Reply(ANTHROPIC)]) as server:
            async with anthropic.AsyncAnthropic(api_key=CANARY, base_url=root(server)) as client:
                assert await self.body_of(client) == b"".join(ANTHROPIC)
            request = server.requests[1]
            assert (request.path, request.body) == ("/v1/messages", json.loads(ASKED))
            assert CANARY in (request.headers.get("x-api-key", "") + request.headers.get("authorization", ""))
            assert request.headers["x-team"] == "red"
            assert "anthropic-version" in request.headers

    async def test_vertex_says_the_model_in_the_path(self, anthropic: Any) -> None:
        async with LoopbackServer([Reply(ANTHROPIC)]) as server:
            async with anthropic.AsyncAnthropicVertex(region="eu", project_id="p", access_token="token-1", base_url=root(server)) as client:
                assert await self.body_of(client) == b"".join(ANTHROPIC)
            assert server.requests[0].path == "/projects/p/locations/eu/publishers/anthropic/models/claude:streamRawPredict"
            assert server.requests[0].headers["authorization"] == "Bearer token-1"

    async def test_a_stream_of_bedrock_is_refused_with_a_sentence(self, anthropic: Any) -> None:
        reply = Reply([b"\x00\x00\x00\x10"], headers={"content-type": "application/vnd.amazon.eventstream"}, end="stall")
        async with LoopbackServer([reply]) as server:
            async with anthropic.AsyncAnthropicBedrock(api_key=CANARY, aws_region="eu-west-1", base_url=root(server)) as client:
                with pytest.raises(
                    MalformedResponseError, match="AWS's own event format, which is not read here; give an AsyncAnthropicBedrockMantle"
                ):
                    await self.body_of(client)
                await gone(server)
            assert server.requests[0].path == "/model/claude/invoke-with-response-stream"

    async def test_a_client_without_credentials(self, anthropic: Any) -> None:
        async with anthropic.AsyncAnthropic(api_key=CANARY, base_url="http://127.0.0.1:9", max_retries=0) as client:
            client.api_key = None
            with pytest.raises(AuthenticationError, match="the client has no credentials for http://127.0.0.1:9"):
                await self.body_of(client)

    async def test_a_refusal_is_a_response(self, anthropic: Any) -> None:
        body = {"type": "error", "error": {"type": "authentication_error", "message": f"invalid x-api-key {CANARY}"}}
        async with (
            LoopbackServer([json_reply(body, status=401)]) as server,
            anthropic.AsyncAnthropic(api_key=CANARY, base_url=root(server), max_retries=0) as client,
        ):
            response = await SDKTransport(client).open(TransportRequest(root(server) + "/v1/messages", {}, ASKED))
        assert response.status == 401
        assert response.headers["content-type"] == "application/json"
        content = await response.read()
        assert (json.loads(content)["error"]["message"], await response.read()) == ("invalid x-api-key ***", b"")
        await response.aclose()
        response.abort()

    async def test_a_connection_that_is_lost_or_aborted_while_it_is_read(self, anthropic: Any) -> None:
        async with (
            LoopbackServer([Reply(ANTHROPIC[:1], end="reset"), Reply(ANTHROPIC[:1], end="stall")]) as server,
            anthropic.AsyncAnthropic(api_key=CANARY, base_url=root(server)) as client,
        ):
            with pytest.raises(StreamInterruptedError, match="lost in the middle"):
                await self.body_of(client)
            response = await SDKTransport(client).open(TransportRequest(root(server) + "/v1/messages", {}, ASKED))
            assert await response.read() == ANTHROPIC[0]
            asyncio.get_running_loop().call_soon(response.abort)
            with pytest.raises(StreamInterruptedError, match="closed while its answer was read"):
                await response.read()
            await gone(server)

    async def test_the_address_is_the_clients_without_its_slash(self, anthropic: Any) -> None:
        async with anthropic.AsyncAnthropic(api_key=CANARY, base_url="https://api.example.com/") as client:
            assert client_base_url(client) == "https://api.example.com"


def root(server: LoopbackServer) -> str:
    return server.base_url.removesuffix("/v1")


# What real clients seldom do.


@dataclass
class FakeResponse:
    """An open response; its pieces come at once, errors are raised, and behind the last piece nothing comes until it is closed."""

    pieces: list[bytes | BaseException] = field(default_factory=list)
    ends: bool = True
    status_code: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    closes: int = 0
    fails: Exception | None = None
    generator: bool = True
    is_closed: bool = False
    left: bool = False

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        chunks = self._chunks()
        return chunks if self.generator else Iterated(chunks)

    async def _chunks(self) -> AsyncGenerator[bytes]:
        try:
            for piece in self.pieces:
                if isinstance(piece, BaseException):
                    raise piece
                yield piece
            if not self.ends:
                await asyncio.Event().wait()  # closing does not wake it, as on a shared connection
        finally:
            self.left = True

    async def aclose(self) -> None:
        self.closes += 1
        if self.fails is not None:
            raise self.fails


class Iterated:
    """An iterator that cannot be closed."""

    def __init__(self, chunks: AsyncGenerator[bytes]) -> None:
        self.chunks = chunks

    def __aiter__(self) -> Iterated:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self.chunks)


@dataclass
class Answered:
    http_response: object


class FakeClient:
    """A client by its looks."""

    def __init__(self, answer: object = None, base_url: str = "https://api.example.com/v1/") -> None:
        self.answer = answer
        self.base_url = base_url
        self.asked: list[dict[str, Any]] = []

    async def post(self, path: str, **options: Any) -> object:
        self.asked.append({"path": path, **options})
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


async def opened(response: FakeResponse) -> Any:
    return await SDKTransport(FakeClient(Answered(response))).open(TransportRequest("https://api.example.com/v1/x", {}, b"{}"))


async def refusal_of(answer: object, **attributes: Any) -> Exception:
    client = FakeClient(answer)
    vars(client).update(attributes)
    with pytest.raises(ProviderError) as caught:
        await OpenAIProvider(client=client, model="m").complete(HI, stream=True)
    assert caught.value.__context__ is None
    return caught.value


class TestUnusualResponses:
    async def test_what_is_asked_of_a_client(self) -> None:
        client = FakeClient(Answered(FakeResponse([b"{}"], headers={"Content-Type": "text/plain"})))
        response = await SDKTransport(client).open(
            TransportRequest("https://api.example.com/v1/x", {"a": "b", "content-type": "application/json"}, b'{"c": 1}')
        )
        headers = {"a": "b", "X-Stainless-Raw-Response": "stream"}
        assert client.asked == [{"path": "/x", "cast_to": object, "body": {"c": 1}, "options": {"headers": headers}}]
        assert response.headers == {"content-type": "text/plain"}

    async def test_empty_pieces_are_no_end(self) -> None:
        response = await opened(FakeResponse([b"", b"a", b"", b"b"]))
        assert [await response.read() for _ in range(4)] == [b"a", b"b", b"", b""]

    async def test_closing_after_the_end_closes_nothing(self) -> None:
        response = await opened(fake := FakeResponse([]))
        assert await response.read() == b""
        await response.aclose()
        response.abort()
        assert fake.closes == 0

    async def test_what_the_library_has_closed_is_not_closed_again(self) -> None:
        response = await opened(fake := FakeResponse([b"a"], is_closed=True))
        await response.aclose()
        assert fake.closes == 0

    async def test_closing_ends_the_iteration_too(self) -> None:
        response = await opened(fake := FakeResponse([b"a", b"b"]))
        await response.read()
        assert not fake.left
        await response.aclose()
        assert fake.left

    @pytest.mark.parametrize("generator", [True, False])
    @pytest.mark.parametrize("fails", [None, RuntimeError("x")])
    async def test_closing_twice_closes_once_and_reading_on_is_an_interruption(self, generator: bool, fails: Exception | None) -> None:
        fake = FakeResponse([b"a", b"b"], fails=fails, generator=generator)
        response = await opened(fake)
        assert await response.read() == b"a"
        await response.aclose()
        await response.aclose()
        response.abort()
        assert fake.closes == 1
        with pytest.raises(StreamInterruptedError, match="closed before its answer was read"):
            await response.read()

    async def test_aborting_wakes_a_reader_whom_closing_would_not(self) -> None:
        fake = FakeResponse([b"a"], ends=False)
        response = await opened(fake)
        assert await response.read() == b"a"
        reader = asyncio.ensure_future(response.read())
        await asyncio.sleep(0)
        response.abort()
        with pytest.raises(StreamInterruptedError, match="closed while its answer was read"):
            await reader
        await response.aclose()
        assert fake.closes == 1

    async def test_a_cancel_that_comes_with_an_abort_stays_a_cancel(self) -> None:
        response = await opened(FakeResponse(ends=False))
        reader = asyncio.ensure_future(response.read())
        await asyncio.sleep(0)
        reader.cancel()
        response.abort()
        with pytest.raises(asyncio.CancelledError):
            await reader

    async def test_an_abort_that_comes_just_after_the_bytes_still_closes(self) -> None:
        gate = asyncio.Event()
        fake = FakeResponse()

        async def chunks() -> AsyncGenerator[bytes]:
            await gate.wait()
            yield b"a"

        async with aclosing(chunks()) as body:
            fake.aiter_bytes = lambda: body  # type: ignore[method-assign]  # only here
            response = await opened(fake)
            reader = asyncio.ensure_future(response.read())
            await asyncio.sleep(0)
            gate.set()
            response.abort()  # the reader goes on before its deadline does
            assert await reader == b"a"
            await response.aclose()
        assert fake.closes == 1

    def test_an_abort_after_the_event_loop_is_gone_does_nothing(self) -> None:
        fake = FakeResponse([b"a", b"b"])

        async def begin() -> Any:
            response = await opened(fake)
            await response.read()
            return response

        response = asyncio.run(begin())
        response.abort()
        assert fake.closes == 0

    @pytest.mark.parametrize("error", [RuntimeError("decoding"), OSError("reset"), ValueError()])
    async def test_whatever_breaks_off_is_an_interruption(self, error: Exception) -> None:
        response = await opened(FakeResponse([b"a", error]))
        assert await response.read() == b"a"
        with pytest.raises(StreamInterruptedError, match=str(error) or "ValueError") as caught:
            await response.read()
        assert caught.value.__cause__ is (error if isinstance(error, OSError) else None)

    @pytest.mark.parametrize("answer", [None, "text", Answered(None), Answered(httpx2.Headers())])
    async def test_a_client_that_opens_nothing(self, answer: object) -> None:
        error = await refusal_of(answer)
        assert isinstance(error, MalformedResponseError)
        assert "instead of an open response" in str(error)


def raised(name: str, *bases: str, cause: BaseException | None = None, words: str = "words", **attributes: Any) -> Exception:
    """An error whose class, and the classes above it, have these names."""
    kind: type[Exception] = Exception
    for each in (*reversed(bases), name):
        kind = type(each, (kind,), {})
    error = kind(words)
    vars(error).update(attributes)
    error.__cause__ = cause
    return error


class Jumpy:
    """Raises when it is looked at."""

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__"):
            return object.__getattribute__(self, name)
        raise RuntimeError(name)


class TestUnusualErrors:
    @pytest.mark.parametrize(
        ("error", "leaf", "words", "retryable"),
        [
            (raised("APITimeoutError", "APIConnectionError"), ProviderTimeoutError, "own timeout", True),
            (TimeoutError(), ProviderTimeoutError, "own timeout", True),
            (raised("APIConnectionError"), ProviderConnectionError, "no answer from https://api.example.com (APIConnectionError: words)", True),
            (raised("Own", "APIConnectionError", cause=ValueError("deep")), ProviderConnectionError, "(ValueError: deep)", True),
            (raised("APIConnectionError", cause=ConnectionResetError("reset")), ProviderConnectionError, "(ConnectionResetError: reset)", True),
            (raised("APIConnectionError", cause=ExceptionGroup("x", [ConnectionRefusedError()])), ProviderConnectionError, "refused", True),
            (ConnectionRefusedError(), ProviderConnectionError, "refused", True),
            (raised("CredentialsError"), AuthenticationError, "no credentials for https://api.example.com (CredentialsError: words)", False),
            (raised("OpenAIError", words="set the API key"), AuthenticationError, "set the API key", False),
            (raised("OpenAIError", words=""), ProviderConnectionError, "did not send the request", False),
            (KeyError("x"), ProviderConnectionError, "(KeyError: 'x')", False),
            (raised("APIStatusError", response=None), ProviderConnectionError, "did not send", False),
            (raised("APIStatusError", response=FakeResponse(status_code=200)), ProviderConnectionError, "did not send", False),
            (raised("APIStatusError", response=Jumpy()), ProviderConnectionError, "did not send", False),
            (raised("APIStatusError", words="no body", response=FakeResponse(status_code=500)), ServerError, "no body", True),
        ],
    )
    async def test_each_becomes_one_of_ours(self, error: Exception, leaf: type[ProviderError], words: str, retryable: bool) -> None:
        found = await refusal_of(error)
        assert type(found) is leaf
        assert words in str(found)
        assert found.retryable is retryable

    async def test_a_certificate_that_is_not_accepted(self) -> None:
        found = await refusal_of(raised("APIConnectionError", cause=raised("ConnectError", cause=ssl.SSLCertVerificationError(1, "self-signed"))))
        assert "the certificate of https://api.example.com was not accepted (self-signed)" in str(found)

    async def test_a_circle_of_causes_ends(self) -> None:
        error = raised("APIConnectionError")
        error.__cause__ = inner = ValueError("inner")
        inner.__cause__ = error
        assert "(ValueError: inner)" in str(await refusal_of(error))

    async def test_a_cancel_is_none(self) -> None:
        with pytest.raises(asyncio.CancelledError):
            await OpenAIProvider(client=FakeClient(asyncio.CancelledError()), model="m").complete(HI)

    @pytest.mark.parametrize("told", [True, lambda: True])
    async def test_a_client_that_says_it_is_closed(self, told: object) -> None:
        assert "is closed" in str(await refusal_of(None, is_closed=told))

    async def test_a_client_that_cannot_say_it(self) -> None:
        def told() -> bool:
            raise RuntimeError("no client")

        assert "instead of an open response" in str(await refusal_of(None, is_closed=told))


class TestSecrets:
    @pytest.mark.parametrize(
        "attributes",
        [
            {"api_key": "canary-7777"},
            {"auth_token": "canary-7777"},
            {"_azure_ad_token": "canary-7777"},
            {"aws_session_token": "canary-7777"},
            {"credentials": raised("Credentials", token="canary-7777")},
            {"default_headers": {"X-Auth": "Basic canary-7777", "X-Other": "refused-it"}},
            {"default_query": {"key": "canary-7777"}},
            {"base_url": "https://user:canary-7777@api.example.com/v1"},
        ],
        ids=lambda attributes: next(iter(attributes)),
    )
    async def test_what_a_client_holds_is_not_in_an_error(self, attributes: dict[str, Any]) -> None:
        error = await refusal_of(RuntimeError("refused-it: canary-7777"), **attributes)
        assert "refused-it: ***" in str(error)

    def test_the_provider_does_not_show_a_password_in_the_url(self) -> None:
        provider = OpenAIProvider(client=FakeClient(base_url="https://user:canary@api.example.com:8443/v1/?key=canary"), model="m")
        assert repr(provider) == "OpenAIProvider(model='m', base_url='https://api.example.com:8443/v1')"

    async def test_a_client_that_raises_when_it_is_asked(self) -> None:
        class Hidden(FakeClient):
            @property
            def api_key(self) -> str:
                raise RuntimeError("not now")

            @property
            def auth_token(self) -> str:
                return "canary-7777"

        client = Hidden(RuntimeError("words: canary-7777"))
        provider = OpenAIProvider(client=client, model="m")
        client.base_url = "http://[broken"
        with pytest.raises(ProviderError, match=r"words: \*\*\*"):
            await provider.complete(HI)


class TestConfiguration:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"api_key": "k"}, "api_key was given beside client, which has its own"),
            ({"base_url": "http://x"}, "base_url was given beside client, which has its own"),
            ({"transport": object()}, "transport was given beside client, which sends the requests itself"),
            ({"proxy": "http://x"}, "proxy was given beside client"),
            ({"ssl_context": object()}, "ssl_context was given beside client"),
        ],
    )
    def test_what_the_client_decides_is_not_given_twice(self, options: dict[str, Any], words: str) -> None:
        with pytest.raises(ConfigurationError, match=words):
            OpenAIProvider(client=FakeClient(), model="m", **options)

    def test_a_model_is_needed_and_a_key_is_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("LLM_MODEL", "OPENAI_API_KEY", "LLM_API_KEY"):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(ConfigurationError, match="no model was named"):
            OpenAIProvider(client=FakeClient())
        monkeypatch.setenv("LLM_MODEL", "of-environment")
        monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere")
        provider = OpenAIProvider(client=FakeClient())
        assert (provider.model, provider.base_url) == ("of-environment", "https://api.example.com/v1")

    def test_a_client_that_blocks(self) -> None:
        with (
            OpenAI(api_key="k") as client,
            pytest.raises(ConfigurationError, match="class OpenAI, whose calls would block .* give the asynchronous AsyncOpenAI"),
        ):
            OpenAIProvider(client=client, model="m")

    async def test_what_is_no_client(self) -> None:
        async with httpx2.AsyncClient(base_url="http://x") as http:
            for thing in (object(), "client", http, AsyncOpenAI, Jumpy()):
                with pytest.raises(ConfigurationError, match=r"client is of the class \w+ and no client of an SDK; give an AsyncOpenAI"):
                    OpenAIProvider(client=thing, model="m")  # type: ignore[arg-type]  # what is tested

    async def test_a_client_whose_post_is_wrapped_is_still_asynchronous(self) -> None:
        """As instrumentation does it."""
        client = FakeClient(Answered(FakeResponse([b"a"])))
        post = client.post

        @wraps(post)
        def watched(path: str, **options: Any) -> Any:
            return post(path, **options)

        client.post = watched  # type: ignore[method-assign]
        assert client_base_url(client) == "https://api.example.com/v1"

    def test_a_post_without_a_signature(self) -> None:
        class Odd(FakeClient):
            post: Any = type("Post", (), {"__call__": None, "__signature__": "none"})()

        with pytest.raises(ConfigurationError, match="no client of an SDK"):
            OpenAIProvider(client=Odd(), model="m")

    @pytest.mark.parametrize("url", ["", "/", "api.example.com", "ftp://api.example.com", "https://", "http://[broken"])
    def test_a_client_without_an_address(self, url: str) -> None:
        with pytest.raises(ConfigurationError, match="class FakeClient, has no usable base_url"):
            OpenAIProvider(client=FakeClient(base_url=url), model="m")


WITHOUT_SDK = """
import asyncio, sys
from ecs_agent.providers import OpenAIProvider

class Client:
    base_url = "https://api.example.com/v1/"
    async def post(self, path, *, cast_to, body, options):
        raise ConnectionError("refused")

async def ask():
    try:
        await OpenAIProvider(client=Client(), model="m").complete([])
    except ConnectionError as error:
        print(type(error).__name__, sorted({"openai", "anthropic", "httpx", "httpx2", "aiohttp"} & set(sys.modules)))

asyncio.run(ask())
"""


def test_no_sdk_and_no_http_library_is_imported_for_a_client() -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", WITHOUT_SDK], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.stderr) == ("ProviderConnectionError []", "")
