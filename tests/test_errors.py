"""The exception tree: complete, as drawn in its module, one leaf for each way in which asking a model fails."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator

import pytest

from ecs_agent import errors
from ecs_agent.errors import (
    EcsAgentError,
    EntityNotFoundError,
    ErrorKind,
    LogTruncatedError,
    ProviderConnectionError,
    ProviderError,
    ProviderExhaustedError,
    ProviderTimeoutError,
    QuotaError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
    SystemDefinitionError,
    ToolDefinitionError,
    ToolTimeoutError,
    UnsupportedFeatureError,
)
from ecs_agent.types import CompletionResult, Message

ALL = [found for found in vars(errors).values() if isinstance(found, type) and issubclass(found, EcsAgentError)]
LEAVES = [found for found in ALL if issubclass(found, ProviderError) and found is not ProviderError]


def drawn() -> Iterator[tuple[int, str, str]]:
    """The lines of the drawing: depth, name, and what stands beside it."""
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"^    ((?:[│├└─ ]{4})*)([A-Z]\w+)\b(.*)$", line):
            yield len(found[1]) // 4, found[2], found[3]


def test_the_drawing_is_the_tree() -> None:
    parents: list[str] = []
    pictured: dict[str, str | None] = {}
    for depth, name, _ in drawn():
        del parents[depth:]
        pictured[name] = parents[-1] if parents else None
        parents.append(name)
    real = {error.__name__: error.__bases__[0].__name__ if error is not EcsAgentError else None for error in ALL}
    assert pictured == real


def test_the_drawing_tells_what_else_an_error_is() -> None:
    for _, name, text in drawn():
        error = getattr(errors, name)
        other = [base.__name__ for base in error.__bases__[1:]]
        assert re.findall(r"also an? (\w+)", text) == other, name


def test_each_kind_has_exactly_one_leaf() -> None:
    assert sorted(leaf.kind for leaf in LEAVES) == sorted(ErrorKind)
    for _, name, text in drawn():
        if name in {leaf.__name__ for leaf in LEAVES}:
            assert text.split()[0] == getattr(errors, name).kind


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (ProviderConnectionError, ConnectionError),
        (ProviderTimeoutError, TimeoutError),
        (ProviderExhaustedError, IndexError),
        (UnsupportedFeatureError, ValueError),
        (ToolDefinitionError, TypeError),
        (ToolTimeoutError, TimeoutError),
        (SystemDefinitionError, TypeError),
        (EntityNotFoundError, KeyError),
        (LogTruncatedError, LookupError),
    ],
)
def test_who_knows_python_can_catch_them(error: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(error, builtin)


def test_asking_again_may_help_where_waiting_does() -> None:
    retryable = {leaf for leaf in LEAVES if leaf("").retryable}
    assert retryable == {RateLimitError, ServerError, ProviderConnectionError, ProviderTimeoutError, StreamInterruptedError}
    assert not QuotaError("", status=402).retryable
    assert not ServerError("", retryable=False).retryable
    assert QuotaError("", retryable=True).retryable


def test_a_provider_error_says_all_that_is_known() -> None:
    partial = CompletionResult(Message("assistant", "half", interrupted=True))
    error = RateLimitError(
        "Too many requests; wait 3 s.", status=429, retry_after=3.0, request_id="r1", provider="mine", model="large", partial=partial
    )
    assert str(error) == "Too many requests; wait 3 s."
    assert (error.kind, error.status, error.retry_after, error.request_id) == ("rate_limit", 429, 3.0, "r1")
    assert (error.provider, error.model, error.partial) == ("mine", "large", partial)
    blank = RateLimitError("")
    assert (blank.status, blank.retry_after, blank.request_id, blank.provider, blank.model, blank.partial) == (None,) * 6


def test_the_message_of_a_missing_entity_is_a_sentence_and_not_a_quoted_key() -> None:
    assert str(EntityNotFoundError("there is no entity 9")) == "there is no entity 9"


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_every_error_is_documented_and_survives_being_sent_to_another_process(error: type[EcsAgentError]) -> None:
    assert error.__doc__
    instance = error("what happened, what to do")
    copy = pickle.loads(pickle.dumps(instance))
    assert (type(copy), str(copy)) == (error, "what happened, what to do")
    assert vars(copy) == vars(instance)
