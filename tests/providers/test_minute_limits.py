"""MinuteLimits: what fits into any 60 seconds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.providers.minute_limits import MINUTE, MinuteLimits, check_count


def test_a_request_waits_until_the_oldest_of_the_last_minute_is_over() -> None:
    limits = MinuteLimits(requests=2)
    limits.start(1, 0, 0.0)
    assert limits.opens_at(0, 5.0) == 5.0
    limits.start(2, 0, 5.0)
    assert limits.opens_at(0, 6.0) == 60.0
    limits.start(3, 0, 60.0)
    assert limits.opens_at(0, 60.0) == 65.0


def test_tokens_wait_until_enough_of_them_are_over() -> None:
    limits = MinuteLimits(tokens=100)
    for turn, (tokens, at) in enumerate([(30, 0.0), (30, 1.0), (30, 2.0)], 1):
        limits.start(turn, tokens, at)
    assert [limits.opens_at(tokens, 3.0) for tokens in (0, 10, 11, 40, 41, 70, 71)] == [3.0, 3.0, 60.0, 60.0, 61.0, 61.0, 62.0]


def test_a_request_of_more_than_the_limit_has_a_minute_for_itself() -> None:
    limits = MinuteLimits(tokens=100)
    assert limits.opens_at(500, 0.0) == 0.0
    limits.start(1, 500, 0.0)
    assert limits.opens_at(1, 1.0) == 60.0
    assert limits.opens_at(500, 1.0) == 60.0


def test_what_was_guessed_too_much_is_free_again() -> None:
    limits = MinuteLimits(tokens=100)
    limits.start(1, 90, 0.0)
    limits.settle(1, 20, 10.0)
    assert (limits.opens_at(80, 10.0), limits.opens_at(81, 10.0)) == (10.0, 60.0)


def test_what_was_guessed_too_little_counts_from_when_it_is_known() -> None:
    limits = MinuteLimits(tokens=100)
    limits.start(1, 20, 0.0)
    limits.settle(1, 90, 50.0)
    assert (limits.opens_at(10, 50.0), limits.opens_at(30, 50.0), limits.opens_at(31, 50.0)) == (50.0, 60.0, 110.0)


def test_even_when_what_was_guessed_is_over_already() -> None:
    limits = MinuteLimits(tokens=100)
    limits.start(1, 20, 0.0)
    assert limits.opens_at(100, 90.0) == 90.0
    limits.settle(1, 60, 90.0)
    assert (limits.opens_at(60, 90.0), limits.opens_at(61, 90.0)) == (90.0, 150.0)


def test_a_request_is_settled_once() -> None:
    limits = MinuteLimits(tokens=100)
    limits.start(1, 20, 0.0)
    limits.settle(1, 20, 1.0)
    limits.settle(1, 90, 1.0)
    assert limits.opens_at(80, 1.0) == 1.0


def test_one_that_did_not_start_counts_for_nothing() -> None:
    limits = MinuteLimits(requests=1, tokens=100)
    limits.start(1, 100, 0.0)
    limits.take_back(1)
    limits.settle(1, 100, 0.0)
    assert limits.opens_at(100, 0.0) == 0.0


def test_limits_that_are_not_set_are_none() -> None:
    tokens, requests = MinuteLimits(tokens=1), MinuteLimits(requests=1)
    for limits in (tokens, requests):
        limits.start(1, 1, 5.0)
        limits.settle(1, 1, 5.0)
    assert (tokens.opens_at(0, 5.0), requests.opens_at(1000, 66.0)) == (5.0, 66.0)
    for limits in (tokens, requests):
        limits.take_back(1)
        limits.forget_after(0.0)
        assert limits.opens_at(1, 5.0) == 5.0


def test_what_lies_in_the_future_is_forgotten() -> None:
    limits = MinuteLimits(requests=2, tokens=100)
    for turn, at in ((1, 1.0), (2, 1000.0)):
        limits.start(turn, 50, at)
    limits.forget_after(2.0)
    assert (limits.opens_at(50, 2.0), limits.opens_at(51, 2.0)) == (2.0, 61.0)


def test_it_says_which_limit_holds_a_request_up() -> None:
    limits = MinuteLimits(requests=2, tokens=100)
    assert limits.which(1, 0.0) is None
    limits.start(1, 100, 0.0)
    assert limits.which(1, 0.0) == "our own limit of 100 tokens a minute (tokens_per_minute)"
    assert limits.which(0, 0.0) is None
    limits.start(2, 0, 0.0)
    assert limits.which(1, 0.0) == "our own limit of 2 requests a minute (requests_per_minute)"
    assert MinuteLimits(requests=1).which(5, 0.0) is None


@pytest.mark.parametrize(("wrong", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError), ("3", TypeError)])
def test_a_limit_is_a_number_from_one_on(wrong: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="requests_per_minute is"):
        MinuteLimits(requests=wrong)
    with pytest.raises(error, match="tokens_per_minute is"):
        MinuteLimits(tokens=wrong)
    with pytest.raises(error, match="max_things is"):
        check_count("max_things", wrong)
    assert check_count("max_things", 3) == 3


@given(
    st.integers(1, 4),
    st.integers(1, 50),
    st.lists(
        st.tuples(st.floats(0, 40), st.integers(0, 60), st.none() | st.tuples(st.floats(0, 90), st.integers(0, 60)), st.booleans()), max_size=20
    ),
)
def test_within_no_minute_there_is_more_than_the_limits(
    most: int, limit: int, requests: list[tuple[float, int, tuple[float, int] | None, bool]]
) -> None:
    limits = MinuteLimits(most, limit)
    now = 0.0
    started: list[tuple[float, int]] = []
    for turn, (after, wanted, real, is_taken_back) in enumerate(requests, 1):
        tokens = min(wanted, limit)
        now = limits.opens_at(tokens, now + after)
        assert limits.opens_at(tokens, now) == now
        limits.start(turn, tokens, now)
        if is_taken_back:
            limits.take_back(turn)
            continue
        started.append((now, min(tokens, real[1]) if real is not None else tokens))
        if real is not None:
            now += real[0]
            limits.settle(turn, started[-1][1], now)
    assert all(last >= first + MINUTE for (first, _), (last, _) in zip(started, started[most:], strict=False))
    for index, (since, _) in enumerate(started):
        assert sum([tokens for at, tokens in started[index:] if at < since + MINUTE]) <= limit
