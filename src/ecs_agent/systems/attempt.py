"""Attempts: how asking a model begins, and the four ways in which it ends. Each is one stretch without awaiting, so that nobody sees half of one.

Each `AttemptStarted` of an entity is followed, before its next one, by exactly one of these:

    StreamEndEvent      completed: the answer is whole and stands in the conversation
    AttemptContinued    it broke off, and the next attempt goes on behind it: what was shown stays
    AttemptDiscarded    it broke off, and what was shown is taken back: nothing of it is kept
    AttemptInterrupted  it was cut or cancelled: what was shown is kept, as an interrupted message of the conversation

A message that was kept so may be taken back later, once, when the same turn is asked again: that is an `AttemptDiscarded` while no attempt is open.
Each of the four says what its attempt has cost; together they are the usage of the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from ecs_agent.components import (
    ConversationComponent,
    InterruptionComponent,
    PendingToolCallsComponent,
    StreamStateComponent,
    TurnComponent,
)
from ecs_agent.core import Entity
from ecs_agent.providers.token_estimate import tokens_in_characters
from ecs_agent.systems.conversation import admit, append
from ecs_agent.systems.meter import characters_in
from ecs_agent.types import CompletionResult, EntityId, JsonObject, Message, Part, StreamDelta, StreamEndEvent, ToolCall, Usage


class TurnStarted(msgspec.Struct, frozen=True):
    """A model is about to be asked."""

    entity_id: EntityId
    turn: int


class AttemptStarted(msgspec.Struct, frozen=True):
    """A provider is about to be asked with so many `messages`, for the first time in this turn or once more."""

    entity_id: EntityId
    attempt: int
    provider: str
    model: str
    messages: int


class AttemptContinued(msgspec.Struct, frozen=True):
    """An answer broke off, and the next attempt goes on behind it. `message` is what is shown so far and stays.

    `usage` is what the attempt has cost, as in `AttemptInterrupted`.
    """

    entity_id: EntityId
    message: Message
    usage: Usage | None = None


class AttemptDiscarded(msgspec.Struct, frozen=True):
    """An answer was taken back, since the model is asked again: whoever showed anything of this turn's answer removes it.

    `message` is what was shown, without calls; None if that is nothing. `usage` is what the attempt has cost, as in `AttemptInterrupted`; None as
    well where that was told before, by the `AttemptInterrupted` of an answer that was kept for a while.
    """

    entity_id: EntityId
    message: Message | None
    usage: Usage | None = None


class AttemptFailed(msgspec.Struct, frozen=True):
    """Asking a model failed, or its answer broke off, or took too long. The attempt ends behind this, at once or when the turn is asked for again.

    `error` is what was raised, as `ecs_agent.providers.recorded.error_data.error_to_data` has it: its kind and what it says, without secrets.
    """

    entity_id: EntityId
    error: JsonObject


class AttemptInterrupted(msgspec.Struct, frozen=True):
    """An answer was cut or cancelled; `message` is what is kept of it, None if nothing had arrived.

    `usage` is the provider's count if it had told one, else an estimate of what arrived, marked as such; None if that is nothing.
    """

    entity_id: EntityId
    message: Message | None
    usage: Usage | None


def begin(me: Entity, turn: TurnComponent, asked: AttemptStarted, prefix: list[StreamDelta], *, again: bool) -> StreamStateComponent:
    """A model is about to be asked, for a new turn or `again`; `asked.attempt` is the number of the attempt."""
    turn.broken = False
    turn.attempt = asked.attempt
    if not again:
        turn.turn += 1
        turn.drops = 0
    me.label(run=turn.run, turn=turn.turn, attempt=turn.attempt)
    if again:
        me.edit(TurnComponent, asked)
    else:
        me.edit(TurnComponent, TurnStarted(me.id, turn.turn))
        me.emit(asked)
    state = StreamStateComponent(turn.attempt, started=me.monotonic(), prefix=prefix, provider=asked.provider, messages=asked.messages)
    me.add(state)
    return state


def complete(me: Entity, turn: TurnComponent, state: StreamStateComponent, result: CompletionResult) -> None:
    """The end of a turn: message, usage and pending calls change together."""
    message = result.message
    if result.finish_reason == "content_filter":
        message = replace(message, parts=_without_calls(message))
        result = replace(result, message=message)
    me.remove(StreamStateComponent)
    append(me, message)
    calls = message.tool_calls
    if calls:
        me.add(PendingToolCallsComponent(calls))
    else:
        admit(me)
    turn.usage = sum_of(turn.usage, result.usage or estimated(state.deltas))
    turn.timing = result.timing
    me.edit(TurnComponent, StreamEndEvent(me.id, result))


def go_on(me: Entity, turn: TurnComponent, state: StreamStateComponent) -> None:
    """The attempt ends, and what it said stays for the next one, which begins right after this."""
    usage = usage_of(state)
    _give_up(me, turn, usage)
    me.edit(TurnComponent, AttemptContinued(me.id, replace(state.result().message, interrupted=True), usage))


def discard(me: Entity, turn: TurnComponent, state: StreamStateComponent) -> None:
    """The attempt ends, and nothing of it is kept."""
    usage = usage_of(state)
    _give_up(me, turn, usage)
    me.edit(TurnComponent, AttemptDiscarded(me.id, _kept(state), usage))


def _give_up(me: Entity, turn: TurnComponent, usage: Usage | None) -> None:
    me.remove(StreamStateComponent)
    turn.broken = True  # so that whatever is asked next belongs to this turn
    turn.usage = sum_of(turn.usage, usage)


def interrupt(me: Entity) -> None:
    """Close an attempt that did not end by itself: keep its text as an interrupted message."""
    state = me.get(StreamStateComponent)
    if state is None:
        return
    kept, usage = _kept(state), usage_of(state)
    turn = me.get(TurnComponent)
    if turn is not None:
        turn.broken = not me.has(InterruptionComponent)
        turn.usage = sum_of(turn.usage, usage)
    me.remove(StreamStateComponent)
    if kept is not None:
        append(me, kept)
    admit(me)
    interrupted = AttemptInterrupted(me.id, kept, usage)
    if turn is not None:
        me.edit(TurnComponent, interrupted)
    else:
        me.emit(interrupted)


def take_back(me: Entity, conversation: ConversationComponent) -> None:
    """Remove the answer that was kept when the attempt before was interrupted."""
    if conversation.messages and conversation.messages[-1].interrupted:
        message = conversation.messages.pop()
        me.edit(ConversationComponent, AttemptDiscarded(me.id, message))


def _kept(state: StreamStateComponent) -> Message | None:
    message = state.result().message
    parts = _without_calls(message)
    return replace(message, interrupted=True, parts=parts) if parts else None


def _without_calls(message: Message) -> tuple[Part, ...]:
    return tuple([part for part in message.parts if not isinstance(part, ToolCall)])


def usage_of(state: StreamStateComponent) -> Usage | None:
    """What an attempt has cost so far: the provider's count if it told one, else an estimate of what it wrote, None if that is nothing."""
    return state.told_usage or estimated(state.deltas)


def estimated(deltas: Sequence[StreamDelta]) -> Usage | None:
    """The usage of an answer of which nobody counted the tokens: what was written, without the prompt."""
    tokens = tokens_in_characters(characters_in(deltas))
    return Usage(0, tokens, tokens, estimated=True) if tokens else None


def sum_of(before: Usage | None, more: Usage | None) -> Usage | None:
    """Both together."""
    return more if before is None else before if more is None else before + more
