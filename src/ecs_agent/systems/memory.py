"""Keeping a conversation within its length without ever tearing a call from its result."""

from __future__ import annotations

from ecs_agent.components import ConversationComponent
from ecs_agent.core import Entity, system
from ecs_agent.systems.conversation import trim, trimmed


def _too_long(conversation: ConversationComponent) -> bool:
    messages = conversation.messages
    return len(messages) > conversation.max_messages and len(trimmed(messages, conversation.max_messages)) < len(messages)


class MemorySystem:
    """Removes the oldest messages of a conversation that is longer than its `max_messages`; system messages at the head stay.

    Args:
        priority: lower runs first.
    """

    def __init__(self, priority: int = 10) -> None:
        self.priority = priority

    @system(when=_too_long)
    async def __call__(self, me: Entity, conversation: ConversationComponent) -> None:
        """Trim one conversation."""
        trim(me, conversation.max_messages)
