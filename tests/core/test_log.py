"""The log: positions without gaps, and a memory that is bounded and says so."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.core import Burst, Envelope, EventKind, Log, MemoryLog, World
from ecs_agent.errors import LogTruncatedError
from ecs_agent.types import EntityId


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


@dataclass(frozen=True)
class Piece:
    entity_id: EntityId
    text: str


def burst(log: Log, texts: str) -> Burst:
    return Burst(log.epoch, log.next_pos, EntityId(7), log.next_pos + 1, 1, 2, 3, EntityId(6), EventKind.INPUT, "Piece", 1, 99, texts, Piece)


class TestBursts:
    def test_each_fact_of_a_burst_has_a_place_of_its_own(self) -> None:
        log = filled(1)
        log.extend(burst(log, "ab"))
        log.append(fact(log))
        assert log.next_pos == 4
        assert list(log.read(1))[:2] == [
            Envelope(0, 1, EntityId(7), 2, 1, 2, 3, EntityId(6), EventKind.INPUT, "Piece", 1, 99, Piece(EntityId(7), "a")),
            Envelope(0, 2, EntityId(7), 3, 1, 2, 3, EntityId(6), EventKind.INPUT, "Piece", 1, 99, Piece(EntityId(7), "b")),
        ]

    def test_a_burst_goes_as_a_whole_once_a_full_log_stands_after_it(self) -> None:
        log = MemoryLog(limit=4)
        log.extend(burst(log, "abc"))
        for expected in (0, 0, 0, 3, 4):
            log.append(fact(log))
            assert log.first_pos == expected
        log.extend(burst(log, "abcdefgh"))
        assert (log.first_pos, log.next_pos) == (8, 16)

    def test_what_is_read_is_what_was_there_also_when_it_is_dropped_meanwhile(self) -> None:
        log = MemoryLog(limit=2)
        log.extend(burst(log, "abc"))
        reading = log.read(1)
        for _ in range(5):
            log.append(fact(log))
        assert [envelope.payload.text for envelope in reading] == ["b", "c"]

    @given(st.lists(st.integers(0, 5), max_size=40), st.integers(1, 20))
    def test_it_is_as_if_they_had_come_one_by_one(self, sizes: list[int], limit: int) -> None:
        log, expected = MemoryLog(limit), []
        for size in sizes:
            texts = "abcde"[:size] or "z"
            expected += [(log.next_pos + index, text) for index, text in enumerate(texts)]
            if size:
                log.extend(burst(log, texts))
            else:
                log.append(fact(log, Piece(EntityId(7), texts)))
        assert log.next_pos == len(expected)
        assert log.first_pos <= max(0, len(expected) - limit) < log.first_pos + 5
        for start in range(log.first_pos, log.next_pos + 2):
            assert [(envelope.pos, envelope.payload.text) for envelope in log.read(start)] == expected[start:]
        if log.first_pos:
            with pytest.raises(LogTruncatedError):
                log.read(log.first_pos - 1)

    def test_starting_in_the_middle_looks_at_few(self) -> None:
        looked = 0

        class Counted(Burst, frozen=True):
            def facts(self, start: int = 0) -> Iterator[Envelope]:
                nonlocal looked
                looked += 1
                return super().facts(start)

        log = MemoryLog()
        for _ in range(1000):
            made = burst(log, "abc")
            log.extend(Counted(*[getattr(made, name) for name in made.__struct_fields__]))
        assert len(list(log.read(2990))) == 10
        assert looked == 4


def test_a_world_that_its_own_components_know_is_collected() -> None:
    @dataclass
    class Knows:
        world: World

    world = World()
    world.add_component(world.create_entity(), Knows(world))
    gone = weakref.ref(world)
    del world
    gc.collect()
    assert gone() is None


def test_a_log_holds_at_least_one_fact() -> None:
    with pytest.raises(ValueError, match="limit is 0"):
        MemoryLog(0)


def test_an_envelope_is_frozen() -> None:
    with pytest.raises(AttributeError):
        fact(MemoryLog()).pos = 3  # type: ignore[misc]
