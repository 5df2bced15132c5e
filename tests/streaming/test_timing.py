"""How a stream arrived: figures within a few percent, in memory that does not grow with the stream."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_agent.streaming.timing import _COUNT_AT, Stopwatch
from ecs_agent.types import Timing, Usage


def watched(gaps: list[float]) -> Timing:
    """The timing of a stream whose first delta comes at 1.0 and the others after these gaps."""
    watch, now = Stopwatch(0.0), 1.0
    watch.note(now, 1)
    for gap in gaps:
        now += gap
        watch.note(now, 1)
    return watch.timing(None)


def test_before_the_first_delta_nothing_is_known() -> None:
    assert Stopwatch(5.0).timing(None) == Stopwatch(5.0).timing(Usage(1, 1, 2)) == Timing()


def test_one_arrival_has_a_time_and_no_gaps() -> None:
    watch = Stopwatch(5.0)
    watch.note(5.5, 3)
    assert watch.timing(None) == Timing(time_to_first_delta=0.5, duration=0.5, deltas=3)


def test_deltas_of_one_read_count_each_and_have_no_gap_between_them() -> None:
    watch = Stopwatch(10.0)
    for now, deltas in ((11.0, 4), (13.0, 5), (15.0, 1)):
        watch.note(now, deltas)
    timing = watch.timing(None)
    assert (timing.time_to_first_delta, timing.duration, timing.deltas, timing.gap_max) == (1.0, 5.0, 10, 2.0)
    assert timing.gap_p50 == timing.gap_p99 == pytest.approx(2.0, rel=0.041)


def test_speed_is_by_the_providers_tokens_when_known_else_by_deltas() -> None:
    watch = Stopwatch(0.0)
    watch.note(1.0, 5)
    watch.note(3.0, 5)
    assert watch.timing(None).tokens_per_second == 5.0
    assert watch.timing(Usage(7, 100, 107)).tokens_per_second == 50.0


def test_an_answer_of_half_a_second_has_a_speed_too() -> None:
    watch = Stopwatch(0.0)
    watch.note(1.0, 5)
    watch.note(1.5, 5)
    assert watch.timing(None).tokens_per_second == 20.0


def test_gaps_of_no_time_are_told_as_ten_microseconds() -> None:
    timing = watched([0.0] * 9 + [1.0])
    assert timing.gap_p50 == pytest.approx(1e-5, rel=0.041)
    assert timing.gap_p99 == pytest.approx(1.0, rel=0.041)


def test_gaps_of_no_time_are_counted_each() -> None:
    assert watched([0.0, 1.0, 1.0]).gap_p50 == pytest.approx(1.0, rel=0.041)
    assert watched([0.0] * 3 * _COUNT_AT + [1.0] * _COUNT_AT + [0.0]).gap_p50 == pytest.approx(1e-5, rel=0.041)


def test_arrivals_at_the_same_time_have_no_speed_and_no_gap_to_speak_of() -> None:
    timing = watched([0.0, 0.0])
    assert (timing.tokens_per_second, timing.gap_p50, timing.gap_p99, timing.gap_max) == (None, 0.0, 0.0, 0.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(1e-5, 1e4), min_size=1, max_size=60))
def test_percentiles_are_right_within_a_few_percent(gaps: list[float]) -> None:
    timing = watched(gaps)
    ordered = sorted(gaps)
    for share, told in ((0.50, timing.gap_p50), (0.99, timing.gap_p99)):
        assert told == pytest.approx(ordered[math.ceil(share * len(ordered)) - 1], rel=0.045)
    assert timing.gap_max == pytest.approx(ordered[-1])


def test_no_percentile_is_larger_than_the_largest_gap() -> None:
    for step in range(200):
        timing = watched([0.001 * 1.003**step])
        assert timing.gap_p50 is not None
        assert timing.gap_p99 is not None
        assert timing.gap_max is not None
        assert timing.gap_p50 <= timing.gap_max >= timing.gap_p99


def test_one_stall_among_many_gaps_shows_in_the_largest_alone() -> None:
    timing = watched([0.02] * 1000 + [30.0])
    assert timing.gap_p50 == timing.gap_p99 == pytest.approx(0.02, rel=0.045)
    assert timing.gap_max == pytest.approx(30.0)


def test_the_figures_are_the_same_however_often_they_are_asked_for() -> None:
    asked, left_alone, now = Stopwatch(0.0), Stopwatch(0.0), 0.0
    for number in range(3 * _COUNT_AT):
        now += 0.001 * (number % 7)
        asked.note(now, 2)
        asked.timing(None)
        left_alone.note(now, 2)
        assert len(left_alone._arrivals) < _COUNT_AT
    assert asked.timing(None) == left_alone.timing(None)
    assert asked.timing(None).deltas == 6 * _COUNT_AT


def test_memory_does_not_grow_with_the_stream() -> None:
    watch, now = Stopwatch(0.0), 0.0
    for number in range(50_000):
        now += 10.0 ** (number % 997 / 100 - 7)  # from a tenth of a microsecond to sixteen minutes
        watch.note(now, 1)
    assert len(watch._gaps) < 300
    assert watch.timing(None).deltas == 50_000
