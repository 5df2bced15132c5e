"""Saved worlds: the journal that keeps every fact, restoring, forks and differences. Nothing but `sqlite_engine` knows sqlite."""

from ecs_agent.store.codecs import Codecs, Registration
from ecs_agent.store.diff import Difference, diff, diff_entities
from ecs_agent.store.divergence import Divergence
from ecs_agent.store.engine import Frame, Head, JournalEngine, Snapshot, Version
from ecs_agent.store.events import FactUnsaved, WorldRestored
from ecs_agent.store.memory_engine import MemoryEngine
from ecs_agent.store.open import open_world
from ecs_agent.store.recording import Recording
from ecs_agent.store.replay import ReplayReport, replay
from ecs_agent.store.sqlite_engine import SqliteEngine
from ecs_agent.store.unknown import UnknownComponent, UnknownEvent

__all__ = [
    "Codecs",
    "Difference",
    "Divergence",
    "FactUnsaved",
    "Frame",
    "Head",
    "JournalEngine",
    "MemoryEngine",
    "Recording",
    "Registration",
    "ReplayReport",
    "Snapshot",
    "SqliteEngine",
    "UnknownComponent",
    "UnknownEvent",
    "Version",
    "WorldRestored",
    "diff",
    "diff_entities",
    "open_world",
    "replay",
]
