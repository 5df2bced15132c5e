from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import decimal
import enum
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from ecs_agent.errors import ToolError
from ecs_agent.tools import ToolLimits, ToolOutcome, ToolThreads, execute_call, execution, tool
from ecs_agent.tools.execution import _cut, _text
from ecs_agent.types import ImagePart, TextPart, ToolCall, ToolSchema

QUICK = ToolLimits(timeout=0.02)


@pytest.fixture
async def threads() -> AsyncIterator[ToolThreads]:
    async with ToolThreads(2) as pool:
        yield pool


@tool
async def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@tool
def add_in_thread(a: int, b: int) -> int:
    """Add, slowly."""
    assert threading.current_thread() is not threading.main_thread()
    return a + b


def call(name: str = "add", /, **arguments: Any) -> ToolCall:
    return ToolCall("c1", name, arguments)


async def outcome_of(function: Callable[[], object], threads: ToolThreads, limits: ToolLimits = ToolLimits()) -> ToolOutcome:  # noqa: B008
    return await execute_call(call("it"), function, threads=threads, limits=limits)


# The way of a call


@pytest.mark.parametrize("made", [add, add_in_thread])
async def test_a_call_becomes_text(made: Any, threads: ToolThreads) -> None:
    outcome = await execute_call(call(a=1, b="2"), made, threads=threads)
    assert (outcome.text, outcome.is_error, outcome.truncated) == ("3", False, False)
    assert 0 <= outcome.seconds < 5


async def test_invalid_arguments_never_reach_the_tool(threads: ToolThreads) -> None:
    ran: list[int] = []

    @tool
    async def note(number: int) -> None:
        ran.append(number)

    outcome = await execute_call(call("note", number="one", more=1), note, threads=threads)
    assert outcome.is_error
    assert outcome.text.startswith("The arguments of note do not fit: number should be a valid integer")
    assert "more is unknown" in outcome.text
    assert ran == []


async def test_arguments_that_were_not_json_never_reach_the_tool(threads: ToolThreads) -> None:
    cut = ToolCall("c1", "add", {}, raw_arguments='{"a": 1', arguments_error="unexpected end")
    outcome = await execute_call(cut, add, threads=threads)
    assert (outcome.text, outcome.is_error) == ("The arguments of add could not be read: unexpected end", True)


async def test_an_unknown_tool_is_answered_with_the_known_ones(threads: ToolThreads) -> None:
    outcome = await execute_call(call("sub"), None, threads=threads, known=["add", "mul"])
    assert (outcome.text, outcome.is_error) == ("There is no tool sub; the tools are: add, mul.", True)
    outcome = await execute_call(call("sub"), None, threads=threads)
    assert outcome.text == "There is no tool sub; there are no tools at all."
    outcome = await execute_call(call("sub"), None, threads=threads, known=[f"t{n}" for n in range(60)])
    assert outcome.text.endswith("t49 and 10 more.")


async def test_limits_on_arguments_hold(threads: ToolThreads) -> None:
    limits = ToolLimits(max_arguments=20, max_depth=2)
    for handler in (add, add.function):
        outcome = await execute_call(call(a=1, b="2" * 20), handler, threads=threads, limits=limits)
        assert "longer than the 20 bytes" in outcome.text
        outcome = await execute_call(call(a=[[1]]), handler, threads=threads, limits=limits)
        assert "deeper than 2" in outcome.text


def test_a_call_outside_of_a_task_is_refused() -> None:
    async def drive() -> None:
        async with ToolThreads() as threads:
            running = execute_call(call(a=1, b=2), add, threads=threads)
            refused = asyncio.get_running_loop().create_future()

            def step() -> None:
                try:
                    running.send(None)
                except RuntimeError as error:
                    refused.set_result(str(error))

            asyncio.get_running_loop().call_soon(step)
            assert "needs a task" in await refused

    asyncio.run(drive())


# Handlers that are no Tool


async def test_a_plain_async_handler_is_checked_against_its_schema(threads: ToolThreads) -> None:
    async def greet(name: str) -> str:
        return f"hello {name}"

    schema = ToolSchema("greet", "", {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]})
    good = await execute_call(call("greet", name="Ada"), greet, threads=threads, schema=schema)
    assert (good.text, good.is_error) == ("hello Ada", False)
    bad = await execute_call(call("greet", name=3), greet, threads=threads, schema=schema)
    assert (bad.text, bad.is_error) == ("The arguments of greet do not fit: name should be string, not 3 (arguments of this tool: name).", True)
    without = await execute_call(call("greet", nam="Ada"), greet, threads=threads)
    assert without.is_error
    assert "TypeError" in without.text


