"""The kernel: worlds, entities, components, systems, the schedule and the runner. It knows no LLM, no HTTP and no JSON."""

from ecs_agent.core.bundle import Bundle
from ecs_agent.core.clock import Clock, LoopClock, SystemClock
from ecs_agent.core.collector import tuned_gc
from ecs_agent.core.component import AwaitsInput, ErrorComponent, QuarantineComponent, TerminalComponent
from ecs_agent.core.delivery.event_stream import EventStream
from ecs_agent.core.delivery.policy import Block, Coalesce, Delivery, EveryDelta, Latest
from ecs_agent.core.entity import Entity
from ecs_agent.core.event_bus import EventBus
from ecs_agent.core.events import (
    BlockLifted,
    CallLeaked,
    ComponentAdded,
    ComponentChanged,
    ComponentRemoved,
    DeadlockFound,
    EntityCreated,
    EntityDeleted,
    EntityQuarantined,
    EventsSkipped,
    HandlerFailed,
    JournalFailed,
    LoopBlocked,
    RequestFailed,
    WorldSystemFailed,
)
from ecs_agent.core.explain.explanation import Explanation
from ecs_agent.core.forking import EntityForked, EntityRewound, OnFork
from ecs_agent.core.inbox import InboxComponent, Letter, LetterDelivered, LettersReceived
from ecs_agent.core.log import Burst, Envelope, EventKind, EventType, Gatherer, Log, MemoryLog
from ecs_agent.core.outcome import EndReason, Outcome
from ecs_agent.core.query import Query
from ecs_agent.core.relation import ChildOf, OnTargetDeleted, Relation
from ecs_agent.core.row import EntityIdGenerator
from ecs_agent.core.run_sync import run_sync
from ecs_agent.core.runner import Runner, RunResult
from ecs_agent.core.schedule import Schedule
from ecs_agent.core.stats import EntityStats, Phase, WorldStats
from ecs_agent.core.supervision import SupervisionComponent
from ecs_agent.core.system import Read, System, system
from ecs_agent.core.watch import Watch
from ecs_agent.core.world import World

__all__ = [
    "AwaitsInput",
    "Block",
    "BlockLifted",
    "Bundle",
    "Burst",
    "CallLeaked",
    "ChildOf",
    "Clock",
    "Coalesce",
    "ComponentAdded",
    "ComponentChanged",
    "ComponentRemoved",
    "DeadlockFound",
    "Delivery",
    "EndReason",
    "Entity",
    "EntityCreated",
    "EntityDeleted",
    "EntityForked",
    "EntityIdGenerator",
    "EntityQuarantined",
    "EntityRewound",
    "EntityStats",
    "Envelope",
    "ErrorComponent",
    "EventBus",
    "EventKind",
    "EventStream",
    "EventType",
    "EventsSkipped",
    "EveryDelta",
    "Explanation",
    "Gatherer",
    "HandlerFailed",
    "InboxComponent",
    "JournalFailed",
    "Latest",
    "Letter",
    "LetterDelivered",
    "LettersReceived",
    "Log",
    "LoopBlocked",
    "LoopClock",
    "MemoryLog",
    "OnFork",
    "OnTargetDeleted",
    "Outcome",
    "Phase",
    "QuarantineComponent",
    "Query",
    "Read",
    "Relation",
    "RequestFailed",
    "RunResult",
    "Runner",
    "Schedule",
    "SupervisionComponent",
    "System",
    "SystemClock",
    "TerminalComponent",
    "Watch",
    "World",
    "WorldStats",
    "WorldSystemFailed",
    "run_sync",
    "system",
    "tuned_gc",
]
