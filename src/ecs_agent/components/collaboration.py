"""With whom an agent talks."""

from __future__ import annotations

from dataclasses import dataclass, field

from ecs_agent.types import EntityId, Message


@dataclass(frozen=True, slots=True)
class Cause:
    """An input from outside that talk goes back to: which agent got it, and the number of the run that it began there."""

    entity: EntityId
    run: int


@dataclass(frozen=True, slots=True)
class PeerMessage:
    """The content of a letter between agents. Its `cause` is what keeps agents that answer each other from going on for ever."""

    message: Message
    cause: Cause


@dataclass(slots=True)
class CollaborationComponent:
    """The agents that this one may write to, and messages to it that came without a letter: `(sender, message)`, as in the reference.

    `cause` is what this agent's run number `run` goes back to, if that run was begun by another agent. `causes` is the newest run heard of for
    each agent that got an input from outside: only a newer one begins a new run here.
    """

    peers: list[EntityId] = field(default_factory=list[EntityId])
    inbox: list[tuple[EntityId, Message]] = field(default_factory=list[tuple[EntityId, Message]])
    cause: Cause | None = None
    run: int = 0
    causes: dict[EntityId, int] = field(default_factory=dict[EntityId, int])