async def test_all_kinds_of_callables_are_awaited_or_run_in_a_thread(threads: ToolThreads) -> None:
    class Remote:
        async def __call__(self) -> str:
            await asyncio.sleep(0)
            return threading.current_thread().name

    async def inner() -> str:
        return threading.current_thread().name

    main = threading.current_thread().name
    assert (await outcome_of(Remote(), threads)).text == main
    assert (await outcome_of(lambda: inner(), threads)).text == main  # noqa: PLW0108 - a plain function around an async one
    assert (await outcome_of(lambda: threading.current_thread().name, threads)).text.startswith("ecs_agent-tool")


# Failures


async def fail() -> None:
    raise KeyError("no such city")


async def fail_later() -> None:
    await asyncio.sleep(0)
    raise KeyError("no such city")


def fail_in_thread() -> None:
    raise KeyError("no such city")


@pytest.mark.parametrize("function", [fail, fail_later, fail_in_thread])
async def test_an_exception_is_an_outcome_with_type_and_message(
    function: Callable[[], object], threads: ToolThreads, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "ecs_agent"):
        outcome = await outcome_of(function, threads)
    assert (outcome.text, outcome.is_error) == ("The tool it failed: KeyError: 'no such city'", True)
    warning, traceback = caplog.records
    assert (warning.levelname, warning.exc_info) == ("WARNING", None)
    assert traceback.levelname == "DEBUG"
    assert traceback.exc_info


async def test_a_tool_error_speaks_for_itself(threads: ToolThreads) -> None:
    async def refuse() -> None:
        raise ToolError("Ask for a smaller page.")

    outcome = await outcome_of(refuse, threads)
    assert (outcome.text, outcome.is_error) == ("Ask for a smaller page.", True)


async def test_an_exception_without_message_or_with_a_broken_one(threads: ToolThreads) -> None:
    class Mute(Exception):  # noqa: N818
        def __str__(self) -> str:
            raise RuntimeError

    async def empty() -> None:
        raise ValueError

    async def mute() -> None:
        raise Mute

    assert (await outcome_of(empty, threads)).text == "The tool it failed: ValueError"
    assert (await outcome_of(mute, threads)).text == "The tool it failed: Mute"


async def test_a_group_of_exceptions_names_its_causes(threads: ToolThreads) -> None:
    async def many() -> None:
        raise ExceptionGroup("two things", [ValueError("a"), KeyError("b")])

    assert "ValueError: a; KeyError: 'b'" in (await outcome_of(many, threads)).text


def exit_now() -> None:
    raise SystemExit(3)


async def exit_async() -> None:
    raise SystemExit(3)


async def exit_later() -> None:
    await asyncio.sleep(0)
    raise SystemExit(3)


@pytest.mark.parametrize("function", [exit_now, exit_async, exit_later])
async def test_a_tool_cannot_end_the_process(function: Callable[[], object], threads: ToolThreads) -> None:
    outcome = await outcome_of(function, threads)
    assert (outcome.text, outcome.is_error) == ("The tool it failed: it tried to end the process", True)


async def interrupt() -> None:
    raise KeyboardInterrupt


async def interrupt_later() -> None:
    await Instant()
    raise KeyboardInterrupt


class Instant:
    """An awaitable that yields once to the loop."""

    def __await__(self) -> Any:
        yield


@pytest.mark.parametrize("function", [interrupt, interrupt_later])
def test_a_keyboard_interrupt_passes(function: Callable[[], object]) -> None:
    async def run() -> None:
        async with ToolThreads() as threads:
            await outcome_of(function, threads)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(run())


# Cancelling


async def cancel_itself() -> None:
    raise asyncio.CancelledError


async def cancel_itself_later() -> None:
    await asyncio.sleep(0)
    raise asyncio.CancelledError


def cancel_in_thread() -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize("function", [cancel_itself, cancel_itself_later, cancel_in_thread])
async def test_a_cancel_of_the_tools_own_is_its_failure(function: Callable[[], object], threads: ToolThreads) -> None:
    outcome = await outcome_of(function, threads)
    assert (outcome.text, outcome.is_error) == ("The tool it failed: it was cancelled from within", True)


async def test_a_cancel_from_outside_passes_and_the_tool_cleans_up(threads: ToolThreads) -> None:
    seen: list[str] = []

    async def wait() -> None:
        seen.append("began")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            seen.append("cleaned up")

    task = asyncio.create_task(outcome_of(wait, threads))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["began", "cleaned up"]


