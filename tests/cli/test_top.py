"""`ecs-agent top`: somebody's program in a world, a table while it runs, and an exit code that tells the truth."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from tests.cli.commands import PATIENCE, finish, run_command, run_here, start, terminal

AGENTS = """
import asyncio
from ecs_agent import Runner, World, append_message, spawn_agent
from ecs_agent.providers import FakeProvider


def crew(world: World, *answer, count: int = 3, delay: float = 0.01):
    agents = [spawn_agent(world, FakeProvider([list(answer)], by="word", delay=delay)) for _ in range(count)]
    for agent in agents:
        append_message(world, agent.entity, "Go.")
    return agents


"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return tmp_path / "crew.py"


def write(program: Path, code: str) -> str:
    program.write_text(AGENTS + code)
    return str(program)


async def test_it_runs_main_and_says_how_the_agents_ended(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(program, "async def main(world):\n    crew(world, 'Done.')\n    await Runner().run(world)\n    print('said by the program')")
    done = await run_here(capsys, "top", source)
    assert (done.code, done.err) == (0, "")
    assert "said by the program\n" in done.out
    assert done.out.splitlines()[-1].startswith("3 agents: 3 idle")
    assert "3 of 3 done (3 idle)" in done.out
    assert "\x1b" not in done.out


async def test_another_function_can_be_named(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(program, "async def other(world: World) -> None:\n    crew(world, 'Done.', count=2)\n    await Runner().run(world)")
    done = await run_here(capsys, "top", f"{source}:other")
    assert (done.code, done.out.splitlines()[-1].partition(" · ")[0]) == (0, "2 agents: 2 idle")


async def test_what_it_imports_from_beside_it_is_found(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (program.parent / "its_neighbour_4711.py").write_text("WORD = 'found'")
    source = write(program, "from its_neighbour_4711 import WORD\nasync def main(world):\n    print(WORD)")
    done = await run_here(capsys, "top", source)
    assert (done.code, done.out.splitlines()[0]) == (0, "found")


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("", "crew.py has no function 'main'; define 'async def main(world: World) -> None', or name another one: {source}:FUNCTION"),
        ("def main(world): ...", "'main' in {source} is not an async function that takes a world"),
        ("async def main(): ...", "'main' in {source} is not an async function that takes a world"),
        ("async def main(world, more): ...", "'main' in {source} is not an async function that takes a world"),
        ("main = 1", "'main' in {source} is not an async function that takes a world"),
        ("import no_such_module_4711", "importing {source} failed: crew.py:14: ModuleNotFoundError: No module named 'no_such_module_4711'"),
        ("raise SystemExit(3)", "importing {source} failed: crew.py:14: SystemExit: 3"),
        ("def main(:", "SyntaxError: invalid syntax"),
    ],
)
async def test_a_file_that_is_no_program_is_told_in_one_line(program: Path, code: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(program, code)
    done = await run_here(capsys, "top", source)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert complaint.format(source=source) in done.err


@pytest.mark.parametrize("source", ["nowhere.py", "nowhere.py:main", "crew", "crew:main", ".", ""])
async def test_a_file_that_is_not_there_is_told_in_one_line(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    done = await run_here(capsys, "top", source)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "there is no Python file" in done.err


async def test_what_the_program_raises_is_told_with_its_place(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(program, "async def main(world):\n    crew(world, 'Done.')\n    raise ValueError('no\\x1b[2J\\nsuch thing')")
    done = await run_here(capsys, "top", source)
    assert (done.code, done.err) == (1, "error: crew.py:16: ValueError: no such thing\n")
    assert done.out.startswith("3 agents: 3 ready")


async def test_debugging_shows_the_whole_way(program: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ECS_AGENT_DEBUG", "1")
    done = await run_here(capsys, "top", write(program, "async def main(world):\n    raise ValueError('no')"))
    assert done.code == 1
    assert "Traceback (most recent call last)" in done.err


async def test_a_program_that_cancels_itself_failed(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = await run_here(capsys, "top", write(program, "async def main(world):\n    raise asyncio.CancelledError"))
    assert (done.code, done.err) == (1, "error: crew.py: CancelledError: it was cancelled\n")


async def test_ctrl_c_lets_the_agents_finish_what_they_are_at(program: Path) -> None:
    code = "async def main(world):\n    crew(world, 'one ', 1.0, 'two', delay=0.05)\n    print('begun', flush=True)\n    await Runner().run(world)\n    print('over')"
    process = await start("top", write(program, code))
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), PATIENCE) == b"begun\n"
    await asyncio.sleep(0.3)
    process.send_signal(signal.SIGINT)
    done = await finish(process)
    assert (done.code, done.err) == (130, "stopping: the agents finish what they are at; Ctrl-C again ends it at once\n")
    assert "over\n" in done.out
    assert "3 of 3 done (3 idle)" in done.out.splitlines()[-1]


async def test_a_program_that_would_begin_anew_is_ended_all_the_same(program: Path) -> None:
    code = "async def main(world):\n    print('begun', flush=True)\n    while True:\n        crew(world, 'one ', 'two', delay=0.1)\n        await Runner().run(world)"
    process = await start("top", write(program, code))
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), PATIENCE) == b"begun\n"
    await asyncio.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert (await finish(process)).code == 130


async def test_ctrl_c_twice_ends_it_at_once(program: Path) -> None:
    code = "async def main(world):\n    crew(world, 'one ', 600.0, 'two')\n    print('begun', flush=True)\n    await Runner().run(world)"
    process = await start("top", write(program, code))
    assert process.stdout is not None
    assert process.stderr is not None
    assert await asyncio.wait_for(process.stdout.readline(), PATIENCE) == b"begun\n"
    await asyncio.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert (await asyncio.wait_for(process.stderr.readline(), PATIENCE)).startswith(b"stopping")
    process.send_signal(signal.SIGINT)
    done = await finish(process)
    assert (done.code, done.err) == (130, "")
    assert "3 of 3 done (3 interrupted)" in done.out


async def test_ctrl_c_ends_a_program_whose_world_does_not_run(program: Path) -> None:
    process = await start("top", write(program, "async def main(world):\n    print('begun', flush=True)\n    await asyncio.sleep(600)"))
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), PATIENCE) == b"begun\n"
    process.send_signal(signal.SIGINT)
    done = await finish(process)
    assert (done.code, done.err) == (130, "")


