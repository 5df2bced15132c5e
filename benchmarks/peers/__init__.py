"""Others who read the same streams, each in an environment of its own: one file that asks as their users would, and one with the versions."""
