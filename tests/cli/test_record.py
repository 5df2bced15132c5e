"""`ecs-agent record`: somebody's program in a world that keeps everything."""

from __future__ import annotations

import asyncio
import re
import signal
from pathlib import Path

import pytest
from tests.cli.commands import PATIENCE, finish, run_here, start
from tests.cli.recorded_runs import CREW, complains, record, write

from ecs_agent.store import open_world
from ecs_agent.store.recording import Recording

SLOW = CREW.replace("delay=0.005", "delay=0.3").replace("    await Runner", "    print('begun', flush=True)\n    await Runner")


async def test_it_keeps_what_happens_and_sums_it_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program, store = write(tmp_path / "crew.py", CREW + "    print('said by the program')\n"), str(tmp_path / "run.db")
    done = await run_here(capsys, "record", program, "-o", store)
    assert (done.code, done.out) == (0, "said by the program\n")
    assert re.fullmatch(rf"recorded in {re.escape(store)}: 3 agents, \d+ facts, \d\.\d s\n", done.err)
    with Recording.open(store) as recording:
        assert recording.session().is_complete
        assert f"{recording.end} facts" in done.err


async def test_it_does_not_write_over_anything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program, store = await record(capsys, tmp_path)
    before = Path(store).read_bytes()
    complains(await run_here(capsys, "record", program, "-o", store), 2, "exists; name another file, or replace it with --force")
    assert Path(store).read_bytes() == before
    assert (await run_here(capsys, "record", program, "-o", store, "--force")).code == 0
    with Recording.open(store) as recording:
        assert recording.session().is_complete


async def test_what_is_no_store_is_never_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program, letter = write(tmp_path / "crew.py"), tmp_path / "letter.txt"
    letter.write_text("Dear all, " * 100)
    complains(await run_here(capsys, "record", program, "-o", str(letter), "--force"), 1, "is no store")
    assert letter.read_text() == "Dear all, " * 100


async def test_nor_is_one_in_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program, store = write(tmp_path / "crew.py"), tmp_path / "run.db"
    async with open_world(store):
        complains(await run_here(capsys, "record", program, "-o", str(store), "--force"), 1, "is open for writing")


@pytest.mark.parametrize(
    ("words", "code", "what"),
    [
        (["crew.py"], 2, "Missing option '--out'"),
        (["nowhere.py", "-o", "run.db"], 2, "there is no Python file nowhere.py"),
        (["crew.py:other", "-o", "run.db"], 2, "has no function 'other'"),
        (["crew.py", "-o", "no/such/folder/run.db"], 1, "its folder does not exist"),
    ],
)
async def test_wrong_usage_is_one_line(
    words: list[str], code: int, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "crew.py")
    complains(await run_here(capsys, "record", *words), code, what)
    assert not Path("run.db").exists()


async def test_a_program_that_fails_is_recorded_as_far_as_it_came(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program, store = write(tmp_path / "crew.py", CREW + "    raise LookupError('no')\n"), str(tmp_path / "run.db")
    done = await run_here(capsys, "record", program, "-o", store)
    assert (done.code, done.err.splitlines()[-1]) == (1, "error: crew.py:26: LookupError: no")
    with Recording.open(store) as recording:
        assert (recording.session().ended, recording.session().error) == ("failed", "LookupError: no")
    done = await run_here(capsys, "replay", store, program)
    assert (done.code, done.out.partition(":")[0]) == (0, "the same")


@pytest.mark.parametrize("presses", [1, 2])
async def test_ctrl_c_is_recorded_too(tmp_path: Path, presses: int, capsys: pytest.CaptureFixture[str]) -> None:
    program, store = write(tmp_path / "crew.py", SLOW), str(tmp_path / "run.db")
    process = await start("record", program, "-o", store)
    assert process.stdout is not None
    assert process.stderr is not None
    assert await asyncio.wait_for(process.stdout.readline(), PATIENCE) == b"begun\n"
    await asyncio.sleep(0.8)
    process.send_signal(signal.SIGINT)
    assert (await asyncio.wait_for(process.stderr.readline(), PATIENCE)).startswith(b"stopping")
    if presses == 2:
        process.send_signal(signal.SIGINT)
    done = await finish(process)
    assert done.code == 130
    assert done.err.startswith("recorded in")
    with Recording.open(store) as recording:
        session = recording.session()
    assert ([after_step for _, after_step in session.stops], session.ended) == ([True, False][:presses], "interrupted")
    again = await run_here(capsys, "replay", store, program)
    assert (again.code, again.err) == (0, "")
