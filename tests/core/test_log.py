"""The log: positions without gaps, and a memory that is bounded and says so."""

from __future__ import annotations

import pytest

from ecs_agent.core import Envelope, EventKind, Log, MemoryLog
from ecs_agent.errors import LogTruncatedError


def fact(log: Log, payload: object = "it happened") -> Envelope:
    return Envelope(log.epoch, log.next_pos, None, 0, 0, 0, 0, None, EventKind.DERIVED, type(payload).__name__, 1, 0, payload)


def filled(count: int, limit: int = 10) -> MemoryLog:
    log = MemoryLog(limit)
    for number in range(count):
        log.append(fact(log, number))
    return log


def test_positions_count_up_from_zero_without_gaps() -> None:
    assert [envelope.pos for envelope in filled(5).read()] == [0, 1, 2, 3, 4]


def test_reading_starts_at_the_position_that_was_asked_for() -> None:
    log = filled(5)
    assert [envelope.payload for envelope in log.read(3)] == [3, 4]
    assert list(log.read(5)) == []
    assert list(log.read(99)) == []


def test_what_is_read_is_what_was_there_when_reading_began() -> None:
    log = filled(2)
    reading = log.read()
    log.append(fact(log))
    assert len(list(reading)) == 2


def test_only_the_newest_facts_are_kept_and_positions_go_on() -> None:
    log = filled(25, limit=10)
    assert (log.first_pos, log.next_pos) == (15, 25)
    assert [envelope.pos for envelope in log.read(15)] == list(range(15, 25))


def test_a_dropped_position_is_an_error_and_never_a_gap() -> None:
    log = filled(25, limit=10)
    with pytest.raises(LogTruncatedError, match="begins at position 15, 14 was dropped"):
        log.read(14)


def test_a_log_holds_at_least_one_fact() -> None:
    with pytest.raises(ValueError, match="limit is 0"):
        MemoryLog(0)


def test_an_envelope_is_frozen() -> None:
    with pytest.raises(AttributeError):
        fact(MemoryLog()).pos = 3  # type: ignore[misc]
