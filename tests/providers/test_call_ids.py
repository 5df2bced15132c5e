"""Ids of tool calls on their way to a server that might refuse them."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.providers.wire.call_ids import sendable_id


def test_an_id_that_is_taken_stays_as_it_is() -> None:
    assert sendable_id("call_1-A", 64) == "call_1-A"
    assert sendable_id("a" * 64, 64) == "a" * 64


def test_any_character_may_stay_where_it_may_stand() -> None:
    assert sendable_id("call:1/x", 40, any_character=True) == "call:1/x"


@given(st.text(), st.text(), st.integers(20, 64))
def test_what_is_made_is_short_and_plain_the_same_for_the_same_and_another_for_another(one: str, other: str, longest: int) -> None:
    made = sendable_id(one, longest)
    assert len(made) <= longest
    assert not one or re.fullmatch("[A-Za-z0-9_-]+", made)
    assert made == sendable_id(one, longest)
    assert (made == sendable_id(other, longest)) == (one == other)
