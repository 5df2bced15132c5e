"""How a stream arrived, in bounded memory: gaps are counted in buckets that grow by a twelfth, so a percentile is right within 4 %."""

from __future__ import annotations

import math

from ecs_agent.types import Timing, Usage

_SMALLEST = 1e-5
"""Shorter gaps, in seconds, are those of one burst and counted as one."""
_STEP = math.log(1.08)
_COUNT_AT = 128


class Stopwatch:
    """Notes when deltas arrive; one call per read, not per delta. The arrivals are counted some hundred at a time.

    Args:
        started: when the request was sent, in seconds.
    """

    __slots__ = ("_arrivals", "_deltas", "_first", "_gaps", "_last", "_max", "_started")

    def __init__(self, started: float) -> None:
        self._started = started
        self._first: float | None = None
        self._last = started
        self._deltas = 0
        self._arrivals: list[float] = []
        self._gaps: dict[int, int] = {}
        self._max = 0.0

    def note(self, now: float, deltas: int) -> None:
        """So many deltas arrived now."""
        self._deltas += deltas
        self._arrivals.append(now)
        if len(self._arrivals) >= _COUNT_AT:
            self._count()

    def _count(self) -> None:
        arrivals = self._arrivals
        if not arrivals:
            return
        if self._first is None:
            self._first = self._last = arrivals[0]
            del arrivals[0]
        last, burst = self._last, 0
        for now in arrivals:
            gap = now - last
            last = now
            if gap > self._max:  # noqa: PLR1730 - for each arrival: a call would cost more than the comparison
                self._max = gap
            if gap <= _SMALLEST:
                burst += 1
            else:
                bucket = int(math.log(gap / _SMALLEST) / _STEP)
                self._gaps[bucket] = self._gaps.get(bucket, 0) + 1
        if burst:
            self._gaps[0] = self._gaps.get(0, 0) + burst
        self._last = last
        arrivals.clear()

    def timing(self, usage: Usage | None) -> Timing:
        """The figures so far."""
        self._count()
        if self._first is None:
            return Timing()
        spread = self._last - self._first
        tokens = usage.completion_tokens if usage is not None else self._deltas
        return Timing(
            time_to_first_delta=self._first - self._started,
            duration=self._last - self._started,
            deltas=self._deltas,
            gap_p50=self._percentile(0.50),
            gap_p99=self._percentile(0.99),
            gap_max=self._max if self._gaps else None,
            tokens_per_second=tokens / spread if spread > 0 else None,
        )

    def _percentile(self, share: float) -> float | None:
        if not self._gaps:
            return None
        left = share * sum(self._gaps.values())
        for bucket in sorted(self._gaps):
            left -= self._gaps[bucket]
            if left <= 0:
                return min(_SMALLEST * math.exp((bucket + 0.5) * _STEP), self._max)
        return None
