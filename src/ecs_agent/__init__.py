"""ecs_agent: LLM agents as entities in a World. Components hold their state, systems hold their logic, and their answers stream."""

from ecs_agent._version import __version__
from ecs_agent.agent import Agent, AgentEvent, AgentRun, RunCompleted, spawn_agent
from ecs_agent.core import Entity, Read, Runner, World, system
from ecs_agent.errors import EcsAgentError, ProviderError
from ecs_agent.logging import configure_logging, get_logger
from ecs_agent.providers.retry import RetryProvider
from ecs_agent.streaming import (
    Finished,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallCompleted,
    ToolCallDelta,
    ToolCallStarted,
    UsageReported,
)
from ecs_agent.systems import ToolExecutionCompleted, ToolExecutionStarted, TurnStarted, append_message
from ecs_agent.tools import tool
from ecs_agent.types import CompletionResult, EntityId, Message, RetryConfig, StreamDelta, ToolCall, ToolSchema, Usage

__all__ = [
    "Agent",
    "AgentEvent",
    "AgentRun",
    "CompletionResult",
    "EcsAgentError",
    "Entity",
    "EntityId",
    "Finished",
    "Message",
    "ProviderError",
    "Read",
    "ReasoningDelta",
    "RefusalDelta",
    "RetryConfig",
    "RetryProvider",
    "RunCompleted",
    "Runner",
    "StreamDelta",
    "TextDelta",
    "ToolCall",
    "ToolCallCompleted",
    "ToolCallDelta",
    "ToolCallStarted",
    "ToolExecutionCompleted",
    "ToolExecutionStarted",
    "ToolSchema",
    "TurnStarted",
    "Usage",
    "UsageReported",
    "World",
    "__version__",
    "append_message",
    "configure_logging",
    "get_logger",
    "spawn_agent",
    "system",
    "tool",
]
