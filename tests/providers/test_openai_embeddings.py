"""OpenAIEmbeddingProvider over real sockets: batches, failures, time limits, and what is not in an error."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable
from struct import pack
from typing import Any

import pytest

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
from ecs_agent.providers import OpenAIEmbeddingProvider
from ecs_agent.testing import LoopbackServer, Received, Reply, ScriptedTransport, error_reply, json_reply, run
from ecs_agent.types import RetryConfig, Usage

CANARY = "sk-canary-0123456789abcdef"


def provider_for(server: LoopbackServer | ScriptedTransport, **options: Any) -> OpenAIEmbeddingProvider:
    return OpenAIEmbeddingProvider(CANARY, server.base_url, "test-embedding", **options)


def vector(text: str) -> list[float]:
    return [float(len(text)), 1.0]


def embedded(request: Received, usage: bool = True) -> Reply:
    """Vectors of the texts of a request, in the form that was asked for, the last one first."""
    dense = request.body.get("encoding_format") == "base64"
    said = [b64encode(pack("<2f", *vector(text))).decode() if dense else vector(text) for text in request.body["input"]]
    data = [{"object": "embedding", "index": at, "embedding": value} for at, value in enumerate(said)]
    counted = {"usage": {"prompt_tokens": len(data), "total_tokens": len(data)}} if usage else {}
    return json_reply({"object": "list", "model": "served-name", "data": data[::-1], **counted})


async def test_texts_become_vectors_in_their_order() -> None:
    async with LoopbackServer([embedded]) as server, provider_for(server) as provider:
        result = await provider.embed(["a", "bbb", "cc"])
    assert [list(each) for each in result.vectors] == [[1, 1], [3, 1], [2, 1]]
    assert (result.model, result.dimensions, result.usage) == ("served-name", 2, Usage(3, 0, 3))


async def test_what_is_sent() -> None:
    async with LoopbackServer([embedded]) as server, provider_for(server, headers={"x-team": "red"}) as provider:
        await provider.embed(["a"], model="other", dimensions=2, extra_body={"input_type": "query"}, extra_headers={"X-Run": "7"})
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/v1/embeddings")
    assert request.body == {"model": "other", "input": ["a"], "dimensions": 2, "encoding_format": "base64", "input_type": "query"}
    assert request.headers["authorization"] == f"Bearer {CANARY}"
    assert (request.headers["x-team"], request.headers["x-run"]) == ("red", "7")


async def test_half_a_surrogate_pair_is_replaced_and_not_an_error() -> None:
    async with LoopbackServer([embedded]) as server, provider_for(server) as provider:
        await provider.embed(["x\ud800y"])
    assert server.requests[0].body["input"] == ["x\ufffdy"]


async def test_without_texts_nothing_is_sent() -> None:
    async with LoopbackServer([embedded]) as server, provider_for(server) as provider:
        result = await provider.embed([])
    assert (result.vectors, result.model, result.usage, server.requests) == ((), "test-embedding", Usage(0, 0, 0), [])


async def test_what_cannot_be_asked_is_said_before_anything_is_sent() -> None:
    async with LoopbackServer([embedded]) as server, provider_for(server) as provider:
        with pytest.raises(TypeError, match="give a list of texts"):
            await provider.embed("a text")
        with pytest.raises(ValueError, match="at least 1"):
            await provider.embed(["a"], dimensions=0)
        assert server.requests == []
        for wrong in ({"batch_size": 0}, {"batch_size": 2049}, {"parallel": 0}):
            with pytest.raises(ValueError, match=f"{next(iter(wrong))} is"):
                provider_for(server, **wrong)


async def test_many_texts_are_sent_in_batches_and_usage_is_their_sum() -> None:
    texts = ["x" * at for at in range(1, 12)]
    async with LoopbackServer([embedded]) as server, provider_for(server, batch_size=4) as provider:
        result = await provider.embed(texts)
    assert sorted(len(request.body["input"]) for request in server.requests) == [3, 4, 4]
    assert [each[0] for each in result.vectors] == list(range(1, 12))
    assert result.usage == Usage(11, 0, 11)


async def test_usage_is_unknown_when_one_request_does_not_say_it() -> None:
    answers: list[Callable[[Received], Reply]] = [embedded, lambda request: embedded(request, usage=False)]
    async with LoopbackServer(answers) as server, provider_for(server, batch_size=1, parallel=1) as provider:
        assert (await provider.embed(["a", "b"])).usage is None


@pytest.mark.parametrize("parallel", [1, 3])
async def test_so_many_requests_are_under_way_at_once(parallel: int) -> None:
    begun, most, go = 0, 0, asyncio.Event()
    transport = ScriptedTransport([embedded])
    plain = transport.open

    async def slow(request: Any) -> Any:
        nonlocal begun, most
        begun += 1
        most = max(most, begun)
        if begun == parallel:
            go.set()
        await go.wait()
        answer = await plain(request)
        begun -= 1
        return answer

    transport.open = slow  # type: ignore[method-assign]
    await provider_for(transport, batch_size=1, parallel=parallel, transport=transport).embed(["a"] * 9)
    assert (most, len(transport.requests)) == (parallel, 9)


async def test_a_server_that_refuses_base64_answers_in_digits_and_is_not_asked_again() -> None:
    def answer(request: Received) -> Reply:
        return error_reply(400, "Unsupported parameter: encoding_format") if "encoding_format" in request.body else embedded(request)

    async with LoopbackServer([answer]) as server, provider_for(server) as provider:
        first, second = await provider.embed(["a"]), await provider.embed(["bb"])
    assert [list(result.vectors[0]) for result in (first, second)] == [[1, 1], [2, 1]]
    assert ["encoding_format" in request.body for request in server.requests] == [True, False, False]


async def test_requests_that_were_under_way_when_base64_was_refused_are_sent_again_too() -> None:
    def answer(request: Received) -> Reply:
        return error_reply(400, "Unsupported parameter: encoding_format") if "encoding_format" in request.body else embedded(request)

    async with LoopbackServer([answer]) as server, provider_for(server, batch_size=1, parallel=3) as provider:
        assert len((await provider.embed(["a", "bb", "ccc"])).vectors) == 3


@pytest.mark.parametrize(
    ("answer", "error", "retryable"),
    [
        (error_reply(401, "wrong key"), AuthenticationError, False),
        (error_reply(404, "no such model"), BadRequestError, False),
        (error_reply(429, "slow down", headers={"retry-after": "7"}), RateLimitError, True),
        (error_reply(500, "oops"), ServerError, True),
        (json_reply({"error": {"message": "overloaded", "type": "overloaded_error"}}), ServerError, True),
        (json_reply({"data": []}), MalformedResponseError, False),
        (Reply([b"<html>"], headers={"content-type": "text/html"}), MalformedResponseError, False),
        (Reply([b'{"data": ['], end="reset"), StreamInterruptedError, True),
        (Reply(end="hangup"), ProviderConnectionError, True),
    ],
)
async def test_failures_are_typed_and_say_whether_asking_again_may_help(answer: Reply, error: type[ProviderError], retryable: bool) -> None:
    async with LoopbackServer([answer]) as server, provider_for(server) as provider:
        with pytest.raises(error) as caught:
            await provider.embed(["a"])
    found = caught.value
    assert type(found) is error
    assert (found.provider, found.model, found.retryable) == ("openai", "test-embedding", retryable)
    if error is RateLimitError:
        assert found.retry_after == 7.0
    assert len(server.requests) == 1


async def test_an_error_names_the_request_and_never_the_key() -> None:
    answer = json_reply({"data": "your key is " + CANARY}, headers={"x-request-id": f"req-7-{CANARY}"})
    async with LoopbackServer([answer, error_reply(400, f"bad key {CANARY}")]) as server, provider_for(server) as provider:
        with pytest.raises(MalformedResponseError) as malformed:
            await provider.embed(["a"])
        with pytest.raises(BadRequestError) as refused:
            await provider.embed(["a"])
    assert (malformed.value.request_id or "").startswith("req-7-")
    for error in (malformed.value, refused.value):
        assert CANARY not in f"{error!r} {error.request_id}"
    assert CANARY not in repr(provider)


async def test_one_failed_request_ends_the_others() -> None:
    def answer(request: Received) -> Reply:
        return error_reply(400, "too bad") if request.body["input"] == ["a"] else Reply(end="silent")

    async with LoopbackServer([answer]) as server, provider_for(server, batch_size=1, parallel=3) as provider:
        with pytest.raises(BadRequestError, match="too bad"):
            await provider.embed(["a", "b", "c", "d", "e"])
        await asyncio.gather(*[request.closed.wait() for request in server.requests])
    assert len(server.requests) <= 3


def test_after_a_failure_no_other_request_begins() -> None:
    def answer(request: Received) -> Reply:
        if request.body["input"] == ["b"]:
            return error_reply(400, "too bad")
        found = embedded(request)
        return Reply([5.0, *found.pieces], headers=found.headers)

    async def main() -> int:
        transport = ScriptedTransport([answer])
        with pytest.raises(BadRequestError, match="too bad"):
            await provider_for(transport, transport=transport, batch_size=1, parallel=2).embed(["a", "b", "c", "d"])
        return len(transport.requests)

    assert run(main) == 2


def test_only_the_requests_that_failed_are_made_again_and_only_where_that_may_help_and_was_asked_for() -> None:
    failed: list[Any] = []

    def answer(request: Received) -> Reply:
        texts = request.body["input"]
        if texts in (["b"], ["d"]) and failed.count(texts) < 2:
            failed.append(texts)
            return error_reply(503, "busy")
        return error_reply(400, "too bad") if texts == ["x"] else embedded(request)

    async def main() -> None:
        transport = ScriptedTransport([answer])
        asked = RetryConfig(min_wait=10.0, max_wait=10.0)
        provider = provider_for(transport, transport=transport, batch_size=1, parallel=2, retry_config=asked)
        result = await provider.embed(["a", "b", "c", "d"])
        assert (len(result.vectors), result.usage) == (4, Usage(4, 0, 4))
        sent = [request.body["input"][0] for request in transport.requests]
        assert sorted(sent) == ["a", "b", "b", "b", "c", "d", "d", "d"]
        assert asyncio.get_running_loop().time() == 20.0  # both waited at the same time
        with pytest.raises(BadRequestError, match="too bad"):
            await provider.embed(["x"])
        assert len(transport.requests) == len(sent) + 1
        failed.clear()
        with pytest.raises(ServerError, match="busy"):
            await provider_for(transport, transport=transport).embed(["b"])
        assert failed == [["b"]]

    run(main)
    with pytest.raises(TypeError, match="give a RetryConfig"):
        provider_for(ScriptedTransport([embedded]), retry_config=3)


async def test_requests_that_answer_in_different_lengths_are_not_of_one_model() -> None:
    replies = [json_reply({"data": [{"index": 0, "embedding": [1.0] * length}]}) for length in (2, 3)]
    async with LoopbackServer(replies) as server, provider_for(server, batch_size=1, parallel=1) as provider:
        with pytest.raises(MalformedResponseError, match="of 2 and of 3 numbers") as caught:
            await provider.embed(["a", "b"])
    assert (caught.value.provider, caught.value.model) == ("openai", "test-embedding")


@pytest.mark.parametrize(
    ("answer", "limits", "words", "seconds"),
    [
        (Reply(end="silent"), {"first_delta_timeout": 1.0}, "no answer within 120.0 s", 120.0),
        (Reply([b'{"data"'], end="stall"), {}, "silent for 120.0 s", 120.0),
        (Reply([b" ", 3.0] * 9), {"read_timeout": 4.0, "total_timeout": 10.0}, "longer than 10.0 s", 10.0),
        (Reply(end="silent"), {"read_timeout": None, "total_timeout": 9.0}, "no answer within 9.0 s|longer than 9.0 s", 9.0),
    ],
)
def test_a_server_that_keeps_silent_is_given_up(answer: Reply, limits: dict[str, Any], words: str, seconds: float) -> None:
    async def main() -> float:
        transport = ScriptedTransport([answer])
        with pytest.raises(ProviderTimeoutError, match=words):
            await provider_for(transport, transport=transport, **limits).embed(["a"])
        return asyncio.get_running_loop().time()

    assert run(main) == pytest.approx(seconds)


def test_silence_is_only_what_no_byte_interrupts() -> None:
    async def main() -> int:
        body: list[bytes | float] = [b'{"data": [', 3.0, b'{"embedding": [1]', 3.0, b"}]}"]
        transport = ScriptedTransport([Reply(body)])
        return (await provider_for(transport, transport=transport, read_timeout=4.0).embed(["a"])).dimensions

    assert run(main) == 1


async def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecs_agent.providers.http.client.MOST_FETCHED", 1000)
    transport = ScriptedTransport([Reply([b" " * 600] * 5)])
    with pytest.raises(MalformedResponseError, match="larger than 1000 bytes"):
        await provider_for(transport, transport=transport).embed(["a"])
    assert transport.requests[0].closed.is_set()  # although nobody read it to its end


async def test_a_request_that_ended_gives_its_place_to_the_next_however_it_ended() -> None:
    answers: list[Any] = [json_reply({"data": []}), error_reply(500, "oops"), Reply([b"{"], end="reset"), embedded]
    async with LoopbackServer(answers) as server, provider_for(server, max_streams=1, pool_timeout=0.0) as provider:
        for error in (MalformedResponseError, ServerError, StreamInterruptedError):
            with pytest.raises(error):
                await provider.embed(["a"])
        await provider.embed(["a"])
        await provider.embed(["a"])


async def test_an_answer_may_take_for_ever_where_there_is_no_limit() -> None:
    async with LoopbackServer([embedded]) as server, provider_for(server, read_timeout=None, total_timeout=None) as provider:
        assert (await provider.embed(["a"])).dimensions == 2


async def test_settings_are_those_of_the_chat_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "LLM_API_KEY", "OPENAI_BASE_URL", "LLM_BASE_URL", "LLM_MODEL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError, match="no model was named"):
        OpenAIEmbeddingProvider("k")
    with pytest.raises(ConfigurationError, match="no API key"):
        OpenAIEmbeddingProvider(model="m")
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    provider = OpenAIEmbeddingProvider(model="text-embedding-3-small")
    assert repr(provider) == "OpenAIEmbeddingProvider(model='text-embedding-3-small', base_url='https://api.openai.com/v1')"
    provider.base_url = "http://127.0.0.1:1/v1"
    assert provider.base_url == "http://127.0.0.1:1/v1"
    with pytest.raises(ProviderConnectionError):
        await provider.embed(["a"])
    await provider.aclose()
    await provider.aclose()
