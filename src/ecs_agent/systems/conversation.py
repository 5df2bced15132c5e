"""The only ways in which a conversation changes, each an event, and the law they keep: every tool call has exactly one result.

A call without a result, or a result without a call, makes the next request invalid for every provider. So whatever ends a turn early seals
what it left open, and whatever removes messages removes a call and its result together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Final

import msgspec

from ecs_agent.components import (
    ConversationComponent,
    ErrorComponent,
    InterruptionComponent,
    PendingToolCallsComponent,
    QuarantineComponent,
    QueuedInputComponent,
    StreamStateComponent,
    TerminalComponent,
    TurnComponent,
)
from ecs_agent.core import Entity, EventKind, World
from ecs_agent.errors import WorldBusyError
from ecs_agent.systems.budget import RUN_LIMITS
from ecs_agent.types import ConversationTruncatedEvent, EntityId, Message, ToolCall

ONE_MESSAGE: Final = ("messages", 1)
"""How a conversation grows: nobody need look at the messages that stood in it."""

_AT_REST = (ErrorComponent, QuarantineComponent, InterruptionComponent)


class MessageAppended(msgspec.Struct, frozen=True):
    """A message was added to a conversation."""

    entity_id: EntityId
    message: Message


class InputQueued(msgspec.Struct, frozen=True):
    """A user said something in the middle of a turn; it waits until the turn is complete."""

    entity_id: EntityId
    message: Message


class HistoryReplaced(msgspec.Struct, frozen=True):
    """A conversation's messages were replaced as a whole."""

    entity_id: EntityId
    messages: tuple[Message, ...]


class HistorySealed(msgspec.Struct, frozen=True):
    """Calls that nobody would answer any more got a result that says so."""

    entity_id: EntityId
    call_ids: tuple[str, ...]


def append_message(world: World, entity: EntityId, message: Message | str) -> None:
    """Say something to an agent, from outside a system. A string is a user's message.

    A user's message is new input: it lifts an error, a quarantine, an interruption and a run's limits, and begins a new run if the agent was
    at rest. Calls that were still open are sealed first. While an answer arrives or tools run it waits in a `QueuedInputComponent`, and enters
    the conversation when that turn is complete: behind the answer, or behind the results of the tools, and is answered next.

    Raises:
        EntityNotFoundError: there is no such entity, or it has no conversation.
    """
    if isinstance(message, str):
        message = Message("user", message)
    if message.role == "user":
        _begin_input(world, entity)
        if _is_in_a_turn(world, entity):
            _queue(world, entity, message)
            return
    conversation = world.get_component(entity, ConversationComponent)
    if conversation is None:
        conversation = ConversationComponent()
        world.add_component(entity, conversation)
    conversation.messages.append(message)
    world.edit(entity, ConversationComponent, MessageAppended(entity, message), EventKind.INPUT, ONE_MESSAGE)


def _is_in_a_turn(world: World, entity: EntityId) -> bool:
    return world.has_component(entity, StreamStateComponent) or world.has_component(entity, PendingToolCallsComponent)


def _queue(world: World, entity: EntityId, message: Message) -> None:
    queued = world.get_component(entity, QueuedInputComponent)
    if queued is None:
        queued = QueuedInputComponent()
        world.add_component(entity, queued)
    queued.messages.append(message)
    world.edit(entity, QueuedInputComponent, InputQueued(entity, message), EventKind.INPUT, ONE_MESSAGE)


def admit(me: Entity) -> None:
    """Take what users said meanwhile into the conversation; called where a turn is complete."""
    queued = me.get(QueuedInputComponent)
    if queued is not None:
        me.remove(QueuedInputComponent)
        append(me, *queued.messages)


def _begin_input(world: World, entity: EntityId) -> None:
    conversation = world.get_component(entity, ConversationComponent)
    terminal = world.get_component(entity, TerminalComponent)
    at_rest = any(world.has_component(entity, kind) for kind in _AT_REST) or terminal is not None
    world.touch(entity)
    world.remove_component(entity, InterruptionComponent)
    if terminal is not None and terminal.reason in RUN_LIMITS:
        world.remove_component(entity, TerminalComponent)
    if at_rest or not (_is_in_a_turn(world, entity) or (conversation is not None and awaits_model(conversation.messages))):
        before = world.get_component(entity, TurnComponent)
        world.add_component(entity, TurnComponent(run=before.run + 1 if before else 1))
    if conversation is not None and not world.has_component(entity, PendingToolCallsComponent):
        open_calls = unanswered(conversation.messages)
        if open_calls:
            conversation.messages[:] = sealed(conversation.messages)
            world.edit(entity, ConversationComponent, HistorySealed(entity, tuple(call.id for call in open_calls)))


def replace_history(world: World, entity: EntityId, messages: Sequence[Message]) -> None:
    """Replace a conversation's messages.

    Raises:
        ValueError: a call would have no result, or a result no call; the message names them.
        WorldBusyError: the agent is in the middle of a turn, whose answer or results would follow messages they do not belong to.
    """
    if _is_in_a_turn(world, entity):
        raise WorldBusyError(f"agent {entity} is in the middle of a turn; wait until it is at rest, or interrupt it, before its history is replaced")
    problems = history_problems(messages)
    if problems:
        raise ValueError("this history would make the next request invalid: " + "; ".join(problems))
    conversation = world.get_component(entity, ConversationComponent)
    if conversation is None:
        conversation = ConversationComponent()
        world.add_component(entity, conversation)
    conversation.messages[:] = messages
    world.edit(entity, ConversationComponent, HistoryReplaced(entity, tuple(messages)), EventKind.INPUT)


