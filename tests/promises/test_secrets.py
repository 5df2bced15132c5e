"""P12: a key never leaves. It is sent to the server and appears nowhere else: not in an error or what caused it, not in a log at its most talkative,
not in the repr of anything, even where the server itself says the key back. And what an error quotes of a server is short."""

from __future__ import annotations

import asyncio
import base64
import logging
import secrets
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.promises.socket_server import Conversation, SocketServer

from ecs_agent.agent import spawn_agent
from ecs_agent.components import ConversationComponent, ErrorComponent, LLMComponent, StreamPolicy, TerminalComponent
from ecs_agent.core import World
from ecs_agent.errors import ConfigurationError, EcsAgentError, ProviderConnectionError, ProviderError, StreamInterruptedError
from ecs_agent.logging import configure_logging
from ecs_agent.providers import AnthropicProvider, GeminiProvider, OpenAIProvider, OpenAIResponsesProvider, RetryProvider, Secret, TransportRequest
from ecs_agent.providers.http.counting import CountingHTTPProvider
from ecs_agent.providers.http.provider import HTTPProvider
from ecs_agent.serialization import WorldSerializer
from ecs_agent.store import open_world
from ecs_agent.testing import chunk
from ecs_agent.types import Message, RetryConfig

HI = [Message("user", "Hi")]
QUOTED = 2048  # what an error may quote
SENTENCE = 400  # what it may say itself


def http(status: int, content_type: str, body: str, *headers: str) -> bytes:
    """A response that ends with its connection."""
    return "\r\n".join([f"HTTP/1.1 {status} Said", f"content-type: {content_type}", *headers, "connection: close", "", body]).encode()


def said_back(key: str) -> dict[str, bytes]:
    """All the ways in which a server can say a key back."""
    json, stream = "application/json", "text/event-stream"
    error = f'{{"error": {{"message": "wrong key {key}", "type": "{key}", "code": "{key}", "param": "{key}"}}}}'
    text = chunk({"content": "so far"}).decode()
    chunked = "transfer-encoding: chunked"
    return {
        "401": http(401, json, error),
        "403 in the middle of a word": http(403, json, f'{{"error": "key=x{key}x"}}'),
        "400 as a list": http(400, json, f"[{error}]"),
        "422 in details": http(422, json, f'{{"detail": [{{"loc": ["header", "{key}"], "msg": "Bearer {key}"}}]}}'),
        "429 in headers": http(429, json, error, f"x-request-id: {key}", f"retry-after: {key}", f"x-ratelimit-key: {key}"),
        "500 as text": http(500, "text/plain", f"Authorization: Bearer {key}"),
        "502 as a page": http(502, "text/html", f"<html>{key}</html>"),
        "302": http(302, json, key, f"location: https://elsewhere.example/?key={key}"),
        "302 to a host of that name": http(302, json, key, f"location: https://{key}.example/"),
        "an error of 1 MB": http(500, json, f'{{"error": {{"message": "{(key + " ") * 40_000}"}}}}'),
        "a text of 1 MB": http(418, "text/plain", (key + " ") * 40_000),
        "200 with an error": http(200, json, error),
        "200 with a page": http(200, "text/html", f"<html>{key}</html>"),
        "200 with text": http(200, json, f"hello {key}"),
        "200 with other JSON": http(200, json, f'{{"{key}": 1}}'),
        "200 with nothing but its id": http(200, json, "", f"x-request-id: {key}"),
        "an error in the stream": http(200, stream, f"{text}data: {error}\n\n", f"x-request-id: {key}"),
        "an error event": http(200, stream, f"{text}event: error\ndata: {key}\n\n"),
        "an error as a line": http(200, stream, f"{text}error: {error}\n\n"),
        "an error as a bare line": http(200, stream, f"{text}{error}\n\n"),
        "an error as the finish": http(
            200, stream, f'{text}data: {{"choices": [{{"finish_reason": "error", "error": {{"message": "{key}"}}}}]}}\n\n'
        ),
        "an event that is not JSON": http(200, stream, f"{text}data: {key}\n\n"),
        "an event that is JSON and no object": http(200, stream, f'{text}data: ["{key}"]\n\n'),
        "half an event": http(200, stream, f'{text}data: {{"{key}'),
        "a wrong chunk": http(200, stream, f"{key}\r\n{text}\r\n", chunked),
        "a wrong chunk later": http(200, stream, f"{len(text):x}\r\n{text}\r\n{key}\r\n", chunked),
        "a wrong status": f"HTTP/1.1 {key} OK\r\n\r\n".encode(),
        "no HTTP": f"{key} {key} {key}\r\n\r\n".encode(),
        "a wrong header": f"HTTP/1.1 200 OK\r\n{key}\r\n{key} : {key}\r\n\r\n".encode(),
        "a wrong length": http(200, stream, text, f"content-length: {key}"),
        "a wrong encoding": http(200, stream, text, f"transfer-encoding: {key}"),
        "a header without end": b"HTTP/1.1 200 OK\r\nx-key: " + (key + " ").encode() * 5_000 + b"\r\n\r\n",
        "a compressed body that is none": http(200, stream, text + key, "content-encoding: gzip"),
        "nothing": b"",
    }


