"""Fault plans against providers: a thousand in memory on the virtual clock, dozens over real sockets, and liars that are caught."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.testing import liars

from ecs_agent.errors import ErrorKind
from ecs_agent.providers import AnthropicProvider, GeminiProvider, OpenAIProvider, OpenAIResponsesProvider, RetryProvider
from ecs_agent.providers.script import Step
from ecs_agent.providers.transport import Transport
from ecs_agent.testing import BrokenLawError, FaultPlan, Law, WireFamily, assert_fault_laws, run, scripted_reply
from ecs_agent.types import ReasoningPart, ToolCall, Usage

CALLS: list[Step] = ["Let me see what there is. ", ToolCall("c1", "look_up", {"a": 1}), ToolCall("c2", "look_up", {"b": 2}), Usage(1, 2, 3)]


def in_memory(transport: Transport) -> OpenAIProvider:
    strict: dict[str, Any] = {"max_streams": 1, "pool_timeout": 1.0}  # so that a slot that leaks is a timeout
    return OpenAIProvider("k", "http://127.0.0.1/v1", "m", transport=transport, read_timeout=5.0, **strict)


def over_sockets(url: str) -> OpenAIProvider:
    return OpenAIProvider("k", url, "m", read_timeout=0.5, tail_timeout=0.2)


STRICT: dict[str, Any] = {"read_timeout": 5.0, "max_streams": 1, "pool_timeout": 1.0}
SHORT: dict[str, Any] = {"read_timeout": 0.5, "tail_timeout": 0.2}

OTHERS: dict[WireFamily, Callable[..., Any]] = {
    "openai-responses": lambda url, **http: OpenAIResponsesProvider("k", url, "m", **http),
    "anthropic": lambda url, **http: AnthropicProvider("k", url, "claude-test", **http),
    "gemini": lambda url, **http: GeminiProvider("k", url, "gemini-3-flash", **http),
}
"""The providers of the other protocols, by the address of a server that speaks theirs."""

THOUGHTS: list[Step] = [ReasoningPart("Hm. Two of them."), *CALLS]


@pytest.mark.no_cover  # dozens cover what thousands run
@pytest.mark.parametrize("block", range(10))
def test_a_thousand_plans_end_as_they_must(block: int) -> None:
    plans = [FaultPlan.random(seed) for seed in range(100 * block, 100 * (block + 1))]
    run(lambda: assert_fault_laws(in_memory, plans, over="memory"))


async def test_dozens_of_plans_end_as_they_must_over_real_sockets() -> None:
    await assert_fault_laws(over_sockets, [FaultPlan.random(seed) for seed in range(36)])


@pytest.mark.no_cover
@pytest.mark.parametrize("block", range(3))
@pytest.mark.parametrize("wire", OTHERS)
def test_hundreds_of_plans_end_as_they_must_in_every_protocol(wire: WireFamily, block: int) -> None:
    plans = [FaultPlan.random(seed) for seed in range(100 * block, 100 * (block + 1))]
    run(
        lambda: assert_fault_laws(
            lambda transport: OTHERS[wire]("http://127.0.0.1/v1", transport=transport, **STRICT), plans, over="memory", wire=wire
        )
    )


@pytest.mark.parametrize("wire", OTHERS)
async def test_dozens_of_plans_end_as_they_must_over_real_sockets_in_every_protocol(wire: WireFamily) -> None:
    await assert_fault_laws(lambda url: OTHERS[wire](url, **SHORT), [FaultPlan.random(seed) for seed in range(24)], wire=wire)


@pytest.mark.no_cover
@pytest.mark.parametrize("wire", OTHERS)
@pytest.mark.parametrize(("end", "step"), [("eof", 1), ("reset", 7), ("stall", 7)])
def test_an_answer_of_any_protocol_that_is_cut_at_any_byte_is_never_a_success(wire: WireFamily, end: Any, step: int) -> None:
    length = sum(len(piece) for piece in scripted_reply(THOUGHTS, FaultPlan(by="chunk"), wire=wire).pieces if isinstance(piece, bytes))
    plans = [FaultPlan(cut_at_byte=at, end=end, by="chunk") for at in range(0, length + 1, step)]
    make = OTHERS[wire]
    run(
        lambda: assert_fault_laws(
            lambda transport: make("http://127.0.0.1/v1", transport=transport, **STRICT), plans, answer=THOUGHTS, over="memory", wire=wire
        )
    )


@pytest.mark.parametrize("wire", OTHERS)
@pytest.mark.parametrize("kind", list(ErrorKind))
def test_every_kind_of_error_is_told_in_every_protocol(wire: WireFamily, kind: ErrorKind) -> None:
    plans = [FaultPlan(refuse=kind), FaultPlan(fail_after=3, fail_with=kind), FaultPlan(fail_after=0, fail_with=kind)]
    run(
        lambda: assert_fault_laws(
            lambda transport: OTHERS[wire]("http://127.0.0.1/v1", transport=transport, **STRICT), plans, answer=CALLS, over="memory", wire=wire
        )
    )


def test_thoughts_of_two_items_are_two_texts() -> None:
    answer: list[Step] = [ReasoningPart("One."), "So far. ", ReasoningPart(""), ReasoningPart("Two."), ReasoningPart(" And on."), "Done."]
    make = OTHERS["openai-responses"]
    run(
        lambda: assert_fault_laws(
            lambda transport: make("http://127.0.0.1/v1", transport=transport, **STRICT),
            [FaultPlan()],
            answer=answer,
            over="memory",
            wire="openai-responses",
        )
    )


@pytest.mark.no_cover
def test_a_retry_provider_reports_streams_as_they_are() -> None:
    plans = [FaultPlan.random(seed) for seed in range(100)]
    run(lambda: assert_fault_laws(lambda transport: RetryProvider(in_memory(transport)), plans, over="memory"))


@pytest.mark.no_cover
def test_a_plain_generator_over_a_server_can_be_held_against_them_too() -> None:
    run(lambda: assert_fault_laws(liars.OverHTTP, [FaultPlan.random(seed) for seed in range(100)], over="memory"))


@pytest.mark.no_cover
@pytest.mark.parametrize(("end", "step"), [("eof", 1), ("reset", 5), ("stall", 5)])
def test_an_answer_that_is_cut_at_any_byte_is_never_a_success(end: Any, step: int) -> None:
    length = sum(len(piece) for piece in scripted_reply(CALLS, FaultPlan(by="chunk")).pieces if isinstance(piece, bytes))
    plans = [FaultPlan(cut_at_byte=at, end=end, by="chunk") for at in range(0, length + 1, step)]
    run(lambda: assert_fault_laws(in_memory, plans, answer=CALLS, over="memory"))


@pytest.mark.parametrize("kind", list(ErrorKind))
async def test_every_kind_of_error_comes_through_real_sockets(kind: ErrorKind) -> None:
    plans = [FaultPlan(refuse=kind), FaultPlan(fail_after=3, fail_with=kind), FaultPlan(fail_after=0, fail_with=kind)]
    await assert_fault_laws(over_sockets, plans, answer=CALLS)


@pytest.mark.parametrize(
    ("liar", "plan", "law", "difference"),
    [
        (liars.TakesACutForTheEnd, FaultPlan(cut_after=3), Law.FAULT, "expected an error of kind 'stream_interrupted' after 3 deltas, got a whole"),
        (liars.CallsEverythingAnInterruption, FaultPlan(refuse=ErrorKind.MALFORMED), Law.FAULT, "expected an error of kind 'malformed'"),
        (liars.LosesTheUsage, FaultPlan(), Law.FAULT, "got None"),
        (liars.LosesADelta, FaultPlan(), Law.FAULT, "expected the text 'Let me see what there is. '"),
        (liars.KeepsTheLastCallOnly, FaultPlan(), Law.FAULT, "expected the tool calls"),
        (liars.KeepsTheConnection, FaultPlan(fail_after=3), Law.RELEASED, "still open after"),
        (liars.PassesABugOnFromTheCall, FaultPlan(), Law.TYPED, "KeyError was raised"),
        (liars.PassesABugOnFromTheStream, FaultPlan(), Law.TYPED, "TimeoutError was raised"),
        (liars.LosesThePartialOverHTTP, FaultPlan(cut_after=0), Law.PARTIAL, "has no partial result"),
        (liars.DoesNotAsk, FaultPlan(by="chunk"), Law.FAULT, "was not asked"),
        (lambda transport: liars.OverHTTP(transport, read_timeout=None), FaultPlan(cut_after=3, end="stall"), Law.FAULT, "still waits after 30.0 s"),
    ],
    ids=["cut", "kind", "usage", "delta", "call", "connection", "bug", "bug-later", "partial", "idle", "hang"],
)
def test_whoever_reports_something_else_is_told_the_plan(liar: Callable[[Transport], Any], plan: FaultPlan, law: Law, difference: str) -> None:
    with pytest.raises(AssertionError) as caught:
        run(lambda: assert_fault_laws(liar, [plan], answer=CALLS, over="memory"))
    assert isinstance(caught.value, BrokenLawError)
    assert caught.value.law is law
    assert difference in caught.value.difference
    assert f"plan: {plan!r}" in str(caught.value)
