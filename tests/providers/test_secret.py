"""Secret: only the one place that sends a key can see it."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from ecs_agent.errors import ConfigurationError
from ecs_agent.providers import Secret

KEY = "sk-canary-123"


def test_it_prints_as_stars() -> None:
    secret = Secret(KEY + "\n")
    assert secret.reveal() == KEY
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret:>20}", f"{[secret]}"):
        assert KEY not in shown


def test_it_is_never_serialized() -> None:
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="never serialized"):
            attempt(Secret(KEY))
    with pytest.raises(TypeError):
        json.dumps(Secret(KEY))


@pytest.mark.parametrize("wrong", ["", "  \n", "two words", "sk-ключ", "a\x00b"])
def test_what_cannot_be_a_key_is_refused_without_showing_it(wrong: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Secret(wrong)
    if wrong.strip():
        assert wrong not in str(caught.value)
