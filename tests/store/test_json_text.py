"""Data as JSON text: what Python's strings and numbers may hold comes back, and damage is said to be damage."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.streaming.drawn_values import texts

from ecs_agent.errors import StoreFormatError, UnsavableError
from ecs_agent.store.json_text import dumps, loads

jsons: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(jsons)
def test_all_data_comes_back(data: Any) -> None:
    assert loads(dumps(data)) == data


@given(st.text(st.characters(categories=["Cs", "L", "P"])))
def test_every_text_comes_back(text: str) -> None:
    assert loads(dumps([text, {text: text}])) == [text, {text: text}]


def test_half_a_pair_is_valid_json_for_others_too() -> None:
    written = dumps(["\\\ud83d", "ü"])
    assert json.loads(written) == ["\\\ud83d", "ü"]
    assert written == b'["\\\\\\ud83d","\xc3\xbc"]'


def test_two_halves_are_not_taken_for_a_whole() -> None:
    assert loads(dumps("\ud83d\ude00")) == "\ud83d\ude00"
    assert loads(dumps("\U0001f600")) == "\U0001f600"


def test_structs_are_written_with_such_texts_too() -> None:
    class Pair(msgspec.Struct, array_like=True):
        one: int
        other: str

    assert loads(dumps([Pair(1, "\ud83d")])) == [[1, "\ud83d"]]


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[1,]", b"nope", b"\xff\xfe", b'"\xed\xa0\xbd', b"NaN", b"[Infinity]", b"1e999" * 2, b"9" * 5000, b'{"a":1}}']
)
def test_damage_is_said(text: bytes) -> None:
    with pytest.raises(StoreFormatError, match="no JSON"):
        loads(text)


@pytest.mark.parametrize("text", [b"[" * 100_000 + b"]" * 100_000, b'"\xed\xa0\xbd"'.join([b"[" * 100_000, b"]" * 100_000])])
def test_what_is_too_deep_is_refused(text: bytes) -> None:
    with pytest.raises(StoreFormatError, match="too deep|no JSON"):
        loads(text)


@pytest.mark.parametrize("data", [object(), {(1, 2): 3}, [b"x", 1j]])
def test_what_is_no_data_is_refused(data: object) -> None:
    with pytest.raises(UnsavableError, match="cannot be written as JSON"):
        dumps(data)


def test_what_holds_itself_is_refused() -> None:
    data: list[Any] = []
    data.append(data)
    with pytest.raises(UnsavableError, match="cannot be written as JSON"):
        dumps(data)
