"""`ecs-agent diff`: in what stores, moments and entities differ."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.commands import run_here
from tests.cli.recorded_runs import CREW, complains, record, write


async def test_stores_that_are_alike_differ_in_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, store = await record(capsys, tmp_path)
    done = await run_here(capsys, "diff", store, store)
    assert (done.code, done.out, done.err) == (0, "", "")


async def test_others_differ_in_their_entities(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, store = await record(capsys, tmp_path)
    other = str(tmp_path / "other.db")
    code = CREW.replace("Be brief.", "Be long.").replace("[[AuthenticationError", "['x'], [[AuthenticationError")
    await run_here(capsys, "record", write(tmp_path / "other.py", code), "-o", other)
    done = await run_here(capsys, "diff", store, other)
    assert (done.code, done.err) == (1, "")
    lines = done.out.splitlines()
    assert "entity 1.SystemPromptComponent.content: 'Be brief.' ≠ 'Be long.'" in lines
    assert any(line.startswith(f"only in {other}: entity 4 (") for line in lines)
    assert "\x1b" not in done.out


async def test_so_do_two_moments_of_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, store = await record(capsys, tmp_path)
    done = await run_here(capsys, "diff", f"{store}@2", f"{store}@3")
    assert (done.code, done.out) == (1, "entity 1.SystemPromptComponent: (nothing) ≠ {'content': 'Be brief.'}\n")


async def test_and_two_entities(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, store = await record(capsys, tmp_path)
    done = await run_here(capsys, "diff", store, "--entity", "1", "--entity", "3")
    assert done.code == 1
    assert "NameComponent.name: 'scout 0' ≠ 'scout 2'" in done.out.splitlines()
    assert f"only in {store}, entity 3: ErrorComponent (error, system_name, timestamp, kind, retryable, retry_at)" in done.out.splitlines()


async def test_or_one_entity_at_two_moments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, store = await record(capsys, tmp_path)
    done = await run_here(capsys, "diff", f"{store}@6", store, "--entity", "1")
    assert done.code == 1
    assert "ConversationComponent.messages[0]: (nothing) ≠ {'role': 'user', 'content': 'What is a journal?'}" in done.out.splitlines()


async def test_a_file_whose_name_has_an_at_is_that_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, store = await record(capsys, tmp_path)
    named = tmp_path / "run@3"
    named.write_bytes(Path(store).read_bytes())
    assert (await run_here(capsys, "diff", store, str(named))).code == 0


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["run.db"], "name two stores, or one store and two entities"),
        (["run.db", "run.db", "run.db"], "name two stores, or one store and two entities"),
        (["run.db", "nowhere.db"], "there is no store nowhere.db"),
        (["nowhere.db@3", "run.db"], "there is no store nowhere.db"),
        (["run.db@x", "run.db"], "'x' is no position in run.db; give a number, as in run.db@120"),
        (["run.db@9999", "run.db"], "run.db has no position 9999; its last one is "),
        (["run.db", "--entity", "1", "--entity", "99"], "run.db has no entity 99"),
        (["run.db@3", "run.db", "--entity", "2"], "run.db has no entity 2 at position 3"),
        (["run.db", "crew.py"], "is no store"),
    ],
)
async def test_trouble_is_one_line_and_another_exit_code(
    words: list[str], what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    await record(capsys, tmp_path)
    complains(await run_here(capsys, "diff", *words), 2, what)
