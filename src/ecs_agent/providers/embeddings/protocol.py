"""Embeddings: texts as vectors of numbers, near each other when the texts are about the same.

A vector is an `array` of 32-bit floats. That is as precise as servers answer, four bytes a number where a tuple of floats takes thirty-two, and
`numpy.asarray(vector)` reads it without a copy, although nothing here needs numpy.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from ecs_agent.types import Usage

if TYPE_CHECKING:
    Vector: TypeAlias = array[float]
else:
    Vector = array  # Python 3.11 has no array[float]


@dataclass(frozen=True, slots=True)
class EmbeddingResult:
    """Vectors of texts.

    Attributes:
        vectors: one a text, in the order of the texts, all of one length; arrays of the type "f".
        model: which made them, as its server calls it. Only vectors of one model can be compared.
        usage: what they cost; None when the server did not say.
    """

    vectors: tuple[Vector, ...]
    model: str
    usage: Usage | None = None

    @property
    def dimensions(self) -> int:
        """How many numbers a vector has; 0 without any vector."""
        return len(self.vectors[0]) if self.vectors else 0

    def __repr__(self) -> str:
        return f"EmbeddingResult({len(self.vectors)} vectors of {self.dimensions}, model={self.model!r}, usage={self.usage!r})"


@runtime_checkable
class EmbeddingProvider(Protocol):
    """Turns texts into vectors.

    Anything with this method is one; nothing has to be inherited. Ours have `aclose` and can stand in `async with`.
    """

    async def embed(self, texts: Sequence[str], *, model: str | None = None, dimensions: int | None = None) -> EmbeddingResult:
        """The vectors of texts, one each, in order. Without texts nobody is asked.

        Args:
            texts: what is embedded.
            model: replaces the provider's own.
            dimensions: how many numbers a vector is to have; that of the model by default. Not every model can have fewer.

        Raises:
            ProviderError: the request was refused, or its answer is none.
            TypeError: `texts` is one text, or holds something else than texts.
        """
        ...


def checked_texts(texts: Sequence[str]) -> list[str]:
    """The same as a list, as one text is easily given where several are asked for.

    Raises:
        TypeError: it is a text, or holds something else than texts.
    """
    given: object = texts
    if isinstance(given, str | bytes):
        raise TypeError(f"texts is one {type(given).__name__}; give a list of texts: embed([…])")
    listed: list[str] = list(texts)
    for at, text in enumerate(listed):
        if not isinstance(text, str):
            raise TypeError(f"texts[{at}] is a {type(text).__name__}; give a str")
    return listed


def check_dimensions(dimensions: int | None) -> None:
    """Whether vectors can be asked for so.

    Raises:
        TypeError: it is no whole number.
        ValueError: it is less than one.
    """
    if dimensions is None:
        return
    if isinstance(dimensions, bool) or not isinstance(dimensions, int):
        raise TypeError(f"dimensions is a {type(dimensions).__name__}; give a whole number, or None for the model's own")
    if dimensions < 1:
        raise ValueError(f"dimensions is {dimensions}; give at least 1, or None for the model's own")


def cosine_similarity(a: Sequence[float], b: Sequence[float]) -> float:
    """How near two vectors are: 1 in the same direction, 0 at a right angle, -1 in opposite ones; 0 when either is all zeros.

    Raises:
        ValueError: they are of different lengths, so they are not of one model.
    """
    if len(a) != len(b):
        raise ValueError(f"the vectors have {len(a)} and {len(b)} numbers; compare those of one model and one number of dimensions")
    lengths = math.hypot(*a) * math.hypot(*b)
    return max(-1.0, min(1.0, sum(map(mul, a, b)) / lengths)) if lengths else 0.0
