"""Ids of tool calls on their way to a server that might refuse them."""

from __future__ import annotations

import re
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.providers.wire.call_ids import missing_id, sendable_id
from ecs_agent.types import Message, ToolCall


def test_a_missing_id_is_made_of_a_number_above_those_of_the_turns_and_of_the_ids_that_were_made_before() -> None:
    said = [Message("user", "go"), Message("assistant", "a"), Message("tool", "b", tool_call_id="x"), Message("assistant", "c"), Message("user", "d")]
    assert missing_id([], 2) == "call_1_2"
    assert missing_id(said, 0) == "call_3_0"
    assert missing_id([*said, Message("assistant", tool_calls=[ToolCall("call_7_1", "f"), ToolCall("call_8_x", "f")])], 0) == "call_8_0"


def test_an_id_that_is_taken_stays_as_it_is() -> None:
    assert sendable_id("call_1-A", 64) == "call_1-A"
    assert sendable_id("a" * 64, 64) == "a" * 64


def test_what_is_made_of_another_is_as_much_of_it_as_may_be_and_a_digest_of_all() -> None:
    long, strange = "a" * 65, "é\ud800"
    assert sendable_id(long, 64) == "a" * 55 + "_" + sha256(long.encode()).hexdigest()[:8]
    assert sendable_id(strange, 64) == "___" + sha256(strange.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def test_any_character_may_stay_where_it_may_stand() -> None:
    assert sendable_id("call:1/x", 40, any_character=True) == "call:1/x"


@given(st.text(), st.text(), st.integers(20, 64))
def test_what_is_made_is_short_and_plain_the_same_for_the_same_and_another_for_another(one: str, other: str, longest: int) -> None:
    made = sendable_id(one, longest)
    assert len(made) <= longest
    assert not one or re.fullmatch("[A-Za-z0-9_-]+", made)
    assert made == sendable_id(one, longest)
    assert (made == sendable_id(other, longest)) == (one == other)
