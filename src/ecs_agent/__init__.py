"""ecs_agent: LLM agents as entities in a World. Components hold their state, systems hold their logic, and their answers stream.

The names below are loaded when they are first used, so that `import ecs_agent` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ecs_agent._version import __version__
    from ecs_agent.agent import Agent, AgentEvent, AgentRun, RunCompleted, spawn_agent
    from ecs_agent.components import StreamPolicy
    from ecs_agent.core import Entity, EventBus, Query, Read, Runner, World, run_sync, system
    from ecs_agent.errors import EcsAgentError, ProviderError, RateLimitError, StreamInterruptedError
    from ecs_agent.logging import configure_logging, get_logger
    from ecs_agent.providers import RetryProvider
    from ecs_agent.serialization import WorldSerializer
    from ecs_agent.store import open_world
    from ecs_agent.streaming import (
        CitationReceived,
        Finished,
        ReasoningDelta,
        RefusalDelta,
        TextDelta,
        ToolCallCompleted,
        ToolCallDelta,
        ToolCallStarted,
        UsageReported,
    )
    from ecs_agent.systems import AttemptContinued, AttemptDiscarded, ToolExecutionCompleted, ToolExecutionStarted, TurnStarted, append_message
    from ecs_agent.tools import tool
    from ecs_agent.types import CompletionResult, EntityId, Message, RetryConfig, StreamDelta, ToolCall, ToolSchema, Usage

_HOME = {
    "Agent": "agent",
    "AgentEvent": "agent",
    "AgentRun": "agent",
    "AttemptContinued": "systems",
    "AttemptDiscarded": "systems",
    "CitationReceived": "streaming",
    "CompletionResult": "types",
    "EcsAgentError": "errors",
    "Entity": "core",
    "EntityId": "types",
    "EventBus": "core",
    "Finished": "streaming",
    "Message": "types",
    "ProviderError": "errors",
    "Query": "core",
    "RateLimitError": "errors",
    "Read": "core",
    "ReasoningDelta": "streaming",
    "RefusalDelta": "streaming",
    "RetryConfig": "types",
    "RetryProvider": "providers",
    "RunCompleted": "agent",
    "Runner": "core",
    "StreamDelta": "types",
    "StreamInterruptedError": "errors",
    "StreamPolicy": "components",
    "TextDelta": "streaming",
    "ToolCall": "types",
    "ToolCallCompleted": "streaming",
    "ToolCallDelta": "streaming",
    "ToolCallStarted": "streaming",
    "ToolExecutionCompleted": "systems",
    "ToolExecutionStarted": "systems",
    "ToolSchema": "types",
    "TurnStarted": "systems",
    "Usage": "types",
    "UsageReported": "streaming",
    "World": "core",
    "WorldSerializer": "serialization",
    "__version__": "_version",
    "append_message": "systems",
    "configure_logging": "logging",
    "get_logger": "logging",
    "open_world": "store",
    "run_sync": "core",
    "spawn_agent": "agent",
    "system": "core",
    "tool": "tools",
}

__all__ = [
    "Agent",
    "AgentEvent",
    "AgentRun",
    "AttemptContinued",
    "AttemptDiscarded",
    "CitationReceived",
    "CompletionResult",
    "EcsAgentError",
    "Entity",
    "EntityId",
    "EventBus",
    "Finished",
    "Message",
    "ProviderError",
    "Query",
    "RateLimitError",
    "Read",
    "ReasoningDelta",
    "RefusalDelta",
    "RetryConfig",
    "RetryProvider",
    "RunCompleted",
    "Runner",
    "StreamDelta",
    "StreamInterruptedError",
    "StreamPolicy",
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
    "WorldSerializer",
    "__version__",
    "append_message",
    "configure_logging",
    "get_logger",
    "open_world",
    "run_sync",
    "spawn_agent",
    "system",
    "tool",
]


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'ecs_agent' has no attribute {name!r}")
    value = getattr(import_module(f"ecs_agent.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
