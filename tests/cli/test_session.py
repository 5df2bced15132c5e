"""Ctrl-C while an answer streams, whatever the platform offers to hear of it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from ecs_agent import TextDelta
from ecs_agent.agent import AgentEvent
from ecs_agent.cli.options import Settings
from ecs_agent.cli.session import Session, new_runner

LONG = "tell me " * 100


@pytest.fixture
def session() -> Iterator[tuple[asyncio.Runner, Session]]:
    """A session with the model that repeats, outside of any event loop, as the command has it."""
    with new_runner() as runner:
        opened = runner.run(Session.open(Settings(model="fake")))
        yield runner, opened
        runner.run(opened.aclose())


def pressing(times: int) -> Callable[[AgentEvent], None]:
    """Presses Ctrl-C at the fifth piece of text."""
    texts: list[str] = []

    def show(event: AgentEvent) -> None:
        if isinstance(event, TextDelta):
            texts.append(event.text)
            if len(texts) == 5:
                for _ in range(times):
                    signal.raise_signal(signal.SIGINT)

    return show


def test_ctrl_c_completes_the_run_as_interrupted_and_keeps_what_was_said(session: tuple[asyncio.Runner, Session]) -> None:
    runner, opened = session
    completed = runner.run(opened.answer(LONG, pressing(1)))
    assert completed is not None
    assert completed.reason == "interrupted"
    last = opened.agent.messages[-1]
    assert last.content.startswith("I am ")
    assert len(last.content) < 20
    assert last.interrupted
    assert runner.run(opened.answer("Go on.", lambda _: None)) is not None


def test_ctrl_c_twice_leaves_at_once(session: tuple[asyncio.Runner, Session], monkeypatch: pytest.MonkeyPatch) -> None:
    runner, opened = session
    monkeypatch.setattr(opened.agent, "interrupt", lambda _reason: None)  # an agent that does not stop by itself
    seen = pressing(1)

    def show(event: AgentEvent) -> None:
        seen(event)
        if isinstance(event, TextDelta) and event.text == "r":
            signal.raise_signal(signal.SIGINT)

    assert runner.run(opened.answer(LONG, show)) is None
    assert opened.agent.messages[-1].role == "user" or opened.agent.messages[-1].interrupted


def test_ctrl_c_works_where_the_event_loop_hears_no_signals(session: tuple[asyncio.Runner, Session], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise NotImplementedError

    runner, opened = session
    monkeypatch.setattr(type(runner.get_loop()), "add_signal_handler", refuse)
    completed = runner.run(opened.answer(LONG, pressing(1)))
    assert completed is not None
    assert completed.reason == "interrupted"
    assert opened.agent.messages[-1].interrupted
    assert runner.run(opened.answer("Go on.", lambda _: None)) is not None


def test_uvloop_is_used_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[asyncio.AbstractEventLoop] = []

    def new_event_loop() -> asyncio.AbstractEventLoop:
        made.append(asyncio.new_event_loop())
        return made[-1]

    monkeypatch.setattr(sys.modules["ecs_agent.core.run_sync"], "find_spec", lambda _: object())
    monkeypatch.setitem(sys.modules, "uvloop", SimpleNamespace(new_event_loop=new_event_loop))
    with new_runner() as runner:
        assert made == [runner.get_loop()]
