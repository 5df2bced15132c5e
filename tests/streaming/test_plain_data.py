"""Python values as JSON data where no hint says what they are: nothing is lost, and no key of a user is taken for one of ours."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.streaming.drawn_values import hostile, json_values, words

from ecs_agent.store.json_text import dumps, loads
from ecs_agent.streaming.plain_data import MAX_DEPTH, PlainData, is_tag, plain_key, written_key

PLAIN = PlainData()


def there_and_back(value: object) -> Any:
    return PLAIN.read(loads(dumps(PLAIN.write(value))))


def kinds_of(value: Any) -> Any:
    """The types of a value and of all that it holds, for 1, 1.0 and True are equal."""
    if isinstance(value, dict):
        return dict, [(kinds_of(key), kinds_of(item)) for key, item in value.items()]
    if isinstance(value, list | tuple | deque):
        return type(value), [kinds_of(item) for item in value]
    return type(value)


@given(json_values())
def test_every_value_comes_back_as_what_it_was(value: Any) -> None:
    back = there_and_back(value)
    assert back == value
    assert kinds_of(back) == kinds_of(value)


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (None, None), (True, True), (1, 1), (2.0, 2.0), ("$x", "$x"), ([1, "a"], [1, "a"]), ({"a": 1}, {"a": 1}),
        ((1, [2]), {"$tuple": [1, [2]]}),
        ({3, 1, 2}, {"$set": [1, 2, 3]}),
        (frozenset({"b", "a"}), {"$frozenset": ["a", "b"]}),
        (b"hi", {"$bytes": "aGk="}),
        (bytearray(b"hi"), {"$bytearray": "aGk="}),
        (deque([1], maxlen=4), {"$deque": [4, 1]}),
        (deque([1]), {"$deque": [None, 1]}),
        (math.inf, {"$float": "inf"}),
        (-math.inf, {"$float": "-inf"}),
        (2**63 - 1, 2**63 - 1), (-(2**63), -(2**63)),
        (2**63, {"$int": "0x8000000000000000"}),
        (-(2**63) - 1, {"$int": "-0x8000000000000001"}),
        ({1: "a"}, {"$dict": [[1, "a"]]}),
        ({(1, 2): 3, "$k": 4}, {"$dict": [[{"$tuple": [1, 2]}, 3], ["$k", 4]]}),
        ({"$tuple": [1]}, {"$$tuple": [1]}),
        ({"$$a": 1, "$": 2, "a$": 3}, {"$$$a": 1, "$$": 2, "a$": 3}),
        ({}, {}),
    ],
)  # fmt: skip
def test_the_data_of_a_value(value: object, data: object) -> None:
    assert PLAIN.write(value) == data
    assert PLAIN.read(data) == value
    assert type(PLAIN.read(data)) is type(value)


def test_nan_comes_back() -> None:
    assert PLAIN.write(math.nan) == {"$float": "nan"}
    assert math.isnan(there_and_back(math.nan))


def test_a_queue_keeps_its_length() -> None:
    assert there_and_back(deque([1, 2], maxlen=2)).maxlen == 2


@given(st.dictionaries(words, st.integers(), min_size=1), words, st.integers())
def test_what_is_set_beside_a_key_does_not_change_how_the_key_is_written(before: dict[str, int], key: str, value: int) -> None:
    merged = PLAIN.write(before) | {written_key(key): PLAIN.write(value)}
    assert merged == PLAIN.write(before | {key: value})


@given(words)
def test_a_written_key_is_no_tag_and_is_read_back(key: str) -> None:
    assert not is_tag(written_key(key))
    assert plain_key(written_key(key)) == key


def test_data_shares_nothing_with_the_value() -> None:
    inner: list[int] = [1]
    data = PLAIN.write({"a": inner})
    inner.append(2)
    assert data == {"a": [1]}


class Thing:
    """No data."""


@pytest.mark.parametrize(
    "value", [Thing(), [Thing()], {"a": Thing()}, {Thing(): 1}, (Thing(),), OrderedDict(a=1), 1j, object, len, type("S", (str,), {})("x")]
)
def test_what_is_no_data_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="which is no data"):
        PLAIN.write(value)


def test_others_are_written_by_whoever_knows_them() -> None:
    known = PlainData(lambda value: {"$thing": type(value).__name__}, lambda tag, held: (tag, held))
    assert known.write([Thing()]) == [{"$thing": "Thing"}]
    assert known.read([{"$thing": "Thing"}]) == [("thing", "Thing")]


def nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = {"a": value} if level % 2 else [value]
    return value


def test_as_deep_as_it_may_be_it_comes_back_also_low_in_the_stack() -> None:
    value = nested(MAX_DEPTH)

    def lower(levels: int) -> Any:
        return lower(levels - 1) if levels else PLAIN.read(PLAIN.write(value))

    assert lower(300) == value


def test_what_is_deeper_is_refused_on_both_ways() -> None:
    with pytest.raises(TypeError, match="200 levels"):
        PLAIN.write(nested(MAX_DEPTH + 2))
    with pytest.raises(ValueError, match="200 levels"):
        PLAIN.read(nested(10_000))


def test_a_list_that_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(TypeError, match="holds itself"):
        PLAIN.write(value)


@pytest.mark.parametrize(
    "data",
    [
        {"$tuple": 1}, {"$set": [[1]]}, {"$frozenset": [{"a": 1}]}, {"$bytes": 1}, {"$bytes": "a"}, {"$bytes": "ä"}, {"$bytearray": "*"},
        {"$float": "1"}, {"$float": 1}, {"$int": "q"}, {"$int": 3}, {"$dict": 1}, {"$dict": [1]}, {"$dict": [[1]]}, {"$dict": [[[1], 2]]},
        {"$deque": []}, {"$deque": ["x"]}, {"$deque": [True]}, {"$deque": [-1]}, {"$deque": [2**63]}, {"$nothing": 1}, {"$tuple": [1], "b": 2}, {"$": 1},
    ],
)  # fmt: skip
def test_damaged_data_is_refused(data: object) -> None:
    with pytest.raises(ValueError, match=r".{10}"):
        PLAIN.read(data)


@given(hostile)
def test_whatever_json_there_is_only_a_value_error_comes(data: Any) -> None:
    try:
        PLAIN.read(data)
    except ValueError:
        pass
