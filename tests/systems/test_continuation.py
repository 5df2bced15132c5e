"""Continuing an answer: what is sent for it, and what of the continuation is an echo."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.components import StreamStateComponent
from ecs_agent.providers.capabilities import Capabilities
from ecs_agent.streaming import fold
from ecs_agent.systems.continuation import ECHO_FROM, GO_ON, EchoGuard, continuation, is_continuable
from ecs_agent.types import CitationPart, Message, OpaquePart, ReasoningPart, StreamDelta, ToolCall, ToolCallFragment, Usage

SAID = "It was a dark and stormy night"


class Can:
    def __init__(self, capabilities: Capabilities) -> None:
        self.capabilities = capabilities


def test_what_is_sent_depends_on_what_the_provider_can() -> None:
    partial = Message("assistant", parts=[ReasoningPart("hm"), *Message("assistant", SAID).parts], interrupted=True)
    said = Message("assistant", SAID)
    assert continuation(partial, Can(Capabilities(prefill=True))) == [said]
    assert continuation(partial, Can(Capabilities(prefill=False, continuation=True))) == [said, Message("user", GO_ON)]
    assert continuation(partial, Can(Capabilities(prefill=False, continuation=False))) is None
    assert continuation(partial, object()) == [said, Message("user", GO_ON)]


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        ([StreamDelta("text")], True),
        ([StreamDelta(reasoning="hm"), StreamDelta("text")], True),
        ([StreamDelta("text"), StreamDelta(parts=(CitationPart("https://example.org"),))], True),
        ([StreamDelta("text", usage=Usage(1, 1, 2))], True),
        ([], False),
        ([StreamDelta(" \n")], False),
        ([StreamDelta(reasoning="hm")], False),
        ([StreamDelta("text"), StreamDelta(reasoning="hm")], False),
        ([StreamDelta("text"), StreamDelta(refusal="no")], False),
        ([StreamDelta("text"), StreamDelta(parts=(OpaquePart("x", {}),))], False),
        ([StreamDelta("text"), StreamDelta(tool_calls=[ToolCall("c", "f", {})])], False),
        ([StreamDelta("text"), StreamDelta(tool_fragments=(ToolCallFragment(0, "c", "f"),))], False),
    ],
)
def test_only_text_can_be_gone_on_with(deltas: list[StreamDelta], expected: bool) -> None:
    assert is_continuable(StreamStateComponent(1, deltas)) is expected


def seen(said: str, deltas: list[StreamDelta]) -> list[StreamDelta]:
    guard = EchoGuard(said)
    return [*[shown for delta in deltas for shown in guard.take([delta])], *guard.rest()]


def cut(text: str, places: list[int]) -> list[StreamDelta]:
    at = [0, *sorted({place % (len(text) + 1) for place in places}), len(text)]
    return [StreamDelta(text[start:end]) for start, end in pairwise(at) if text[start:end]]


@given(st.text("abc ", min_size=ECHO_FROM, max_size=40), st.text("abc ", max_size=60), st.lists(st.integers(0, 100), max_size=8))
def test_a_whole_echo_goes_and_nothing_else_however_it_is_cut(said: str, rest: str, places: list[int]) -> None:
    assert fold(seen(said, cut(said + rest, places))).message.content == rest
    other = rest if not rest.startswith(said) else "x" + rest
    assert fold(seen(said, cut(other, places))).message.content == other


@given(st.lists(st.integers(0, 100), max_size=8))
def test_nothing_is_shown_that_is_taken_out_later(places: list[int]) -> None:
    guard, text = EchoGuard(SAID), ""
    for delta in cut(SAID + " in May", places):
        text += "".join([shown.content or "" for shown in guard.take([delta])])
        assert " in May".startswith(text)


def test_a_short_answer_may_be_repeated() -> None:
    short = SAID[: ECHO_FROM - 1]
    assert seen(short, [StreamDelta(short)]) == [StreamDelta(short)]


def test_what_comes_beside_the_text_of_an_echo_is_kept_in_its_order() -> None:
    usage, final = Usage(1, 2, 3), StreamDelta(" in May", finish_reason="stop", final=True)
    deltas = [StreamDelta(reasoning="hm"), StreamDelta(SAID[:5]), StreamDelta(usage=usage), StreamDelta(SAID[5:], reasoning="so"), final]
    assert seen(SAID, deltas) == [StreamDelta(reasoning="hm"), StreamDelta(usage=usage), StreamDelta(reasoning="so"), final]


def test_what_comes_before_any_text_is_shown_at_once() -> None:
    assert EchoGuard(SAID).take([StreamDelta(reasoning="hm")]) == [StreamDelta(reasoning="hm")]


def test_an_answer_that_ends_with_its_echo_ends() -> None:
    assert seen(SAID, [StreamDelta(SAID, finish_reason="stop", final=True)]) == [StreamDelta(finish_reason="stop", final=True)]
