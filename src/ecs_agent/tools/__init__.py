"""Typed functions that a model may ask for: defining, finding and running them."""

from ecs_agent.tools.execution import ToolLimits, ToolOutcome, execute_call
from ecs_agent.tools.scan import scan_module, tool_table
from ecs_agent.tools.threads import ToolThreads
from ecs_agent.tools.tool import Tool, tool

__all__ = ["Tool", "ToolLimits", "ToolOutcome", "ToolThreads", "execute_call", "scan_module", "tool", "tool_table"]
