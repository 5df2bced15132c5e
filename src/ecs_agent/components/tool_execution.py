"""Which tools an agent has, which calls wait for a result, and the last results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ecs_agent.types import Message, ToolCall, ToolSchema


@dataclass(slots=True)
class ToolRegistryComponent:
    """The agent's tools by name: what the model is told, and what is run. A handler is a `Tool` or, as in the reference, an async function."""

    tools: dict[str, ToolSchema] = field(default_factory=dict[str, ToolSchema])
    handlers: dict[str, Callable[..., Any]] = field(default_factory=dict[str, Callable[..., Any]])


@dataclass(slots=True)
class PendingToolCallsComponent:
    """Calls of the last answer that have no result in the conversation yet; `results` are those that are known already, by call id."""

    tool_calls: list[ToolCall]
    results: dict[str, Message] = field(default_factory=dict[str, Message])


@dataclass(slots=True)
class ToolResultsComponent:
    """The texts of the last turn's results, by call id."""

    results: dict[str, str] = field(default_factory=dict[str, str])
