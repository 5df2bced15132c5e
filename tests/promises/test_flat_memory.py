"""P7: memory is flat and time linear in what arrives, for a million deltas, an event of 10 MB, a line that never ends, and a tool call in
thousands of fragments.

That time is linear is shown by counting: how many functions were called for so many deltas is the same on every machine. Copies of growing texts
do not show in such a count, so processor time is compared as well, over a range so wide that only a square can exceed its bound.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import pytest

from ecs_agent.errors import MalformedResponseError, ProviderError
from ecs_agent.providers import OpenAIProvider, TransportRequest
from ecs_agent.providers.openai_chat.decoder import ChatDecoder
from ecs_agent.streaming import Fold
from ecs_agent.testing import chunk
from ecs_agent.types import JsonObject, Message, StreamDelta

pytestmark = pytest.mark.no_cover  # time and memory of the program are measured, not those of the tracer

HI = [Message("user", "Hi")]
MIB = 1024 * 1024
MILLION = 1_000_000
GROWTH = 10 * MIB
A_READ = 64  # deltas that arrive together
DONE = b"data: [DONE]\n\n"

WORD = "word "


def tool_piece(text: str, **more: Any) -> JsonObject:
    return {"tool_calls": [{"index": 0, "function": {"arguments": text}, **more}]}


DELTAS: dict[str, JsonObject] = {
    "text": {"content": WORD},
    "text in parts": {"content": [{"type": "text", "text": WORD}]},
    "reasoning": {"reasoning_content": WORD},
    "reasoning details": {"reasoning_details": [{"type": "reasoning.text", "text": WORD, "index": 0}]},
    "refusal": {"refusal": WORD},
    "a tool call": tool_piece(WORD),
    "text beyond ASCII": {"content": "wörd "},
}


class Body:
    """A response in memory, made as it is read; also the transport that gives it."""

    def __init__(self, pieces: Iterator[bytes], content_type: str = "text/event-stream") -> None:
        self.status = 200
        self.headers: Mapping[str, str] = {"content-type": content_type}
        self.taken = 0
        self._pieces = pieces

    async def open(self, request: TransportRequest) -> Body:
        return self

    async def read(self) -> bytes:
        data = next(self._pieces, b"")
        self.taken += len(data)
        return data

    async def aclose(self) -> None: ...

    def abort(self) -> None: ...


def provider_of(body: Body) -> OpenAIProvider:
    return OpenAIProvider("k", "https://api.example.com/v1", "m", transport=body)


def answer(delta: JsonObject, count: int) -> Iterator[bytes]:
    """A whole answer of so many equal deltas."""
    piece = chunk(delta)
    together = piece * A_READ
    for _ in range(count // A_READ):
        yield together
    yield piece * (count % A_READ) + chunk(finish="stop") + DONE


def decoded(pieces: Iterator[bytes], each: Callable[[StreamDelta], None] = lambda _: None) -> Fold:
    """Decode and fold, as a provider does."""
    decoder, fold = ChatDecoder(), Fold()
    for data in pieces:
        for delta in decoder.feed(data):
            fold.add(delta)
            each(delta)
    for delta in decoder.eof():
        fold.add(delta)
    assert decoder.error is None, decoder.error
    return fold


class Memory:
    """What this process holds beyond what it held before."""

    def __init__(self) -> None:
        gc.collect()
        tracemalloc.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        tracemalloc.stop()

    @property
    def held(self) -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    @property
    def most(self) -> int:
        return tracemalloc.get_traced_memory()[1]


def calls_in(action: Callable[[], object]) -> int:
    """How many functions, of Python or of C, an action calls."""
    count = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


def seconds_of(action: Callable[[], object]) -> float:
    """The processor time of an action."""
    started = time.process_time()
    action()
    return time.process_time() - started


QUADRATIC = 16**2
"""So many times longer sixteen times the work takes where each step looks at all before it. A busy machine does not make half of that of sixteen."""


def times_longer(action: Callable[[int], object], small: int, large: int) -> float:
    """How much longer an action takes for more, each the best of three."""
    return min(seconds_of(lambda: action(large)) for _ in range(3)) / min(seconds_of(lambda: action(small)) for _ in range(3))


def times_more_calls(action: Callable[[int], object], small: int, large: int) -> float:
    """How many times the functions are called for more."""
    return calls_in(lambda: action(large)) / calls_in(lambda: action(small))


class TestAMillionDeltas:
    async def test_a_stream_holds_the_text_and_little_more(self) -> None:
        asyncio.get_running_loop().set_debug(False)
        text = MILLION * len(WORD)
        with Memory() as memory:
            stream = await provider_of(Body(answer(DELTAS["text"], MILLION))).complete(HI, stream=True)
            count = 0
            async for _ in stream:
                count += 1
            held, most = memory.held, memory.most
        print(f"\nbeyond {text / MIB:.1f} MiB of text: {(held - text) / MIB:.2f} MiB held, {(most - text) / MIB:.2f} MiB at most")
        assert count == MILLION + 1
        assert held - text < GROWTH
        assert most - 2 * text < GROWTH  # where a text is joined, it is there twice
        assert stream.result().message.content == WORD * MILLION
        assert stream.timing.deltas == count

    def test_what_is_no_delta_leaves_nothing(self) -> None:
        nothing = [b": comment\n\n", b"id: 7\nretry: 10\n\n", b"no field at all\n\n", b"data:\n\n", chunk({"content": ""}), chunk()]

        def noise() -> Iterator[bytes]:
            for _ in range(MILLION // 10 // len(nothing) // 50):
                yield b"".join(nothing) * 50
            yield chunk({"content": "x"}) + chunk(finish="stop") + DONE

        with Memory() as memory:
            fold = decoded(noise())
            assert memory.most < MIB
        assert fold.result().message.content == "x"


@pytest.mark.parametrize("delta", DELTAS.values(), ids=DELTAS)
class TestEveryKindOfDelta:
    def test_the_work_grows_as_the_deltas_do(self, delta: JsonObject) -> None:
        assert times_more_calls(lambda count: decoded(answer(delta, count)), 500, 5_000) < 10.5

    def test_so_does_the_time(self, delta: JsonObject) -> None:
        longer = times_longer(lambda count: decoded(answer(delta, count)), 5_000, 80_000)
        print(f"\n{longer:.1f} times for sixteen times the deltas")
        assert longer < QUADRATIC / 2

    def test_memory_holds_the_text_and_little_more(self, delta: JsonObject) -> None:
        count = 20_000
        text = count * len(WORD) * (2 if delta == DELTAS["text beyond ASCII"] else 1)
        with Memory() as memory:
            fold = decoded(answer(delta, count))
            held = memory.held
        assert fold.complete
        print(f"\n{(held - 2 * text) / count:.1f} bytes a delta beyond the text")
        assert held - 2 * text < MIB / 4  # twice, since reasoning details are also kept as they came


def calls_with_index(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield chunk({"tool_calls": [{"index": number, "id": f"c{number}", "function": {"name": "f", "arguments": "{}"}}]})
    yield chunk(finish="tool_calls") + DONE


def calls_without_index(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield chunk({"tool_calls": [{"id": f"c{number}", "function": {"name": "f", "arguments": "{}"}}]})
    yield chunk(finish="tool_calls") + DONE


@pytest.mark.parametrize("calls", [calls_with_index, calls_without_index])
def test_many_calls_in_one_answer_cost_what_they_are(calls: Callable[[int], Iterator[bytes]]) -> None:
    longer = times_longer(lambda count: decoded(calls(count)), 500, 8_000)
    print(f"\n{longer:.1f} times for sixteen times the calls")
    assert longer < QUADRATIC / 2


class TestAToolCallInFragments:
    arguments = json.dumps({"text": "0123456789" * 8_000})

    def call(self, fragments: int) -> Iterator[bytes]:
        size = -(-len(self.arguments) // fragments)
        yield chunk({"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "write", "arguments": ""}}]})
        for at in range(0, len(self.arguments), size):
            yield chunk(tool_piece(self.arguments[at : at + size]))
        yield chunk(finish="tool_calls") + DONE

    def read_at_the_end(self, fragments: int) -> None:
        last: list[StreamDelta] = []
        decoded(self.call(fragments), lambda delta: last.__setitem__(slice(None), [delta]))
        calls = last[0].tool_calls
        assert calls is not None
        assert calls[0].arguments == json.loads(self.arguments)

    def test_four_thousand_fragments_cost_what_they_are(self) -> None:
        print(f"\n{seconds_of(lambda: self.read_at_the_end(4_000)) * 1e3:.0f} ms")
        assert times_more_calls(self.read_at_the_end, 400, 4_000) < 10.5

    def test_the_last_view_before_the_end_is_read_at_the_cost_of_the_call(self) -> None:
        views: list[StreamDelta] = []
        decoded(self.call(4_000), views.append)
        before_the_end = views[-2].tool_calls
        assert before_the_end is not None
        reading = calls_in(lambda: before_the_end[0])
        print(f"\n{reading} calls")
        assert reading < 20 * 4_000
        assert before_the_end[0].arguments == json.loads(self.arguments)

    def test_views_that_nobody_reads_cost_the_same_whatever_has_arrived(self) -> None:
        """Else 4,000 fragments would cost the square: each delta has a view of all calls so far."""
        pieces = list(self.call(4_000))
        decoder = ChatDecoder()
        costs = [calls_in(lambda piece=piece: decoder.feed(piece)) for piece in pieces]  # type: ignore[misc]  # mypy cannot infer such a lambda
        early, late = sum(costs[100:1_100]), sum(costs[2_900:3_900])
        assert late < 1.1 * early


class TestOneLargeEvent:
    text = "0123456789" * 1_000_000

    def pieces(self) -> Iterator[bytes]:
        body = chunk({"content": self.text}) + chunk(finish="stop") + DONE
        for at in range(0, len(body), 64 * 1024):
            yield body[at : at + 64 * 1024]

    async def test_ten_megabytes_arrive_whole(self) -> None:
        started = time.process_time()
        stream = await provider_of(Body(self.pieces())).complete(HI, stream=True)
        deltas = [delta async for delta in stream]
        print(f"\n{time.process_time() - started:.2f} s of processor time")
        assert deltas[0].content == self.text
        assert stream.result().message.content == self.text

    def test_the_work_is_that_of_its_pieces(self) -> None:
        pieces = list(self.pieces())
        assert calls_in(lambda: decoded(iter(pieces))) < 30 * len(pieces)

    @pytest.mark.parametrize("content_type", ["text/event-stream", "application/json"])
    async def test_a_line_of_64_mib_is_refused_before_it_has_all_been_read(self, content_type: str) -> None:
        def endless() -> Iterator[bytes]:
            yield chunk({"content": "so far"}) if content_type == "text/event-stream" else b"{"
            yield b'data: {"choices": "'
            for _ in range(1024):
                yield b"x" * 64 * 1024

        body = Body(endless(), content_type)
        with Memory() as memory:
            with pytest.raises(MalformedResponseError) as caught:
                async for _ in await provider_of(body).complete(HI, stream=True):
                    pass
            most = memory.most
        assert body.taken < 34 * MIB
        assert most < 2 * 34 * MIB  # the line, and once more where its buffer grows
        assert_partial(caught.value, "so far" if content_type == "text/event-stream" else "")

    async def test_an_event_of_many_lines_is_refused_likewise(self) -> None:
        def endless() -> Iterator[bytes]:
            for _ in range(64 * 1024):
                yield b"data: " + b"x" * 1018 + b"\n"

        body = Body(endless())
        with pytest.raises(MalformedResponseError):
            async for _ in await provider_of(body).complete(HI, stream=True):
                pass
        assert body.taken < 34 * MIB


def assert_partial(error: ProviderError, text: str) -> None:
    assert error.partial is not None
    assert error.partial.message.content == text
    assert error.partial.message.interrupted
