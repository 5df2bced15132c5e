"""Providers over HTTP keep to rate limits: the server's and our own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from ecs_agent.errors import ProviderConnectionError, ProviderTimeoutError, RateLimitError
from ecs_agent.providers import OpenAIProvider
from ecs_agent.testing import Reply, ScriptedTransport, chat_reply, error_reply, run
from ecs_agent.testing.answers import Received, ServerAnswer
from ecs_agent.types import CompletionResult, Message

HI = [Message("user", "Hi")]
WAIT_5 = error_reply(429, "slow down", headers={"retry-after": "5"})
HANGUP = Reply(end="hangup")


class Wire:
    """A server in memory, a provider that asks it, and the times at which requests came in."""

    def __init__(self, answers: Sequence[Reply], **options: Any) -> None:
        self.times: list[float] = []
        given: list[ServerAnswer] = [self._noting(answer) for answer in answers]
        self.provider = OpenAIProvider("k" * 20, ScriptedTransport.base_url, "m", transport=ScriptedTransport(given), **options)

    def _noting(self, answer: Reply) -> ServerAnswer:
        def answered(_: Received) -> Reply:
            self.times.append(asyncio.get_running_loop().time())
            return answer

        return answered

    async def ask(self) -> str:
        return await told(self.provider)

    async def ask_all(self, count: int) -> list[str | BaseException]:
        return await asyncio.gather(*[self.ask() for _ in range(count)], return_exceptions=True)


async def told(provider: OpenAIProvider) -> str:
    async with await provider.complete(HI, stream=True) as stream:
        async for _ in stream:
            pass
        return stream.result().message.content


def test_after_a_refusal_everybody_waits_and_one_goes_first() -> None:
    async def main() -> None:
        wire = Wire([WAIT_5, chat_reply("fine", pause=1.0)])
        with pytest.raises(RateLimitError):
            await wire.ask()
        assert await wire.ask_all(3) == ["fine"] * 3
        assert wire.times == [0.0, 5.0, 5.0, 5.0]  # a head in memory takes no time, so that one goes first cannot be seen here

    run(main)


def test_the_room_that_a_server_tells_is_kept_to() -> None:
    async def main() -> None:
        limited = {"content-type": "text/event-stream", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "2s"}
        wire = Wire([Reply(chat_reply("fine").pieces, headers=limited)])
        await wire.ask_all(3)
        assert wire.times == [0.0, 2.0, 4.0]

    run(main)


def test_our_own_limit_is_an_option() -> None:
    async def main() -> None:
        wire = Wire([chat_reply("fine")], requests_per_minute=2)
        await wire.ask_all(5)
        assert wire.times == [0.0, 0.0, 60.0, 60.0, 120.0]

    run(main)


def test_waiting_counts_against_the_pool_timeout_and_the_error_says_who_and_why() -> None:
    async def main() -> None:
        wire = Wire([WAIT_5, chat_reply("fine")], pool_timeout=3.0, max_streams=1, name="ours")
        with pytest.raises(RateLimitError):
            await wire.ask()
        with pytest.raises(ProviderTimeoutError, match=r"rate limit .* within 3.0 s \(pool_timeout\)") as caught:
            await wire.ask()
        assert (caught.value.provider, caught.value.model) == ("ours", "m")
        assert asyncio.get_running_loop().time() == 3.0
        assert await wire.ask() == "fine"  # the stream slot was given back

    run(main)


def test_the_wait_for_a_stream_and_the_wait_for_the_rate_limit_have_one_limit_together() -> None:
    async def main() -> None:
        wire = Wire([chat_reply("slow", pause=1.0)], pool_timeout=10.0, max_streams=1, requests_per_minute=1)
        first = asyncio.ensure_future(wire.ask())
        await asyncio.sleep(0)
        with pytest.raises(ProviderTimeoutError, match="requests_per_minute"):
            await wire.ask()
        assert asyncio.get_running_loop().time() == 10.0
        await first

    run(main)


def test_waiting_is_no_time_of_the_answer() -> None:
    async def main() -> CompletionResult:
        wire = Wire([chat_reply("fine", pause=1.0)], requests_per_minute=1, read_timeout=5.0, first_delta_timeout=5.0, total_timeout=20.0)
        await wire.ask()
        return await wire.provider.complete(HI)

    result = run(main)
    assert result.timing is not None
    assert result.timing.time_to_first_delta is not None
    assert result.timing.time_to_first_delta <= 5.0


def test_a_request_that_is_sent_once_more_has_a_turn_of_its_own_and_no_less_time() -> None:
    refused = error_reply(400, "unknown field stream_options")

    async def main() -> None:
        wire = Wire([refused, chat_reply("fine")], requests_per_minute=1, first_delta_timeout=30.0, total_timeout=40.0)
        assert await wire.ask() == "fine"
        assert wire.times == [0.0, 60.0]

    run(main)


@pytest.mark.parametrize("limits", [{"read_timeout": 30.0}, {"read_timeout": None, "first_delta_timeout": None, "total_timeout": None}])
def test_a_request_that_is_sent_once_more_and_stalls_is_still_given_up(limits: dict[str, Any]) -> None:
    async def main() -> float:
        wire = Wire([error_reply(400, "unknown field stream_options"), Reply(end="silent")], requests_per_minute=1, **limits)
        with pytest.raises((ProviderTimeoutError, TimeoutError)):
            async with asyncio.timeout(1000):
                await wire.ask()
        return asyncio.get_running_loop().time()

    assert run(main) == (90.0 if limits["read_timeout"] else 1000.0)


def test_one_that_gets_no_answer_lets_the_next_one_try() -> None:
    async def main() -> None:
        wire = Wire([WAIT_5, HANGUP, HANGUP, chat_reply("fine")])
        with pytest.raises(RateLimitError):
            await wire.ask()
        results = await wire.ask_all(4)
        assert [type(result) for result in results] == [ProviderConnectionError, ProviderConnectionError, str, str]
        assert wire.times == [0.0] + [5.0] * 4

    run(main)


def test_one_that_is_cancelled_in_the_line_or_on_its_way_leaves_nothing_behind() -> None:
    async def main() -> None:
        wire = Wire([WAIT_5, Reply(end="silent"), chat_reply("fine")], max_streams=3)
        with pytest.raises(RateLimitError):
            await wire.ask()
        asking = [asyncio.ensure_future(wire.ask()) for _ in range(3)]
        await asyncio.sleep(2)
        asking[1].cancel()  # in the line
        await asyncio.sleep(3.5)
        asking[0].cancel()  # on its way, and silent
        assert await asking[2] == "fine"
        assert wire.times == [0.0, 5.0, 5.5]
        assert wire.provider._client._slots.open == 0
        assert not wire.provider._client._limiter._on_their_way

    run(main)


def test_an_option_that_cannot_be_written_takes_no_turn() -> None:
    async def main() -> None:
        wire = Wire([chat_reply("fine")])
        with pytest.raises(TypeError):
            await wire.provider.complete(HI, stream=True, extra_body={"x": object()})
        assert not wire.provider._client._limiter._on_their_way

    run(main)
