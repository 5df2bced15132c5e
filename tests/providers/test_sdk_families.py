"""Clients of the SDKs before each provider that takes one, over real sockets: retries, refusals, cancels and counts, whole and streamed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import traceback
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI
from tests.providers.test_sdk_client import gone

from ecs_agent.errors import AuthenticationError, ErrorKind, ProviderError, RateLimitError, StreamInterruptedError
from ecs_agent.providers import AnthropicProvider, OpenAIProvider, OpenAIResponsesProvider, TokenCount, count_tokens
from ecs_agent.providers.script import Step
from ecs_agent.testing import FaultPlan, LoopbackServer, Received, Reply, WireFamily, assert_fault_laws, json_reply, request_problems
from ecs_agent.types import CompletionResult, Message, ToolCall, Usage

HI: Final = [Message("user", "Hi")]
CANARY: Final = "sk-canary-0123456789abcdef"
SAID: Final[list[Step]] = ["Let me see. ", ToolCall("c1", "look", {"a": 1}), Usage(3, 4, 7)]
WIRES: Final[tuple[WireFamily, ...]] = ("openai-chat", "openai-responses", "anthropic")
PATHS: Final = {"openai-chat": "/v1/chat/completions", "openai-responses": "/v1/responses", "anthropic": "/v1/messages"}


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy", "ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def make() -> AsyncGenerator[Callable[..., Any]]:
    """Makes providers of a client each, and closes those."""
    made: list[Any] = []

    def provider(wire: WireFamily, url: str, *, http: dict[str, Any] | None = None, **options: Any) -> Any:
        options = {"api_key": CANARY, "max_retries": 0, **options}
        if wire == "anthropic":
            anthropic = pytest.importorskip("anthropic")
            made.append(anthropic.AsyncAnthropic(base_url=url.removesuffix("/v1"), **options))
            return AnthropicProvider(client=made[-1], model="claude-opus-5", **(http or {}))
        made.append(AsyncOpenAI(base_url=url, **options))
        kind = OpenAIProvider if wire == "openai-chat" else OpenAIResponsesProvider
        return kind(client=made[-1], model="m", **(http or {}))

    yield provider
    for client in made:
        await client.close()


async def answer_of(provider: Any, stream: bool) -> CompletionResult:
    answer = await provider.complete(HI, stream=stream)
    if not stream:
        assert isinstance(answer, CompletionResult)
        return answer
    async for _ in answer:
        pass
    result: CompletionResult = answer.result()
    return result


async def failure(provider: Any, stream: bool) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await answer_of(provider, stream)
    assert "canary" not in "".join(traceback.format_exception(caught.value))
    return caught.value


both = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
every = pytest.mark.parametrize("wire", WIRES)


@both
@every
async def test_the_client_asks_again_itself(make: Callable[..., Any], wire: WireFamily, stream: bool) -> None:
    busy = json_reply({"error": {"message": "slow down", "type": "rate_limit_error"}}, status=429, headers={"retry-after-ms": "1"})
    async with LoopbackServer([busy, SAID]) as server:
        result = await answer_of(make(wire, server.base_url, max_retries=2), stream)
    assert (result.message.content, result.finish_reason) == ("Let me see. ", "tool_calls")
    assert result.message.tool_calls == [ToolCall("c1", "look", {"a": 1})]
    assert result.usage is not None
    assert (result.usage.prompt_tokens, result.usage.completion_tokens, result.usage.total_tokens) == (3, 4, 7)
    assert [request.path for request in server.requests] == [PATHS[wire]] * 2
    assert [request_problems(wire, request.body) for request in server.requests] == [[], []]


@both
@every
async def test_without_retries_of_its_own_its_refusals_are_ours(make: Callable[..., Any], wire: WireFamily, stream: bool) -> None:
    async with LoopbackServer([RateLimitError("slow down", retry_after=7.0)]) as server:
        error = await failure(make(wire, server.base_url), stream)
    assert isinstance(error, RateLimitError)
    assert (error.status, error.retry_after, error.retryable, error.provider) == (429, 7.0, True, {"openai-chat": "openai"}.get(wire, wire))
    assert len(server.requests) == 1


@both
@every
async def test_a_key_that_is_refused_is_told_and_not_shown(make: Callable[..., Any], wire: WireFamily, stream: bool) -> None:
    def refuse(request: Received) -> Reply:
        head = f"{request.headers.get('authorization')} {request.headers.get('x-api-key')}"
        assert CANARY in head
        return json_reply({"type": "error", "error": {"type": "authentication_error", "message": f"wrong key: {head}"}}, status=401)

    async with LoopbackServer([refuse]) as server:
        assert isinstance(await failure(make(wire, server.base_url), stream), AuthenticationError)


@every
async def test_a_cancel_in_mid_stream_closes_the_connection_and_what_had_arrived_is_kept(make: Callable[..., Any], wire: WireFamily) -> None:
    async with LoopbackServer([["Half an ", 60.0, "answer."]]) as server:
        stream = await make(wire, server.base_url).complete(HI, stream=True)
        assert (await anext(stream)).content == "Half "
        assert (await anext(stream)).content == "an "
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.02)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await gone(server)
        partial = stream.result().message
        assert (partial.content, partial.interrupted) == ("Half an ", True)


@every
async def test_a_cancel_of_a_whole_answer_closes_the_connection(make: Callable[..., Any], wire: WireFamily) -> None:
    async with LoopbackServer([[60.0, "never"]]) as server:
        asking = asyncio.ensure_future(make(wire, server.base_url).complete(HI))
        while not server.requests:
            await asyncio.sleep(0.001)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await gone(server)


@every
async def test_a_lost_connection_keeps_what_had_arrived(make: Callable[..., Any], wire: WireFamily) -> None:
    async with LoopbackServer([["Half an ", StreamInterruptedError("lost")]]) as server:
        error = await failure(make(wire, server.base_url), stream=True)
    assert isinstance(error, StreamInterruptedError)
    assert error.partial is not None
    assert error.partial.message.content == "Half an "


@every
async def test_fault_plans_over_a_client(make: Callable[..., Any], wire: WireFamily) -> None:
    plans = [FaultPlan.random(seed) for seed in range(12)] + [
        FaultPlan(refuse=kind) for kind in ErrorKind if kind is not ErrorKind.STREAM_INTERRUPTED
    ]
    await assert_fault_laws(lambda url: make(wire, url, http={"read_timeout": 0.5, "tail_timeout": 0.2}), plans, wire=wire)


@pytest.mark.parametrize(("wire", "path"), [("openai-responses", "/v1/responses/input_tokens"), ("anthropic", "/v1/messages/count_tokens")])
async def test_tokens_are_counted_through_a_client(make: Callable[..., Any], wire: WireFamily, path: str) -> None:
    async with LoopbackServer([json_reply({"input_tokens": 12})]) as server:
        assert await count_tokens(make(wire, server.base_url), HI, system_prompt="Be brief.") == TokenCount(12)
    assert server.requests[0].path == path
    assert CANARY in f"{server.requests[0].headers}"


@pytest.mark.parametrize("kind", [OpenAIProvider, OpenAIResponsesProvider])
async def test_azure(kind: Any) -> None:
    async with (
        LoopbackServer([SAID]) as server,
        AsyncAzureOpenAI(azure_endpoint=server.base_url.removesuffix("/v1"), api_key=CANARY, api_version="2026-01-01") as client,
    ):
        assert (await answer_of(kind(client=client, model="my-gpt"), stream=True)).message.content == "Let me see. "
        assert (await answer_of(kind(client=client, model="my-gpt"), stream=False)).message.content == "Let me see. "
    path = "/openai/deployments/my-gpt/chat/completions" if kind is OpenAIProvider else "/openai/responses"
    assert [request.path for request in server.requests] == [f"{path}?api-version=2026-01-01"] * 2


@pytest.mark.parametrize("version", ["", "/v1"])
async def test_vertex_says_the_model_in_the_path_and_counts(version: str) -> None:
    anthropic = pytest.importorskip("anthropic")
    answers = [Reply([b'event: message_stop\ndata: {"type": "message_stop"}\n\n']), json_reply({"input_tokens": 12})]
    async with LoopbackServer(answers) as server:
        url = server.base_url.removesuffix("/v1") + version
        async with anthropic.AsyncAnthropicVertex(region="eu", project_id="p", access_token=CANARY, base_url=url) as client:
            provider = AnthropicProvider(client=client, model="claude-opus-5")
            assert provider.base_url == url
            with pytest.raises(ProviderError):
                await answer_of(provider, stream=True)  # nothing was said
            assert await provider.count_tokens(HI) == TokenCount(12)
    models = f"{version}/projects/p/locations/eu/publishers/anthropic/models"
    assert [request.path for request in server.requests] == [f"{models}/claude-opus-5:streamRawPredict", f"{models}/count-tokens:rawPredict"]
    assert "anthropic_version" in server.requests[0].body


async def test_a_client_keeps_its_own_address_whatever_it_ends_with(make: Callable[..., Any]) -> None:
    """As the client itself would ask: it appends `/v1/messages` to whatever it was given."""
    anthropic = pytest.importorskip("anthropic")
    async with LoopbackServer([SAID]) as server:
        for url, path in ((server.base_url, "/v1/v1/messages"), (server.base_url.removesuffix("/v1"), "/v1/messages")):
            async with anthropic.AsyncAnthropic(api_key=CANARY, base_url=url, max_retries=0) as client:
                await answer_of(AnthropicProvider(client=client, model="claude-opus-5"), stream=True)
                assert server.requests[-1].path == path


def test_no_sdk_is_imported_by_the_package() -> None:
    code = (
        "import sys, pkgutil, importlib, ecs_agent.providers as p\n"
        "for found in pkgutil.iter_modules(p.__path__): importlib.import_module(f'ecs_agent.providers.{found.name}')\n"
        "p.AnthropicProvider('k', model='m'), p.OpenAIResponsesProvider('k', model='m'), p.OpenAIProvider('k', model='m'), p.GeminiProvider('k', model='m')\n"
        "print(sorted({'openai', 'anthropic', 'httpx', 'httpx2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