CASES = list(said_back(""))


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and everything that caused it or was handled when it came."""
    seen: list[BaseException] = []
    left = [error]
    while left:
        found = left.pop()
        if found is not None and found not in seen:
            seen.append(found)
            left += [found.__cause__, found.__context__]
    yield from seen


def everything_said_by(error: BaseException) -> str:
    """All that a log, a debugger or an error tracker shows of an error."""
    said = ["".join(traceback.format_exception(error))]
    for each in chain(error):
        said += [str(each), repr(each), repr(each.args), repr(vars(each)), *getattr(each, "__notes__", [])]
    return "\n".join(said)


class Watch:
    """Collects every log line of this process and says where a secret is."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def assert_absent(self, secret: str, **shown: object) -> None:
        encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
        shown["log"] = "\n".join([self._caplog.text, *[repr(vars(record)) for record in self._caplog.records]])
        for place, text in shown.items():
            found = text if isinstance(text, str) else f"{text!r} {text}"
            assert secret not in found, f"the key is in: {place}"
            assert encoded not in found, f"the key is in: {place}, encoded"


@pytest.fixture
async def watch(caplog: pytest.LogCaptureFixture) -> Watch:
    """Every logger at its most talkative, asyncio's debug mode included, which shows each callback that runs."""
    caplog.set_level(logging.DEBUG)
    for name in ("ecs_agent", "asyncio", "aiohttp", "aiohttp.client", "aiohttp.internal"):
        caplog.set_level(logging.DEBUG, name)
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0
    return Watch(caplog)


@pytest.fixture
def key() -> str:
    """Letters and digits without a word before them, so that nothing recognizes it as a key by its form."""
    return "q" + secrets.token_hex(12)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "OPENAI_API_KEY",
        "LLM_API_KEY",
        "OPENAI_BASE_URL",
        "LLM_BASE_URL",
        "LLM_MODEL",
        "ANTHROPIC_AUTH_TOKEN",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "http_proxy",
        "https_proxy",
    ):
        monkeypatch.delenv(name, raising=False)


def answers(body: bytes) -> Callable[[Conversation], None]:
    def answer(conversation: Conversation) -> None:
        conversation.send(body)
        conversation.transport.close()

    return answer


async def failure_of(provider: HTTPProvider | RetryProvider, stream: bool, **options: Any) -> ProviderError:
    """How a request fails; the error keeps its traceback."""
    with pytest.raises(ProviderError) as caught:
        answer = await provider.complete(HI, stream=stream, **options)
        async for _ in answer:  # type: ignore[union-attr]  # without streaming this line is not reached
            pass
    return caught.value


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("case", CASES)
async def test_a_key_that_the_server_says_back_is_not_said_again(case: str, stream: bool, key: str, watch: Watch) -> None:
    async with SocketServer(answers(said_back(key)[case])) as server, OpenAIProvider(key, server.base_url, "m") as provider:
        error = await failure_of(provider, stream)
        assert f"Bearer {key}" in server.conversations[0].head  # it was sent, so it could be said
        watch.assert_absent(key, error=everything_said_by(error), provider=provider, partial=error.partial, request_id=error.request_id)
    assert all(len(str(each)) <= QUOTED + SENTENCE for each in chain(error) if isinstance(each, EcsAgentError))


OTHERS: dict[str, Callable[[str, str], CountingHTTPProvider]] = {
    "Bearer ": lambda key, url: OpenAIResponsesProvider(key, url, "m"),
    "x-api-key: ": lambda key, url: AnthropicProvider(key, url, "claude-test"),
    "authorization: Bearer ": lambda key, url: AnthropicProvider(base_url=url, model="claude-test", auth_token=key),
    "x-goog-api-key: ": lambda key, url: GeminiProvider(key, url, "gemini-3-flash"),
}
"""The providers of the other protocols, by what stands before the key in their requests."""


