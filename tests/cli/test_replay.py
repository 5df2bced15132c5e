"""`ecs-agent replay`: a session once more, for people; or for a program, which is to do the same."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.cli.commands import run_here, terminal
from tests.cli.recorded_runs import CREW, complains, record, write


def without_times(shown: str) -> list[str]:
    return [line[9:].rstrip() for line in shown.splitlines()]


class TestWatching:
    async def test_it_shows_who_said_what(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        _, store = await record(capsys, tmp_path)
        done = await run_here(capsys, "replay", store, "--speed", "max")
        assert (done.code, done.err) == (0, "")
        lines = without_times(done.out)
        assert lines[:3] == [f"scout {number} ← What is a journal?" for number in range(3)]
        assert 'scout 0 → look_up(word="journal")' in lines
        assert "scout 0 ← journal was found" in lines
        assert "scout 0: A journal keeps what happened." in lines
        assert "scout 2 ✗ the key is wrong" in lines
        said = " ".join(
            " ".join(line.removeprefix("scout 1:") for line in lines if line.startswith("scout 1:") or not line.startswith("scout")).split()
        )
        assert said == "I have nothing to say. Nothing at all."
        assert "\x1b" not in done.out

    async def test_at_the_recorded_pace_or_another(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        _, store = await record(capsys, tmp_path, CREW.replace("delay=0.005", "delay=0.05"))
        took: dict[str, float] = {}
        for speed in ("1", "100", "max"):
            began = time.monotonic()
            done = await run_here(capsys, "replay", store, "--speed", speed)
            took[speed] = time.monotonic() - began
            assert done.code == 0
        assert took["1"] > 0.4
        assert took["max"] < took["1"]
        assert took["100"] < took["1"]

    @pytest.mark.parametrize("words", [["--until", "3"], ["--until-seq", "1:4"], ["--until-type", "SystemPromptComponent"]])
    async def test_until_somewhere(self, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        _, store = await record(capsys, tmp_path)
        assert (await run_here(capsys, "replay", store, *words)).out == ""
        done = await run_here(capsys, "replay", store, "--until-type", "MessageAppended")
        assert without_times(done.out) == ["scout 0 ← What is a journal?"]

    async def test_step_by_step(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        _, store = await record(capsys, tmp_path)
        done = await run_here(capsys, "replay", store, "--step", written="\n\n")
        assert (done.code, without_times(done.out)) == (0, [f"scout {number} ← What is a journal?" for number in range(2)])

    async def test_step_by_step_in_a_terminal(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        _, store = await record(capsys, tmp_path)
        async with terminal("replay", store, "--step", "--no-color") as screen:
            for number in range(3):
                await screen.until("⏎")
                screen.type("\n")
                await screen.until(f"scout {number}")
            screen.type("\x04")
            assert await screen.end() == 0
            assert "let me see" not in screen.text.lower()


class TestVerifying:
    @pytest.mark.parametrize("speed", [[], ["--speed", "max"], ["--speed", "10"]])
    async def test_the_same_program_does_the_same(self, speed: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        program, store = await record(capsys, tmp_path)
        done = await run_here(capsys, "replay", store, program, *speed)
        assert (done.code, done.err) == (0, "")
        assert done.out.startswith("the same: 3 entities, ")

    @pytest.mark.parametrize(
        ("before", "after", "told"),
        [
            ("Be brief.", "Be long.", "diverged at position 3: entity 1: SystemPromptComponent.content: 'Be brief.' ≠ 'Be long.'\n"),
            ("look_up", "find", "entity 1: ToolRegistryComponent.tools.look_up: {"),
            (', [[AuthenticationError("the key is wrong")]]', "", "entity 3, fact 1: EntityCreated was recorded, now there is nothing\n"),
            ("What is", "\\x1b[2JWhere is", "entity 1: ConversationComponent.messages[0].content: 'What is a journal?' ≠ "),
        ],
    )
    async def test_another_one_is_told_in_one_line(
        self, before: str, after: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        _, store = await record(capsys, tmp_path)
        done = await run_here(capsys, "replay", store, write(tmp_path / "other.py", CREW.replace(before, after)))
        assert (done.code, done.err, done.out.count("\n")) == (1, "", 1)
        assert told in done.out
        assert "\x1b" not in done.out

    async def test_as_far_as_a_position(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        _, store = await record(capsys, tmp_path)
        other = write(tmp_path / "other.py", CREW.replace("Be brief.", "Be long."))
        assert (await run_here(capsys, "replay", store, other, "--until", "2")).out.startswith("the same: 1 entities, 3 facts")
        assert (await run_here(capsys, "replay", store, other, "--until", "3")).code == 1

    async def test_one_that_raises_where_it_did_not_is_told(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        _, store = await record(capsys, tmp_path)
        other = write(tmp_path / "other.py", CREW + "    raise LookupError('no')\n")
        complains(await run_here(capsys, "replay", store, other), 1, "other.py:26: LookupError: no")


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["nowhere.db"], "there is no store nowhere.db"),
        (["crew.py"], "is no store"),
        (["run.db", "nowhere.py"], "there is no Python file"),
        (["run.db", "--speed", "fast"], "--speed is 'fast'; give 1 for the recorded pace, 10 for ten times that, or max"),
        (["run.db", "--speed", "0"], "--speed is '0'"),
        (["run.db", "--speed", "inf"], "--speed is 'inf'"),
        (["run.db", "--until", "9999"], "run.db has no position 9999; its last one is "),
        (["run.db", "--until-seq", "x"], "--until-seq is 'x'; give an entity and the number of one of its facts, as in 3:17"),
        (["run.db", "--until-seq", "1:9999"], "run.db has no fact 9999 of entity 1"),
        (["run.db", "--until-type", "Nothing"], "run.db has no fact of the type Nothing"),
        (["run.db", "--until", "1", "--until-type", "TurnStarted"], "name one place to stop at"),
        (["run.db", "crew.py", "--step"], "--step shows a recording step by step; leave the program out"),
    ],
)
async def test_wrong_usage_is_one_line(
    words: list[str], what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    await record(capsys, tmp_path)
    complains(await run_here(capsys, "replay", *words), 2, what)
