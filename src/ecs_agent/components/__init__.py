"""All shipped components: plain data, one file a feature, the files named like those of the systems that use them."""

from ecs_agent.components.common import KVStoreComponent, OwnerComponent
from ecs_agent.components.conversation import ConversationComponent
from ecs_agent.components.interruption import InterruptionComponent
from ecs_agent.components.reasoning import (
    LimitsComponent,
    LLMComponent,
    RequestOptionsComponent,
    StreamingComponent,
    StreamStateComponent,
    SystemPromptComponent,
    TurnComponent,
)
from ecs_agent.components.tool_execution import PendingToolCallsComponent, ToolRegistryComponent, ToolResultsComponent
from ecs_agent.core.component import ErrorComponent, QuarantineComponent, TerminalComponent

__all__ = [
    "ConversationComponent",
    "ErrorComponent",
    "InterruptionComponent",
    "KVStoreComponent",
    "LLMComponent",
    "LimitsComponent",
    "OwnerComponent",
    "PendingToolCallsComponent",
    "QuarantineComponent",
    "RequestOptionsComponent",
    "StreamStateComponent",
    "StreamingComponent",
    "SystemPromptComponent",
    "TerminalComponent",
    "ToolRegistryComponent",
    "ToolResultsComponent",
    "TurnComponent",
]
