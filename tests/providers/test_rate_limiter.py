"""RateLimiter: who may start when, on virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.errors import ProviderTimeoutError
from ecs_agent.providers.classify import MAX_RETRY_AFTER
from ecs_agent.providers.rate_limiter import RateLimiter
from ecs_agent.testing import run

Headers = Mapping[str, str]


def now() -> float:
    return asyncio.get_running_loop().time()


async def starts(limiter: RateLimiter, count: int, answer: Callable[[int], tuple[float, int, Headers]]) -> list[float]:
    """The times at which so many requests that come at once start; `answer` says when and how the n-th is answered."""
    times: list[float] = []

    async def one() -> None:
        turn = await limiter.ready(now())
        number = len(times)
        times.append(now())
        after, status, headers = answer(number)
        await asyncio.sleep(after)
        limiter.heard(turn, status, headers)

    await asyncio.gather(*[one() for _ in range(count)])
    return times


def fine(_: int) -> tuple[float, int, Headers]:
    return 0.25, 200, {}


async def told(limiter: RateLimiter, status: int, **headers: str) -> None:
    """A request that is answered so, at once."""
    limiter.heard(await limiter.ready(now()), status, {name.replace("_", "-"): value for name, value in headers.items()})


def virtual(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A test on virtual time."""

    def on_virtual_time() -> None:
        run(test)

    on_virtual_time.__name__ = test.__name__
    return on_virtual_time


@virtual
async def test_without_a_word_of_limits_everybody_goes_at_once() -> None:
    assert await starts(RateLimiter(), 1000, fine) == [0.0] * 1000


@virtual
async def test_when_no_request_is_left_the_next_waits_until_the_reset() -> None:
    limiter = RateLimiter()
    await told(limiter, 200, x_ratelimit_remaining_requests="0", x_ratelimit_reset_requests="7s")
    assert await starts(limiter, 1, fine) == [7.0]


@virtual
async def test_as_many_go_as_are_left() -> None:
    limiter = RateLimiter()
    await told(limiter, 200, x_ratelimit_remaining_requests="3", x_ratelimit_reset_requests="10s")
    assert await starts(limiter, 4, lambda _: (1.0, 200, {})) == [0.0, 0.0, 0.0, 10.0]


