"""P5: a cancel releases everything, whenever it comes and whatever the stream is doing: the server sees the close, no task is left, no stream
of the limit is lost, and what had arrived is kept and marked as interrupted.

How long a release takes is printed, not asserted; a machine that does something else at the same time is no defect.
"""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

import pytest
from tests.promises.socket_server import END, HEAD, Conversation, SocketServer, event, text_of, until

from ecs_agent.providers import OpenAIProvider
from ecs_agent.streaming import CompletionStream
from ecs_agent.types import CompletionResult, Message

HI = [Message("user", "Hi")]
PROMPTLY = 2.0  # seconds; 0.1 is promised, the rest is for a machine under load


class Moment(Enum):
    """What the server is doing when the cancel comes."""

    BEFORE_THE_HEADERS = auto()
    STALLED = auto()
    FLOWING = auto()


class Way(Enum):
    """How a stream is left."""

    TASK_CANCEL = auto()
    TIMEOUT = auto()
    ACLOSE = auto()
    ASYNC_WITH = auto()
    BREAK = auto()


@dataclass(frozen=True, slots=True)
class Plan:
    """One cancel: `deltas` are read before it."""

    number: int
    moment: Moment
    way: Way
    deltas: int


def plans(count: int, seed: int) -> list[Plan]:
    chance = random.Random(seed)
    made: list[Plan] = []
    for number in range(count):
        moment = chance.choice(list(Moment))
        before = moment is Moment.BEFORE_THE_HEADERS  # there is no stream yet, so only its task can be stopped
        way = chance.choice([Way.TASK_CANCEL, Way.TIMEOUT] if before else list(Way))
        made.append(Plan(number, moment, way, 0 if before else chance.randint(0, 30)))
    return made


class Server(SocketServer):
    """Does to each client what its plan says; the plan's number comes in a header."""

    def __init__(self, planned: list[Plan]) -> None:
        super().__init__(self.follow)
        self._planned = planned
        self.by_plan: dict[int, Conversation] = {}

    def follow(self, conversation: Conversation) -> None:
        plan = self._planned[int(conversation.header("x-plan"))]
        self.by_plan[plan.number] = conversation
        match plan.moment:
            case Moment.BEFORE_THE_HEADERS:
                pass
            case Moment.STALLED:
                conversation.send(HEAD + b"".join([event(number) for number in range(plan.deltas)]))
            case Moment.FLOWING:
                conversation.send(HEAD)
                self._flow(conversation, 0)

    def _flow(self, conversation: Conversation, number: int) -> None:
        if not conversation.lost.done():
            conversation.send(event(number))
            asyncio.get_running_loop().call_later(0.001, self._flow, conversation, number + 1)


class Client:
    """Reads a stream as far as its plan says, and leaves it in the plan's way."""

    def __init__(self, provider: OpenAIProvider, server: Server, plan: Plan) -> None:
        self._provider = provider
        self._server = server
        self._plan = plan
        self._ready = asyncio.Event()
        self._stream: CompletionStream | None = None
        self.left_at = 0.0

    async def run(self) -> CompletionResult | None:
        ways: dict[Way, Callable[[], Awaitable[CompletionResult | None]]] = {
            Way.TASK_CANCEL: self._cancelled,
            Way.TIMEOUT: self._timed_out,
            Way.ACLOSE: self._closed,
            Way.ASYNC_WITH: self._context_left,
            Way.BREAK: self._dropped,
        }
        return await ways[self._plan.way]()

    async def _open(self) -> CompletionStream:
        return await self._provider.complete(HI, stream=True, extra_headers={"x-plan": str(self._plan.number)})

    async def _beginning(self, stream: CompletionStream) -> None:
        for _ in range(self._plan.deltas):
            await anext(stream)

    def _leave(self) -> None:
        self.left_at = asyncio.get_running_loop().time()

    async def _read_for_ever(self) -> None:
        stream = self._stream = await self._open()
        await self._beginning(stream)
        self._ready.set()
        async for _ in stream:
            pass
        raise AssertionError("a stream that was cancelled cannot end")

    async def _can_be_stopped(self) -> None:
        if self._plan.moment is Moment.BEFORE_THE_HEADERS:
            await until(lambda: self._plan.number in self._server.by_plan, 10)
        else:
            await self._ready.wait()

    async def _cancelled(self) -> CompletionResult | None:
        task = asyncio.ensure_future(self._read_for_ever())
        await self._can_be_stopped()
        self._leave()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return self._stream.result() if self._stream is not None else None

    async def _timed_out(self) -> CompletionResult | None:
        async def read(limit: asyncio.Timeout) -> None:
            stopping = asyncio.ensure_future(stop(limit))
            try:
                await self._read_for_ever()
            finally:
                await stopping

        async def stop(limit: asyncio.Timeout) -> None:
            await self._can_be_stopped()
            self._leave()
            limit.reschedule(self.left_at)

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as limit:
                await read(limit)
        return self._stream.result() if self._stream is not None else None

    async def _closed(self) -> CompletionResult:
        stream = await self._open()
        await self._beginning(stream)
        self._leave()
        await stream.aclose()
        await stream.aclose()
        return stream.result()

    async def _context_left(self) -> CompletionResult:
        with pytest.raises(KeyError):
            async with await self._open() as stream:
                await self._beginning(stream)
                self._leave()
                raise KeyError("the consumer failed")
        return stream.result()

    async def _dropped(self) -> CompletionResult:
        stream = await self._open()
        await self._beginning(stream)
        kept = stream.result()
        self._leave()
        del stream
        return kept


