"""What an agent does, in one word."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum, unique
from typing import Any

from ecs_agent.components import (
    ConversationComponent,
    ErrorComponent,
    InterruptionComponent,
    PendingToolCallsComponent,
    QuarantineComponent,
    StreamStateComponent,
    TurnComponent,
)
from ecs_agent.core import EndReason, EntityStats, Phase
from ecs_agent.systems.conversation import awaits_model
from ecs_agent.systems.reasoning import ReasoningSystem


@unique
class AgentPhase(StrEnum):
    """What an agent does at the moment.

    failed, quarantined   an error keeps it from going on
    retrying              it failed and is tried again by itself
    asked                 a model was asked and has not begun to answer
    streaming             an answer arrives
    tools                 tools run
    queued                it is its model's turn, and it waits for a permit to ask
    running               another system works on it
    ready                 something is to be done, and nobody has begun
    at_barrier            it waits for the others, at a world system
    waiting               it waits for a person, an approval, a letter
    ended                 it came to rest for another reason than having finished: a limit, a deadline, a stop, a deadlock
    idle                  it has finished
    new                   nobody has asked anything of it yet
    """

    FAILED = "failed"
    QUARANTINED = "quarantined"
    RETRYING = "retrying"
    ASKED = "asked"
    STREAMING = "streaming"
    TOOLS = "tools"
    QUEUED = "queued"
    RUNNING = "running"
    READY = "ready"
    AT_BARRIER = "at_barrier"
    WAITING = "waiting"
    ENDED = "ended"
    IDLE = "idle"
    NEW = "new"

    @property
    def is_error(self) -> bool:
        """Whether nothing goes on before somebody does something about it."""
        return self in _ERRORS

    @property
    def at_rest(self) -> bool:
        """Whether nothing is due on the agent any more, for good or bad; an agent that was never asked has not come to rest."""
        return self in _AT_REST


# Tuples: hashing a member of an enum costs more than comparing it with five.
_ERRORS = (AgentPhase.FAILED, AgentPhase.QUARANTINED)
_AT_REST = (AgentPhase.IDLE, AgentPhase.ENDED, AgentPhase.WAITING, *_ERRORS)

_REASONING = ReasoningSystem.__name__

_BUSY: Mapping[Phase, AgentPhase] = {
    Phase.RUNNING: AgentPhase.RUNNING,
    Phase.READY: AgentPhase.READY,
    Phase.AT_BARRIER: AgentPhase.AT_BARRIER,
    Phase.RETRYING: AgentPhase.RETRYING,
}


def phase_of(held: Mapping[type, Any], standing: EntityStats) -> AgentPhase:
    """What an agent does.

    Args:
        held: its components.
        standing: what the kernel says of its entity.
    """
    if QuarantineComponent in held:
        return AgentPhase.QUARANTINED
    if ErrorComponent in held:
        return AgentPhase.RETRYING if standing.phase is Phase.RETRYING else AgentPhase.FAILED
    if standing.phase is Phase.AT_REST:
        return _at_rest(held, standing.reason)
    if standing.phase is Phase.RUNNING:
        state = held.get(StreamStateComponent)
        if state is not None:
            return AgentPhase.ASKED if state.first_at is None else AgentPhase.STREAMING
        if PendingToolCallsComponent in held:
            return AgentPhase.TOOLS
        if _REASONING in standing.systems:
            return AgentPhase.QUEUED
    return _BUSY[standing.phase]


def _at_rest(held: Mapping[type, Any], reason: EndReason | None) -> AgentPhase:
    if reason is EndReason.WAITING_INPUT:
        return AgentPhase.WAITING
    if reason not in (None, EndReason.IDLE):
        return AgentPhase.ENDED
    conversation = held.get(ConversationComponent)
    if InterruptionComponent not in held and (PendingToolCallsComponent in held or (conversation and awaits_model(conversation.messages))):
        return AgentPhase.READY  # no run moves this world at the moment
    return AgentPhase.IDLE if TurnComponent in held else AgentPhase.NEW
