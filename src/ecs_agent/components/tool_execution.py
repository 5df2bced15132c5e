"""Which tools an agent has, which calls wait for a result, and the last results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ecs_agent.core.component import Unforked
from ecs_agent.types import Message, ToolCall, ToolSchema


@dataclass(slots=True)
class ToolRegistryComponent:
    """The agent's tools by name: what the model is told, and what is run. A handler is a `Tool` or, as in the reference, an async function."""

    tools: dict[str, ToolSchema] = field(default_factory=dict[str, ToolSchema])
    handlers: dict[str, Callable[..., Any]] = field(default_factory=dict[str, Callable[..., Any]])


@dataclass(slots=True)
class PendingToolCallsComponent(Unforked):
    """Calls of the last answer that have no result in the conversation yet; `results` are those that are known already, by call id.

    `started` are the ids of calls that may have begun to run: each stands here, and in the journal, before its tool is called. So a call that
    stands here without a result when nobody runs it was cut off by the end of the program, and may have taken effect.
    """

    tool_calls: list[ToolCall]
    results: dict[str, Message] = field(default_factory=dict[str, Message])
    started: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class ToolResultsComponent:
    """The texts of the last turn's results, by call id."""

    results: dict[str, str] = field(default_factory=dict[str, str])
