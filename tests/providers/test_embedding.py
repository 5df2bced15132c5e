"""What all providers of embeddings share: the result, what may be asked, and how near two vectors are."""

from __future__ import annotations

import copy
import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.providers import (
    EmbeddingProvider,
    EmbeddingResult,
    FakeEmbeddingProvider,
    FakeProvider,
    LocalEmbeddingProvider,
    OpenAIEmbeddingProvider,
    cosine_similarity,
)
from ecs_agent.providers.embeddings.protocol import check_dimensions, checked_texts
from ecs_agent.types import Usage

numbers = st.floats(-1e6, 1e6, width=32)
vectors = st.lists(numbers, min_size=1, max_size=8)


def test_a_result_knows_its_dimensions_and_shows_itself_in_a_line() -> None:
    result = EmbeddingResult((array("f", [1, 2, 3]), array("f", [4, 5, 6])), "m", Usage(2, 0, 2))
    assert result.dimensions == 3
    assert repr(result).startswith("EmbeddingResult(2 vectors of 3, model='m', usage=Usage(")
    assert EmbeddingResult((), "m").dimensions == 0


def test_results_are_values() -> None:
    result = EmbeddingResult((array("f", [1, 2]),), "m")
    assert result == copy.deepcopy(result)
    with pytest.raises(AttributeError):
        result.model = "n"  # type: ignore[misc]


def test_a_vector_takes_four_bytes_a_number_and_other_libraries_read_it_without_a_copy() -> None:
    (vector,) = EmbeddingResult((array("f", [1.5, -2.0]),), "m").vectors
    view = memoryview(vector)
    assert (view.format, view.nbytes, view.tolist()) == ("f", 8, [1.5, -2.0])


def test_our_providers_are_providers_of_embeddings_and_a_chat_provider_is_none() -> None:
    assert isinstance(FakeEmbeddingProvider(), EmbeddingProvider)
    assert issubclass(OpenAIEmbeddingProvider, EmbeddingProvider)
    assert issubclass(LocalEmbeddingProvider, EmbeddingProvider)
    assert not isinstance(FakeProvider([]), EmbeddingProvider)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ("one text", r"texts is one str; give a list of texts: embed\(\[…\]\)"),
        (b"bytes", "texts is one bytes"),
        (["a", 7], r"texts\[1\] is a int; give a str"),
        ([None], r"texts\[0\] is a NoneType"),
    ],
)
def test_what_is_no_list_of_texts_is_named(texts: object, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        checked_texts(texts)  # type: ignore[arg-type]


def test_any_sequence_of_texts_will_do() -> None:
    assert checked_texts(("a", "")) == ["a", ""]


def test_dimensions_are_a_number_above_zero() -> None:
    check_dimensions(None)
    check_dimensions(1)
    for wrong in (True, 2.0, "3"):
        with pytest.raises(TypeError, match="dimensions is a"):
            check_dimensions(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="dimensions is 0; give at least 1"):
        check_dimensions(0)


class TestSimilarity:
    def test_by_hand(self) -> None:
        assert cosine_similarity([1, 0], [0, 2]) == 0
        assert cosine_similarity([1, 1], [2, 2]) == pytest.approx(1)
        assert cosine_similarity([1, 0], [-3, 0]) == -1
        assert cosine_similarity([3, 4], [4, 3]) == pytest.approx(24 / 25)

    def test_a_vector_of_zeros_is_near_nothing(self) -> None:
        assert cosine_similarity([0, 0], [0, 0]) == 0
        assert cosine_similarity([0, 0], [1, 0]) == 0
        assert cosine_similarity([], []) == 0

    def test_vectors_of_two_models_are_not_compared(self) -> None:
        with pytest.raises(ValueError, match="3 and 2 numbers"):
            cosine_similarity([1, 2, 3], [1, 2])

    @given(vectors, st.floats(0.001, 1000), st.data())
    def test_laws(self, a: list[float], times: float, data: st.DataObject) -> None:
        b = data.draw(st.lists(numbers, min_size=len(a), max_size=len(a)))
        near = cosine_similarity(a, b)
        assert -1 <= near <= 1
        assert near == cosine_similarity(b, a)
        assert math.isclose(near, cosine_similarity([times * x for x in a], b), rel_tol=1e-6, abs_tol=1e-6)
        assert math.isclose(near, -cosine_similarity([-x for x in a], b), abs_tol=1e-9)
        assert cosine_similarity(a, a) == pytest.approx(1 if any(a) else 0)
