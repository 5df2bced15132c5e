"""The tool calls of one answer: their ids at the end are distinct, whatever a server wrote."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.providers.wire.call_log import CallLog


def ids_of(*given_ids: str) -> list[str]:
    log = CallLog("call_{}".format)
    for call_id in given_ids:
        log.begin(call_id, "f", "{}")
    return [call.id for call in log.final("tool_calls") or ()]


@pytest.mark.parametrize(
    ("given_ids", "made"),
    [(("a", "b"), ["a", "b"]), (("a", "a"), ["a", "a_1"]), (("a_2", "a", "a"), ["a_2", "a", "a_3"]), (("a", "a", "a_1"), ["a", "a_1", "a_1_2"])],
)
def test_an_id_that_is_taken_gets_a_number_that_is_not(given_ids: tuple[str, ...], made: list[str]) -> None:
    assert ids_of(*given_ids) == made


@given(st.lists(st.sampled_from(["a", "a_1", "a_2", "a_3", "", "call_1"]), max_size=8))
def test_they_are_distinct(given_ids: list[str]) -> None:
    made = ids_of(*given_ids)
    assert len(set(made)) == len(given_ids)
