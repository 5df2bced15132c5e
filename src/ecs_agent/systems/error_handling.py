"""What happens when a call on an agent failed."""

from __future__ import annotations

from ecs_agent.components import ErrorComponent
from ecs_agent.core import Entity, Read, system
from ecs_agent.logging import get_logger

_log = get_logger("ecs_agent.systems.error_handling")


class ErrorHandlingSystem:
    """Reports each failure once, with the entity, the system and the kind. The agent rests until new input; it is never asked again by itself.

    Args:
        priority: lower runs first.
    """

    def __init__(self, priority: int = 99) -> None:
        self.priority = priority

    @system
    async def __call__(self, me: Entity, error: Read[ErrorComponent]) -> None:
        """Report one failure."""
        _log.warning("agent failed", entity=me.id, system=error.system_name, kind=error.kind, retryable=error.retryable, error=error.error)
