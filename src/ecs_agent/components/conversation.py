"""What was said. Edit it through `ecs_agent.systems.conversation`, so that every change is an event."""

from __future__ import annotations

from dataclasses import dataclass, field

from ecs_agent.types import Message


@dataclass(slots=True)
class ConversationComponent:
    """The messages of an agent, oldest first; the memory system keeps at most `max_messages` of them."""

    messages: list[Message] = field(default_factory=list[Message])
    max_messages: int = 100
