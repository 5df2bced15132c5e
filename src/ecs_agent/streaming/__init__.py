"""The streaming room."""
