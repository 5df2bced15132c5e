"""Rate limits in headers: four dialects, and whatever else a server may send, which harms nobody."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.providers.classify import MAX_RETRY_AFTER
from ecs_agent.providers.rate_limit import MOST_QUOTAS, Quota, RateLimit, read_rate_limit

NOW = 1_760_832_000.0  # 2025-10-19T00:00:00Z
DATE = "Sun, 19 Oct 2025 00:00:00 GMT"


def read(**headers: str) -> RateLimit | None:
    return read_rate_limit({name.replace("_", "-"): value for name, value in headers.items()}, NOW)


def quotas(headers: dict[str, str], now: float | None = NOW) -> dict[str, tuple[Any, ...]]:
    found = read_rate_limit(headers, now)
    assert found is not None
    return {quota.name: (quota.unit, quota.limit, quota.remaining, quota.reset) for quota in found.quotas}


class TestOpenAI:
    def test_requests_and_tokens(self) -> None:
        headers = {
            "x-ratelimit-limit-requests": "60",
            "x-ratelimit-limit-tokens": "150000",
            "x-ratelimit-remaining-requests": "59",
            "x-ratelimit-remaining-tokens": "149984",
            "x-ratelimit-reset-requests": "1s",
            "x-ratelimit-reset-tokens": "1m0s",
        }
        assert quotas(headers) == {"requests": ("requests", 60, 59, 1.0), "tokens": ("tokens", 150_000, 149_984, 60.0)}

    @pytest.mark.parametrize(
        ("reset", "seconds"),
        [
            ("1s", 1.0),
            ("20ms", 0.02),
            ("1m0s", 60.0),
            ("1m23.5s", 83.5),
            ("33.023s", 33.023),
            ("0s", 0.0),
            ("500µs", 0.0005),
            ("7ns", 7e-9),
            ("6m0s", MAX_RETRY_AFTER),  # all of these are longer than anybody waits
            ("1h2m3.5s", MAX_RETRY_AFTER),
            ("23h59m45s", MAX_RETRY_AFTER),
            ("1d", MAX_RETRY_AFTER),
            ("55", 55.0),  # seconds, as Azure says it
            ("0.25", 0.25),
            ("1760832030", 30.0),  # a moment
            ("1760832030000", 30.0),
            ("1760831000", 0.0),  # one that is over
        ],
    )
    def test_a_reset(self, reset: str, seconds: float) -> None:
        found = quotas({"x-ratelimit-reset-requests": reset})
        assert found["requests"][3] == pytest.approx(seconds)

    def test_a_quota_for_a_day_and_one_of_a_project_are_quotas_of_their_own(self) -> None:
        headers = {
            "x-ratelimit-remaining-requests-day": "0",
            "x-ratelimit-reset-requests-day": "33011.4",
            "x-ratelimit-remaining-project-tokens": "0",
        }
        assert quotas(headers) == {
            "requests-day": ("requests", None, 0, MAX_RETRY_AFTER),
            "project-tokens": ("tokens", None, 0, None),
        }

    def test_minus_one_means_that_nothing_is_told(self) -> None:
        assert quotas({"x-ratelimit-limit-tokens": "-1", "x-ratelimit-remaining-tokens": "-1", "x-ratelimit-reset-tokens": "0"}) == {
            "tokens": ("tokens", None, None, 0.0)
        }


ANTHROPIC = {
    "anthropic-ratelimit-requests-limit": "50",
    "anthropic-ratelimit-requests-remaining": "0",
    "anthropic-ratelimit-requests-reset": "2025-10-19T00:00:30Z",
    "anthropic-ratelimit-input-tokens-limit": "40000",
    "anthropic-ratelimit-input-tokens-remaining": "39000",
    "anthropic-ratelimit-input-tokens-reset": "2025-10-18T19:00:12.5-05:00",
    "anthropic-ratelimit-unified-status": "allowed",
}


class TestAnthropic:
    def test_resets_are_moments(self) -> None:
        assert quotas(ANTHROPIC) == {
            "requests": ("requests", 50, 0, 30.0),
            "input-tokens": ("tokens", 40_000, 39_000, 12.5),
        }

    def test_the_clock_of_the_server_counts_where_it_tells_it(self) -> None:
        assert quotas({**ANTHROPIC, "date": DATE}, NOW + 7000)["requests"][3] == 30.0

    def test_without_any_clock_a_moment_is_no_time(self) -> None:
        assert quotas(ANTHROPIC, None)["requests"] == ("requests", 50, 0, None)

    def test_a_broken_date_leaves_our_own_clock(self) -> None:
        assert quotas({**ANTHROPIC, "date": "yesterday"})["requests"][3] == 30.0

    def test_a_moment_without_a_zone_is_one_in_utc(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        try:
            assert quotas({"anthropic-ratelimit-requests-reset": "2025-10-19T00:00:30"})["requests"][3] == 30.0
        finally:
            monkeypatch.undo()
            time.tzset()


class TestTheDraft:
    def test_a_name_tells_the_unit_where_no_policy_does(self) -> None:
        assert quotas({"ratelimit": '"tokens";r=5;t=1, "default";r=7;t=2'}) == {
            "tokens": ("tokens", None, 5, 1.0),
            "default": ("requests", None, 7, 2.0),
        }

    def test_what_stands_far_behind_is_not_read(self) -> None:
        assert read_rate_limit({"ratelimit": "x" * 2000 + ', "a";r=0'}) is None

    def test_two_fields(self) -> None:
        headers = {"ratelimit": '"burst";r=8;t=1, "daily";r=0;t=69', "ratelimit-policy": '"burst";q=10;w=10, "daily";q=5000;w=86400'}
        assert quotas(headers) == {"burst": ("requests", 10, 8, 1.0), "daily": ("requests", 5000, 0, 69.0)}

    def test_the_window_is_the_longest_time_where_none_is_told(self) -> None:
        assert quotas({"ratelimit": '"default";r=0', "ratelimit-policy": '"default";q=10;w=60'})["default"][3] == 60.0

    def test_names_may_hold_what_separates(self) -> None:
        headers = {"ratelimit": '"a, b;c=1";r=3;t=4', "ratelimit-policy": '"fixed window";"a, b;c=1";q=9;w=300;pk=":user:"'}
        assert quotas(headers) == {"a, b;c=1": ("requests", 9, 3, 4.0)}

    def test_units_that_we_do_not_send_are_left_out(self) -> None:
        headers = {
            "ratelimit": '"size";r=0;t=9, "many";r=0;t=9, "words";r=0;t=5',
            "ratelimit-policy": '"size";q=9;qu="content-bytes", "many";q=9;qu="concurrent-requests", "words";q=1;qu="tokens"',
        }
        assert quotas(headers) == {"words": ("tokens", 1, 0, 5.0)}

    def test_the_older_forms(self) -> None:
        told = {"requests": ("requests", 100, 50, 5.0)}
        assert quotas({"ratelimit": "limit=100, remaining=50, reset=5"}) == told
        assert quotas({"ratelimit-limit": "100, 100;w=60", "ratelimit-remaining": "50", "ratelimit-reset": "5"}) == told
        assert quotas({"x-ratelimit-limit": "100", "x-ratelimit-remaining": "50", "x-ratelimit-reset": "5"}) == told


class TestRetryAfter:
    def test_seconds_and_milliseconds(self) -> None:
        assert read(retry_after="7") == RateLimit((), 7.0)
        assert read(retry_after_ms="250", retry_after="7") == RateLimit((), 0.25)

    def test_it_is_never_longer_than_anybody_waits(self) -> None:
        assert read(retry_after="86400") == RateLimit((), MAX_RETRY_AFTER)

    def test_what_is_no_time_is_nothing(self) -> None:
        for value in ("nan", "inf", "-3", "soon", "", "9" * 400):
            assert read(retry_after=value) is None


class TestWhatItMeans:
    def of(self, *told: Quota, retry_after: float | None = None) -> tuple[int | None, float | None, float | None]:
        limit = RateLimit(told, retry_after)
        return limit.room, limit.reset, limit.pause

    def test_the_least_room_counts(self) -> None:
        assert self.of(Quota("a", "requests", remaining=5, reset=9.0), Quota("b", "requests", remaining=3, reset=2.0)) == (3, 2.0, 2.0)

    def test_tokens_count_only_when_none_is_left(self) -> None:
        requests = Quota("r", "requests", remaining=5, reset=9.0)
        assert self.of(requests, Quota("t", "tokens", remaining=1, reset=2.0)) == (5, 9.0, 2.0)
        assert self.of(requests, Quota("t", "tokens", remaining=0, reset=2.0)) == (0, 2.0, 2.0)

    def test_the_last_quota_that_is_renewed_decides(self) -> None:
        assert self.of(Quota("a", "requests", remaining=0, reset=2.0), Quota("b", "tokens", remaining=0, reset=30.0)) == (0, 30.0, 30.0)

    def test_what_the_server_asks_for_comes_first(self) -> None:
        assert self.of(Quota("a", "requests", remaining=0, reset=60.0), retry_after=1.0)[2] == 1.0

    def test_nothing_told_is_nothing_known(self) -> None:
        assert self.of(Quota("a", "requests", limit=5)) == (None, None, None)
        assert self.of(Quota("a", "tokens", reset=5.0)) == (None, None, 5.0)


def test_other_headers_say_nothing() -> None:
    assert read_rate_limit({"content-type": "text/event-stream", "date": DATE, "x-envoy-ratelimited": "true"}, NOW) is None
    assert read_rate_limit({}, None) is None
    assert read(x_ratelimit_limit_requests="many", x_ratelimit_remaining_requests="few", x_ratelimit_reset_requests="soon") is None


NAMES = st.sampled_from(
    ["retry-after", "retry-after-ms", "date", "ratelimit", "ratelimit-policy", "ratelimit-reset", "ratelimit-remaining", "x-ratelimit-reset",
     "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests", "x-ratelimit-reset-tokens",
     "x-ratelimit-remaining-tokens", "anthropic-ratelimit-requests-reset", "anthropic-ratelimit-tokens-remaining", "x-ratelimit-", "ratelimit-limit-"]
)  # fmt: skip
VALUES = st.one_of(
    st.binary(max_size=40).map(lambda data: data.decode("latin-1")),
    st.text('0123456789.,;=-+ehmsnµTZ:"rtqw \\', max_size=60),
    st.sampled_from(["nan", "-1", "1e308", "9" * 5000, "-0", "0, 5", "9" * 300 + "h", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59",
                     "Mon, 99 Foo 20251 25:61:61 GMT", '"', '"a";r=' + "9" * 900, ";" * 2000, '"a";r=1,' * 500, "1" * 60 + "s", "١٢"]),
)  # fmt: skip


@given(st.dictionaries(NAMES, VALUES, max_size=8), st.none() | st.floats(0, 4e9))
def test_nothing_that_a_server_sends_raises_or_makes_anybody_wait_too_long(headers: dict[str, str], now: float | None) -> None:
    found = read_rate_limit(headers, now)
    if found is None:
        return
    assert found.quotas or found.retry_after is not None
    assert len(found.quotas) <= MOST_QUOTAS
    times = [found.retry_after, found.reset, found.pause, *[quota.reset for quota in found.quotas]]
    assert all(0 <= seconds <= MAX_RETRY_AFTER for seconds in times if seconds is not None)
    assert all(number >= 0 for quota in found.quotas for number in (quota.limit, quota.remaining) if number is not None)


def test_a_server_with_many_quotas_is_heard_to_a_limit() -> None:
    found = read_rate_limit({f"x-ratelimit-remaining-requests-{number}": "1" for number in range(500)})
    assert found is not None
    assert len(found.quotas) == MOST_QUOTAS
