"""Failures are told apart, before the answer and in the middle of it, over real sockets: each has its own class, and says who failed, with which
model, under which request id, whether and when asking again may help, and what had arrived."""

from __future__ import annotations

import time
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

import pytest

from ecs_agent.errors import (
    AuthenticationError,
    BadRequestError,
    ContentFilterError,
    ContextLengthError,
    ErrorKind,
    MalformedResponseError,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
    QuotaError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
)
from ecs_agent.providers import OpenAIProvider
from ecs_agent.testing import LoopbackServer, Reply, chat_reply, chunk, json_reply
from ecs_agent.types import JsonObject, Message

HI = [Message("user", "Hi")]
REQUEST_ID = "req-0123456789"
TEXT = chunk({"content": "so far"})
CALL = chunk({"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "f", "arguments": '{"a": 1'}}]})


@dataclass(frozen=True, slots=True)
class Failure:
    """What a server says, the status it says it with, and what that is."""

    status: int
    error: Any
    leaf: type[ProviderError]
    retryable: bool = False
    in_the_stream: bool = True
    """Whether the same object means the same where no status tells."""


def openai(message: str, code: str | None = None, kind: str | None = "invalid_request_error") -> JsonObject:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


FAILURES = {
    "context, by code": Failure(400, openai("This model's maximum context length is 8192 tokens.", "context_length_exceeded"), ContextLengthError),
    "context, by words": Failure(400, openai("The input is too long: the prompt is too long for this model"), ContextLengthError),
    "context, as a failure of the server": Failure(
        500, openai("the request exceeds the available context size", kind="exceed_context_size_error"), ContextLengthError
    ),
    "filter, by code": Failure(400, openai("The response was filtered", "content_filter"), ContentFilterError),
    "filter, of another": Failure(400, openai("Input data may contain inappropriate content.", "data_inspection_failed"), ContentFilterError),
    "quota, as too many requests": Failure(429, openai("You exceeded your current quota", "insufficient_quota", "insufficient_quota"), QuotaError),
    "quota, by status": Failure(402, openai("Insufficient Balance"), QuotaError),
    "auth": Failure(401, openai("Incorrect API key provided", "invalid_api_key"), AuthenticationError),
    "auth, as a bad request": Failure(400, openai("API key not valid. Please pass a valid API key.", "400", "INVALID_ARGUMENT"), AuthenticationError),
    "not allowed": Failure(403, openai("no", kind=None), AuthenticationError, in_the_stream=False),
    "rate": Failure(429, openai("Rate limit reached for requests", "rate_limit_exceeded", "requests"), RateLimitError, retryable=True),
    "rate, by status": Failure(429, {"detail": "slow down"}, RateLimitError, retryable=True, in_the_stream=False),
    "overloaded, 529": Failure(529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, ServerError, retryable=True),
    "overloaded, 503": Failure(503, openai("The engine is currently overloaded", "engine_overloaded", "server_error"), ServerError, retryable=True),
    "a failure": Failure(500, openai("The server had an error", None, "server_error"), ServerError, retryable=True),
    "not implemented": Failure(501, openai("no", kind=None), ServerError, in_the_stream=False),
    "an unknown model": Failure(404, openai("The model does not exist", "model_not_found"), BadRequestError),
    "a bad option": Failure(422, openai("temperature must be below 2"), BadRequestError),
    "its own timeout": Failure(408, openai("Request timed out", "timeout", "timeout"), ProviderTimeoutError, retryable=True),
}

IN_THE_STREAM = {name: failure for name, failure in FAILURES.items() if failure.in_the_stream}


def headers(**more: str) -> dict[str, str]:
    return {"content-type": "application/json", "x-request-id": REQUEST_ID, **more}


def stream_of(*pieces: bytes, **more: Any) -> Reply:
    return Reply(pieces, 200, {"content-type": "text/event-stream", "x-request-id": REQUEST_ID}, **more)


async def failure_of(reply: Reply, *, stream: bool = True, **options: Any) -> ProviderError:
    async with LoopbackServer([reply]) as server, OpenAIProvider("k" * 20, server.base_url, "its-model", name="ours") as provider:
        with pytest.raises(ProviderError) as caught:
            answer: Any = await provider.complete(HI, stream=stream, model="asked-model", **options)
            async for _ in answer:
                pass
        assert provider._client._slots.open == 0
    error = caught.value
    assert (error.provider, error.model) == ("ours", "asked-model")
    return error


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
async def test_before_the_answer(failure: Failure, stream: bool) -> None:
    error = await failure_of(json_reply(failure.error, status=failure.status, headers=headers()), stream=stream)
    assert type(error) is failure.leaf
    assert (error.status, error.retryable, error.request_id) == (failure.status, failure.retryable, REQUEST_ID)
    assert (error.retry_after, error.partial) == (None, None)


@pytest.mark.parametrize("form", ["data", "event", "line"])
@pytest.mark.parametrize("failure", IN_THE_STREAM.values(), ids=IN_THE_STREAM)
async def test_in_the_middle_of_the_answer(failure: Failure, form: str) -> None:
    said = json_reply(failure.error).pieces[0]
    assert isinstance(said, bytes)
    begins = {"data": b"data: ", "event": b"event: error\ndata: ", "line": b""}[form]
    error = await failure_of(stream_of(TEXT, CALL, begins + said + b"\n\n", chunk({"content": "never"})))
    assert type(error) is failure.leaf
    assert (error.retryable, error.request_id) == (failure.retryable, REQUEST_ID)
    assert error.partial is not None
    assert error.partial.message == Message("assistant", "so far", interrupted=True)  # a call that was cut off is no call


@pytest.mark.parametrize("failure", IN_THE_STREAM.values(), ids=IN_THE_STREAM)
async def test_as_a_whole_answer_of_status_200(failure: Failure) -> None:
    for stream in (True, False):
        error = await failure_of(json_reply(failure.error, headers=headers()), stream=stream)
        assert type(error) is failure.leaf
        assert (error.retryable, error.request_id) == (failure.retryable, REQUEST_ID)


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
class TestWhatIsNoErrorObject:
    async def test_nobody_there(self, stream: bool) -> None:
        with pytest.raises(ProviderConnectionError) as caught:
            await OpenAIProvider("k" * 20, "http://127.0.0.1:1/v1", "m", name="ours").complete(HI, stream=stream, model="asked-model")
        error = caught.value
        assert isinstance(error, ConnectionError)
        assert (error.status, error.retryable, error.partial, error.provider, error.model) == (None, True, None, "ours", "asked-model")

    async def test_silence(self, stream: bool) -> None:
        error = await failure_of(Reply(end="silent"), stream=stream, total_timeout=0.1)
        assert type(error) is ProviderTimeoutError
        assert isinstance(error, TimeoutError)
        assert (error.status, error.retryable, error.request_id) == (None, True, None)

    async def test_a_page(self, stream: bool) -> None:
        error = await failure_of(Reply([b"<html>Welcome</html>"], 200, headers(**{"content-type": "text/html"})), stream=stream)
        assert type(error) is MalformedResponseError
        assert (error.retryable, error.request_id) == (False, REQUEST_ID)

    async def test_a_page_of_a_proxy_that_failed(self, stream: bool) -> None:
        error = await failure_of(Reply([b"<html>Bad gateway</html>"], 502, headers(**{"content-type": "text/html"})), stream=stream)
        assert type(error) is ServerError
        assert (error.status, error.retryable) == (502, True)

    async def test_a_limit_of_our_own(self, stream: bool) -> None:
        async with LoopbackServer([chat_reply("a", finish=False, end="stall")]) as server:
            provider = OpenAIProvider("k" * 20, server.base_url, "its-model", name="ours", max_streams=1, pool_timeout=0.02)
            async with provider, await provider.complete(HI, stream=True):
                with pytest.raises(ProviderTimeoutError, match="max_streams") as caught:
                    await provider.complete(HI, stream=stream, model="asked-model")
        assert (caught.value.provider, caught.value.model, caught.value.retryable) == ("ours", "asked-model", True)


@pytest.mark.parametrize(
    ("reply", "leaf", "retryable"),
    [
        (stream_of(TEXT), StreamInterruptedError, True),
        (stream_of(TEXT, end="reset"), StreamInterruptedError, True),
        (stream_of(TEXT, CALL, TEXT[:30]), StreamInterruptedError, True),
        (stream_of(TEXT, end="stall"), ProviderTimeoutError, True),
        (stream_of(TEXT, b"data: {nonsense}\n\n"), MalformedResponseError, False),
        (stream_of(TEXT, b"data: <html>oops</html>\n\n"), MalformedResponseError, False),
        (stream_of(TEXT, chunk(finish="error")), ServerError, True),
    ],
    ids=["the end of the body", "a reset", "the end in the middle of an event", "silence", "nonsense", "a page", "an error as the finish"],
)
async def test_an_answer_that_broke_off_keeps_what_had_arrived(reply: Reply, leaf: type[ProviderError], retryable: bool) -> None:
    error = await failure_of(reply, read_timeout=0.2)
    assert type(error) is leaf
    assert (error.retryable, error.request_id) == (retryable, REQUEST_ID)
    assert error.partial is not None
    assert error.partial.message == Message("assistant", "so far", interrupted=True)


async def test_a_filter_midway_is_a_finish_and_no_error() -> None:
    async with LoopbackServer([stream_of(TEXT, chunk(finish="content_filter"))]) as server, OpenAIProvider("k", server.base_url, "m") as provider:
        stream = await provider.complete(HI, stream=True)
        async for _ in stream:
            pass
    result = stream.result()
    assert (result.message.content, result.finish_reason) == ("so far", "content_filter")


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "7"}, 1.5),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({}, None),
    ],
)
async def test_how_long_to_wait(given: dict[str, str], seconds: float | None) -> None:
    for status in (429, 503):
        error = await failure_of(json_reply(openai("slow down", kind=None), status=status, headers=headers(**given)))
        assert error.retry_after == seconds


