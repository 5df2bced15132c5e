"""Recording: what passes is as it was, what is written down is what was read, and no secret is in it."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ecs_agent.errors import (
    AuthenticationError,
    ProviderError,
    ProviderExhaustedError,
    ServerError,
    StreamInterruptedError,
    UnsavableError,
    UnsupportedFeatureError,
)
from ecs_agent.providers import Capabilities, Cassette, FakeProvider, OpenAIProvider, RecordingProvider, RecordingTransport, TransportRequest
from ecs_agent.providers.recorded.cassette_line import Call, Exchange
from ecs_agent.providers.recorded.mask import Mask
from ecs_agent.providers.recorded.request_data import secrets_in, without_secrets
from ecs_agent.streaming.fold import TextDeltas
from ecs_agent.streaming.stream import CompletionStream
from ecs_agent.testing import LoopbackServer, Reply, ScriptedTransport, assert_stream_laws, error_reply, run
from ecs_agent.types import Message, StreamDelta, ToolCall

HI = [Message("user", "Hi")]
CANARY = "sk-canary-0123456789abcdefghij"
ODD_CANARY = "Zm9vYmFyIHNlY3JldA.odd-canary"
"""Looks like no key; only who was given it knows."""


def calls(cassette: Cassette) -> list[Call]:
    return [recording for recording in cassette.recordings if isinstance(recording, Call)]


def exchanges(cassette: Cassette) -> list[Exchange]:
    return [recording for recording in cassette.recordings if isinstance(recording, Exchange)]


def taped(*answers: Any, **options: Any) -> tuple[RecordingProvider, Cassette]:
    cassette = Cassette()
    return RecordingProvider(FakeProvider(answers, **{"by": "word", "delay": 0.5, **options}), cassette), cassette


class TestProvider:
    def test_it_is_the_provider_that_it_wraps(self) -> None:
        provider, _ = taped(name="n", model="m", capabilities=Capabilities(prefill=True))
        assert (provider.name, provider.model, provider.capabilities) == ("n", "m", Capabilities(prefill=True))
        assert repr(provider) == "RecordingProvider(FakeProvider(0 answers left))"

    def test_its_streams_keep_the_laws(self) -> None:
        run(lambda: assert_stream_laws(taped(*["One two three four."] * 7)[0], deterministic=True))

    def test_so_do_those_that_fail(self) -> None:
        run(lambda: assert_stream_laws(taped(["One ", ServerError("down")])[0], may_fail=True))

    async def test_a_read_stays_one(self) -> None:
        class Source:
            def __init__(self) -> None:
                self.reads: list[Sequence[StreamDelta]] = [
                    TextDeltas([StreamDelta("a"), StreamDelta("b")]),
                    [StreamDelta(finish_reason="stop", final=True)],
                ]

            async def read(self) -> Sequence[StreamDelta]:
                return self.reads.pop(0) if self.reads else ()

            async def aclose(self) -> None: ...

            def abort(self) -> None: ...

        class Batches:
            async def complete(self, messages: Sequence[Message], stream: bool = False) -> CompletionStream:
                return CompletionStream(Source())

        cassette = Cassette()
        stream = await RecordingProvider(Batches(), cassette).complete(HI, stream=True)
        first = await stream.read()
        assert (type(first), len(first)) == (TextDeltas, 2)  # what makes a fold cheap is passed on
        assert len(await stream.read()) == 1
        assert await stream.read() == ()
        assert [data for _, data in calls(cassette)[0].reads] == [[{"text": "ab", "lengths": [1, 1]}], [{"finish_reason": "stop", "final": True}]]

    def test_a_whole_answer_is_recorded_whole(self) -> None:
        provider, cassette = taped(["One ", 2.0, "two."])
        assert run(lambda: provider.complete(HI)).message.content == "One two."
        (call,) = calls(cassette)
        assert call.result is not None
        assert call.result["message"] == {"role": "assistant", "content": "One two."}
        assert (call.reads, call.answered, call.ended, call.end) == ([], None, 2.0, "complete")

    @pytest.mark.parametrize("way", ["close", "cancel", "drop"])
    def test_what_had_arrived_is_kept_of_an_answer_that_is_left(self, way: str) -> None:
        provider, cassette = taped("One two three.")

        async def main() -> None:
            stream = await provider.complete(HI, stream=True)
            await anext(stream)
            if way == "cancel":
                reading = asyncio.ensure_future(anext(stream))
                await asyncio.sleep(0.25)
                reading.cancel()
                await asyncio.wait([reading])
            elif way == "close":
                await asyncio.sleep(0.25)
                await stream.aclose()
            else:
                await asyncio.sleep(0.25)
                del stream
                gc.collect()

        run(main)
        (call,) = calls(cassette)
        assert (call.end, call.reads, call.ended) == ("left", [(0.5, [{"text": "One "}])], 0.75)

    def test_nothing_is_left_of_one_whose_final_delta_was_read(self) -> None:
        provider, cassette = taped("One.")

        async def main() -> None:
            async for delta in await provider.complete(HI, stream=True):
                if delta.final:
                    break

        run(main)
        assert calls(cassette)[0].end == "complete"

    @pytest.mark.parametrize("stream", [False, True])
    def test_one_that_is_cancelled_before_it_answers_is_left(self, stream: bool) -> None:
        class Silent:
            async def complete(self, messages: Sequence[Message], stream: bool = False) -> Any:
                await asyncio.sleep(60)

        cassette = Cassette()

        async def main() -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(3):
                    await RecordingProvider(Silent(), cassette).complete(HI, stream)

        run(main)
        (call,) = calls(cassette)
        assert (call.end, call.answered, call.ended, call.provider) == ("left", None, 3.0, "Silent")

    def test_errors_are_recorded_with_what_they_say(self) -> None:
        refused = AuthenticationError("bad key", status=401, request_id="r-1")
        broken = StreamInterruptedError("lost")
        provider, cassette = taped(refused, ["One ", broken], ["One ", broken])

        async def main() -> None:
            with pytest.raises(AuthenticationError):
                await provider.complete(HI, stream=True)
            with pytest.raises(StreamInterruptedError):
                async for _ in await provider.complete(HI, stream=True):
                    pass
            with pytest.raises(StreamInterruptedError):
                await provider.complete(HI)
            with pytest.raises(ProviderExhaustedError):
                await provider.complete(HI)

        run(main)
        first, second, third, fourth = calls(cassette)
        assert first.error == {"kind": "auth", "message": "bad key", "retryable": False, "status": 401, "request_id": "r-1"}
        assert (first.answered, first.reads) == (None, [])
        assert second.error == {"kind": "stream_interrupted", "message": "lost", "retryable": True}
        assert (second.answered, len(second.reads), second.result) == (0.0, 1, None)
        assert third.result is not None
        assert third.result["message"] == {"role": "assistant", "content": "One ", "interrupted": True}
        assert fourth.error is not None
        assert fourth.error["kind"] == "exhausted"

    async def test_a_failure_that_is_none_of_ours_is_recorded_by_name(self) -> None:
        class Broken:
            async def complete(self, messages: Sequence[Message], stream: bool = False) -> Any:
                raise ZeroDivisionError("a bug")

        cassette = Cassette()
        with pytest.raises(ZeroDivisionError):
            await RecordingProvider(Broken(), cassette).complete(HI)
        assert calls(cassette)[0].error == {"kind": "other", "type": "ZeroDivisionError", "message": "a bug"}

    async def test_what_was_never_sent_is_not_recorded(self) -> None:
        provider, cassette = taped("x")
        with pytest.raises(UnsupportedFeatureError):
            await provider.complete(HI, stream=True, response_format={})
        with pytest.raises(TypeError):
            await provider.complete(HI, no_such_option=1)  # type: ignore[call-overload]
        with pytest.raises(UnsavableError, match="'metadata' cannot be recorded"):
            await provider.complete(HI, metadata={"a": object()})  # type: ignore[dict-item]
        await provider.complete(HI)
        assert [(call.lane, call.end) for call in calls(cassette)] == [(0, "complete")]

    async def test_closing_it_closes_what_it_wraps_and_a_cassette_of_its_own(self, tmp_path: Path) -> None:
        closed: list[str] = []

        class Closing(FakeProvider):
            async def aclose(self) -> None:
                closed.append("provider")

        async with RecordingProvider(Closing(["x"], delay=0), tmp_path / "own.jsonl"):
            pass
        cassette = Cassette(tmp_path / "shared.jsonl")
        async with RecordingProvider(Closing(["x"], delay=0), cassette):
            pass
        assert closed == ["provider"] * 2
        assert (tmp_path / "own.jsonl").exists()
        assert not (tmp_path / "shared.jsonl").exists()
        cassette.close()

    def test_a_long_answer_costs_a_delta_no_more_than_a_short_one(self) -> None:
        def seconds(deltas: int) -> float:
            text = "word " * deltas

            async def main() -> float:
                provider, _ = taped(text, delay=0)
                began = time.process_time()
                async for _ in await provider.complete(HI, stream=True):
                    pass
                return time.process_time() - began

            return min(run(main) for _ in range(3))

        seconds(1_000)
        assert seconds(10_000) < 10 * 3 * seconds(1_000)


class TestTransport:
    def test_the_bytes_are_recorded_as_they_came(self, tmp_path: Path) -> None:
        body = b'{"choices": [{"message": {"content": "Gr\xc3\xbc\xc3\x9fe"}, "finish_reason": "stop"}]}'
        cut = body.index(b"\xc3\xbc") + 1

        async def main() -> None:
            reply = Reply([0.5, body[:cut], 0.25, body[cut:]], headers={"content-type": "application/json", "x-secret": "s", "x-request-id": "r-1"})
            async with OpenAIProvider(
                "key-of-ours", "https://api.example.com/v1", "m", transport=RecordingTransport(ScriptedTransport([reply]), tmp_path / "a.jsonl")
            ) as provider:
                assert (await provider.complete(HI)).message.content == "Grüße"

        run(main)
        (exchange,) = exchanges(Cassette.load(tmp_path / "a.jsonl"))
        assert exchange.asked == {
            "method": "POST",
            "url": "https://api.example.com/v1/chat/completions",
            "body": {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
        }
        assert (exchange.status, exchange.headers) == (200, {"content-type": "application/json", "x-request-id": "r-1"})
        assert [at for at, _ in exchange.reads] == [0.5, 0.75]
        assert [type(data) for _, data in exchange.reads] == [dict, dict]  # a character was cut in half
        assert exchange.end == "complete"

    def test_whatever_goes_wrong_is_recorded(self) -> None:
        cassette = Cassette()

        async def main() -> None:
            scripted = ScriptedTransport(
                [
                    Reply([], end="hangup"),
                    Reply([b"data: {"], end="reset"),
                    error_reply(429, "slow down", headers={"retry-after": "7", "set-cookie": "a=b"}),
                    Reply([b": hello\n\n"], end="stall"),
                    Reply([], status=302, headers={"location": "https://user:pw@elsewhere.example/path?key=1"}),
                ]
            )
            provider = OpenAIProvider("key", scripted.base_url, "m", transport=RecordingTransport(scripted, cassette), read_timeout=5.0)
            for _ in range(5):
                with pytest.raises(ProviderError):
                    async for _ in await provider.complete(HI, stream=True):
                        pass

        run(main)
        hangup, reset, slow, stalled, moved = exchanges(cassette)
        assert (hangup.status, hangup.error and hangup.error["kind"]) == (None, "connection")
        assert (reset.status, reset.error and reset.error["kind"], len(reset.reads)) == (200, "stream_interrupted", 1)
        assert (slow.status, slow.headers.get("retry-after"), slow.headers.get("set-cookie")) == (429, "7", None)
        assert (stalled.end, stalled.ended) == ("left", 5.0)
        assert moved.headers["location"] == "https://elsewhere.example/"

    async def test_a_request_that_is_cancelled_before_the_head_is_left(self) -> None:
        class Silent:
            async def open(self, request: TransportRequest) -> Any:
                await asyncio.Event().wait()

            async def aclose(self) -> None: ...

        cassette = Cassette()
        transport = RecordingTransport(Silent(), cassette)
        opening = asyncio.ensure_future(transport.open(TransportRequest("http://127.0.0.1/", {}, b"\xff")))
        await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait([opening])
        (exchange,) = exchanges(cassette)
        assert (exchange.end, exchange.status, exchange.asked["body"]) == ("left", None, {"base64": "/w=="})

    async def test_over_a_real_connection(self, tmp_path: Path) -> None:
        async with LoopbackServer(["One two three."]) as server:
            transport = RecordingTransport(None, tmp_path / "a.jsonl")
            async with OpenAIProvider(base_url=server.base_url, model="m", transport=transport) as provider:
                await assert_stream_laws(provider, deterministic=True)
        assert {exchange.end for exchange in exchanges(Cassette.load(tmp_path / "a.jsonl"))} == {"complete", "left"}


class TestSecrets:
    """Canaries in every place that a recording is made from."""

    @pytest.mark.parametrize("canary", [CANARY, ODD_CANARY])
    def test_no_key_is_in_the_recording_of_a_transport(self, tmp_path: Path, canary: str) -> None:
        path = tmp_path / "a.jsonl"

        async def main() -> None:
            echo = f"Incorrect API key provided: {canary}"
            scripted = ScriptedTransport(
                [
                    error_reply(401, echo, headers={"x-request-id": canary, "www-authenticate": canary}),
                    Reply([f'data: {{"error": "{echo}'.encode(), b'"}\n\n']),
                    Reply([canary[:9].encode(), canary[9:].encode()], end="reset"),
                ]
            )
            headers = {"x-api-key": f"Token {canary}"}
            async with OpenAIProvider(
                canary, "https://api.example.com/v1", "m", headers=headers, transport=RecordingTransport(scripted, path)
            ) as provider:
                for stream in (True, True, True):
                    with pytest.raises(ProviderError):
                        async for _ in await provider.complete(HI, stream=stream, extra_headers={"x-other": canary}):
                            pass

        run(main)
        written = path.read_text()
        assert canary not in written
        assert len(exchanges(Cassette.load(path))) == 3

    def test_no_key_is_in_the_recording_of_a_provider(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"

        async def main() -> None:
            answers: list[Any] = [
                AuthenticationError(f"Incorrect API key: {CANARY}", request_id=CANARY),
                [f"Your key is {CANARY}.", ToolCall("c", "use", {"key": CANARY}), ServerError(f"{ODD_CANARY} failed")],
                [f"Your key is {CANARY}.", ToolCall("c", "use", {"key": CANARY})],
            ]
            async with RecordingProvider(FakeProvider([*answers, answers[-1]], delay=0), path) as provider:
                asked = [Message("user", f"My key is {CANARY}"), Message("assistant", tool_calls=[ToolCall("c", "use", {CANARY: CANARY})])]
                options: Any = {"extra_headers": {"Authorization": f"Bearer {ODD_CANARY}"}, "extra_body": {"key": CANARY, CANARY: 1}}
                for stream in (True, True, True, False):
                    try:
                        answer: Any = await provider.complete(asked, stream=stream, **options)
                        async for _ in answer if stream else _nothing():
                            pass
                    except ProviderError:
                        pass

        run(main)
        written = path.read_text()
        assert CANARY not in written
        assert ODD_CANARY not in written
        assert json.loads(written.splitlines()[2])["asked"]["options"]["extra_headers"] == {"authorization": "***"}
        streamed = calls(Cassette.load(path))[2]
        said = "".join([delta.get("text", "") for _, deltas in streamed.reads for delta in deltas])
        assert said == f"Your key is {'*' * len(CANARY)}."  # though it came character by character

    def test_a_text_that_only_looks_a_little_like_a_key_stays(self) -> None:
        text = "key_value_store_backend, sk-learn-is-a-library-without-digits, task-0123456789012345678"
        assert Mask().text(text) == text

    @pytest.mark.parametrize(
        ("headers", "secrets"),
        [
            ({"Authorization": "Bearer abcdefghij"}, ["abcdefghij"]),
            ({"x-own": "Application 2023-06-01 short key-of-ours-1"}, ["key-of-ours-1"]),
            ({"x-own": "ab12cd34 " + "a" * 20}, ["a" * 20, "ab12cd34"]),
            ({"x-own": "1234567890"}, ["1234567890"]),
            ({"User-Agent": "program/1.2.3.4", "X-Title": "my-great-program"}, []),
        ],
    )
    def test_of_a_header_what_may_be_a_key_is_one(self, headers: dict[str, str], secrets: list[str]) -> None:
        assert secrets_in(headers) == secrets

    def test_a_mask_is_as_long_as_what_it_covers(self) -> None:
        assert Mask().text(f"a {CANARY} b") == f"a {'*' * len(CANARY)} b"
        assert Mask(["odd", ""]).texts(["o", "d", "d", "ly"]) == ["*", "*", "*", "ly"]
        assert Mask(["ab", "abc"]).chunks([b"\xffa", b"bc"]) == [b"\xff*", b"**"]

    @pytest.mark.parametrize(
        ("url", "clean"),
        [
            ("https://user:pw@host:8443/v1/chat?key=s&alt=sse&empty=", "https://host:8443/v1/chat?key=***&alt=***&empty=***"),
            ("http://127.0.0.1/v1", "http://127.0.0.1/v1"),
        ],
    )
    def test_a_url_is_its_host_its_path_and_the_names_in_its_query(self, url: str, clean: str) -> None:
        assert without_secrets(url) == clean


async def _nothing() -> AsyncIterator[None]:
    return
    yield
