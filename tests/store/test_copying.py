"""A store once more in another place: the same facts and the same state, and room for what comes next."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.store.recorded_parts import crew, recorded

from ecs_agent import Runner, append_message
from ecs_agent.errors import StoreInUseError
from ecs_agent.providers import FakeProvider
from ecs_agent.store import MemoryEngine, SqliteEngine, diff, open_world
from ecs_agent.store.copying import copy_store
from ecs_agent.store.recording import Recording
from ecs_agent.testing import run

NAMES = {"fake": FakeProvider(["once more"]), "FakeProvider:fake#2": FakeProvider([]), "FakeProvider:fake#3": FakeProvider([])}
TOOLS = {"look_up": lambda word: word}


def store() -> MemoryEngine:
    engine = MemoryEngine()
    recorded(crew(3), engine=engine).close()
    return engine


def facts(engine: MemoryEngine) -> list[object]:
    with Recording(engine) as recording:
        return list(recording.facts())


def test_a_copy_has_the_same_facts_and_the_same_state(tmp_path: Path) -> None:
    source, path = store(), tmp_path / "copy.db"
    copy_store(source, SqliteEngine(path))
    with Recording.open(path) as copied:
        assert list(copied.facts()) == facts(source)
        assert copied.session().is_complete

    async def worlds() -> None:
        async with open_world(path, providers=NAMES, tools=TOOLS) as copy, open_world(engine=source, providers=NAMES, tools=TOOLS) as first:
            assert diff(first, copy) == []

    run(worlds)


def test_what_is_written_then_belongs_to_a_later_epoch() -> None:
    source, target = store(), MemoryEngine()
    for _ in range(3):  # it was opened, and something happened
        _go_on(source)
    copy_store(source, target)
    _go_on(target)
    target.open()
    epochs = [frame.epoch for frame in target.frames()]
    assert epochs == sorted(epochs)
    assert len(set(epochs)) == 5


def _go_on(engine: MemoryEngine) -> None:
    async def main() -> None:
        async with open_world(engine=engine, providers={**NAMES, "fake": FakeProvider(["more"])}, tools=TOOLS) as world:
            append_message(world, world.entities[0], "again")
            await Runner().run(world)

    run(main)


def test_a_store_with_a_world_in_it_is_not_written_over() -> None:
    source, target = store(), store()
    before = facts(target)
    with pytest.raises(StoreInUseError, match="holds a world"):
        copy_store(source, target)
    assert facts(target) == before