@pytest.mark.parametrize("answer", ["value", "error"])
async def test_a_cancel_from_outside_passes_even_when_the_tool_swallows_it(answer: str, threads: ToolThreads) -> None:
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if answer == "error":
                raise ValueError from None
        return "never mind"

    task = asyncio.create_task(outcome_of(stubborn, threads))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancel_from_outside_leaves_a_thread_behind(threads: ToolThreads) -> None:
    gate = threading.Event()
    task = asyncio.create_task(outcome_of(gate.wait, threads))
    while not threads.busy:
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    assert threads.abandoned == 1


async def test_a_time_limit_around_the_call_works(threads: ToolThreads) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await outcome_of(asyncio.Event().wait, threads)


# Time


async def test_a_tool_past_its_time_is_cancelled(threads: ToolThreads) -> None:
    cleaned: list[bool] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    outcome = await outcome_of(wait, threads, QUICK)
    assert (outcome.text, outcome.is_error) == ("The tool it took longer than 0.02 s and was cancelled.", True)
    assert outcome.seconds >= 0.02
    assert cleaned == [True]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)  # no cancel is left over


@pytest.mark.parametrize("answer", ["value", "error", "timeout"])
async def test_what_comes_after_the_time_is_no_result(answer: str, threads: ToolThreads) -> None:
    async def late() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if answer == "error":
                raise ValueError from None
            if answer == "timeout":
                raise TimeoutError from None
        return "late"

    assert "took longer than 0.02 s" in (await outcome_of(late, threads, QUICK)).text


async def test_a_tool_that_ignores_its_cancel_is_closed_after_a_grace(threads: ToolThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "_GRACE", 0.01)

    async def immortal() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    outcome = await asyncio.wait_for(outcome_of(immortal, threads, QUICK), 5)
    assert outcome.is_error
    assert "took longer" in outcome.text


async def test_a_timeout_of_the_tools_own_is_its_failure(threads: ToolThreads) -> None:
    async def impatient() -> None:
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()

    assert (await outcome_of(impatient, threads)).text == "The tool it failed: TimeoutError"


async def test_a_tools_own_limit_takes_the_place_of_the_default(threads: ToolThreads) -> None:
    @tool(timeout=0.01)
    async def short() -> None:
        await asyncio.Event().wait()

    @tool(timeout=5)
    async def long() -> str:
        await asyncio.sleep(0.03)
        return "done"

    assert "0.01 s" in (await execute_call(call(), short, threads=threads)).text
    assert (await execute_call(call(), long, threads=threads, limits=QUICK)).text == "done"


async def test_a_thread_past_its_time_is_left_behind(threads: ToolThreads) -> None:
    gate = threading.Event()
    outcome = await outcome_of(gate.wait, threads, QUICK)
    gate.set()
    assert outcome.is_error
    assert outcome.text.startswith("The tool it took longer than 0.02 s")
    assert threads.abandoned == 1


async def test_when_all_threads_are_stuck_the_model_is_told(threads: ToolThreads) -> None:
    gate = threading.Event()
    for _ in range(2):
        await outcome_of(gate.wait, threads, QUICK)
    outcome = await outcome_of(lambda: "x", threads, QUICK)
    gate.set()
    assert outcome.is_error
    assert outcome.text.startswith("The tool it found no free thread")


async def test_the_time_limit_covers_what_a_plain_function_returns_to_be_awaited(threads: ToolThreads) -> None:
    outcome = await outcome_of(lambda: asyncio.Event().wait(), threads, QUICK)
    assert "took longer" in outcome.text


async def test_a_tool_sees_the_exceptions_and_values_of_what_it_awaits(threads: ToolThreads) -> None:
    loop = asyncio.get_running_loop()
    good, bad = loop.create_future(), loop.create_future()
    loop.call_soon(good.set_result, "good")
    loop.call_later(0.001, bad.set_exception, ValueError("bad"))

    async def wait() -> str:
        text: str = await good
        try:
            await bad
        except ValueError as error:
            text += f", {error}"
        return f"{text}, {await asyncio.sleep(0, 'again')}"

    assert (await outcome_of(wait, threads)).text == "good, bad, again"


# Text


class Colour(enum.Enum):
    RED = "red"


class Level(enum.StrEnum):
    HIGH = "high"


@dataclasses.dataclass
class Point:
    x: int


class Model(BaseModel):
    when: dt.date


