"""All shipped components: plain data, one file a feature, the files named like those of the systems that use them."""

from ecs_agent.components.collaboration import CollaborationComponent
from ecs_agent.components.common import KVStoreComponent, NameComponent, OwnerComponent
from ecs_agent.components.conversation import ConversationComponent, QueuedInputComponent
from ecs_agent.components.interruption import InterruptionComponent
from ecs_agent.components.limits import LimitsComponent, PricesComponent
from ecs_agent.components.planning import PlanComponent
from ecs_agent.components.reasoning import (
    LLMComponent,
    RequestOptionsComponent,
    StreamingComponent,
    StreamStateComponent,
    SystemPromptComponent,
    TurnComponent,
)
from ecs_agent.components.stream_policy import StreamPolicy
from ecs_agent.components.tool_execution import PendingToolCallsComponent, ToolRegistryComponent, ToolResultsComponent
from ecs_agent.components.user_input import UserInputComponent
from ecs_agent.core.component import ErrorComponent, QuarantineComponent, TerminalComponent

__all__ = [
    "CollaborationComponent",
    "ConversationComponent",
    "ErrorComponent",
    "InterruptionComponent",
    "KVStoreComponent",
    "LLMComponent",
    "LimitsComponent",
    "NameComponent",
    "OwnerComponent",
    "PendingToolCallsComponent",
    "PlanComponent",
    "PricesComponent",
    "QuarantineComponent",
    "QueuedInputComponent",
    "RequestOptionsComponent",
    "StreamPolicy",
    "StreamStateComponent",
    "StreamingComponent",
    "SystemPromptComponent",
    "TerminalComponent",
    "ToolRegistryComponent",
    "ToolResultsComponent",
    "TurnComponent",
    "UserInputComponent",
]