def append(me: Entity, *messages: Message) -> None:
    """Add messages to the conversation of a system's own entity."""
    conversation = me.get(ConversationComponent)
    if conversation is None:
        conversation = ConversationComponent()
        me.add(conversation)
    for message in messages:
        conversation.messages.append(message)
        me.edit(ConversationComponent, MessageAppended(me.id, message), ONE_MESSAGE)


def answered_last(me: Entity) -> set[str | None]:
    """The calls whose results are the last word; an undo may lead to between one of them and the end of the turn."""
    conversation = me.get(ConversationComponent)
    newest = reversed(conversation.messages) if conversation is not None else ()
    return {message.tool_call_id for message in takewhile(lambda message: message.role == "tool", newest)}


def trim(me: Entity, keep: int) -> int:
    """Remove the oldest messages until at most `keep` are left, if that can be done without tearing a turn; returns how many went."""
    conversation = me.get(ConversationComponent)
    if conversation is None:
        return 0
    kept = trimmed(conversation.messages, keep)
    removed = len(conversation.messages) - len(kept)
    if removed:
        conversation.messages[:] = kept
        me.edit(ConversationComponent, ConversationTruncatedEvent(me.id, removed))
    return removed


def seal(me: Entity) -> None:
    """Give every call in the conversation that has no result one that says it was interrupted."""
    conversation = me.get(ConversationComponent)
    open_calls = unanswered(conversation.messages) if conversation is not None else []
    if conversation is not None and open_calls:
        conversation.messages[:] = sealed(conversation.messages)
        me.edit(ConversationComponent, HistorySealed(me.id, tuple(call.id for call in open_calls)))


def awaits_model(messages: Sequence[Message]) -> bool:
    """Whether it is the model's turn: the last word is a user's or a tool's."""
    return bool(messages) and messages[-1].role in ("user", "tool")


def interrupted_result(call: ToolCall) -> Message:
    """The result of a call that was stopped, or never begun."""
    return Message("tool", "interrupted: this call was stopped before it had a result", tool_call_id=call.id, is_error=True)


def unanswered(messages: Sequence[Message]) -> list[ToolCall]:
    """The calls without a result right behind them, in order."""
    found: list[ToolCall] = []
    left: dict[str | None, ToolCall] = {}
    for message in messages:  # asked before each turn, so written for speed
        if message.role == "tool":
            left.pop(message.tool_call_id, None)
            continue
        if left:
            found += left.values()
        left = {call.id: call for call in message.tool_calls or ()} if ToolCall in map(type, message.parts) else {}
    return found + list(left.values())


def sealed(messages: Sequence[Message]) -> list[Message]:
    """The same history, made valid: open calls get an interrupted result behind those that are there, results without a call are left out."""
    result: list[Message] = []
    for message, answers, left in _turns(messages):
        if message is not None:
            result += [message, *answers, *[interrupted_result(call) for call in left]]
    return result


def _turns(messages: Sequence[Message]) -> Iterator[tuple[Message | None, list[Message], list[ToolCall]]]:
    """Each message that is no result (None for results at the very beginning), the results behind it that answer it, and its open calls."""
    message: Message | None = None
    answers: list[Message] = []
    left: dict[str | None, ToolCall] = {}
    for each in messages:
        if each.role == "tool":
            if left.pop(each.tool_call_id, None) is not None:
                answers.append(each)
            continue
        yield message, answers, list(left.values())
        message, answers, left = each, [], {call.id: call for call in each.tool_calls or ()}
    yield message, answers, list(left.values())


def history_problems(messages: Sequence[Message]) -> list[str]:
    """What is wrong with a history, a sentence each; empty when it is valid."""
    problems: list[str] = []
    known: list[str | None] = []
    for at, message in enumerate(messages):
        if message.role == "tool":
            if message.tool_call_id in known:
                known.remove(message.tool_call_id)
            else:
                problems.append(f"message {at} answers call {message.tool_call_id!r}, which the assistant did not make right before it")
            continue
        problems += [f"call {call_id!r} before message {at} has no result" for call_id in known]
        known = [call.id for call in message.tool_calls or ()]
    return problems + [f"call {call_id!r} has no result" for call_id in known]


def trimmed(messages: Sequence[Message], keep: int) -> list[Message]:
    """At most `keep` messages: leading system messages and the newest ones, cut where a turn begins.

    The cut falls before a user's message if there is one to keep, else before the newest answer whose results are all kept; a turn that is
    longer than `keep` by itself stays whole.
    """
    if len(messages) <= keep:
        return list(messages)
    head = 0
    while head < len(messages) and messages[head].role == "system":
        head += 1
    if head == len(messages):
        return list(messages)
    first = max(head, len(messages) - max(keep - head, 1))
    start = next((at for at in range(first, len(messages)) if messages[at].role == "user"), None)
    if start is None:
        start = next((at for at in range(first, len(messages)) if messages[at].role != "tool"), None)
    if start is None:
        start = first
        while start > head and messages[start].role == "tool":
            start -= 1
    return [*messages[:head], *messages[start:]]
