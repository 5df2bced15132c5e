from __future__ import annotations

from tests.store.engine_suite import EngineSuite, Store, frames

from ecs_agent.store.engine import JournalEngine
from ecs_agent.store.memory_engine import MemoryEngine


class InMemory:
    def __init__(self) -> None:
        self.only = MemoryEngine()

    def engine(self) -> JournalEngine:
        return self.only


class TestMemoryEngine(EngineSuite):
    def new_store(self) -> Store:
        return InMemory()


def test_the_meta_of_a_head_is_a_copy() -> None:
    engine = MemoryEngine()
    head = engine.open()
    engine.put_meta({"a": "1"})
    engine.write(frames(1))
    assert head.meta == {}
