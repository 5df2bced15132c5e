"""The reference's name for saving worlds; see `ecs_agent.store`."""