def said_back_in_their_words(key: str) -> dict[str, bytes]:
    """The errors of each protocol in mid-answer, behind a beginning of its own."""
    stream = "text/event-stream"
    begun = 'data: {"type": "response.output_text.delta", "delta": "so far"}\n\n'
    told = f'"code": "{key}", "message": "wrong key {key}", "status": "{key}", "type": "{key}"'
    thought = 'data: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "so far"}}\n\n'
    return {
        "an error event of responses": http(200, stream, f'{begun}data: {{"type": "error", "code": "{key}", "message": "wrong key {key}"}}\n\n'),
        "a failed response": http(
            200, stream, f'{begun}data: {{"type": "response.failed", "response": {{"status": "failed", "error": {{{told}}}}}}}\n\n'
        ),
        "an error event of messages": http(200, stream, f'{thought}event: error\ndata: {{"type": "error", "error": {{{told}}}}}\n\n'),
        "an error of Google's": http(
            200, stream, f'data: {{"candidates": []}}\n\ndata: {{"error": {{{told}, "details": [{{"reason": "{key}"}}]}}}}\n\n'
        ),
        "a list of errors": http(400, "application/json", f'[{{"error": {{{told}}}}}]'),
    }


@pytest.mark.parametrize("case", [*CASES, *said_back_in_their_words("")])
@pytest.mark.parametrize("before", OTHERS)
async def test_nor_in_the_other_protocols(before: str, case: str, key: str, watch: Watch) -> None:
    said = (said_back(key) | said_back_in_their_words(key))[case]
    async with SocketServer(answers(said)) as server, OTHERS[before](key, server.base_url) as provider:
        with pytest.raises(ProviderError) as caught:
            answer = await provider.complete(HI, stream=True)
            async for _ in answer:
                pass
        assert f"{before.lower()}{key}" in server.conversations[0].head.lower()
        error = caught.value
        watch.assert_absent(key, error=everything_said_by(error), provider=provider, partial=error.partial, request_id=error.request_id)
        assert "?" not in server.conversations[0].head.splitlines()[0].replace("?alt=sse", "")  # no key in the address


@pytest.mark.parametrize(
    "case", ["401", "429 in headers", "500 as text", "200 with an error", "200 with a page", "200 with other JSON", "a wrong status"]
)
@pytest.mark.parametrize("before", OTHERS)
async def test_nor_where_tokens_are_counted(before: str, case: str, key: str, watch: Watch) -> None:
    async with SocketServer(answers(said_back(key)[case])) as server, OTHERS[before](key, server.base_url) as provider:
        with pytest.raises(ProviderError) as caught:
            await provider.count_tokens(HI)
        assert f"{before.lower()}{key}" in server.conversations[0].head.lower()
        watch.assert_absent(key, error=everything_said_by(caught.value), provider=provider, request_id=caught.value.request_id)


