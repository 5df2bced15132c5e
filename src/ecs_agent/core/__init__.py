"""The kernel: worlds, entities, components, systems, the schedule and the runner. It knows no LLM, no HTTP and no JSON."""

from ecs_agent.core.clock import Clock, LoopClock, SystemClock
from ecs_agent.core.component import ErrorComponent, QuarantineComponent, TerminalComponent
from ecs_agent.core.entity import Entity
from ecs_agent.core.event_bus import EventBus, EventStream
from ecs_agent.core.events import (
    CallLeaked,
    ComponentAdded,
    ComponentChanged,
    ComponentRemoved,
    EntityCreated,
    EntityDeleted,
    EntityQuarantined,
    HandlerFailed,
    WorldSystemFailed,
)
from ecs_agent.core.life import EndReason, Outcome
from ecs_agent.core.log import Envelope, EventKind, Log, MemoryLog
from ecs_agent.core.query import Query
from ecs_agent.core.row import EntityIdGenerator
from ecs_agent.core.runner import Runner, RunResult
from ecs_agent.core.schedule import Schedule
from ecs_agent.core.system import Read, System, system
from ecs_agent.core.world import World

__all__ = [
    "CallLeaked",
    "Clock",
    "ComponentAdded",
    "ComponentChanged",
    "ComponentRemoved",
    "EndReason",
    "Entity",
    "EntityCreated",
    "EntityDeleted",
    "EntityIdGenerator",
    "EntityQuarantined",
    "Envelope",
    "ErrorComponent",
    "EventBus",
    "EventKind",
    "EventStream",
    "HandlerFailed",
    "Log",
    "LoopClock",
    "MemoryLog",
    "Outcome",
    "QuarantineComponent",
    "Query",
    "Read",
    "RunResult",
    "Runner",
    "Schedule",
    "System",
    "SystemClock",
    "TerminalComponent",
    "World",
    "WorldSystemFailed",
    "system",
]