@virtual
async def test_those_that_started_later_are_not_in_the_count_of_a_response() -> None:
    limiter = RateLimiter()
    first, _second, _third = [await limiter.ready(now()) for _ in range(3)]
    limiter.heard(first, 200, {"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "9s"})
    assert await starts(limiter, 2, lambda _: (1.0, 200, {})) == [0.0, 9.0]


@virtual
async def test_an_older_request_that_is_answered_later_says_nothing_new() -> None:
    limiter = RateLimiter()
    first, second = [await limiter.ready(now()) for _ in range(2)]
    limiter.heard(second, 200, {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "9s"})
    limiter.heard(first, 200, {"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "9s"})
    assert await starts(limiter, 1, fine) == [9.0]


@virtual
async def test_what_is_told_after_the_old_room_is_over_is_new() -> None:
    limiter = RateLimiter()
    first, second, _third = [await limiter.ready(now()) for _ in range(3)]
    limiter.heard(first, 200, {"x-ratelimit-remaining-requests": "10", "x-ratelimit-reset-requests": "1s"})
    await asyncio.sleep(5)
    await limiter.ready(now())
    limiter.heard(second, 200, {"x-ratelimit-remaining-requests": "12", "x-ratelimit-reset-requests": "9s"})
    assert await starts(limiter, 11, fine) == [5.0] * 10 + [14.0]  # two are on their way


@virtual
async def test_room_that_was_not_used_while_it_counted_limits_nobody_later() -> None:
    limiter = RateLimiter()
    await told(limiter, 200, x_ratelimit_remaining_requests="2", x_ratelimit_reset_requests="1s")
    await asyncio.sleep(5)
    assert await starts(limiter, 50, fine) == [5.0] * 50


@virtual
async def test_no_token_left_is_no_room_either() -> None:
    limiter = RateLimiter()
    await told(
        limiter, 200, anthropic_ratelimit_requests_remaining="40", anthropic_ratelimit_tokens_remaining="0", anthropic_ratelimit_tokens_reset="3"
    )
    assert await starts(limiter, 1, fine) == [3.0]


class TestRefused:
    @pytest.mark.parametrize(("status", "headers"), [(429, {"retry-after": "5"}), (429, {"retry-after-ms": "5000"}), (503, {"retry-after": "5"})])
    def test_everybody_waits_as_long_as_the_server_asks(self, status: int, headers: Headers) -> None:
        async def main() -> None:
            limiter = RateLimiter()
            limiter.heard(await limiter.ready(now()), status, headers)
            assert (await starts(limiter, 3, fine))[0] == 5.0

        run(main)

    def test_a_refusal_without_a_time_waits_for_what_is_used_up(self) -> None:
        async def main() -> None:
            limiter = RateLimiter()
            await told(limiter, 429, x_ratelimit_remaining_tokens="0", x_ratelimit_reset_tokens="4s", x_ratelimit_reset_requests="1s")
            assert await starts(limiter, 1, fine) == [4.0]

        run(main)

    def test_a_refusal_without_any_time_stops_nobody_but_the_crowd(self) -> None:
        async def main() -> None:
            limiter = RateLimiter()
            await told(limiter, 429)
            assert await starts(limiter, 3, fine) == [0.0, 0.25, 0.25]

        run(main)

    def test_refusals_without_any_time_one_after_another_stop_nobody(self) -> None:
        async def main() -> None:
            limiter = RateLimiter()
            assert await starts(limiter, 4, lambda number: (0.25, 429 if number < 3 else 200, {})) == [0.0] * 4
            for _ in range(3):
                await told(limiter, 429)
            assert now() == 0.25

        run(main)

    def test_a_refusal_without_any_time_does_not_shorten_the_time_of_another(self) -> None:
        async def main() -> None:
            limiter = RateLimiter()
            turns = [await limiter.ready(now()) for _ in range(3)]
            limiter.heard(turns[0], 429, {"retry-after": "5"})
            limiter.heard(turns[1], 429, {})
            assert await starts(limiter, 1, fine) == [5.0]
            limiter.heard(turns[2], 200, {})
            await told(limiter, 200, ratelimit_remaining="0", ratelimit_reset="5")
            limiter.heard(turns[2], 429, {})
            assert await starts(limiter, 1, fine) == [10.25]

        run(main)

    def test_an_error_of_the_server_without_a_time_stops_nobody(self) -> None:
        async def main() -> None:
            limiter = RateLimiter()
            await told(limiter, 503)
            await told(limiter, 400, retry_after="5")
            assert await starts(limiter, 5, fine) == [0.0] * 5

        run(main)

    def test_then_one_goes_first_and_two_more_for_each_that_comes_back(self) -> None:
        async def main() -> None:
            limiter = RateLimiter()
            await told(limiter, 429, retry_after="5")
            assert await starts(limiter, 8, fine) == [5.0, *[5.25] * 2, *[5.5] * 4, 5.75]

        run(main)

    def test_the_first_one_may_tell_how_many_follow(self) -> None:
        async def main() -> None:
            limiter = RateLimiter()
            await told(limiter, 429, retry_after="5")
            told_room = {"x-ratelimit-remaining-requests": "100", "x-ratelimit-reset-requests": "60s"}
            assert await starts(limiter, 20, lambda _: (0.25, 200, told_room)) == [5.0, *[5.25] * 19]

        run(main)

    def test_one_that_is_silent_holds_up_the_others_for_a_second_each(self) -> None:
        async def main() -> None:
            limiter = RateLimiter()
            await told(limiter, 429, retry_after="5")
            assert await starts(limiter, 4, lambda number: (1000.0 if number < 2 else 0.25, 200, {})) == [5.0, 6.0, 7.0, 7.25]

        run(main)

    def test_one_that_is_refused_again_closes_it_again(self) -> None:
        async def main() -> None:
            limiter = RateLimiter()
            await told(limiter, 429, retry_after="5")
            answers = [(0.5, 429, {"retry-after": "10"}), (0.5, 200, {}), (0.5, 200, {})]
            assert await starts(limiter, 3, lambda number: answers[number]) == [5.0, 15.5, 16.0]

        run(main)

    def test_one_that_got_no_answer_lets_the_next_one_try(self) -> None:
        async def main() -> None:
            limiter = RateLimiter()
            await told(limiter, 429, retry_after="5")
            waiting = asyncio.ensure_future(starts(limiter, 1, fine))
            asyncio.get_running_loop().call_at(4.0, limiter.unheard, 1)  # one from before the refusal says nothing
            first = await limiter.ready(now())
            await asyncio.sleep(0.25)
            limiter.unheard(first)
            assert await waiting == [5.25]

        run(main)

    def test_answers_to_requests_from_before_the_refusal_open_nothing(self) -> None:
        async def main() -> None:
            limiter = RateLimiter()
            before = [await limiter.ready(now()) for _ in range(10)]
            limiter.heard(before[0], 429, {"retry-after": "5"})
            for turn in before[1:]:
                limiter.heard(turn, 200, {"x-ratelimit-remaining-requests": "50", "x-ratelimit-reset-requests": "1s"})
            assert await starts(limiter, 2, fine) == [5.0, 5.25]

        run(main)

    def test_the_longest_of_several_refusals_counts(self) -> None:
        async def main() -> None:
            limiter = RateLimiter()
            turns = [await limiter.ready(now()) for _ in range(3)]
            for turn, seconds in zip(turns, ("2", "8", "1"), strict=True):
                limiter.heard(turn, 429, {"retry-after": seconds})
            assert await starts(limiter, 1, fine) == [8.0]

        run(main)

    def test_those_who_wait_by_themselves_and_come_back_together_are_no_crowd_either(self) -> None:
        async def main() -> None:
            limiter = RateLimiter()
            await told(limiter, 429, retry_after="5")
            await asyncio.sleep(30)
            assert await starts(limiter, 4, fine) == [30.0, 30.25, 30.25, 30.5]

        run(main)


class TestHostile:
    def test_nobody_waits_longer_than_the_cap(self) -> None:
        async def main() -> None:
            limiter = RateLimiter()
            await told(limiter, 429, retry_after="999999999")
            assert await starts(limiter, 1, fine) == [MAX_RETRY_AFTER]

        run(main)

    def test_refusals_that_trickle_in_do_not_add_up(self) -> None:
        async def main() -> None:
            limiter = RateLimiter()
            turns = [await limiter.ready(now()) for _ in range(100)]

            async def trickle() -> None:
                for turn in turns:
                    limiter.heard(turn, 429, {"retry-after": "100"})
                    await asyncio.sleep(10)

            trickling = asyncio.ensure_future(trickle())
            await asyncio.sleep(0)
            assert await limiter.ready(now()) == 101
            assert now() == MAX_RETRY_AFTER
            trickling.cancel()

        run(main)

    def test_no_room_that_is_told_again_and_again_does_not_add_up(self) -> None:
        async def main() -> None:
            limiter = RateLimiter()
            turns = [await limiter.ready(now()) for _ in range(100)]

            async def trickle() -> None:
                for turn in turns:
                    limiter.heard(turn, 200, {"ratelimit-remaining": "0", "ratelimit-reset": "100"})
                    await asyncio.sleep(10)

            trickling = asyncio.ensure_future(trickle())
            await asyncio.sleep(0)
            await limiter.ready(now())
            assert now() == MAX_RETRY_AFTER
            trickling.cancel()

        run(main)

    def test_a_refusal_long_after_the_last_one_counts_from_now(self) -> None:
        async def main() -> None:
            limiter = RateLimiter()
            straggler = await limiter.ready(now())
            await told(limiter, 429, retry_after="5")
            await asyncio.sleep(500)
            limiter.heard(straggler, 429, {"retry-after": "30"})
            assert await starts(limiter, 1, fine) == [530.0]

        run(main)


class TestOurOwnLimit:
    def test_no_minute_has_more_starts(self) -> None:
        async def main() -> None:
            limiter = RateLimiter(3)
            assert await starts(limiter, 8, fine) == [0.0] * 3 + [60.0] * 3 + [120.0] * 2

        run(main)

    def test_a_minute_is_any_sixty_seconds(self) -> None:
        async def main() -> None:
            limiter = RateLimiter(2)
            await limiter.ready(now())
            await asyncio.sleep(50)
            assert await starts(limiter, 3, fine) == [50.0, 60.0, 110.0]

        run(main)

    def test_the_server_may_be_stricter(self) -> None:
        async def main() -> None:
            limiter = RateLimiter(2)
            await told(limiter, 429, retry_after="90")
            assert await starts(limiter, 3, fine) == [90.0, 90.25, 150.0]

        run(main)

    @pytest.mark.parametrize("wrong", [0, -1])
    def test_none_at_all_makes_no_sense(self, wrong: int) -> None:
        with pytest.raises(ValueError, match=f"requests_per_minute is {wrong}"):
            RateLimiter(wrong)

    @pytest.mark.parametrize("wrong", [2.5, True, "60"])
    def test_it_is_a_whole_number(self, wrong: Any) -> None:
        with pytest.raises(TypeError, match="requests_per_minute is a"):
            RateLimiter(wrong)


class TestWaiting:
    def test_a_wait_that_is_too_long_names_who_limits(self) -> None:
        async def main() -> None:
            limiter = RateLimiter(timeout=3)
            await told(limiter, 429, retry_after="60")
            with pytest.raises(ProviderTimeoutError, match=r"server's rate limit left no room within 3 s \(pool_timeout\)"):
                await limiter.ready(now() - 1)
            assert (now(), limiter.waiting) == (2.0, 0)
            own = RateLimiter(1, timeout=3)
            await own.ready(now())
            with pytest.raises(ProviderTimeoutError, match=r"1 requests a minute \(requests_per_minute\)"):
                await own.ready(now())

        run(main)

    def test_whoever_comes_in_the_moment_in_which_it_opens_stands_behind_those_who_waited(self) -> None:
        async def main() -> None:
            limiter = RateLimiter(1)
            order: list[str] = []

            async def come(name: str, after: float) -> None:
                await asyncio.sleep(after)
                await limiter.ready(now())
                order.append(name)

            await asyncio.gather(*[come(name, after) for name, after in (("late", 60.0), ("first", 0.0), ("early", 1.0))])
            assert order == ["first", "early", "late"]

        run(main)

    def test_nobody_is_left_behind_when_the_first_gives_up(self) -> None:
        async def main() -> None:
            limiter = RateLimiter()
            await told(limiter, 429, retry_after="5")
            first, second = asyncio.ensure_future(limiter.ready(now())), asyncio.ensure_future(limiter.ready(now()))
            await asyncio.sleep(1)
            first.cancel()
            assert await second == 2
            assert now() == 5.0

        run(main)

    def test_a_cancel_in_the_moment_of_being_served_passes_the_turn_on(self) -> None:
        async def main() -> None:
            limiter = RateLimiter(1)
            await limiter.ready(now())
            first, second = asyncio.ensure_future(limiter.ready(now())), asyncio.ensure_future(limiter.ready(now()))
            loop = asyncio.get_running_loop()
            await asyncio.sleep(0)
            limiter._admit()  # sets the timer of the line once more, so that ours comes after it
            loop.call_at(60.0, first.cancel)
            await second
            assert (now(), first.cancelled()) == (60.0, True)

        run(main)

    def test_a_turn_that_is_given_back_is_the_next_ones_also_when_a_server_limits_them(self) -> None:
        async def main() -> None:
            limiter = RateLimiter()
            await told(limiter, 200, ratelimit_remaining="0", ratelimit_reset="5")
            first, second = asyncio.ensure_future(limiter.ready(now())), asyncio.ensure_future(limiter.ready(now()))
            await asyncio.sleep(0)
            limiter._admit()
            asyncio.get_running_loop().call_at(5.0, first.cancel)
            await second
            assert (now(), first.cancelled()) == (5.0, True)

        run(main)

    def test_a_turn_that_is_given_back_after_a_refusal_opens_nothing(self) -> None:
        async def main() -> None:
            limiter = RateLimiter()
            before = await limiter.ready(now())
            await told(limiter, 200, ratelimit_remaining="0", ratelimit_reset="5")
            first, second = asyncio.ensure_future(limiter.ready(now())), asyncio.ensure_future(limiter.ready(now()))
            await asyncio.sleep(0)
            limiter._admit()

            def refused_and_cancelled() -> None:
                limiter.heard(before, 429, {"retry-after": "7"})
                first.cancel()

            asyncio.get_running_loop().call_at(5.0, refused_and_cancelled)
            await second
            assert now() == 12.0

        run(main)

    def test_a_turn_that_was_not_used_after_all_is_the_next_ones(self) -> None:
        async def main() -> None:
            limiter = RateLimiter(1, tokens_per_minute=10)
            turn = await limiter.ready(now(), 10)
            second = asyncio.ensure_future(limiter.ready(now(), 10))
            await asyncio.sleep(1)
            limiter.give_back(turn)
            await second
            assert now() == 1.0

        run(main)

    def test_whoever_is_behind_a_large_request_waits_with_it(self) -> None:
        async def main() -> None:
            limiter = RateLimiter(tokens_per_minute=10)
            await limiter.ready(now(), 6)
            large, small = asyncio.ensure_future(limiter.ready(now(), 5)), asyncio.ensure_future(limiter.ready(now(), 4))
            await asyncio.sleep(1)
            assert (limiter.waiting, limiter.opens_in(4), limiter.opens_in(5)) == (2, 0.0, 59.0)
            large.cancel()
            await small
            assert now() == 1.0

        run(main)

    def test_nobody_waiting_is_no_timer(self) -> None:
        async def main() -> None:
            limiter = RateLimiter(timeout=1)
            await told(limiter, 429, retry_after="60")
            with pytest.raises(ProviderTimeoutError):
                await limiter.ready(now())
            assert limiter._timer is None

        run(main)

    def test_the_next_event_loop_begins_without_the_times_of_the_last(self) -> None:
        limiter = RateLimiter(1)

        async def long_ago() -> None:
            await asyncio.sleep(1_000_000)
            await told(limiter, 429, retry_after="60")
            waiting = limiter.ready(now())
            waiting.send(None)
            left_behind.append(waiting)

        async def afterwards() -> list[float]:
            return await starts(limiter, 2, fine)

        left_behind: list[Coroutine[Any, Any, int]] = []
        run(long_ago)
        assert limiter.waiting == 1
        assert run(afterwards) == [0.0, 60.0]
        left_behind[0].close()


ANSWERS = st.sampled_from(
    [
        (200, {}),
        (200, {}),
        (200, {"x-ratelimit-remaining-requests": "2", "x-ratelimit-reset-requests": "3s"}),
        (200, {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "500"}),
        (500, {}),
        (429, {}),
        (429, {"retry-after": "4"}),
        (429, {"retry-after": "4000"}),
        (None, {}),
    ]
)
REQUESTS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 9), ANSWERS, st.none() | st.integers(0, 60)), min_size=1, max_size=14)


@given(REQUESTS, st.none() | st.integers(1, 4), st.integers(0, 3))
def test_whatever_a_server_says_everybody_is_served_in_order_and_in_time(
    requests: list[tuple[int, int, tuple[int | None, Headers], int | None]], own: int | None, late: int
) -> None:
    limiter = RateLimiter(own)
    came: list[int] = []
    started: list[tuple[int, int, float]] = []
    closed: list[tuple[float, float]] = []

    async def ask(number: int, comes: int, takes: int, status: int | None, headers: Headers) -> None:
        await asyncio.sleep(comes)
        came.append(number)
        turn = await limiter.ready(now())
        started.append((turn, number, now()))
        try:
            await asyncio.sleep(takes)
        except asyncio.CancelledError:
            limiter.unheard(turn)
            raise
        if status is None:
            limiter.unheard(turn)
            return
        limiter.heard(turn, status, headers)
        if status == 429:
            closed.append((now(), min(float(headers.get("retry-after", "0")), MAX_RETRY_AFTER)))

    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        tasks = [asyncio.ensure_future(ask(n, comes, takes, *answer)) for n, (comes, takes, answer, _) in enumerate(requests)]
        for task, (_, _, _, cancelled) in zip(tasks, requests, strict=True):
            if cancelled is not None:
                loop.call_at(cancelled, _cancel_after, loop, task, late)
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = run(main)
    for result, (_, _, _, cancelled) in zip(results, requests, strict=True):
        assert result is None or (isinstance(result, asyncio.CancelledError) and cancelled is not None), result
    order, times = [number for _, number, _ in sorted(started)], [time for _, _, time in sorted(started)]
    assert order == [number for number in came if number in order]
    assert limiter.waiting == 0
    assert limiter._timer is None
    if own is not None:
        assert all(later - earlier >= 60 for earlier, later in zip(times, times[own:], strict=False))
    latest = max([comes for comes, *_ in requests])
    longest = MAX_RETRY_AFTER + (60 if own is not None else 0)
    assert all(later - max(earlier, latest) <= longest for earlier, later in zip([0.0, *times], times, strict=False))
    short = [(at, pause) for at, pause in closed if pause < 100]  # a long one may be cut by the cap
    assert not [time for time in times for at, pause in short if at < time < at + pause]


def _cancel_after(loop: asyncio.AbstractEventLoop, task: asyncio.Future[None], turns: int) -> None:
    if turns:
        loop.call_soon(_cancel_after, loop, task, turns - 1)
    else:
        task.cancel()


def test_a_server_with_a_window_is_never_overrun_by_those_who_wait() -> None:
    """A server that admits 20 in any 10 s and tells so, and 300 requests at once: it refuses only those of the first crowd."""

    async def main() -> tuple[int, float]:
        limiter = RateLimiter()
        chance = random.Random(7)
        admitted: list[float] = []
        refused = 0

        async def ask() -> None:
            nonlocal refused
            while True:
                turn = await limiter.ready(now())
                await asyncio.sleep(chance.uniform(0.01, 0.02))
                recent = [time for time in admitted if time > now() - 10]
                if len(recent) >= 20:
                    refused += 1
                    headers = {"retry-after-ms": str((recent[0] + 10 - now()) * 1000)}
                    status = 429
                else:
                    admitted.append(now())
                    status = 200
                    headers = {"ratelimit-remaining": str(19 - len(recent)), "ratelimit-reset": str((recent or [now()])[0] + 10 - now())}
                await asyncio.sleep(chance.uniform(0.01, 0.3))
                limiter.heard(turn, status, headers)
                if status == 200:
                    return

        await asyncio.gather(*[ask() for _ in range(300)])
        return refused, now()

    refused, seconds = run(main)
    assert refused < 280 + 30, "those who waited went as a crowd"
    assert seconds < 1.3 * 150
