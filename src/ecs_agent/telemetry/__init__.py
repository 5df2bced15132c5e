"""What agents do at the moment, in figures for people and programs: read from the components when asked for, so that it costs nothing otherwise."""

from ecs_agent.telemetry.agent_phase import AgentPhase
from ecs_agent.telemetry.agent_stats import AgentStats, agent_stats
from ecs_agent.telemetry.crew_summary import STALLED_AFTER, CrewSummary, crew_summary

__all__ = [
    "STALLED_AFTER",
    "AgentPhase",
    "AgentStats",
    "CrewSummary",
    "agent_stats",
    "crew_summary",
]
