"""The benchmarks run and deliver what they measure; they assert nothing about speed, and neither does this."""

from __future__ import annotations

import asyncio

from benchmarks.importing import importing
from benchmarks.kernel import _deltas, _turns, queries
from benchmarks.rows import Row
from benchmarks.streams import many_streams, one_stream


def test_streams_are_delivered_to_every_contestant() -> None:
    assert [row.unit for row in one_stream(deltas=100, rounds=1)] == ["µs CPU/delta"] * 3
    assert all("100% delivered" in row.name for row in many_streams(streams=3, deltas=5, interval=0.001))


def test_agents_are_measured_over_the_provider_alone() -> None:
    assert asyncio.run(_turns(3))[1] > 0
    assert isinstance(asyncio.run(_deltas(2, 10, watched=True)), float)


def test_queries_and_the_import_are_measured() -> None:
    assert len(queries(entities=100)) == 4
    assert len(importing(rounds=1)) == 1


def test_a_row_reads_as_one_line() -> None:
    assert "2.00 x floor" in str(Row("something", 4.0, "µs", 2.0))
    assert "floor" not in str(Row("something", 4.0, "µs"))
