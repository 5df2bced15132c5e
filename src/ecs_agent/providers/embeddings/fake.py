"""FakeEmbeddingProvider: vectors that are computed from the words of a text, so that texts which share words are near each other."""

from __future__ import annotations

import asyncio
import math
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import repeat
from typing import Final, Self

from ecs_agent.providers.embeddings.protocol import EmbeddingResult, Vector, check_dimensions, checked_texts
from ecs_agent.providers.token_estimate import estimate_text
from ecs_agent.types import Usage

_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """What was asked of a fake: the texts, the model, and how many dimensions."""

    texts: tuple[str, ...]
    model: str
    dimensions: int


class FakeEmbeddingProvider:
    """Embeds without a model: the same text always has the same vector, of length 1, in every process.

    Each word stands at one of the dimensions, by its hash, and counts there; upper and lower case are the same. So two texts are the nearer (by
    `cosine_similarity`) the more words they share, and what a text means plays no part. Time is that of the running event loop.

    Args:
        dimensions: how many numbers a vector has. With few of them words that differ fall together.
        failures: what becomes of the first requests, in order: an error is raised, None is answered. Later requests are answered.
        delay: seconds before each answer.
        name: how errors call it.
        model: the model it pretends to be.

    Attributes:
        calls: the requests so far.
    """

    def __init__(
        self,
        dimensions: int = 64,
        *,
        failures: Sequence[Exception | None] = (),
        delay: float = 0.0,
        name: str = "fake",
        model: str = "fake",
    ) -> None:
        check_dimensions(dimensions)
        self.name = name
        self.model = model
        self.dimensions = dimensions
        self.calls: list[EmbeddingRequest] = []
        self._failures = [*failures]
        self._delay = delay

    async def embed(self, texts: Sequence[str], *, model: str | None = None, dimensions: int | None = None) -> EmbeddingResult:
        """The vectors of texts; see `EmbeddingProvider`. Usage is estimated. Without texts nobody is asked: no request is noted.

        Raises:
            ProviderError: the next failure, or whatever else was given as one.
            TypeError: `texts` is one text, or holds something else than texts.
            ValueError: `dimensions` is less than 1.
        """
        check_dimensions(dimensions)
        listed, asked = checked_texts(texts), model or self.model
        if not listed:
            return EmbeddingResult((), asked, Usage(0, 0, 0))
        request = EmbeddingRequest(tuple(listed), asked, dimensions or self.dimensions)
        self.calls.append(request)
        if self._delay:
            await asyncio.sleep(self._delay)
        failure = self._failures[len(self.calls) - 1] if len(self.calls) <= len(self._failures) else None
        if failure is not None:
            raise failure
        tokens = sum(map(estimate_text, listed))
        vectors = tuple(map(vector_of, listed, repeat(request.dimensions)))
        return EmbeddingResult(vectors, asked, Usage(tokens, 0, tokens, estimated=True))

    async def aclose(self) -> None:
        """Nothing to close."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"FakeEmbeddingProvider({self.dimensions}, {len(self.calls)} calls)"


def vector_of(text: str, dimensions: int) -> Vector:
    """How often the words of a text fall on each dimension, brought to length 1; a text without any word is one word itself."""
    counts = [0] * dimensions
    folded = text.casefold()
    for word in _WORD.findall(folded) or [folded]:
        digest = blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        counts[int.from_bytes(digest, "big") % dimensions] += 1
    length = math.hypot(*counts)
    return array("f", [count / length for count in counts])
