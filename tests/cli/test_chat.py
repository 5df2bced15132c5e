"""`ecs-agent chat` in a terminal of its own: it streams, Ctrl-C stops an answer and nothing else, failures do not end the conversation."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from tests.cli.commands import PATIENCE, run_here, terminal

from ecs_agent.testing import LoopbackServer, Reply, chat_reply, chunk, error_reply
from ecs_agent.types import ToolCall

pytest.importorskip("termios", reason="terminals of this kind exist on Linux and macOS")

STALLED = chat_reply("one two three", finish=False, end="stall")

TOOLS = '''
import asyncio

from ecs_agent import tool


@tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
async def wait() -> str:
    """Wait for ever."""
    await asyncio.Event().wait()
'''


@pytest.fixture
def tools(tmp_path: Path) -> str:
    path = tmp_path / "tools.py"
    path.write_text(TOOLS)
    return str(path)


def model_at(server: LoopbackServer) -> list[str]:
    return ["--model", "test", "--base-url", server.base_url]


def contents(server: LoopbackServer, request: int) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in server.requests[request].body["messages"]]


async def test_a_conversation_reads_calmly_from_the_first_line_to_the_last(tools: str) -> None:
    add = ToolCall("call_1", "add", {"a": 2, "b": 3})
    thinking = Reply([chunk({"reasoning_content": "two and three"}), chunk({"content": "\n\nFive."}), chunk(finish="stop"), b"data: [DONE]\n\n"])
    async with (
        LoopbackServer([chat_reply(tool_calls=[add]), thinking, chat_reply("You too.")]) as server,
        terminal("chat", "--tools", tools, *model_at(server)) as screen,
    ):
        await screen.prompt()
        screen.type("Add.\n")
        await screen.until("Five.")
        await screen.prompt()
        screen.type("Thanks.\n")
        await screen.until("You too.")
        await screen.prompt()
        screen.type("\x04")
        assert await screen.end() == 0
    text = re.sub(r"[\d.,]+ s to first token( · [\d.,]+ tokens/s)? · ", "", screen.text)
    header, conversation = text.split("\n\n", 1)
    assert re.fullmatch(r"ecs-agent \S+ · test\nCtrl-C stops an answer, Ctrl-D leaves\.", header)
    assert conversation == (
        "› Add.\n…→ add(a=2, b=3)\n← 5\n…two and three\nFive.\n10 tokens in, 5 out\n\n› Thanks.\n…You too.\n10 tokens in, 5 out\n\n› \n"  # noqa: RUF001
    )
    assert "\x1b[2mtwo and three\x1b[0m" in screen.raw
    assert "\x1b[36m→ add(a=2, b=3)\x1b[0m" in screen.raw
    assert contents(server, 2)[-2:] == [("assistant", "\n\nFive."), ("user", "Thanks.")]


async def test_ctrl_c_stops_the_answer_and_keeps_what_was_said() -> None:
    async with LoopbackServer([STALLED, chat_reply("Four.")]) as server, terminal("chat", *model_at(server)) as screen:
        await screen.prompt()
        screen.type("Count.\n")
        await screen.until("one two three")
        screen.type("\x03")
        await screen.until("stopped")
        await asyncio.wait_for(server.requests[0].closed.wait(), PATIENCE)
        await screen.prompt()
        screen.type("Go on.\n")
        await screen.until("Four.")
        await screen.prompt()
        screen.type("\x03")  # at the empty prompt it leaves
        assert await screen.end() == 0
    assert contents(server, 1) == [("user", "Count."), ("assistant", "one two three"), ("user", "Go on.")]


async def test_ctrl_c_stops_a_tool_and_the_conversation_stays_valid(tools: str) -> None:
    wait = ToolCall("call_1", "wait", {})
    async with (
        LoopbackServer([chat_reply(tool_calls=[wait]), chat_reply("Fine.")]) as server,
        terminal("chat", "--tools", tools, *model_at(server)) as screen,
    ):
        await screen.prompt()
        screen.type("Wait.\n")
        await screen.until("→ wait()")
        await asyncio.sleep(0.05)
        screen.type("\x03")
        await screen.until("stopped")
        await screen.prompt()
        screen.type("Never mind.\n")
        await screen.until("Fine.")
        await screen.prompt()
        screen.type("\x04")
        assert await screen.end() == 0
    assert [role for role, _ in contents(server, 1)] == ["user", "assistant", "tool", "user"]


async def test_ctrl_c_on_a_typed_line_clears_it_and_the_arrow_keys_bring_lines_back() -> None:
    pytest.importorskip("readline")
    async with LoopbackServer([chat_reply("Yes.")]) as server, terminal("chat", *model_at(server)) as screen:
        await screen.prompt()
        screen.type("First.\n")
        await screen.until("Yes.")
        await screen.prompt()
        screen.type("never sent")
        await screen.until("never sent")
        await asyncio.sleep(0.2)  # as any person is slower: readline overlooks a signal that comes before it waits for the next key
        screen.type("\x03")
        await screen.prompt()
        screen.type("\x1b[A")
        await screen.until("First.")
        screen.type("\n")
        await screen.until("Yes.")
        await screen.prompt()
        screen.type("\x04")
        assert await screen.end() == 0
    assert [contents(server, request)[-1] for request in (0, 1)] == [("user", "First.")] * 2


async def test_a_failure_is_one_line_and_the_conversation_goes_on() -> None:
    replies = [chat_reply("half an", finish=False, end="reset"), error_reply(429, "Too many requests."), chat_reply("Whole.")]
    async with LoopbackServer(replies) as server, terminal("chat", *model_at(server)) as screen:
        for _ in range(3):
            await screen.prompt()
            screen.type("Speak.\n")
            await screen.until("Speak.")
        await screen.until("Whole.")
        await screen.prompt()
        screen.type("\x04")
        assert await screen.end() == 0
    assert re.search(r"half an\nerror: [^\n]+\n\n› ", screen.text)  # noqa: RUF001
    assert len(re.findall(r"^…?error: ", screen.text, re.MULTILINE)) == 2
    assert "Traceback" not in screen.text
    assert ("assistant", "half an") in contents(server, 2)


async def test_many_failures_in_a_row_do_not_end_the_conversation() -> None:
    refused = [error_reply(401, "Incorrect API key.")] * 5
    async with LoopbackServer([*refused, chat_reply("At last.")]) as server, terminal("chat", *model_at(server)) as screen:
        for _ in range(6):
            await screen.prompt()
            screen.type("Speak.\n")
            await screen.until("Speak.")
        await screen.until("At last.")
        await screen.prompt()
        screen.type("\x04")
        assert await screen.end() == 0
    assert screen.text.count("error: ") == 5


async def test_neither_the_model_nor_we_write_escape_sequences_where_none_are_wanted() -> None:
    pieces = [chunk({"content": piece}) for piece in ["safe \x1b", "]0;ti", "tle\x07", "text \x1b[3", "1mred"]]
    async with (
        LoopbackServer([Reply([*pieces, chunk(finish="stop"), b"data: [DONE]\n\n"])]) as server,
        terminal("chat", *model_at(server), env={"NO_COLOR": "1"}) as screen,
    ):
        await screen.prompt()
        screen.type("Speak.\n")
        await screen.until("safe text red")
        await screen.prompt()
        screen.type("\x04")
        assert await screen.end() == 0
    assert "\x1b]" not in screen.raw
    assert not re.search(r"\x1b\[[\d;]*m", screen.raw)


async def test_a_connection_that_the_server_closed_while_the_user_was_typing_is_not_used() -> None:
    async with LoopbackServer([chat_reply("One."), chat_reply("Two.")]) as server, terminal("chat", *model_at(server)) as screen:
        await screen.prompt()
        screen.type("First.\n")
        await screen.until("One.")
        await screen.prompt()
        for connection in server._serving.values():
            connection.close()
        await asyncio.sleep(0.05)
        screen.type("Second.\n")
        await screen.until("Two.")
        await screen.prompt()
        screen.type("\x04")
        assert await screen.end() == 0
    assert "error: " not in screen.text


async def test_lines_from_a_pipe_are_answered_one_after_another(capsys: pytest.CaptureFixture[str]) -> None:
    async with LoopbackServer([chat_reply("One."), chat_reply("Two.")]) as server:
        done = await run_here(capsys, "chat", *model_at(server), written="first\n\nsecond")
    assert (done.code, done.out) == (0, "One.\nTwo.\n")
    assert contents(server, 1) == [("user", "first"), ("assistant", "One."), ("user", "second")]


async def test_a_failed_answer_of_a_pipe_shows_in_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    async with LoopbackServer([error_reply(500, "broken"), chat_reply("Two.")]) as server:
        done = await run_here(capsys, "chat", *model_at(server), written="first\nsecond\n")
    assert (done.code, done.out) == (1, "Two.\n")
    assert done.err.count("error: ") == 1
