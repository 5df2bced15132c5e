"""ModelPool: one provider a service, closed with the pool."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecs_agent.errors import ConfigurationError
from ecs_agent.providers import ModelPool, ModelRegistry, Preset


def test_models_of_a_service_share_its_provider() -> None:
    pool = ModelPool()
    (one, first), (other, second), (third, _) = [pool.get(name) for name in ("ollama/a", "ollama/b/c", "lmstudio/a")]
    assert one is other
    assert one is not third
    assert (first, second) == ("a", "b/c")


def test_aliases_are_the_same_service() -> None:
    pool = ModelPool()
    assert pool.get("lm-studio/a")[0] is pool.get("lmstudio/a")[0]


def test_each_file_is_a_process_of_its_own(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    pool = ModelPool()
    one, first = pool.get(f"local/{tmp_path}/a.gguf")
    other, second = pool.get(f"local/{tmp_path}/b.gguf")
    assert one is not other
    assert (first, second) == ("a", "b")
    assert pool.get(f"local/{tmp_path}/a.gguf")[0] is one


def test_its_registry_may_be_ones_own() -> None:
    pool = ModelPool(ModelRegistry([Preset("house", base_url="http://localhost:9000/v1", needs_key=False)]))
    assert pool.get("house/m")[0].name == "house"
    with pytest.raises(ConfigurationError, match="there is no service 'ollama'"):
        pool.get("ollama/m")


async def test_closing_closes_all_and_closing_twice_is_once() -> None:
    pool, closed = ModelPool(), list[str]()
    for name in ("ollama/a", "lmstudio/a"):
        provider, _ = pool.get(name)

        async def aclose(name: str = name) -> None:
            closed.append(name)

        provider.aclose = aclose  # type: ignore[method-assign]
    await pool.aclose()
    await pool.aclose()
    assert sorted(closed) == ["lmstudio/a", "ollama/a"]