@pytest.mark.parametrize("case", ["401", "429 in headers", "an error in the stream", "an event that is not JSON", "a wrong status", "a wrong chunk"])
@pytest.mark.parametrize("where", ["headers", "extra_headers", "the environment", "a Secret", "a retried request"])
async def test_wherever_the_key_was_given(case: str, where: str, key: str, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {}
    arguments: dict[str, Any] = {}
    match where:
        case "headers":
            arguments["headers"] = {"api-key": key}
        case "extra_headers":
            options["extra_headers"] = {"X-Api-Key": f"Token {key}"}
        case "the environment":
            monkeypatch.setenv("LLM_API_KEY", key)
        case _:
            arguments["api_key"] = Secret(key)
    async with SocketServer(answers(said_back(key)[case])) as server:
        provider = OpenAIProvider(base_url=server.base_url, model="m", **arguments)
        asked = RetryProvider(provider, RetryConfig(max_attempts=2, min_wait=0, max_wait=0)) if where == "a retried request" else provider
        error = await failure_of(asked, stream=where != "a retried request", **options)
        assert key in server.conversations[0].head
        watch.assert_absent(key, error=everything_said_by(error), provider=asked)
        await provider.aclose()


async def test_a_success_shows_it_nowhere_either(key: str, watch: Watch) -> None:
    body = http(
        200, "text/event-stream", chunk({"content": "fine"}).decode() + chunk(finish="stop").decode() + "data: [DONE]\n\n", f"x-request-id: {key}"
    )
    async with SocketServer(answers(body)) as server, OpenAIProvider(key, server.base_url, "m", headers={"api-key": key}) as provider:
        async with await provider.complete(HI, stream=True) as stream:
            deltas = [delta async for delta in stream]
        watch.assert_absent(key, deltas=deltas, result=stream.result(), stream=stream, provider=provider, settings=provider._client.settings)


@pytest.mark.parametrize("case", ["401", "429 in headers", "an error in the stream", "an event that is not JSON", "a wrong status"])
async def test_an_agents_events_and_state(case: str, key: str, watch: Watch) -> None:
    async with SocketServer(answers(said_back(key)[case])) as server, OpenAIProvider(key, server.base_url, "m") as provider, World() as world:
        agent = spawn_agent(world, provider)
        events: list[object] = []
        with suppress(EcsAgentError):
            events += [event async for event in agent.run("Hi")]
        state = [world.get_component(agent.entity, kind) for kind in (ErrorComponent, LLMComponent, ConversationComponent, TerminalComponent)]
        assert state[0] is not None
        watch.assert_absent(key, events=events, state=state, messages=agent.messages, log_of_the_world=list(world.log.read(0)))


@pytest.mark.parametrize("case", ["401", "429 in headers", "an error in the stream", "an event that is not JSON", "a wrong status"])
async def test_a_store_and_an_export(case: str, key: str, watch: Watch, tmp_path: Path) -> None:
    headers = {"x-vendor-key": key}
    async with (
        SocketServer(answers(said_back(key)[case])) as server,
        OpenAIProvider(key, server.base_url, "m", headers=headers) as provider,
        open_world(tmp_path / "world.db") as world,
    ):
        agent = spawn_agent(world, provider, extra_headers={"x-other-key": key}, policy=StreamPolicy("retry", max_attempts=2, backoff=0))
        with suppress(EcsAgentError):
            await agent.ask("Hi")
        WorldSerializer.save(world, tmp_path / "world.json")
        await world.commit()
        kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    kept |= {f"{path.name}, closed": path.read_bytes() for path in tmp_path.iterdir()}
    assert any(b"x-other-key" in content for content in kept.values())
    assert [name for name, content in kept.items() if key.encode() in content] == []
    watch.assert_absent(key, kept=repr(kept))


async def test_cancels_and_timeouts_show_it_nowhere(key: str, watch: Watch) -> None:
    async with SocketServer(lambda conversation: None) as server, OpenAIProvider(key, server.base_url, "m", read_timeout=0.05) as provider:
        error = await failure_of(provider, stream=True)
        asking = asyncio.ensure_future(provider.complete(HI, stream=True, read_timeout=None))
        await asyncio.sleep(0.02)
        shown = repr(asking)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError) as cancelled:
            await asking
        watch.assert_absent(key, error=everything_said_by(error), cancelled=everything_said_by(cancelled.value), task=shown)


async def test_where_nobody_listens_or_the_name_does_not_exist(key: str, watch: Watch) -> None:
    for url in ("http://127.0.0.1:1/v1", "https://does-not-exist.invalid/v1", "https://127.0.0.1:1/v1"):
        async with OpenAIProvider(key, url, "m", headers={"api-key": key}) as provider:
            watch.assert_absent(key, error=everything_said_by(await failure_of(provider, stream=True)), provider=provider)


async def test_a_proxys_password(key: str, watch: Watch) -> None:
    async with SocketServer(answers(http(407, "text/plain", f"who is {key}?"))) as server:
        listening = server.base_url.removeprefix("http://").removesuffix("/v1")
        for proxy in (f"http://user:{key}@{listening}", f"http://user:{key}@127.0.0.1:1"):
            for url in ("https://api.invalid/v1", "http://127.0.0.1:2/v1"):
                async with OpenAIProvider("k", url, "m", proxy=proxy) as provider:
                    watch.assert_absent(key, error=everything_said_by(await failure_of(provider, stream=True)), provider=provider)


