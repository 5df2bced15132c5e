"""How entities move through the schedule: the engine of one run and its parts."""