class Foreign:
    def __repr__(self) -> str:
        return "<Foreign>"


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("as it is", "as it is"),
        ("", ""),
        (None, "null"),
        (True, "true"),
        (3, "3"),
        (1.5, "1.5"),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        ("ü", "ü"),
        (["ü"], '["ü"]'),
        (Colour.RED, "red"),
        ([Colour.RED], '["red"]'),
        (Level.HIGH, "high"),
        (Point(1), '{"x":1}'),
        (Model(when=dt.date(2026, 1, 31)), '{"when":"2026-01-31"}'),
        ([Model(when=dt.date(2026, 1, 31))], '[{"when":"2026-01-31"}]'),
        (decimal.Decimal("1.50"), '"1.50"'),
        ({1: "x"}, '{"1":"x"}'),
        (b"text", "text"),
        (Foreign(), "<Foreign>"),
        ([Foreign()], "[<Foreign>]"),
        (Broken(), "<Broken>"),
        (10**30, str(10**30)),
        ({(1, 2): 3}, "{(1, 2): 3}"),
    ],
)
def test_results_become_text(result: object, text: str) -> None:
    assert _text(result) == text


def test_a_result_that_contains_itself_has_a_repr() -> None:
    looped: list[Any] = []
    looped.append(looped)
    assert _text(looped) == "[[...]]"


PICTURE = ImagePart(data=b"png")


@pytest.mark.parametrize(
    ("result", "text", "images"),
    [
        (PICTURE, "", (PICTURE,)),
        (["a chart", PICTURE, TextPart("and its legend")], "a chart\nand its legend", (PICTURE,)),
        ((PICTURE, PICTURE), "", (PICTURE, PICTURE)),
        (["a", "b"], '["a","b"]', ()),
        ([], "[]", ()),
    ],
)
async def test_a_result_may_hold_pictures(result: object, text: str, images: tuple[ImagePart, ...], threads: ToolThreads) -> None:
    outcome = await outcome_of(lambda: result, threads)
    assert (outcome.text, outcome.images, outcome.is_error) == (text, images, False)


async def test_pictures_among_other_things_are_no_result_with_pictures(threads: ToolThreads) -> None:
    outcome = await outcome_of(lambda: [PICTURE, 7], threads)
    assert (outcome.images, outcome.is_error) == ((), False)
    assert "ImagePart" in outcome.text or "png" in outcome.text or "cG5n" in outcome.text


async def test_pictures_that_are_too_large_are_refused(threads: ToolThreads) -> None:
    outcome = await outcome_of(lambda: [PICTURE, PICTURE], threads, ToolLimits(max_images=5))
    assert (outcome.is_error, outcome.images) == (True, ())
    assert outcome.text == "The tool returned pictures of 6 bytes, which is more than the 5 that are allowed."


async def test_bytes_that_are_no_text_are_refused(threads: ToolThreads) -> None:
    outcome = await outcome_of(lambda: b"\xff\xfe", threads)
    assert (outcome.text, outcome.is_error) == ("The tool returned 2 bytes that are not text; it should return text.", True)


async def test_output_is_cut_with_a_marker(threads: ToolThreads) -> None:
    async def talk() -> str:
        return "é" * 1000

    outcome = await outcome_of(talk, threads, ToolLimits(max_output=256))
    assert outcome.truncated
    assert not outcome.is_error
    assert outcome.text.endswith("\n[cut off: the output has 2000 bytes, the limit is 256]")
    assert len(outcome.text.encode()) in (255, 256)


async def test_error_texts_are_cut_as_well(threads: ToolThreads) -> None:
    async def rant() -> str:
        raise ValueError("x" * 1000)

    outcome = await outcome_of(rant, threads, ToolLimits(max_output=256))
    assert (outcome.is_error, outcome.truncated, len(outcome.text)) == (True, True, 256)


@given(st.text(st.characters(), max_size=600), st.integers(256, 600))
def test_a_cut_keeps_whole_characters_within_the_limit(text: str, limit: int) -> None:
    text *= 3
    shown, truncated = _cut(text, limit)
    sendable = text.encode(errors="replace").decode()
    assert len(shown.encode()) <= limit
    assert truncated == (len(sendable.encode()) > limit)
    kept = shown.rpartition("\n[cut off")[0] if truncated else shown
    assert sendable.startswith(kept)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_results_are_json(value: Any) -> None:
    text = _text(value)
    assert text == value if isinstance(value, str) else json.loads(text) == value


# Limits


@pytest.mark.parametrize(
    "wrong", [{"timeout": 0}, {"timeout": float("inf")}, {"timeout": float("nan")}, {"max_output": 255}, {"max_arguments": 1}, {"max_depth": 0}]
)
def test_limits_that_limit_nothing_or_everything_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ToolLimits(**wrong)
