"""The components, events and values of this package whose data is known without registration, by their class's name."""

from __future__ import annotations

from typing import Final, get_args

import ecs_agent.components as all_components
from ecs_agent.components.collaboration import Cause, PeerMessage
from ecs_agent.core import events
from ecs_agent.core.forking import EntityForked, EntityRewound
from ecs_agent.core.inbox import InboxComponent, Letter, LetterDelivered, LettersReceived
from ecs_agent.core.relation import ChildOf
from ecs_agent.core.supervision import SupervisionComponent
from ecs_agent.store.events import FactUnsaved, WorldRestored
from ecs_agent.store.program_events import ProgramEnded, ProgramStopped
from ecs_agent.systems.attempt import AttemptContinued, AttemptDiscarded, AttemptFailed, AttemptInterrupted, AttemptStarted, TurnStarted
from ecs_agent.systems.conversation import HistoryReplaced, HistorySealed, InputQueued, MessageAppended
from ecs_agent.systems.tool_execution import ToolExecutionCompleted, ToolExecutionStarted, ToolOutcomeUnknown
from ecs_agent.types import (
    CompletionResult,
    ConversationTruncatedEvent,
    ErrorOccurredEvent,
    Message,
    MessageDeliveredEvent,
    Part,
    PlanRevisedEvent,
    PlanStepCompletedEvent,
    StreamDelta,
    StreamDeltaEvent,
    StreamEndEvent,
    StreamStartEvent,
    Timing,
    TokenLogprob,
    ToolCallFragment,
    ToolSchema,
    Usage,
    UserInputReceivedEvent,
    UserInputRequestedEvent,
)

COMPONENTS: Final[tuple[type, ...]] = (
    *[getattr(all_components, name) for name in all_components.__all__ if isinstance(getattr(all_components, name), type)],
    ChildOf,
    InboxComponent,
    SupervisionComponent,
)
"""All components, those that few agents have as well."""

EVENTS: Final[tuple[type, ...]] = (
    FactUnsaved,
    WorldRestored,
    events.BlockLifted,
    events.CallLeaked,
    events.ComponentAdded,
    events.ComponentChanged,
    events.ComponentRemoved,
    events.DeadlockFound,
    events.EntityCreated,
    events.EntityDeleted,
    events.EntityQuarantined,
    events.EventsSkipped,
    events.HandlerFailed,
    events.JournalFailed,
    events.LoopBlocked,
    events.RequestFailed,
    events.WorldSystemFailed,
    EntityForked,
    EntityRewound,
    LetterDelivered,
    LettersReceived,
    ProgramEnded,
    ProgramStopped,
    AttemptContinued,
    AttemptDiscarded,
    AttemptFailed,
    AttemptInterrupted,
    AttemptStarted,
    HistoryReplaced,
    HistorySealed,
    InputQueued,
    MessageAppended,
    ToolExecutionCompleted,
    ToolExecutionStarted,
    ToolOutcomeUnknown,
    TurnStarted,
    ConversationTruncatedEvent,
    ErrorOccurredEvent,
    MessageDeliveredEvent,
    PlanRevisedEvent,
    PlanStepCompletedEvent,
    StreamDeltaEvent,
    StreamEndEvent,
    StreamStartEvent,
    UserInputReceivedEvent,
    UserInputRequestedEvent,
)
"""All that a world's log can hold of this package's own."""

VALUES: Final[tuple[type, ...]] = (
    *get_args(Part),
    Cause,
    CompletionResult,
    Letter,
    Message,
    PeerMessage,
    StreamDelta,
    Timing,
    TokenLogprob,
    ToolCallFragment,
    ToolSchema,
    Usage,
)
"""Values that may stand where anything may, as in a letter."""
