"""A world in a file: made, closed, and opened again by a program that knows other things."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ecs_agent import Agent, Entity, Runner, World, append_message, spawn_agent, system, tool
from ecs_agent.components import ConversationComponent, LLMComponent, NameComponent, StreamStateComponent, ToolRegistryComponent
from ecs_agent.core import ChildOf, Gatherer, JournalFailed
from ecs_agent.errors import JournalError, MissingReferencesError, StoreFormatError, StoreInUseError, UnsavableError
from ecs_agent.providers import FakeProvider
from ecs_agent.serialization import WorldSerializer
from ecs_agent.store import Codecs, MemoryEngine, Registration, UnknownComponent, WorldRestored, diff, diff_entities, open_world
from ecs_agent.types import EntityId, JsonObject, Message


@dataclass(slots=True)
class Mood:
    word: str


@dataclass(slots=True)
class Feeling:
    """What `Mood` was in its first version."""

    mood: str


@dataclass(slots=True)
class Secretive:
    door: object


@tool
async def look_up(word: str) -> str:
    """Looks a word up."""
    return word


class TestComingBack:
    async def test_an_agent_goes_on_where_it_was(self, tmp_path: Path) -> None:
        path = tmp_path / "w.db"
        provider = FakeProvider(["one", "two"], delay=0)
        async with open_world(path) as world:
            agent = spawn_agent(world, provider, system_prompt="Be brief.", tools=[look_up], temperature=0.5)
            assert await agent.ask("first") == "one"
        async with open_world(path, providers=[provider], tools=[look_up]) as again:
            assert diff(world, again) == []
            agent = Agent(again, again.entities[0])
            assert await agent.ask("second") == "two"
            assert [message.content for message in provider.calls[-1].messages] == ["Be brief.", "first", "one", "second"]
            assert provider.calls[-1].options["temperature"] == 0.5

    async def test_the_log_goes_on_with_the_next_epoch(self, tmp_path: Path) -> None:
        path = tmp_path / "w.db"
        async with open_world(path) as world:
            entity = world.spawn(NameComponent("a"))
            end = world.log.next_pos
        async with open_world(path) as again:
            facts = list(again.log.read())
            assert [fact.pos for fact in facts] == list(range(len(facts)))
            assert [fact.epoch for fact in facts] == [0] * end + [1]
            assert facts[-1].payload == WorldRestored(1, end, ())
            assert again.create_entity() == entity + 1

    async def test_a_new_name_for_the_provider_does(self, tmp_path: Path) -> None:
        path = tmp_path / "w.db"
        async with open_world(path, providers={"clever": FakeProvider(["x"], name="fake-1")}) as world:
            spawn_agent(world, FakeProvider([], name="clever-too"))
        other = FakeProvider(["y"])
        async with open_world(path, providers={"clever-too": other}) as again:
            component = again.get_component(again.entities[0], LLMComponent)
            assert component is not None
            assert component.provider is other

    @pytest.mark.parametrize("codecs", [None, Codecs([Mood])])
    async def test_a_provider_of_the_same_name_is_no_difference(self, codecs: Codecs | None) -> None:
        engine = MemoryEngine()
        async with open_world(engine=engine) as world:
            entity = spawn_agent(world, FakeProvider([], name="clever")).entity
        async with open_world(engine=engine, providers=[FakeProvider([], name="clever")]) as again:
            assert diff(world, again, codecs=codecs) == []
            assert diff_entities((world, entity), (again, entity), codecs=codecs) == []

    async def test_all_that_is_missing_is_told_at_once(self, tmp_path: Path) -> None:
        path = tmp_path / "w.db"
        async with open_world(path) as world:
            spawn_agent(world, FakeProvider([], name="clever"), tools=[look_up])
            spawn_agent(world, FakeProvider([], name="cheap"))
        with pytest.raises(MissingReferencesError, match="clever") as caught:
            open_world(path)
        assert caught.value.providers == ("clever", "cheap")
        assert caught.value.tools == ("look_up",)
        async with open_world(path, providers=[FakeProvider([], name="clever"), FakeProvider([], name="cheap")], tools=[look_up]) as again:
            assert len(again.entities) == 2  # nothing was changed, and the file is not held any more

    async def test_a_past_with_what_was_not_given_can_be_looked_at_and_keeps_its_names(self) -> None:
        engine, old, new = MemoryEngine(), FakeProvider(["a"], name="old", delay=0), FakeProvider([], name="new")
        async with open_world(engine=engine) as world:
            agent = spawn_agent(world, old, tools=[look_up])
            before = world.state.row(agent.entity).seq
            world.add_component(agent.entity, LLMComponent(new))
            world.add_component(agent.entity, ToolRegistryComponent())
        async with open_world(engine=engine, providers=[new]) as again:
            fork = again.fork(agent.entity, at=before)
            append_message(again, fork, "hi")
            failed = (await Runner().run(again)).outcomes[fork].error
            assert isinstance(failed, MissingReferencesError)
            assert "provider 'old'" in str(failed)
        with pytest.raises(MissingReferencesError) as caught:
            open_world(engine=engine, providers=[new])
        assert (caught.value.providers, caught.value.tools) == (("old",), ("look_up",))
        async with open_world(engine=engine, providers=[old, new], tools=[look_up]) as third:
            component, registry = third.get_component(fork, LLMComponent), third.get_component(fork, ToolRegistryComponent)
            assert component is not None
            assert component.provider is old
            assert registry is not None
            assert registry.handlers == {"look_up": look_up}

    async def test_systems_of_ones_own_instead(self, tmp_path: Path) -> None:
        seen: list[str] = []

        @system
        async def look(me: Entity, name: NameComponent) -> None:
            seen.append(name.name)

        async with open_world(tmp_path / "w.db", systems=[look]) as world:
            world.spawn(NameComponent("a"))
            await world.process()
            assert len(world.schedule.entity_systems) == 1
        assert seen == ["a"]

    def test_a_world_can_be_filled_without_an_event_loop(self, tmp_path: Path) -> None:
        import asyncio

        world = open_world(tmp_path / "w.db")
        entity = world.spawn(NameComponent("a"))
        asyncio.run(world.aclose())
        again = open_world(tmp_path / "w.db")
        assert again.get_component(entity, NameComponent) == NameComponent("a")
        asyncio.run(again.aclose())


class TestComponents:
    async def test_a_newer_version_upgrades_what_it_finds(self, tmp_path: Path) -> None:
        path = tmp_path / "w.db"

        def upgrade(version: int, fields: JsonObject) -> JsonObject:
            assert version == 1
            return {"word": fields["mood"]}

        async with open_world(path, components=[Registration(Feeling, tag="Mood")]) as world:
            entity = world.spawn(Feeling("calm"))
        newer = Registration(Mood, version=2, upgrade=upgrade)
        async with open_world(path, components=[newer]) as again:
            mood = again.get_component(entity, Mood)
            assert mood == Mood("calm")
            mood.word = "angry"
            again.touch(entity, Mood)
        async with open_world(path, components=[newer]) as third:
            assert third.get_component(entity, Mood) == Mood("angry")
        with pytest.raises(StoreFormatError, match="version 2"):
            open_world(path, components=[Mood])

    async def test_a_stranger_is_reported_and_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "w.db"
        async with open_world(path, components=[Mood]) as world:
            entity = world.spawn(Mood("calm"))
        async with open_world(path) as stranger:
            assert [fact.payload.unknown for fact in stranger.log.read() if isinstance(fact.payload, WorldRestored)] == [("Mood",)]
            (held,) = stranger.state.row(entity).components.values()
            assert isinstance(held, UnknownComponent)
            assert held.fields == {"word": "calm"}
        async with open_world(path, components=[Mood]) as again:
            assert again.get_component(entity, Mood) == Mood("calm")

    async def test_one_that_is_never_written_is_gone(self, tmp_path: Path) -> None:
        path, passing = tmp_path / "w.db", [Registration(Secretive, transient=True)]
        async with open_world(path, components=passing) as world:
            entity = world.spawn(Secretive(object()), NameComponent("a"))
            world.touch(entity, Secretive)
            world.remove_component(entity, Secretive)
            world.add_component(entity, Secretive(object()))
            await world.commit()
        async with open_world(path, components=passing) as again:
            assert list(again.state.row(entity).components) == [NameComponent]
            assert [fact.type for fact in again.log.read()].count("ComponentAdded") == 3

    async def test_what_is_no_data_is_refused_loudly_and_harms_nobody(self, tmp_path: Path) -> None:
        path = tmp_path / "w.db"
        async with open_world(path) as world:
            good, bad = world.spawn(NameComponent("good")), world.spawn(Secretive(object()))
            with pytest.raises(UnsavableError, match="Secretive"):
                await world.commit()
            assert any(isinstance(fact.payload, JournalFailed) for fact in world.log.read())
            world.remove_component(bad, Secretive)
            await world.commit()
        async with open_world(path) as again:
            assert again.get_component(good, NameComponent) == NameComponent("good")
            assert again.state.row(bad).components == {}


class TestFiles:
    async def test_one_world_at_a_time(self, tmp_path: Path) -> None:
        path = tmp_path / "w.db"
        async with open_world(path):
            with pytest.raises(StoreInUseError, match=r"w\.db"):
                open_world(path)
        async with open_world(path):
            pass

    @pytest.mark.parametrize("content", [b"not a database at all, but a letter", b"SQLite format 3\x00" + b"\x01" * 200])
    def test_what_is_no_store_is_left_alone(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "letter.txt"
        path.write_bytes(content)
        with pytest.raises(StoreFormatError):
            open_world(path)
        assert path.read_bytes() == content

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(JournalError, match="nowhere"):
            open_world(tmp_path / "nowhere" / "w.db")

    async def test_closing_twice_and_writing_afterwards(self, tmp_path: Path) -> None:
        world = open_world(tmp_path / "w.db")
        entity = world.spawn(NameComponent("a"))
        await world.aclose()
        await world.aclose()
        world.add_component(entity, NameComponent("too late"))  # nobody keeps it, and nobody is harmed
        async with open_world(tmp_path / "w.db") as again:
            assert again.get_component(entity, NameComponent) == NameComponent("a")


class TestDocuments:
    """The reference's WorldSerializer."""

    async def test_a_world_comes_back_from_its_document(self, tmp_path: Path) -> None:
        provider = FakeProvider(["hello", "again"], delay=0)
        async with World() as world:
            agent = spawn_agent(world, provider, system_prompt="Be brief.", tools=[look_up])
            child = world.spawn(NameComponent("child"), parent=agent.entity)
            await agent.ask("hi")
            data = WorldSerializer.to_dict(world)
            WorldSerializer.save(world, tmp_path / "w.json")
            assert json.loads(json.dumps(data)) == data
        for again in (
            WorldSerializer.from_dict(data, {"fake": provider}, {"look_up": look_up}),
            WorldSerializer.load(tmp_path / "w.json", [provider], [look_up]),
        ):
            assert diff(world, again) == []
            assert again.children(agent.entity) == [child]
            assert WorldSerializer.to_dict(again)["entities"] == data["entities"]
        assert await Agent(again, agent.entity).ask("more") == "again"
        await again.aclose()

    async def test_half_an_answer_is_saved(self) -> None:
        async with World() as world:
            agent = spawn_agent(world, FakeProvider(["a long answer"], delay=0.01))
            data: JsonObject = {}
            async with agent.run("go") as run:
                async for event in run:
                    if getattr(event, "text", "") == "l":
                        data = WorldSerializer.to_dict(world)
                        break
        again = WorldSerializer.from_dict(data, [FakeProvider([])])
        state = again.get_component(agent.entity, StreamStateComponent)
        assert state is not None
        assert state.result().message.content == "a l"

    async def test_a_document_can_begin_a_store(self, tmp_path: Path) -> None:
        world = World()
        parent = world.spawn(ConversationComponent([Message("user", "hi")]))
        world.spawn(NameComponent("child"), parent=parent)
        WorldSerializer.save(world, tmp_path / "w.json")
        async with open_world(tmp_path / "w.db", document=tmp_path / "w.json") as imported:
            assert diff(world, imported) == []
            append_message(imported, parent, Message("assistant", "hello"))
        async with open_world(tmp_path / "w.db") as again:
            assert diff(imported, again) == []
            assert again.get_component(again.entities[1], ChildOf) == ChildOf(parent)
        with pytest.raises(StoreInUseError, match="holds a world already"):
            open_world(tmp_path / "w.db", document=tmp_path / "w.json")

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("[]", "no saved world"),
            ("{}", "no saved world"),
            ('{"format": "ecs-agent world", "version": 99}', "format 99"),
            ('{"format": "ecs-agent world", "version": 1}', "damaged"),
            ('{"format": "ecs-agent world", "version": 1, "pos": 0, "seed": 5, "roots": 0, "next_id": 1, "sent": 0, "entities": []}', "damaged"),
            ('{"format": "ecs-agent world", "version": 1, "pos": -1, "seed": "s", "roots": 0, "next_id": 1, "sent": 0, "entities": []}', "damaged"),
            ('{"format": "ecs-agent world", "version": 1, "pos": 0, "seed": "s", "roots": 0, "next_id": 1, "sent": 0, "entities": [7]}', "damaged"),
            ("{", "JSON"),
        ],
    )
    def test_another_file_is_refused(self, tmp_path: Path, text: str, says: str) -> None:
        (tmp_path / "w.json").write_text(text)
        with pytest.raises(StoreFormatError, match=says):
            WorldSerializer.load(tmp_path / "w.json")

    def test_a_file_that_cannot_be_written_leaves_the_old_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        world, path = World(), tmp_path / "w.json"
        world.spawn(NameComponent("old"))
        WorldSerializer.save(world, path)
        before = path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0

        def full(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        world.spawn(NameComponent("new"))
        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(JournalError, match="No space left"):
            WorldSerializer.save(world, path)
        assert path.read_bytes() == before
        assert [each.name for each in tmp_path.iterdir()] == ["w.json"]

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            WorldSerializer.load(tmp_path / "none.json")


async def test_a_world_in_memory_has_its_past() -> None:
    async with open_world() as world:
        entity = world.spawn(NameComponent("a"))
        first = world.log.next_pos - 1
        world.add_component(entity, NameComponent("b"))
        assert world.at(first).get_component(entity, NameComponent) == NameComponent("a")


@dataclass(slots=True)
class Heap(Gatherer[str]):
    """Takes in what is no piece of an answer."""

    words: list[str]

    def add(self, items: Sequence[str], now: float, /) -> None:
        self.words += items


async def test_what_gathers_something_else_than_deltas_is_refused_loudly() -> None:
    async with open_world(systems=()) as world:
        entity = world.spawn(Heap([]))
        heap = world.get_component(entity, Heap)
        world.state.record_each(world.state.row(entity), Spoken, ["a", "b"], into=heap)
        with pytest.raises(UnsavableError, match="Heap takes in Spokens"):
            await world.commit()
        world.remove_component(entity, Heap)


@dataclass(frozen=True, slots=True)
class Spoken:
    entity_id: EntityId
    word: str