async def test_a_reader_that_left_is_no_defect(program: Path) -> None:
    process = await start("top", write(program, "async def main(world):\n    crew(world, 'one ', 0.5, 'two')\n    await Runner().run(world)"))
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.close()
    process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
    assert (await asyncio.wait_for(process.wait(), PATIENCE), await process.stderr.read()) == (141, b"")


async def test_in_a_terminal_it_is_a_table_that_gives_the_terminal_back(program: Path) -> None:
    source = write(program, "async def main(world):\n    crew(world, 'one ', 1.0, 'two')\n    await Runner().run(world)")
    async with terminal("top", source) as screen:
        await screen.until("3 streaming")
        await screen.until("3 of 3 done")
        assert await screen.end() == 0
        assert "agent 1" in screen.text
        assert screen.raw.count("\x1b[?25l") == screen.raw.count("\x1b[?25h") == 1


async def test_without_colours_there_are_lines_in_a_terminal_too(program: Path) -> None:
    source = write(program, "async def main(world):\n    crew(world, 'one ', 'two')\n    await Runner().run(world)")
    async with terminal("top", source, "--no-color") as screen:
        await screen.until("3 of 3 done (3 idle)")
        assert await screen.end() == 0
        assert "\x1b" not in screen.raw


async def test_help_says_what_it_takes() -> None:
    done = await run_command("top", "--help")
    assert done.code == 0
    assert "async def main(world)" in " ".join(done.out.split())
