"""StreamPolicy as data: what it may say."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_agent.components import StreamPolicy
from ecs_agent.providers import FakeProvider


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"on_drop": "again"}, ValueError),
        ({"on_restore": "retry"}, ValueError),
        ({"max_attempts": 0}, ValueError),
        ({"backoff": -1.0}, ValueError),
        ({"backoff": float("inf")}, ValueError),
        ({"backoff": float("nan")}, ValueError),
        ({"first_delta_timeout": 0.0}, ValueError),
        ({"gap_timeout": -1.0}, ValueError),
        ({"total_timeout": float("nan")}, ValueError),
        ({"fallbacks": ("a name",)}, TypeError),
    ],
)
def test_what_it_cannot_say_is_refused_with_the_name_of_the_field(wrong: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(wrong)).removesuffix("s")):
        StreamPolicy(**wrong)


def test_fallbacks_may_be_given_as_a_list() -> None:
    provider = FakeProvider([])
    assert StreamPolicy(fallbacks=[provider]).fallbacks == (provider,)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["first_delta_timeout", "gap_timeout", "total_timeout"])
def test_it_has_limits_when_one_is_set(name: str) -> None:
    assert not StreamPolicy().has_limits
    assert StreamPolicy(**{name: 1.0}).has_limits  # type: ignore[arg-type]
