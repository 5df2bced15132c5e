"""Running the command as a user does: in a process of its own, with pipes or in a terminal."""

from __future__ import annotations

import asyncio
import codecs
import io
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from ecs_agent.cli.__main__ import main

PATIENCE = 20.0
"""Seconds after which a test gives up; nothing here takes one."""

CHOICES = re.compile(
    r"(OPENAI|LLM|ANTHROPIC|GEMINI|GOOGLE)_|NO_COLOR|FORCE_COLOR|TTY_|COLUMNS|ECS_AGENT_DEBUG|PYTHONUNBUFFERED|.*_proxy", re.IGNORECASE
)
"""The variables by which a user chooses a model, a key, colours or how output is buffered."""

STYLES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x01|\x02")

_IN_ITS_OWN_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without the choices of its user."""
    kept = {name: value for name, value in os.environ.items() if not CHOICES.match(name)}
    return {**kept, "TERM": "xterm-256color", "PYTHONWARNINGS": "error", **(extra or {})}


async def start(*words: str, env: Mapping[str, str] | None = None) -> asyncio.subprocess.Process:
    """Begin a command with pipes at all ends."""
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "ecs_agent.cli", *words)
    return await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment(env), preexec_fn=_hear_interrupts)


def _hear_interrupts() -> None:
    """As in a terminal: a shell lets what it runs in the background ignore Ctrl-C, and so would all that these tests start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


async def finish(process: asyncio.subprocess.Process, written: str = "") -> Done:
    """Write standard input and wait for the end."""
    out, err = await asyncio.wait_for(process.communicate(written.encode() if process.stdin else None), PATIENCE)
    assert process.returncode is not None
    return Done(process.returncode, (out or b"").decode(), (err or b"").decode())


async def run_here(capsys: pytest.CaptureFixture[str], *words: str, written: str = "") -> Done:
    """A command from begin to end in a thread of this process: much faster, and enough where neither signals nor real pipes matter."""
    before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(written.encode()))
    try:
        code = await asyncio.wait_for(asyncio.to_thread(main, words), PATIENCE)
    finally:
        sys.stdin = before
    shown = capsys.readouterr()
    return Done(code, shown.out, shown.err)


async def run_command(*words: str, written: str = "", env: Mapping[str, str] | None = None) -> Done:
    """A command from begin to end."""
    return await finish(await start(*words, env=env), written)


class Terminal:
    """A terminal with the command in it: what was shown, and a keyboard."""

    def __init__(self, master: int, process: asyncio.subprocess.Process) -> None:
        self._master = master
        self._process = process
        self._news = asyncio.Event()
        self._seen = 0
        self._closed = False
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.raw = ""
        asyncio.get_running_loop().add_reader(master, self._read)

    @property
    def text(self) -> str:
        """What was shown, without styles."""
        return STYLES.sub("", self.raw).replace("\r", "")

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    async def until(self, text: str) -> None:
        """Wait until this is shown, behind what was waited for before."""
        while (at := self.raw.find(text, self._seen)) < 0:
            assert not self._closed, f"it ended without showing {text!r}: {self.raw!r}"
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), PATIENCE)
            except TimeoutError:
                raise AssertionError(f"it did not show {text!r}: {self.raw!r}") from None
        self._seen = at + len(text)

    async def prompt(self) -> None:
        """Wait until a line can be typed."""
        await self.until("› ")  # noqa: RUF001 - the prompt
        await asyncio.sleep(0.05)  # readline writes the prompt before it takes the keyboard over, and says nothing then

    async def end(self) -> int:
        """Wait for the end; the exit code."""
        return await asyncio.wait_for(self._process.wait(), PATIENCE)

    def _read(self) -> None:
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux says so when the last one has closed the terminal
            data = b""
        if not data:
            self._closed = True
            asyncio.get_running_loop().remove_reader(self._master)
        self.raw += self._decoder.decode(data)
        self._news.set()


@asynccontextmanager
async def terminal(*words: str, env: Mapping[str, str] | None = None) -> AsyncIterator[Terminal]:
    """Run a command in a terminal of its own."""
    master, slave = os.openpty()
    command = (sys.executable, "-c", _IN_ITS_OWN_TERMINAL, "-m", "ecs_agent.cli", *words)
    process = await asyncio.create_subprocess_exec(*command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=environment(env))
    os.close(slave)
    screen = Terminal(master, process)
    try:
        yield screen
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
            await process.wait()
        asyncio.get_running_loop().remove_reader(master)
        os.close(master)
