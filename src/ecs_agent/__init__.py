"""ecs_agent."""
