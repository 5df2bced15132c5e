"""`ecs-agent run` in real pipes, against a real server: the answer alone on standard output, and an exit code that tells the truth."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.cli.commands import CHOICES, PATIENCE, environment, finish, run_command, run_here, start

from ecs_agent.errors import AuthenticationError, RateLimitError, StreamInterruptedError
from ecs_agent.testing import LoopbackServer, Reply, chat_reply, chunk, error_reply
from ecs_agent.types import ToolCall

CANARY = "sk-canary-4711"
ADD = ToolCall("call_1", "add", {"a": 2, "b": 3})

TOOLS = '''
from ecs_agent import tool


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b
'''


@pytest.fixture(autouse=True)
def a_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if CHOICES.match(name)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)


@pytest.fixture
def tools(tmp_path: Path) -> str:
    path = tmp_path / "tools.py"
    path.write_text(TOOLS)
    return str(path)


def model_at(server: LoopbackServer) -> list[str]:
    return ["--model", "test", "--base-url", server.base_url]


async def test_the_answer_alone_is_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    async with LoopbackServer([chat_reply("Hello, world.", pause=0.01)]) as server:
        done = await run_here(capsys, "run", "Greet.", *model_at(server))
    assert (done.code, done.out) == (0, "Hello, world.\n")
    assert re.fullmatch(r"[\d.]+ s to first token · [\d.,]+ tokens/s · 10 tokens in, 5 out\n", done.err)


async def test_quiet_says_nothing_else(tools: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with LoopbackServer([chat_reply(tool_calls=[ADD]), chat_reply("Five.")]) as server:
        done = await run_here(capsys, "run", "Add.", "--quiet", "--tools", tools, *model_at(server))
    assert (done.code, done.out, done.err) == (0, "Five.\n", "")


async def test_text_is_written_while_the_model_still_speaks_and_ctrl_c_stops_it() -> None:
    async with LoopbackServer([chat_reply("one two three", finish=False, end="stall")]) as server:
        process = await start("run", "Count.", *model_at(server))
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        assert await asyncio.wait_for(process.stdout.readexactly(13), PATIENCE) == b"one two three"
        process.send_signal(signal.SIGINT)
        done = await finish(process)
        await asyncio.wait_for(server.requests[0].closed.wait(), PATIENCE)
        assert server.requests[0].cut_off
    assert (done.code, done.out, done.err) == (130, "\n", "")


async def test_ctrl_c_before_the_first_word_ends_it_too() -> None:
    async with LoopbackServer([Reply(end="silent")]) as server:
        process = await start("run", "Count.", *model_at(server))
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(PATIENCE):
            while not server.requests:
                await asyncio.sleep(0.01)
        process.send_signal(signal.SIGINT)
        done = await finish(process)
    assert (done.code, done.out, done.err) == (130, "", "")


@pytest.mark.parametrize(
    ("words", "written", "prompt"),
    [
        (["What is this?"], "", "What is this?"),
        ([], "piped\ntext\n", "piped\ntext"),
        (["-"], "piped", "piped"),
        (["What is this?"], "diff --git\n+a\n", "What is this?\n\ndiff --git\n+a"),
    ],
)
async def test_the_prompt_is_the_argument_or_standard_input_or_both(
    words: list[str], written: str, prompt: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with LoopbackServer([chat_reply("Yes.")]) as server:
        done = await run_here(capsys, "run", *words, *model_at(server), written=written)
    assert done.code == 0
    assert server.requests[0].body["messages"] == [{"role": "user", "content": prompt}]


async def test_options_reach_the_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "key"
    key.write_text("sk-from-a-file\n")
    words = ["--system", "Be brief.", "--max-tokens", "7", "--temperature", "0", "--api-key-file", str(key)]
    async with LoopbackServer([chat_reply("Yes.")]) as server:
        done = await run_here(capsys, "run", "Hi.", *words, *model_at(server))
    request = server.requests[0]
    assert done.code == 0
    assert request.headers["authorization"] == "Bearer sk-from-a-file"
    assert request.body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (request.body["max_tokens"], request.body["temperature"], request.body["model"]) == (7, 0.0, "test")


async def test_a_tool_is_run_and_shown_on_standard_error(tools: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with LoopbackServer([chat_reply("Let me see.", tool_calls=[ADD]), chat_reply("Five.")]) as server:
        done = await run_here(capsys, "run", "Add.", "--tools", tools, *model_at(server))
    assert (done.code, done.out) == (0, "Let me see.\nFive.\n")
    assert done.err.startswith("→ add(a=2, b=3)\n← 5\n")
    assert server.requests[1].body["messages"][-1]["content"] == "5"


async def test_json_is_one_event_a_line(tools: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with LoopbackServer([chat_reply("Hm é \x1b[2J", tool_calls=[ADD]), chat_reply("Five.")]) as server:
        done = await run_here(capsys, "run", "Add.", "--json", "--tools", tools, *model_at(server))
    assert (done.code, done.err) == (0, "")
    assert done.out.isascii()
    assert "\x1b" not in done.out
    records = [json.loads(line) for line in done.out.splitlines()]
    assert list(dict.fromkeys(record["type"] for record in records)) == [
        *("turn_started", "text_delta", "tool_call_started", "tool_call_delta", "tool_call_completed", "usage_reported", "finished"),
        *("tool_execution_started", "tool_execution_completed", "run_completed"),
    ]
    assert "".join(record["text"] for record in records if record["type"] == "text_delta") == "Hm é \x1b[2JFive."
    executed = next(record for record in records if record["type"] == "tool_execution_completed")
    assert executed["call"] == {"id": "call_1", "name": "add", "arguments": {"a": 2, "b": 3}}
    assert (executed["text"], executed["is_error"]) == ("5", False)
    last = records[-1]
    assert (last["type"], last["reason"], last["text"], last["turns"]) == ("run_completed", "idle", "Five.", 2)
    assert last["usage"]["total_tokens"] == 30


async def test_json_is_written_while_the_model_still_speaks() -> None:
    async with LoopbackServer([chat_reply("one", finish=False, end="stall")]) as server:
        process = await start("run", "Count.", "--json", *model_at(server))
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        first = await asyncio.wait_for(process.stdout.readuntil(b'"text": "one"}\n'), PATIENCE)
        process.send_signal(signal.SIGINT)
        done = await finish(process)
    last = json.loads(done.out.splitlines()[-1])
    assert json.loads(first.splitlines()[-1]) == {"type": "text_delta", "text": "one"}
    assert (done.code, last["type"], last["reason"], last["text"]) == (130, "run_completed", "interrupted", "one")


async def test_a_failure_in_json_is_the_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    async with LoopbackServer([chat_reply("half an", finish=False, end="reset")]) as server:
        done = await run_here(capsys, "run", "Speak.", "--json", *model_at(server))
    last = json.loads(done.out.splitlines()[-1])
    assert done.code == 1
    assert (last["type"], last["kind"], last["text"]) == ("error", "stream_interrupted", "half an")
    assert done.err == f"error: {last['message']}\n"


HTML = Reply([b"<html><body>\x1b[31mPlease log in</body></html>"], 200, {"content-type": "text/html"})


@pytest.mark.parametrize(
    ("reply", "partial"),
    [
        pytest.param(error_reply(401, f"Incorrect API key provided: {CANARY}."), "", id="wrong key"),
        pytest.param(error_reply(404, "The model `test` does not exist."), "", id="unknown model"),
        pytest.param(error_reply(429, "Too many requests.", headers={"retry-after": "3"}), "", id="rate limit"),
        pytest.param(error_reply(500, "oh\nno\n" * 500), "", id="server"),
        pytest.param(HTML, "", id="a page instead of a stream"),
        pytest.param(chat_reply("half an", finish=False, end="reset"), "half an\n", id="reset"),
        pytest.param(chat_reply("half an", finish=False), "half an\n", id="ended early"),
        pytest.param(Reply([chunk({"content": "half an"}), b'data: {"error": {"message": "overloaded"}}\n\n']), "half an\n", id="error inside"),
    ],
)
async def test_a_failure_is_one_line_without_the_key_and_keeps_the_partial_text(
    reply: Reply, partial: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with LoopbackServer([reply]) as server:
        done = await run_here(capsys, "run", "Speak.", *model_at(server))
    assert (done.code, done.out) == (1, partial)
    assert re.fullmatch(r"error: [^\n]+\n", done.err)
    assert CANARY not in done.err
    assert "\x1b" not in done.err
    assert "Traceback" not in done.err


async def test_a_server_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    done = await run_here(capsys, "run", "Speak.", "--model", "test", "--base-url", "http://127.0.0.1:9/v1")
    assert (done.code, done.out) == (1, "")
    assert re.fullmatch(r"error: http://127\.0\.0\.1:9 refused the connection[^\n]+\n", done.err)


async def test_escape_sequences_do_not_reach_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    pieces = [chunk({"content": piece}) for piece in ["safe \x1b", "]0;ti", "tle\x07", "text \x1b[3", "1mred", "\x1b[2"]]
    async with LoopbackServer([Reply([*pieces, chunk(finish="stop"), b"data: [DONE]\n\n"])]) as server:
        done = await run_here(capsys, "run", "Speak.", *model_at(server))
    assert (done.code, done.out) == (0, "safe text red␛[2\n")


async def test_an_answer_that_was_cut_at_the_limit_says_so_also_when_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    async with LoopbackServer([Reply([chunk({"content": "half"}), chunk(finish="length"), b"data: [DONE]\n\n"])]) as server:
        done = await run_here(capsys, "run", "Speak.", "--quiet", *model_at(server))
    assert (done.code, done.out, done.err) == (0, "half\n", "note: the answer was cut at the token limit\n")


async def test_a_reader_that_leaves_ends_the_answer_at_once() -> None:
    reader, writer = os.pipe()
    async with LoopbackServer([chat_reply("line\n " * 10_000, pause=0.005)]) as server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ecs_agent.cli", "run", "Speak.", *model_at(server)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=writer,
            stderr=asyncio.subprocess.PIPE,
            env=environment(),
        )
        os.close(writer)
        assert await asyncio.to_thread(os.read, reader, 4) == b"line"
        os.close(reader)
        done = await finish(process)
        await asyncio.wait_for(server.requests[0].closed.wait(), PATIENCE)
    assert (done.code, done.err) == (141, "")


async def test_the_fake_model_needs_nothing() -> None:
    done = await run_command("run", "Hello.", "--model", "fake")
    assert (done.code, done.out) == (0, "I am no model, I repeat. You said: Hello.\n")


SERVICES = [
    ("anthropic/claude-opus-5", "ANTHROPIC", "/v1/messages"),
    ("claude/claude-opus-5", "ANTHROPIC", "/v1/messages"),
    ("gemini/gemini-3-flash", "GEMINI", "/v1/models/gemini-3-flash:streamGenerateContent?alt=sse"),
    ("openai-responses/gpt-5", "OPENAI", "/v1/responses"),
]


@pytest.mark.parametrize(("model", "service", "path"), SERVICES)
async def test_a_service_is_asked_in_its_own_protocol(
    model: str, service: str, path: str, tools: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with LoopbackServer([[ADD], "Five."]) as server:
        monkeypatch.setenv(f"{service}_BASE_URL", server.base_url)
        monkeypatch.setenv(f"{service}_API_KEY", CANARY)
        done = await run_here(capsys, "run", "Add.", "--quiet", "--tools", tools, "--model", model)
    assert (done.code, done.out, done.err) == (0, "Five.\n", "")
    assert [request.path for request in server.requests] == [path] * 2
    assert CANARY in f"{server.requests[0].headers}"


@pytest.mark.parametrize(
    ("answer", "out", "words"),
    [
        (AuthenticationError(f"wrong key: {CANARY}"), "", "did not accept the API key"),
        (RateLimitError("slow down", retry_after=99.0), "", "asks to wait 99 s"),
        (["half ", StreamInterruptedError("lost")], "half \n", "lost in the middle of the answer"),
    ],
)
@pytest.mark.parametrize(("model", "service", "path"), SERVICES)
async def test_what_a_service_refuses_is_one_line(
    model: str, service: str, path: str, answer: Any, out: str, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with LoopbackServer([answer]) as server:
        monkeypatch.setenv(f"{service}_BASE_URL", server.base_url)
        monkeypatch.setenv(f"{service}_API_KEY", CANARY)
        done = await run_here(capsys, "run", "Hi", "--model", model)
    assert (done.code, done.out, done.err.count("\n")) == (1, out, 1)
    assert words in done.err
    assert CANARY not in done.err


@pytest.mark.parametrize(("model", "service", "path"), SERVICES)
async def test_an_address_that_is_none_is_told_by_its_variable(
    model: str, service: str, path: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{service}_BASE_URL", "nonsense")
    monkeypatch.setenv(f"{service}_API_KEY", CANARY)
    done = await run_here(capsys, "run", "Hi", "--model", model)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: {service}_BASE_URL 'nonsense' is no URL; it looks like https://api.example.com/v1")
