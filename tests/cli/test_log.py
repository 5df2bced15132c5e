"""`ecs-agent log`: the facts of a store."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import pytest
from tests.cli.commands import PATIENCE, finish, run_here, start
from tests.cli.recorded_runs import complains, record

from ecs_agent import World, append_message, spawn_agent
from ecs_agent.providers import FakeProvider
from ecs_agent.store import open_world
from ecs_agent.store.recording import Recording


async def test_it_shows_a_line_for_each_fact(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, store = await record(capsys, tmp_path)
    done = await run_here(capsys, "log", store)
    with Recording.open(store) as recording:
        facts = list(recording.facts())
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert [int(line.split()[0]) for line in lines] == [fact.pos for fact in facts]
    since = f"{(facts[3].time - facts[0].time) / 1e9:.3f}"
    assert lines[3].split(maxsplit=5) == ["3", since, "1:4", "SystemPromptComponent", "added", 'content="Be brief."']
    assert "\x1b" not in done.out
    assert max(map(len, lines)) <= 200


async def test_what_was_said_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, store = await record(capsys, tmp_path)
    done = await run_here(capsys, "log", store, "--type", "StreamDeltaEvent", "--entity", "1")
    assert [line.rpartition('  "')[2].rstrip('"') for line in done.out.splitlines()][:3] == ["Let", "me", "see."]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--entity", "2"], lambda fact: fact["entity"] == 2),
        (["--type", "TurnStarted"], lambda fact: fact["type"] == "TurnStarted"),
        (["--type", "NameComponent"], lambda fact: fact["change"] is not None and fact["change"][1] == "NameComponent"),
        (["--from", "10", "--to", "20"], lambda fact: 10 <= fact["pos"] <= 20),
        (
            ["--entity", "1", "--type", "TurnStarted", "--from", "40"],
            lambda fact: (fact["entity"], fact["type"]) == (1, "TurnStarted") and fact["pos"] >= 40,
        ),
        (["--entity", "99"], lambda fact: False),
    ],
)
async def test_some_of_them_can_be_had(words: list[str], wanted: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, store = await record(capsys, tmp_path)
    everything = [json.loads(line) for line in (await run_here(capsys, "log", store, "--json")).out.splitlines()]
    assert callable(wanted)
    done = await run_here(capsys, "log", store, "--json", *words)
    assert [json.loads(line) for line in done.out.splitlines()] == [fact for fact in everything if wanted(fact)]


async def test_as_json_it_has_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, store = await record(capsys, tmp_path)
    done = await run_here(capsys, "log", store, "--json")
    assert done.out.isascii()
    (line,) = [json.loads(line) for line in done.out.splitlines() if '"pos": 3,' in line]
    assert line.pop("time") > 0
    assert line == {
        "pos": 3, "count": 1, "entity": 1, "seq": 4, "run": 0, "turn": 0, "attempt": 0, "parent": None, "kind": "derived", "type": "ComponentAdded",
        "version": 1, "data": None, "change": ["put", "SystemPromptComponent", 1, {"content": "Be brief."}],
    }  # fmt: skip


async def test_it_follows_one_that_is_being_written(tmp_path: Path) -> None:
    store = tmp_path / "run.db"
    async with open_world(store) as world:
        await _say(world, "first")
        process = await start("log", str(store), "--type", "MessageAppended", "--follow")
        try:
            assert process.stdout is not None
            assert b'"first"' in await asyncio.wait_for(process.stdout.readline(), PATIENCE)
            await _say(world, "second")
            assert b'"second"' in await asyncio.wait_for(process.stdout.readline(), PATIENCE)
            process.send_signal(signal.SIGINT)
            done = await finish(process)
        finally:
            if process.returncode is None:
                process.kill()  # it would follow for ever
    assert (done.code, done.err) == (130, "")


async def _say(world: World, text: str) -> None:
    append_message(world, spawn_agent(world, FakeProvider([])).entity, text)
    await world.commit()


@pytest.mark.parametrize(
    ("words", "code", "what"),
    [
        (["nowhere.db"], 2, "there is no store nowhere.db"),
        (["crew.py"], 1, "is no store"),
        (["run.db", "--from", "9", "--to", "3"], 2, "--from 9 lies behind --to 3"),
        (["run.db", "--from", "-1"], 2, "--from"),
    ],
)
async def test_wrong_usage_is_one_line(
    words: list[str], code: int, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    await record(capsys, tmp_path)
    complains(await run_here(capsys, "log", *words), code, what)
