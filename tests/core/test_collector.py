"""The garbage collector during a run: calm, and afterwards as it was."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from ecs_agent.core import tuned_gc
from ecs_agent.core.collector import YOUNG


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Pythons differ in what they begin with; here it is 700, and nothing is set aside."""
    before, enabled = gc.get_threshold(), gc.isenabled()
    gc.set_threshold(700, 10, 10)
    gc.unfreeze()
    yield
    gc.collect()
    gc.freeze()  # as it was
    gc.set_threshold(*before)
    if enabled:
        gc.enable()


def test_what_was_there_is_set_aside_and_young_objects_are_looked_at_less_often() -> None:
    with tuned_gc():
        assert gc.get_threshold()[0] == YOUNG
        assert gc.get_freeze_count() > 0
    assert gc.get_threshold() == (700, 10, 10)
    assert gc.get_freeze_count() == 0


def test_also_when_it_ends_by_an_error() -> None:
    with pytest.raises(ValueError, match="bad"), tuned_gc():
        raise ValueError("bad")
    assert (gc.get_threshold(), gc.get_freeze_count()) == ((700, 10, 10), 0)


def test_what_somebody_else_has_set_stays_so() -> None:
    gc.set_threshold(5, 6, 7)
    with tuned_gc():
        assert gc.get_threshold() == (5, 6, 7)
    assert gc.get_threshold() == (5, 6, 7)


def test_what_somebody_else_has_set_aside_stays_so() -> None:
    gc.freeze()
    with tuned_gc():
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() > 0


def test_a_collector_that_is_switched_off_stays_so() -> None:
    gc.disable()
    with tuned_gc():
        assert not gc.isenabled()
    assert not gc.isenabled()