@pytest.fixture
def quiet_collector() -> Iterator[None]:
    """Without the collector of cycles, so that it cannot be what closes a dropped stream."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("seed", range(4))
async def test_a_cancel_at_any_moment_in_any_way_releases_everything(seed: int, quiet_collector: None) -> None:
    planned = plans(250, seed)
    assert {(plan.moment, plan.way) for plan in planned} >= {(moment, way) for moment in (Moment.STALLED, Moment.FLOWING) for way in Way}
    async with Server(planned) as server, OpenAIProvider("k", server.base_url, "m") as provider:
        before = asyncio.all_tasks()
        took: list[float] = []

        async def cancel(plan: Plan) -> None:
            client = Client(provider, server, plan)
            result = await client.run()
            conversation = server.by_plan[plan.number]
            took.append(await asyncio.wait_for(conversation.lost, PROMPTLY) - client.left_at)
            assert (result is None) is (plan.moment is Moment.BEFORE_THE_HEADERS)
            if result is not None:
                kept = len(result.message.content.split())
                assert result.message.interrupted
                assert result.message.content == text_of(kept)
                assert kept == plan.deltas or (kept > plan.deltas and plan.moment is Moment.FLOWING)

        for at in range(0, len(planned), 25):
            await asyncio.gather(*[cancel(plan) for plan in planned[at : at + 25]])

        assert provider._client._slots.open == 0
        assert not server.open
        assert asyncio.all_tasks() == before
    took.sort()
    print(
        f"\nrelease of {len(took)} cancels: p50 {took[len(took) // 2] * 1e3:.1f} ms, p99 {took[len(took) * 99 // 100] * 1e3:.1f} ms, max {took[-1] * 1e3:.1f} ms"
    )


async def test_a_cancel_while_waiting_for_one_of_the_streams_takes_none_away() -> None:
    def answer(conversation: Conversation) -> None:
        conversation.send(HEAD + event(0))

    async with SocketServer(answer) as server, OpenAIProvider("k", server.base_url, "m", max_streams=2) as provider:
        held = [await provider.complete(HI, stream=True) for _ in range(2)]
        waiting = [asyncio.ensure_future(provider.complete(HI, stream=True)) for _ in range(100)]
        await asyncio.sleep(0.01)
        for task in waiting[:50]:
            task.cancel()
        await held[0].aclose()  # in the same turn of the loop, so that its place goes to one that leaves
        for task in waiting[50:99]:
            task.cancel()
        stream = await asyncio.wait_for(waiting[99], 2)
        assert provider._client._slots.open == 2
        assert len(server.conversations) == 3
        await stream.aclose()
        await held[1].aclose()
        assert provider._client._slots.open == 0
        await asyncio.wait(waiting)
        assert [task.cancelled() for task in waiting] == [True] * 99 + [False]


@pytest.mark.no_cover
async def test_ten_thousand_cancels_under_a_limit_of_ten_leave_the_provider_healthy() -> None:
    healthy = False

    def answer(conversation: Conversation) -> None:
        conversation.send(HEAD + event(0) + event(1) + (END if healthy else b""))

    asyncio.get_running_loop().set_debug(False)  # it would cost more than all the rest
    async with SocketServer(answer) as server, OpenAIProvider("k", server.base_url, "m", max_streams=10, pool_timeout=10) as provider:

        async def cancelled(way: int) -> None:
            stream = await provider.complete(HI, stream=True)
            await anext(stream)
            if way == 0:
                await stream.aclose()
            elif way == 1:
                reading = asyncio.ensure_future(anext(stream))
                await asyncio.sleep(0)
                reading.cancel()
            # else the last reference goes

        async def many(count: int) -> None:
            for number in range(count):
                await cancelled(number % 3)

        await asyncio.gather(*[many(500) for _ in range(20)])
        assert len(server.conversations) == 10_000
        await until(lambda: not server.open)
        assert provider._client._slots.open == 0

        healthy = True

        async def fine() -> str:
            return "".join([delta.content or "" async for delta in await provider.complete(HI, stream=True)])

        assert await asyncio.gather(*[fine() for _ in range(40)]) == [text_of(2)] * 40
        assert provider._client._slots.open == 0
