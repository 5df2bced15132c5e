"""FakeEmbeddingProvider: the same text has the same vector everywhere, and texts that share words are near."""

from __future__ import annotations

import asyncio
import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.errors import RateLimitError, ServerError
from ecs_agent.providers import EmbeddingRequest, FakeEmbeddingProvider, cosine_similarity
from ecs_agent.providers.embeddings.fake import vector_of
from ecs_agent.testing import run
from ecs_agent.types import Usage


async def test_one_vector_a_text_in_order() -> None:
    async with FakeEmbeddingProvider() as provider:
        result = await provider.embed(["the cat", "the dog", "the cat"])
        assert (len(result.vectors), result.dimensions, result.model) == (3, 64, "fake")
        assert result.vectors[0] == result.vectors[2] != result.vectors[1]
        assert result.usage == Usage(6, 0, 6, estimated=True)


async def test_texts_that_share_words_are_nearer_whatever_their_case() -> None:
    texts = ["The capital of Norway is Oslo.", "what is the CAPITAL of norway?", "Bread needs flour, water and yeast."]
    norway, question, bread = (await FakeEmbeddingProvider().embed(texts)).vectors
    assert cosine_similarity(norway, question) > 0.7 > 0.4 > cosine_similarity(bread, question)


def test_a_vector_is_the_same_in_every_process() -> None:
    assert [at for at, value in enumerate(vector_of("Hello, world", 64)) if value] == [15, 61]


@given(st.text(), st.integers(1, 100))
def test_every_text_has_a_vector_of_length_one(text: str, dimensions: int) -> None:
    vector = vector_of(text, dimensions)
    assert len(vector) == dimensions
    assert math.isclose(math.hypot(*vector), 1, rel_tol=1e-6)
    assert min(vector) >= 0


@given(st.lists(st.sampled_from(["sun", "moon", "star", "sea"]), min_size=1), st.randoms())
def test_the_order_of_words_plays_no_part(words: list[str], chance: Random) -> None:
    assert vector_of(" ".join(words), 64) == vector_of(" ".join(chance.sample(words, len(words))), 64)


async def test_what_was_asked_is_kept() -> None:
    provider = FakeEmbeddingProvider(8, model="m")
    assert (await provider.embed(["a"], model="n", dimensions=3)).dimensions == 3
    assert (await provider.embed(["b"])).dimensions == 8
    assert provider.calls == [EmbeddingRequest(("a",), "n", 3), EmbeddingRequest(("b",), "m", 8)]
    assert repr(provider) == "FakeEmbeddingProvider(8, 2 calls)"


async def test_without_texts_nobody_is_asked() -> None:
    provider = FakeEmbeddingProvider(failures=[ServerError("down")])
    result = await provider.embed([])
    assert (result.vectors, result.usage, provider.calls) == ((), Usage(0, 0, 0), [])


async def test_failures_come_in_order_and_then_answers() -> None:
    provider = FakeEmbeddingProvider(failures=[RateLimitError("slow down", retry_after=1.0), None, ServerError("down")])
    with pytest.raises(RateLimitError, match="slow down"):
        await provider.embed(["a"])
    assert (await provider.embed(["a"])).vectors
    with pytest.raises(ServerError):
        await provider.embed(["a"])
    assert (await provider.embed(["a"])).vectors
    assert len(provider.calls) == 4


async def test_what_cannot_be_asked_is_no_call() -> None:
    provider = FakeEmbeddingProvider()
    with pytest.raises(TypeError, match="one str"):
        await provider.embed("a text")
    with pytest.raises(ValueError, match="at least 1"):
        await provider.embed(["a"], dimensions=0)
    with pytest.raises(ValueError, match="at least 1"):
        FakeEmbeddingProvider(0)
    assert provider.calls == []


def test_its_delay_is_virtual_on_a_virtual_clock() -> None:
    async def main() -> float:
        await FakeEmbeddingProvider(delay=3600.0).embed(["a"])
        return asyncio.get_running_loop().time()

    assert run(main) == pytest.approx(3600.0)
