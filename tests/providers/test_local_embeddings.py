"""LocalEmbeddingProvider: with a child that speaks the same lines, and with the embedded model where it is installed."""

from __future__ import annotations

import gc
import math
from pathlib import Path

import pytest
from tests.providers.test_local import installed
from tests.providers.test_local_model import CHILD
from tests.providers.test_local_server import gone, program

from ecs_agent.errors import ConfigurationError, ContextLengthError, UnsupportedFeatureError
from ecs_agent.providers import LocalEmbeddingProvider, LocalProvider, TokenCount, count_tokens
from ecs_agent.providers.local.server import LocalServer
from ecs_agent.types import Message, ToolSchema, Usage


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "some-embedder.gguf"
    path.touch()
    return path


def with_child(provider: LocalEmbeddingProvider | LocalProvider, folder: Path) -> None:
    provider._local._server = LocalServer(provider._local._server._options, child=program(folder, CHILD))


async def test_the_process_is_asked_and_ends_with_its_provider(weights: Path, tmp_path: Path) -> None:
    async with LocalEmbeddingProvider(weights, context=64, batch_size=2) as provider:
        with_child(provider, tmp_path)
        result = await provider.embed(["a", "bbb", "cc"])
        assert [list(vector) for vector in result.vectors] == [[1, 64], [3, 64], [2, 64]]
        assert (result.model, result.usage) == ("some-embedder", None)
        process = provider._local._server._process
        assert process is not None
    assert gone(process.pid)


async def test_it_ends_when_its_provider_is_forgotten(weights: Path, tmp_path: Path) -> None:
    provider = LocalEmbeddingProvider(weights)
    with_child(provider, tmp_path)
    await provider.embed(["a"])
    process = provider._local._server._process
    assert process is not None
    gc.disable()  # nothing holds a provider in a circle, so it need not be looked for
    try:
        del provider
        assert gone(process.pid)
    finally:
        gc.enable()


async def test_nothing_starts_for_what_cannot_be_asked_or_is_nothing(weights: Path) -> None:
    provider = LocalEmbeddingProvider(weights)
    assert repr(provider) == "LocalEmbeddingProvider(model='some-embedder')"
    result = await provider.embed([], model="m")
    assert (result.vectors, result.model, result.usage) == ((), "m", Usage(0, 0, 0))
    with pytest.raises(UnsupportedFeatureError, match="leave dimensions out"):
        await provider.embed(["a"], dimensions=8)
    with pytest.raises(TypeError, match="give a list of texts"):
        await provider.embed("a")
    assert not provider._local._server.running


def test_how_the_model_is_run(weights: Path) -> None:
    options = LocalEmbeddingProvider(weights)._local._server._options
    assert (options.embeds, options.pooling, options.context) == (True, None, 512)
    assert LocalEmbeddingProvider(weights, pooling="cls", context=64)._local._server._options.pooling == "cls"
    assert LocalProvider(weights)._local._server._options.embeds is False


def test_what_is_wrong_is_said_at_once(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no model file"):
        LocalEmbeddingProvider(tmp_path / "nowhere.gguf")
    with pytest.raises(ValueError, match="batch_size is 0"):
        LocalEmbeddingProvider(weights, batch_size=0)


async def test_the_local_chat_provider_counts_by_its_process(weights: Path, tmp_path: Path) -> None:
    async with LocalProvider(weights) as provider:
        with_child(provider, tmp_path)
        assert await count_tokens(provider, [Message("user", "Hi")], system_prompt="Be brief.") == TokenCount(2)
        with pytest.raises(TypeError, match="messages holds a str"):
            await provider.count_tokens("Hi")  # type: ignore[arg-type]


@installed
async def test_the_embedded_model_embeds_and_refuses_what_is_too_long() -> None:
    async with LocalEmbeddingProvider(context=32) as provider:
        assert provider._local._server._options.pooling == "mean"
        result = await provider.embed(["hello", "hello there"])
        assert (len(result.vectors), result.dimensions, result.usage) == (2, 576, Usage(3, 0, 3))
        assert all(math.isclose(math.hypot(*vector), 1, rel_tol=1e-4) for vector in result.vectors)
        with pytest.raises(ContextLengthError):
            await provider.embed(["word " * 40])


@installed
async def test_a_count_is_what_the_answer_will_cost() -> None:
    hi, tools = [Message("user", "Hi")], [ToolSchema("f", "Does f.", {"type": "object", "properties": {}})]
    async with LocalProvider(context=256) as provider:
        for offered in (None, tools):
            counted = await count_tokens(provider, hi, tools=offered)
            answer = await provider.complete(hi, tools=offered, max_tokens=1)
            assert answer.usage is not None
            assert counted == TokenCount(answer.usage.prompt_tokens, estimated=False)
