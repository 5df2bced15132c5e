"""All shipped systems. Each is an entity system under the reference's name."""

from ecs_agent.systems.attempt import AttemptContinued, AttemptDiscarded, AttemptInterrupted, AttemptStarted, TurnStarted
from ecs_agent.systems.collaboration import CollaborationSystem, send_message, send_message_tool
from ecs_agent.systems.conversation import (
    HistoryReplaced,
    HistorySealed,
    InputQueued,
    MessageAppended,
    append_message,
    history_problems,
    replace_history,
)
from ecs_agent.systems.error_handling import ErrorHandlingSystem
from ecs_agent.systems.memory import MemorySystem
from ecs_agent.systems.planning import PlanningSystem
from ecs_agent.systems.reasoning import ReasoningSystem
from ecs_agent.systems.replanning import ReplanningSystem
from ecs_agent.systems.tool_execution import ToolExecutionCompleted, ToolExecutionStarted, ToolExecutionSystem, ToolOutcomeUnknown
from ecs_agent.systems.user_input import UserInputSystem, answer_input

__all__ = [
    "AttemptContinued",
    "AttemptDiscarded",
    "AttemptInterrupted",
    "AttemptStarted",
    "CollaborationSystem",
    "ErrorHandlingSystem",
    "HistoryReplaced",
    "HistorySealed",
    "InputQueued",
    "MemorySystem",
    "MessageAppended",
    "PlanningSystem",
    "ReasoningSystem",
    "ReplanningSystem",
    "ToolExecutionCompleted",
    "ToolExecutionStarted",
    "ToolExecutionSystem",
    "ToolOutcomeUnknown",
    "TurnStarted",
    "UserInputSystem",
    "answer_input",
    "append_message",
    "history_problems",
    "replace_history",
    "send_message",
    "send_message_tool",
]
