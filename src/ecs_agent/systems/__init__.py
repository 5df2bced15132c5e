"""All shipped systems. Each is an entity system under the reference's name."""

from ecs_agent.systems.conversation import (
    HistoryReplaced,
    HistorySealed,
    MessageAppended,
    append_message,
    history_problems,
    replace_history,
)
from ecs_agent.systems.error_handling import ErrorHandlingSystem
from ecs_agent.systems.memory import MemorySystem
from ecs_agent.systems.reasoning import AttemptInterrupted, ReasoningSystem, TurnStarted
from ecs_agent.systems.tool_execution import ToolExecutionCompleted, ToolExecutionStarted, ToolExecutionSystem

__all__ = [
    "AttemptInterrupted",
    "ErrorHandlingSystem",
    "HistoryReplaced",
    "HistorySealed",
    "MemorySystem",
    "MessageAppended",
    "ReasoningSystem",
    "ToolExecutionCompleted",
    "ToolExecutionStarted",
    "ToolExecutionSystem",
    "TurnStarted",
    "append_message",
    "history_problems",
    "replace_history",
]
