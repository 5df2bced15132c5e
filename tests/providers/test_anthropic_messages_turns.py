"""Conversations as turns of the Messages protocol, valid wherever they came from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.providers.messages_wire import JSON, assert_valid

from ecs_agent.providers.anthropic_messages.turns import SILENCE, may_think, system_of, turns_of, unsent_blanks, without_thoughts
from ecs_agent.providers.wire.call_ids import sendable_id
from ecs_agent.providers.wire.call_results import NO_RESULT
from ecs_agent.types import CitationPart, ImagePart, Message, OpaquePart, Part, ReasoningPart, RefusalPart, TextPart, ToolCall

USER = Message("user", "?")
THOUGHT: list[Part] = [ReasoningPart("t"), OpaquePart("anthropic", {"signature": "S"})]
ASKED = OpaquePart("anthropic", {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}})
FOUND = OpaquePart("anthropic", {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []})


def text(said: str) -> JSON:
    return {"type": "text", "text": said}


def result(call: str, said: str = "ok") -> JSON:
    return {"type": "tool_result", "tool_use_id": call, "content": said}


def use(call: str) -> JSON:
    return {"type": "tool_use", "id": call, "name": "f", "input": {}}


def said(*parts: Part) -> Message:
    return Message("assistant", parts=parts)


def calling(*ids: str) -> Message:
    return Message("assistant", tool_calls=[ToolCall(call, "f") for call in ids])


def ok(call: str, words: str = "ok") -> Message:
    return Message("tool", words, tool_call_id=call)


def test_system_messages_are_joined_in_order_by_a_blank_line() -> None:
    assert system_of([Message("system", "a"), USER, Message("system", " "), Message("system", "b")]) == "a\n\nb"
    assert system_of([USER]) == ""


def test_messages_of_one_role_are_one_turn() -> None:
    history = [Message("user", "a"), Message("system", "s"), Message("user", "b"), Message("assistant", "c"), Message("assistant", "d"), USER]
    assert turns_of(history) == [
        {"role": "user", "content": [text("a"), text("b")]},
        {"role": "assistant", "content": [text("c"), text("d")]},
        {"role": "user", "content": [text("?")]},
    ]


def test_results_stand_right_behind_their_calls_before_what_the_user_says() -> None:
    history = [USER, calling("a", "b"), Message("user", "hurry"), ok("b", "2"), ok("a", "1")]
    assert turns_of(history)[1:] == [
        {"role": "assistant", "content": [use("a"), use("b")]},
        {"role": "user", "content": [result("a", "1"), result("b", "2"), text("hurry")]},
    ]


def test_a_result_that_came_late_stands_where_it_belongs() -> None:
    turns = turns_of([USER, calling("a"), Message("user", "well?"), Message("assistant", "wait"), ok("a", "1"), Message("user", "thanks")])
    assert turns[2] == {"role": "user", "content": [result("a", "1"), text("well?")]}
    assert turns[4] == {"role": "user", "content": [text("thanks")]}


def test_a_call_without_a_result_is_told_to_have_none() -> None:
    none = {"type": "tool_result", "tool_use_id": "a", "content": NO_RESULT, "is_error": True}
    assert turns_of([USER, calling("a")])[2:] == [{"role": "user", "content": [none]}]
    assert turns_of([USER, calling("a"), Message("user", "stop")])[2:] == [{"role": "user", "content": [none, text("stop")]}]


def test_a_result_without_a_call_is_told_in_words() -> None:
    orphan = text("(The result of an earlier call of a tool: 7)")
    assert turns_of([ok("x", "7"), USER]) == [{"role": "user", "content": [orphan, text("?")]}]
    assert turns_of([USER, calling("a"), ok("a"), ok("a", "7")])[2] == {"role": "user", "content": [result("a"), orphan]}


def test_results_of_one_id_answer_the_calls_in_their_order() -> None:
    turns = turns_of([USER, calling("a", "a"), ok("a", "1"), ok("a", "2")])
    assert turns[1:] == [
        {"role": "assistant", "content": [use("a"), use("a_2")]},
        {"role": "user", "content": [result("a", "1"), result("a_2", "2")]},
    ]


def test_an_id_that_is_used_again_means_the_newer_call() -> None:
    turns = turns_of([USER, calling("a"), USER, calling("a"), ok("a", "7")])
    lost = {"type": "tool_result", "tool_use_id": "a", "content": NO_RESULT, "is_error": True}
    assert [turn["content"] for turn in turns[1:]] == [[use("a")], [lost, text("?")], [use("a_2")], [result("a_2", "7")]]


def test_one_message_object_that_stands_twice_is_two_messages() -> None:
    same = ok("a")
    assert_valid(turns_of([USER, calling("a"), same, calling("a"), same]))


@pytest.mark.parametrize(
    ("ids", "sent"),
    [
        (["call:1/x"], [sendable_id("call:1/x", 64)]),
        ([""], ["call"]),
        (["a", "a", "a"], ["a", "a_2", "a_3"]),
        (["a.b", "a_b"], [sendable_id("a.b", 64), "a_b"]),
        (["ü"], [sendable_id("ü", 64)]),
    ],
)
def test_ids_that_the_api_refuses_are_rewritten_for_call_and_result_alike(ids: list[str], sent: list[str]) -> None:
    history = [USER]
    for number, call in enumerate(ids):
        history += [calling(call), ok(call, str(number))]
    turns = turns_of(history)
    assert [turn["content"][0]["id"] for turn in turns if turn["role"] == "assistant"] == sent
    assert [turn["content"][0] for turn in turns[2::2]] == [result(call, str(number)) for number, call in enumerate(sent)]


def test_an_assistant_that_speaks_first_answers_silence() -> None:
    assert turns_of([Message("assistant", "Hello"), USER])[0] == {"role": "user", "content": [text(SILENCE)]}
    assert turns_of([]) == [{"role": "user", "content": [text(SILENCE)]}]
    assert turns_of([said(*THOUGHT), USER]) == [{"role": "user", "content": [text("?")]}]


def test_what_is_blank_is_left_out_and_what_it_parted_is_joined() -> None:
    history = [USER, Message("assistant", " \n"), Message("user", "b"), Message("assistant"), Message("user", "")]
    assert turns_of(history) == [{"role": "user", "content": [text("?"), text("b")]}]


def test_thoughts_go_back_with_their_signatures_but_not_at_the_end_of_a_turn() -> None:
    hidden = OpaquePart("anthropic", {"type": "redacted_thinking", "data": "E"})
    history = [USER, said(*THOUGHT, hidden, TextPart("a"), *THOUGHT, hidden), USER]
    assert turns_of(history)[1]["content"] == [{"type": "thinking", "thinking": "t", "signature": "S"}, hidden.data, text("a")]


def test_what_another_family_keeps_or_thinks_is_set_aside() -> None:
    other = OpaquePart("openai-responses", {"type": "reasoning", "id": "r"})
    call = ToolCall("c", "f", opaque={"gemini": {"signature": "G"}})
    message = said(ReasoningPart("t", {"openai-chat": {"signature": "X"}}), other, TextPart("a"), RefusalPart("no"), ImagePart(data=b"x"), call)
    assert turns_of([USER, message, ok("c")])[1]["content"] == [text("a"), text("no"), use("c")]


def test_the_last_words_of_an_assistant_have_no_blanks_behind_them() -> None:
    assert turns_of([USER, Message("assistant", "so \n")])[1]["content"] == [text("so")]
    assert turns_of([USER, Message("assistant", "so "), USER])[1]["content"] == [text("so ")]


@pytest.mark.parametrize(
    ("history", "blanks"),
    [
        ([Message("assistant", "so \n")], " \n"),
        ([USER, Message("assistant", "so \n"), Message("system", "s ")], " \n"),
        ([USER, said(TextPart("a "), *THOUGHT, TextPart("so \n"), *THOUGHT)], " \n"),
        ([USER, said(TextPart("a "), RefusalPart("no\n"))], "\n"),
        ([USER, Message("assistant", "so")], ""),
        ([USER, Message("assistant", " ")], ""),
        ([USER, Message("assistant", "so "), Message("user", "? ")], ""),
        ([USER, said(TextPart("so "), ToolCall("a", "f"))], ""),
        ([USER, said(TextPart("so "), ASKED)], ""),
        ([USER, said(*THOUGHT)], ""),
        ([USER], ""),
        ([], ""),
    ],
)
def test_blanks_are_unsent_where_they_end_the_text_that_an_answer_goes_on_with(history: list[Message], blanks: str) -> None:
    assert unsent_blanks(history) == blanks


def test_what_the_servers_tools_were_asked_stands_with_its_answer_or_last() -> None:
    assert turns_of([USER, said(TextPart("a"), ASKED)])[1]["content"] == [text("a"), ASKED.data]
    assert turns_of([USER, said(TextPart("a"), ASKED), said(FOUND, TextPart("b"))])[1]["content"] == [text("a"), ASKED.data, FOUND.data, text("b")]
    assert turns_of([USER, said(TextPart("a"), ASKED), USER])[1]["content"] == [text("a")]
    assert turns_of([USER, said(FOUND, TextPart("b")), USER])[1]["content"] == [text("b")]
    assert turns_of([USER, said(ASKED), USER]) == [{"role": "user", "content": [text("?"), text("?")]}]


def test_thoughts_are_taken_out_of_last_words_only() -> None:
    thinking = {"type": "thinking", "thinking": "t", "signature": "S"}
    begun, paused = [USER, said(*THOUGHT, TextPart("a"))], [USER, said(*THOUGHT, TextPart("a"), ASKED)]
    assert without_thoughts(turns_of(begun))[1]["content"] == [text("a")]
    assert without_thoughts(turns_of([USER, said(*THOUGHT, ToolCall("c", "f")), ok("c"), said(*THOUGHT, TextPart("a"))])) == [
        {"role": "user", "content": [text("?")]},
        {"role": "assistant", "content": [thinking, use("c")]},
        {"role": "user", "content": [result("c")]},
        {"role": "assistant", "content": [text("a")]},
    ]
    assert without_thoughts(turns_of(paused))[1]["content"] == [thinking, text("a"), ASKED.data]
    assert without_thoughts(turns_of([*begun, USER]))[1]["content"] == [thinking, text("a")]


@pytest.mark.parametrize(
    ("history", "allowed"),
    [
        ([USER], True),
        ([USER, Message("assistant", "a"), USER], True),
        ([USER, calling("a"), ok("a")], False),
        ([USER, said(*THOUGHT, ToolCall("a", "f")), ok("a")], True),
        ([USER, said(*THOUGHT, ToolCall("a", "f")), ok("a"), calling("b"), ok("b")], True),
        ([USER, calling("a"), ok("a"), said(*THOUGHT, ToolCall("b", "f")), ok("b")], False),
        ([USER, calling("a"), ok("a"), Message("user", "and?")], True),
        ([USER, Message("assistant", "begun")], False),
        ([USER, said(*THOUGHT, TextPart("begun"))], False),
        ([USER, said(*THOUGHT, TextPart("a"), ASKED)], True),
        ([USER, said(TextPart("a"), ASKED)], False),
        ([Message("user", [OpaquePart("anthropic", result("a"))])], True),  # of a conversation that was truncated by its user
    ],
)
def test_a_budget_is_given_only_where_the_turn_began_with_thoughts(history: list[Message], allowed: bool) -> None:
    assert may_think(turns_of(history)) is allowed


IDS = st.sampled_from(["a", "b", "call:1", "", "toolu_1"])
TEXTS = st.sampled_from(["", " ", "\n", "x", "x y ", " z"])
PARTS = st.one_of(
    TEXTS.map(TextPart),
    TEXTS.map(ReasoningPart),
    TEXTS.map(RefusalPart),
    st.builds(ToolCall, IDS, st.just("f")),
    st.builds(ToolCall, IDS, st.just("f"), raw_arguments=st.just("{"), arguments_error=st.just("no")),
    st.just(CitationPart("u", start=0, end=1, data={"type": "char_location"})),
    st.just(CitationPart("u", start=1, end=9, data={"type": "char_location"})),
    st.sampled_from([ASKED, FOUND, OpaquePart("gemini", {"x": 1}), OpaquePart("anthropic", {"signature": "S"})]),
    st.just(OpaquePart("anthropic", {"type": "redacted_thinking", "data": "E"})),
)
MESSAGES = st.one_of(
    st.builds(Message, st.just("assistant"), parts=st.lists(PARTS, max_size=4)),
    st.builds(Message, st.just("user"), TEXTS),
    st.builds(Message, st.just("system"), TEXTS),
    st.builds(Message, st.just("tool"), TEXTS, tool_call_id=st.none() | IDS),
)


@given(st.lists(MESSAGES, max_size=8))
def test_whatever_a_conversation_was_its_turns_are_valid(history: list[Message]) -> None:
    assert_valid(turns_of(history))


def test_a_long_id_that_is_used_again_stays_as_long_as_it_may_be() -> None:
    history = [USER, calling("x" * 64), ok("x" * 64), calling("x" * 64), ok("x" * 64)]
    ids = [turn["content"][0]["id"] for turn in turns_of(history) if turn["role"] == "assistant"]
    assert ids == ["x" * 64, "x" * 62 + "_2"]
