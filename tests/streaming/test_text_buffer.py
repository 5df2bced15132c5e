"""Text in pieces: equal to its joined pieces at any moment, in few objects however many there were."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.streaming import text_buffer
from ecs_agent.streaming.text_buffer import JOIN_AT, TextBuffer


def test_a_new_one_is_empty_and_false() -> None:
    buffer = TextBuffer()
    assert (str(buffer), bool(buffer)) == ("", False)


@pytest.mark.parametrize("add", [lambda buffer: buffer.append("a"), lambda buffer: buffer.extend(["a"])])
def test_it_is_true_once_there_is_a_piece_and_stays_so_when_pieces_are_joined(add: object) -> None:
    assert callable(add)
    buffer = TextBuffer()
    for _ in range(JOIN_AT + 1):
        add(buffer)
        assert buffer
    assert str(buffer) == "a" * (JOIN_AT + 1)


def test_reading_changes_nothing() -> None:
    buffer = TextBuffer()
    buffer.extend(["a", "b"])
    assert str(buffer) == str(buffer) == "ab"
    buffer.append("c")
    assert str(buffer) == "abc"


def test_it_does_not_hold_on_to_a_list_that_it_was_given() -> None:
    buffer, texts = TextBuffer(), ["a"]
    buffer.extend(texts)
    buffer.append("b")
    texts.append("x")
    assert (str(buffer), texts) == ("ab", ["a", "x"])


def pieces_of(buffer: TextBuffer) -> int:
    return len(buffer._blocks) + len(buffer._recent)


@pytest.mark.parametrize("size", [1, 7, JOIN_AT - 1, JOIN_AT, JOIN_AT + 1])
def test_a_hundred_thousand_pieces_are_few_objects(size: int) -> None:
    one_by_one, at_once = TextBuffer(), TextBuffer()
    for _ in range(100_000 // size):
        at_once.extend(["a"] * size)
        assert len(at_once._recent) < JOIN_AT
    for _ in range(100_000):
        one_by_one.append("a")
        assert len(one_by_one._recent) < JOIN_AT
    assert pieces_of(one_by_one) < JOIN_AT + 100_000 // JOIN_AT
    assert pieces_of(at_once) < JOIN_AT + 100_000 // min(size, JOIN_AT)
    assert str(one_by_one) == "a" * 100_000


def test_a_text_is_joined_once_and_not_again_with_everything_that_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_buffer, "JOIN_AT", 2)
    buffer = TextBuffer()
    buffer.extend(["a" * 100, "b" * 100])
    (first,) = buffer._blocks
    buffer.extend(["c", "d"])
    buffer.append("e")
    buffer.append("f")
    assert buffer._blocks[0] is first
    assert str(buffer) == first + "cdef"


@given(st.lists(st.text("ab", max_size=2) | st.lists(st.text("ab", max_size=2), max_size=4), max_size=12), st.integers(1, 4))
def test_pieces_in_any_mixture_give_their_joined_text(pieces: list[str | list[str]], join_at: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_buffer, "JOIN_AT", join_at)
        buffer = TextBuffer()
        for piece in pieces:
            if isinstance(piece, str):
                buffer.append(piece)
            else:
                buffer.extend(piece)
            assert len(buffer._recent) < join_at
    assert str(buffer) == "".join(["".join(piece) for piece in pieces])
    assert bool(buffer) == any(isinstance(piece, str) or piece for piece in pieces)
