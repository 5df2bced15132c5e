"""Which result belongs to which call, and that any conversation is one that every protocol takes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.providers import AnthropicProvider, GeminiProvider, OpenAIProvider, OpenAIResponsesProvider
from ecs_agent.providers.http.provider import HTTPProvider
from ecs_agent.providers.wire.call_ids import sent_ids
from ecs_agent.providers.wire.call_results import NO_RESULT, answered_calls, orphan_text, results_of_calls
from ecs_agent.testing import ScriptedTransport, WireFamily, request_problems, run
from ecs_agent.types import Message, Part, TextPart, ToolCall

USER = Message("user", "?")
PROVIDERS: dict[WireFamily, type[OpenAIProvider | OpenAIResponsesProvider | AnthropicProvider | GeminiProvider]] = {
    "openai-chat": OpenAIProvider,
    "openai-responses": OpenAIResponsesProvider,
    "anthropic": AnthropicProvider,
    "gemini": GeminiProvider,
}
IDS = st.sampled_from(["", "a", "b", "a_2", "call_1_0", "functions.f:0", "é/" * 40, "x" * 40, "x" * 64])
NAMES = st.sampled_from(["f", "g"])
WORDS = st.sampled_from(["", "word", "two words"])
PARTS = st.one_of(st.builds(TextPart, WORDS), st.builds(ToolCall, IDS, NAMES))
MESSAGES = st.one_of(
    st.builds(lambda said: Message("user", said), WORDS),
    st.builds(lambda parts: Message("assistant", parts=parts), st.lists(PARTS, max_size=4)),
    st.builds(lambda said, of, name: Message("tool", said, tool_call_id=of, name=name), WORDS, st.none() | IDS, NAMES),
)


def calling(*ids: str) -> Message:
    return Message("assistant", tool_calls=[ToolCall(call, "f") for call in ids])


def ok(call: str | None, words: str = "ok") -> Message:
    return Message("tool", words, tool_call_id=call, name="f")


@pytest.mark.parametrize(
    ("history", "results"),
    [
        ([USER], {}),
        ([calling("a")], {(0, 0): None}),
        ([calling("a", "b"), ok("b"), ok("a")], {(0, 0): 2, (0, 1): 1}),
        ([calling("a"), USER, Message("assistant", "wait"), ok("a")], {(0, 0): 3}),
        ([calling("a"), calling("a"), ok("a")], {(0, 0): None, (1, 0): 2}),
        ([calling("a", "a"), ok("a"), ok("a"), ok("a")], {(0, 0): 1, (0, 1): 2}),
        ([calling("a", "b"), ok(None), ok("a")], {(0, 0): 1, (0, 1): None}),
        ([ok("a"), calling("a")], {(1, 0): None}),
    ],
    ids=["none", "open", "out of order", "late", "an id again", "an id twice", "without an id", "before the call"],
)
def test_the_result_of_a_call(history: list[Message], results: dict[tuple[int, int], int | None]) -> None:
    assert results_of_calls(history) == results
    assert [(place, result) for place, _, result in answered_calls(history, 0, results)] == [
        (place, None if found is None else history[found]) for (at, place), found in results.items() if at == 0
    ]


def test_ids_that_are_sent_are_those_of_the_calls_where_they_are_new() -> None:
    history = [calling("a", "a"), USER, calling("a", ""), calling("x" * 9)]
    assert sent_ids(history, 9) == [{0: "a", 1: "a_2"}, {}, {0: "a_3", 1: "call"}, {0: "x" * 9}]
    assert sent_ids(history, 9, known=1) == [{0: "a", 1: "a"}, {}, {0: "a_2", 1: "call"}, {0: "x" * 9}]
    assert sent_ids([calling("é:1")], 9, any_character=True) == [{0: "é:1"}]
    assert sent_ids([calling("123456789"), calling("123456789")], 9) == [{0: "123456789"}, {0: "1234567_2"}]


def test_the_chat_protocol_gets_each_result_right_behind_its_call_and_no_other() -> None:
    history = [ok("gone", "old"), calling("a", "b"), Message("user", "well?"), ok("b", "2"), Message("assistant", "wait"), ok("b", "again")]
    assert [(made["role"], made.get("tool_call_id"), made["content"]) for made in sent("openai-chat", history)["messages"]] == [
        ("user", None, orphan_text(history[0])),
        ("assistant", None, None),
        ("tool", "a", NO_RESULT),
        ("tool", "b", "2"),
        ("user", None, "well?"),
        ("assistant", None, "wait"),
        ("user", None, orphan_text(history[5])),
    ]


@pytest.mark.parametrize("wire", PROVIDERS)
@given(history=st.lists(MESSAGES, max_size=8))
def test_any_conversation_is_one_that_its_api_takes(wire: WireFamily, history: list[Message]) -> None:
    assert request_problems(wire, sent(wire, [USER, *history, USER])) == []


@pytest.mark.parametrize("wire", PROVIDERS)
def test_what_an_api_takes_is_sent_as_it_is(wire: WireFamily) -> None:
    whole = [USER, calling("a", "b"), ok("a", "1"), ok("b", "2"), Message("assistant", "3")]
    written = str(sent(wire, whole))
    assert NO_RESULT not in written
    assert "(The result of" not in written


def sent(wire: WireFamily, history: list[Message]) -> Any:
    """The request of a conversation."""
    transport = ScriptedTransport(["Hello."])

    async def main() -> None:
        provider: HTTPProvider = PROVIDERS[wire]("sk-0123456789", "https://x.example", "m", transport=transport)
        async with provider:
            await provider.complete(history)

    run(main)
    return transport.requests[0].body


def test_only_an_assistant_calls() -> None:
    said = [Message("user", parts=[ToolCall("a", "f")]), calling("a")]
    assert sent_ids(said, 9) == [{}, {0: "a"}]
    assert results_of_calls(said) == {(1, 0): None}
    assert list(answered_calls(said, 0, results_of_calls(said))) == []


def test_a_part_that_is_no_call_has_no_result() -> None:
    parts: list[Part] = [TextPart("x"), ToolCall("a", "f")]
    assert results_of_calls([Message("assistant", parts=parts)]) == {(0, 1): None}
