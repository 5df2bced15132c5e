"""What was said. Edit it through `ecs_agent.systems.conversation`, so that every change is an event."""

from __future__ import annotations

from dataclasses import dataclass, field

from ecs_agent.types import Message


@dataclass(slots=True)
class ConversationComponent:
    """The messages of an agent, oldest first; the memory system keeps at most `max_messages` of them."""

    messages: list[Message] = field(default_factory=list[Message])
    max_messages: int = 100


@dataclass(slots=True)
class QueuedInputComponent:
    """What users said while an answer was arriving or tools were running: it enters the conversation when that turn is complete, in order."""

    messages: list[Message] = field(default_factory=list[Message])
