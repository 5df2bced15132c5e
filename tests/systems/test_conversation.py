"""The law of history: every tool call has exactly one result, whatever was cut, trimmed or edited."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.components import (
    ConversationComponent,
    ErrorComponent,
    InterruptionComponent,
    PendingToolCallsComponent,
    QuarantineComponent,
    StreamStateComponent,
    TerminalComponent,
    TurnComponent,
)
from ecs_agent.core import Entity, Runner, World, system
from ecs_agent.errors import WorldBusyError
from ecs_agent.systems.conversation import (
    MessageAppended,
    append,
    append_message,
    awaits_model,
    history_problems,
    replace_history,
    seal,
    sealed,
    trim,
    trimmed,
    unanswered,
)
from ecs_agent.types import Message, ToolCall

IDS = st.sampled_from(["a", "b", "c"])
MESSAGES = st.one_of(
    st.just(Message("system", "rules")),
    st.just(Message("user", "hi")),
    st.just(Message("assistant", "ok")),
    st.lists(IDS, min_size=1, max_size=3, unique=True).map(lambda ids: Message("assistant", "", [ToolCall(i, "f") for i in ids])),
    IDS.map(lambda i: Message("tool", "42", tool_call_id=i)),
)
HISTORIES = st.lists(MESSAGES, max_size=12)


def call(*ids: str) -> Message:
    return Message("assistant", "", [ToolCall(i, "f") for i in ids])


def answer(call_id: str) -> Message:
    return Message("tool", "42", tool_call_id=call_id)


@given(HISTORIES)
def test_sealing_makes_any_history_valid_and_a_second_time_changes_nothing(history: list[Message]) -> None:
    once = sealed(history)
    assert history_problems(once) == []
    assert sealed(once) == once


@given(HISTORIES)
def test_sealing_keeps_every_message_that_is_not_a_stray_result(history: list[Message]) -> None:
    assert [m for m in sealed(history) if m.role != "tool"] == [m for m in history if m.role != "tool"]


@given(HISTORIES, st.integers(1, 14))
def test_trimming_a_valid_history_keeps_it_valid(history: list[Message], keep: int) -> None:
    valid = sealed(history)
    kept = trimmed(valid, keep)
    assert history_problems(kept) == []
    assert len(kept) <= len(valid)
    if kept and len(valid) > len(kept):
        assert kept[-1] == valid[-1]


@given(HISTORIES, st.integers(1, 14))
def test_trimming_never_keeps_more_than_asked_unless_one_turn_alone_is_longer(history: list[Message], keep: int) -> None:
    kept = trimmed(sealed(history), keep)
    head = next((at for at, m in enumerate(kept) if m.role != "system"), len(kept))
    turn = kept[head:]
    one_turn = all(m.role == "tool" for m in turn[1:])
    assert len(kept) <= keep or one_turn or head >= keep


def test_trimming_keeps_leading_system_messages_and_cuts_before_a_user() -> None:
    history = [Message("system", "s"), Message("user", "1"), Message("assistant", "2"), Message("user", "3"), Message("assistant", "4")]
    assert trimmed(history, 4) == [history[0], history[3], history[4]]


def test_trimming_does_not_tear_a_call_from_its_results() -> None:
    history = [Message("user", "1"), call("a", "b"), answer("a"), answer("b")]
    assert trimmed(history, 2) == history[1:]


def test_open_calls_are_answered_as_interrupted_in_their_order() -> None:
    history = [Message("user", "1"), call("a", "b", "c"), answer("b"), Message("user", "go on")]
    assert [c.id for c in unanswered(history)] == ["a", "c"]
    fixed = sealed(history)
    assert [(m.role, m.tool_call_id, m.is_error) for m in fixed[2:5]] == [("tool", "b", False), ("tool", "a", True), ("tool", "c", True)]
    assert fixed[5] == history[3]


def test_a_result_that_answers_no_call_is_left_out() -> None:
    assert sealed([answer("x"), Message("user", "hi")]) == [Message("user", "hi")]


@pytest.mark.parametrize(
    ("history", "problem"),
    [
        ([call("a")], "call 'a' has no result"),
        ([call("a"), Message("user", "x")], "call 'a' before message 1 has no result"),
        ([answer("a")], "message 0 answers call 'a', which the assistant did not make right before it"),
        ([call("a"), answer("a"), answer("a")], "message 2 answers call 'a', which the assistant did not make right before it"),
    ],
)
def test_problems_name_the_message_and_the_call(history: list[Message], problem: str) -> None:
    assert history_problems(history) == [problem]


@pytest.mark.parametrize(("role", "turn"), [("user", True), ("assistant", False), ("system", False)])
def test_it_is_the_models_turn_after_a_user_or_a_tool(role: str, turn: bool) -> None:
    assert awaits_model([Message(role, "x")]) is turn  # type: ignore[arg-type]  # parametrised
    assert awaits_model([call("a"), answer("a")])
    assert not awaits_model([])


class TestAppendMessage:
    def test_it_makes_a_conversation_where_there_is_none_and_tells_it_as_an_event(self) -> None:
        world = World()
        entity = world.create_entity()
        append_message(world, entity, "hello")
        held = world.get_component(entity, ConversationComponent)
        assert held is not None
        assert held.messages == [Message("user", "hello")]
        assert [e.payload for e in world.log.read() if isinstance(e.payload, MessageAppended)] == [MessageAppended(entity, Message("user", "hello"))]

    def test_a_users_message_lifts_what_kept_the_agent_from_going_on(self) -> None:
        world = World()
        entity = world.create_entity()
        for halting in (ErrorComponent("e", "s", 0.0), QuarantineComponent("q"), InterruptionComponent(), TerminalComponent("max_turns")):
            world.add_component(entity, halting)
        append_message(world, entity, "again")
        for kind in (ErrorComponent, QuarantineComponent, InterruptionComponent, TerminalComponent):
            assert not world.has_component(entity, kind)

    def test_a_terminal_of_the_user_stays(self) -> None:
        world = World()
        entity = world.create_entity()
        world.add_component(entity, TerminalComponent("done"))
        append_message(world, entity, "again")
        assert world.has_component(entity, TerminalComponent)

    def test_a_users_message_begins_a_new_run_only_when_the_agent_was_at_rest(self) -> None:
        world = World()
        entity = world.create_entity()
        append_message(world, entity, "one")
        append_message(world, entity, "and this")
        assert world.get_component(entity, TurnComponent) == TurnComponent(run=1)
        append_message(world, entity, Message("assistant", "ok"))
        append_message(world, entity, "two")
        assert world.get_component(entity, TurnComponent) == TurnComponent(run=2)

    def test_calls_left_open_are_sealed_before_new_input(self) -> None:
        world = World()
        entity = world.create_entity()
        world.add_component(entity, ConversationComponent([Message("user", "1"), call("a")]))
        append_message(world, entity, "never mind")
        held = world.get_component(entity, ConversationComponent)
        assert held is not None
        assert history_problems(held.messages) == []
        assert held.messages[-1] == Message("user", "never mind")


def test_an_invalid_history_is_refused_and_nothing_is_lost() -> None:
    world = World()
    entity = world.create_entity()
    append_message(world, entity, "keep me")
    with pytest.raises(ValueError, match="call 'a' has no result"):
        replace_history(world, entity, [call("a")])
    held = world.get_component(entity, ConversationComponent)
    assert held is not None
    assert held.messages == [Message("user", "keep me")]
    replace_history(world, entity, [Message("user", "other")])
    assert held.messages == [Message("user", "other")]


@pytest.mark.parametrize("open_turn", [StreamStateComponent(1), PendingToolCallsComponent([])], ids=["streaming", "tools"])
def test_a_history_is_not_replaced_in_the_middle_of_a_turn(open_turn: object) -> None:
    world = World()
    entity = world.create_entity()
    append_message(world, entity, "hello")
    world.add_component(entity, open_turn)
    with pytest.raises(WorldBusyError, match=f"agent {entity} is in the middle of a turn"):
        replace_history(world, entity, [Message("user", "other")])


def test_replacing_the_history_of_an_entity_without_one() -> None:
    world = World()
    entity = world.create_entity()
    replace_history(world, entity, [Message("user", "hello")])
    held = world.get_component(entity, ConversationComponent)
    assert held is not None
    assert held.messages == [Message("user", "hello")]


async def test_a_system_may_speak_where_nobody_spoke_before_and_seal_and_trim_what_is_there() -> None:
    @dataclass(slots=True)
    class Talker:
        done: bool = False

    @system(when=lambda talker: not talker.done)
    async def talk(me: Entity, talker: Talker) -> None:
        talker.done = True
        seal(me)
        assert trim(me, 1) == 0
        append(me, Message("user", "one"), call("a"))
        seal(me)
        append(me, Message("user", "two"))
        assert trim(me, 1) == 3

    world = World()
    world.register_system(talk)
    entity = world.create_entity()
    world.add_component(entity, Talker())
    result = await Runner().run(world)
    assert result.errors == {}
    held = world.get_component(entity, ConversationComponent)
    assert held is not None
    assert [message.content for message in held.messages] == ["two"]