async def test_how_long_to_wait_as_a_date() -> None:
    until = formatdate(time.time() + 30, usegmt=True)
    error = await failure_of(json_reply(openai("slow down", kind=None), status=429, headers=headers(**{"retry-after": until})))
    assert error.retry_after is not None
    assert 20 < error.retry_after <= 30


@pytest.mark.parametrize(("said", "status", "retryable"), [("false", 503, False), ("true", 400, True), ("true", 402, False)])
async def test_the_server_may_say_whether_to_ask_again_but_not_about_credit(said: str, status: int, retryable: bool) -> None:
    error = await failure_of(json_reply(openai("no", kind=None), status=status, headers=headers(**{"x-should-retry": said})))
    assert error.retryable is retryable


@pytest.mark.parametrize("name", ["x-request-id", "request-id", "x-amzn-requestid", "apim-request-id", "cf-ray"])
async def test_the_request_id_under_the_names_of_several_providers(name: str) -> None:
    for reply in (Reply([b"{}"], 500, {name: "r1"}), Reply([TEXT], 200, {name: "r1", "content-type": "text/event-stream"})):
        assert (await failure_of(reply)).request_id == "r1"


def test_every_kind_is_told_apart_here() -> None:
    told = {failure.leaf.kind for failure in FAILURES.values()}
    told |= {ErrorKind.CONNECTION, ErrorKind.TIMEOUT, ErrorKind.MALFORMED, ErrorKind.STREAM_INTERRUPTED}
    assert told == set(ErrorKind)