@pytest.mark.parametrize(
    "url",
    [
        "https://{}@api.example.com/v1",
        "https://user:{}@api.example.com/v1",
        "https://:{}@api.example.com/v1",
        "http://user:{}@127.0.0.1:1/v1",
        "http://:{}@127.0.0.1:1/v1",
        "user:{}@api.example.com/v1",
        "ftp://user:{}@api.example.com/v1",
        "https://user:{}@api.example.com:port/v1",
        "https://user:{}/x@api.example.com/v1",
        "https://user:{}@[api.example.com/v1",
        "https://api.example.com/v1?key={}",
        "https://api.example.com/v1#{}",
        "api.example.com/v1?key={}",
        "//user:{}@api.example.com",
        "https://api.example.com:{}/v1",
    ],
)
def test_a_key_in_the_url_is_refused_and_not_repeated(url: str, key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        OpenAIProvider("k", url.format(key), "m")
    assert key not in everything_said_by(caught.value)


@pytest.mark.parametrize("bad", ["{} {}", "{}\n{}", "{}é", "{}\x00"])
async def test_a_key_that_cannot_be_one_is_refused_and_not_repeated(bad: str, key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        OpenAIProvider(bad.format(key, key), "https://api.example.com/v1", "m")
    assert key not in everything_said_by(caught.value)


@pytest.mark.parametrize("bad", ["{}\r\nevil: 1", "{}\n", "{}\x00"])
async def test_a_header_that_cannot_be_sent_is_refused_and_not_repeated(bad: str, key: str, watch: Watch) -> None:
    async with SocketServer(answers(b"")) as server, OpenAIProvider("k", server.base_url, "m") as provider:
        with pytest.raises(EcsAgentError) as caught:
            await provider.complete(HI, stream=True, extra_headers={"x-api-key": bad.format(key)})
        assert not server.conversations
    watch.assert_absent(key, error=everything_said_by(caught.value))


@pytest.mark.parametrize("word", ["k", "EMPTY", "ollama", "key", "none"])
async def test_a_word_that_stands_for_a_key_is_not_cut_out_of_our_own(word: str) -> None:
    """Servers on one's own machine are given any word; a sentence without it would be hard to read, and there is nothing to hide."""
    answer = answers(http(401, "application/json", '{"error": "no such key, none of ollama"}'))
    async with SocketServer(answer) as server, OpenAIProvider(word, server.base_url, "m") as provider:
        error = await failure_of(provider, stream=True)
    assert "check the key" in str(error)
    assert "none of ollama" in str(error)


async def test_another_transports_failures(key: str, watch: Watch) -> None:
    class Leaking:
        """Puts what it was given into its errors."""

        def __init__(self, before: bool) -> None:
            self.status = 200
            self.headers = {"content-type": "text/event-stream", "x-request-id": key}
            self._before = before
            self._bearer = ""

        async def open(self, request: TransportRequest) -> Leaking:
            self._bearer = request.headers["authorization"]
            if self._before:
                raise ProviderConnectionError(f"could not send {self._bearer}", request_id=self._bearer)
            return self

        async def read(self) -> bytes:
            raise StreamInterruptedError(f"lost {self._bearer}")

        async def aclose(self) -> None: ...

        def abort(self) -> None: ...

    for before in (True, False):
        provider = OpenAIProvider(key, "https://api.example.com/v1", "m", transport=Leaking(before))
        watch.assert_absent(key, error=everything_said_by(await failure_of(provider, stream=True)), provider=provider)


async def test_our_own_log_on_standard_error(key: str, capfd: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger("ecs_agent")
    before = (root.handlers[:], root.level, root.propagate)
    configure_logging(level="DEBUG")
    try:
        async with SocketServer(answers(said_back(key)["401"])) as server, OpenAIProvider(key, server.base_url, "m") as provider:
            retrying = RetryProvider(provider, RetryConfig(max_attempts=2, min_wait=0, max_wait=0, retry_status_codes=(401,)))
            await failure_of(retrying, stream=False)
    finally:
        root.handlers[:], root.level, root.propagate = before
    assert key not in "".join(capfd.readouterr())


def test_a_leak_would_be_seen(key: str, caplog: pytest.LogCaptureFixture) -> None:
    watch = Watch(caplog)
    with pytest.raises(AssertionError, match="the key is in: error"):
        cause = ValueError(key)
        error = ProviderConnectionError("clean")
        error.__cause__ = cause
        watch.assert_absent(key, error=everything_said_by(error))
    logging.getLogger("aiohttp").warning("sent %s", key)
    with pytest.raises(AssertionError, match="the key is in: log"):
        watch.assert_absent(key)


async def test_a_key_of_letters_alone_in_a_header_is_a_key_and_a_name_is_none(watch: Watch) -> None:
    key = "qwertzuiopasdfghjklyxcvbnm"
    async with (
        SocketServer(answers(http(401, "text/plain", f"application {key} is unknown"))) as server,
        OpenAIProvider(base_url=server.base_url, model="m", headers={"x-key": key, "x-title": "application"}) as provider,
    ):
        error = await failure_of(provider, stream=True)
    watch.assert_absent(key, error=everything_said_by(error))
    assert "application" in str(error)
