"""The pytest plugin, in runs of its own: what a user's test sees, and what a user's run pays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PLUGIN = "ecs_agent.testing.pytest_plugin"
TESTS = """
import asyncio

import pytest

from ecs_agent.providers import FakeProvider, OpenAIProvider
from ecs_agent.types import Message


def test_by_hand(model_server):
    async def main():
        async with model_server("Hello.", by="character") as server, OpenAIProvider("k", server.base_url, "m") as provider:
            assert (await provider.complete([Message("user", "Hi")])).message.content == "Hello."
    asyncio.run(main())


@pytest.mark.asyncio
async def test_with_a_plugin(model_server, stream_laws):
    async with model_server("Hello.") as server, OpenAIProvider("k", server.base_url, "m") as provider:
        await stream_laws(provider, deterministic=True)


@pytest.mark.asyncio
async def test_faults(fault_laws):
    await fault_laws(lambda url: OpenAIProvider("k", url, "m", read_timeout=0.2), plans=[])


def test_broken(stream_laws):
    asyncio.run(stream_laws(FakeProvider([])))


@pytest.mark.asyncio
async def test_left_open(model_server):
    await model_server("Hello.").__aenter__()
"""


def test_its_fixtures_serve_tests_with_and_without_an_async_plugin(tmp_path: Path) -> None:
    (tmp_path / "test_user.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", PLUGIN, "-p", "pytest_asyncio.plugin", "-p", "no:cacheprovider", "test_user.py"]
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=alone, capture_output=True, text=True, timeout=120, check=False)
    assert "1 failed, 4 passed, 1 error" in done.stdout, done.stdout + done.stderr
    assert "broken law COMPLETE: an answer that nothing disturbs reaches its final delta" in done.stdout
    assert "a model server was left open" in done.stdout


RECORDED = """
import asyncio

import pytest

from ecs_agent.errors import RecordingMissError
from ecs_agent.providers import FakeProvider, RecordingProvider, ReplayProvider
from ecs_agent.types import Message

asked = []


def real():
    asked.append("made")
    return FakeProvider(["Hello from the model."], delay=0)


async def ask(provider, words="Hi"):
    return (await provider.complete([Message("user", words)])).message.content


class TestChat:
    @pytest.mark.asyncio
    @pytest.mark.parametrize("way", ["a/b", "c d"])
    async def test_answers(self, cassette, way):
        assert await ask(cassette(real())) == "Hello from the model."


@pytest.mark.asyncio
async def test_without_making_the_provider(cassette):
    asked.clear()
    assert await ask(cassette(real)) == "Hello from the model."
    assert asked == ["made"] * cassette.is_recording


def test_two_providers(cassette):
    for name in ("a", "b"):
        provider = cassette(FakeProvider([f"from {name}"], delay=0, name=name))
        assert isinstance(provider, RecordingProvider if cassette.is_recording else ReplayProvider)
        assert asyncio.run(ask(provider)) == f"from {name}"


def test_asks_less(cassette):
    provider = cassette(FakeProvider(["one", "two"], delay=0))
    asyncio.run(ask(provider, "first"))
    if cassette.is_recording:
        asyncio.run(ask(provider, "second"))


def test_that_does_not_use_it(cassette):
    assert not cassette.path.exists()
"""


def recorded_run(folder: Path, *options: str) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-p", PLUGIN, "-p", "pytest_asyncio.plugin", "-p", "no:cacheprovider", *options, "test_user.py"]
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=folder, env=alone, capture_output=True, text=True, timeout=120, check=False)
    return done.stdout + done.stderr


def test_a_cassette_is_recorded_when_it_is_wanted_and_replayed_otherwise(tmp_path: Path) -> None:
    (tmp_path / "test_user.py").write_text(RECORDED)
    missing = recorded_run(tmp_path)
    assert "5 failed, 1 passed" in missing, missing
    assert "this test has no recording" in missing
    assert "--ecs-record=once" in missing
    assert "6 passed" in recorded_run(tmp_path, "--ecs-record=once")
    folder = tmp_path / "cassettes" / "test_user"
    assert sorted(path.name for path in folder.iterdir()) == [
        "TestChat.test_answers-a-b.jsonl",
        "TestChat.test_answers-c-d.jsonl",
        "test_asks_less.jsonl",
        "test_two_providers.jsonl",
        "test_without_making_the_provider.jsonl",
    ]
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    replayed = recorded_run(tmp_path)
    assert "6 passed, 1 warning" in replayed, replayed
    assert "UnusedRecordingWarning: 1 of 2 recordings" in replayed
    assert "were not asked for (numbers 1); record it anew with --ecs-record=all" in replayed
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert "1 warning" in recorded_run(tmp_path, "--ecs-record=once")  # nothing is recorded where there is a recording
    (tmp_path / "test_user.py").write_text(RECORDED.replace('"Hi"', '"Ho"'))
    changed = recorded_run(tmp_path)
    assert "4 failed" in changed, changed
    assert "RecordingMissError: no recording answers this request; the nearest one (number 0) differs in messages[0].content" in changed
    assert "6 passed" in recorded_run(tmp_path, "--ecs-record=all")


def test_a_run_that_does_not_use_it_pays_nothing() -> None:
    code = f"import sys, json, pytest; before = set(sys.modules); import {PLUGIN}; print(json.dumps(sorted(set(sys.modules) - before)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert [name for name in json.loads(done.stdout) if name.startswith("ecs_agent")] == ["ecs_agent", "ecs_agent.testing", PLUGIN]
    assert "asyncio" not in json.loads(done.stdout)


def test_pytest_finds_it() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"ecs_agent": PLUGIN}
    assert pytest.importorskip(PLUGIN).model_server
