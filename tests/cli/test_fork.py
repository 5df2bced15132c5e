"""`ecs-agent fork`: an agent of a stored world goes another way."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.commands import run_here
from tests.cli.recorded_runs import complains, record

from ecs_agent import Agent
from ecs_agent.components import LLMComponent, RequestOptionsComponent, StreamStateComponent, SystemPromptComponent
from ecs_agent.providers import FakeProvider
from ecs_agent.store import open_world
from ecs_agent.store.recording import Recording
from ecs_agent.types import EntityId

PROVIDERS = ["fake", "FakeProvider:fake#2", "FakeProvider:fake#3"]


def turn_of(store: str, text: str) -> int:
    """The number of the fact with which an agent's answer began to have this text."""
    with Recording.open(store) as recording:
        return next(fact.seq for fact in recording.facts() if fact.entity == 1 and fact.type == "StreamDeltaEvent" and text in str(fact.data))


async def test_it_makes_an_entity_that_another_world_goes_on_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, store = await record(capsys, tmp_path)
    other = str(tmp_path / "other.db")
    before = Path(store).read_bytes()
    done = await run_here(
        capsys, "fork", store, "--entity", "1", "--at", "8", "-o", other, "--model", "m2", "--system", "Be long.", "--temperature", "0.3"
    )
    assert (done.code, done.out) == (0, "4\n")
    assert (
        f"entity 4 of {other} is entity 1 as it was behind its fact 8; providers and tools stay names, to be given to open_world: fake, " in done.err
    )
    assert Path(store).read_bytes() == before
    providers = {name: FakeProvider(["Another answer."], name=name) for name in PROVIDERS}
    async with open_world(other, providers=providers, tools={"look_up": lambda word: word}) as world:
        agent = Agent(world, EntityId(4))
        llm = world.get_component(agent.entity, LLMComponent)
        assert llm is not None
        assert (llm.provider, llm.model) == (providers["fake"], "m2")
        assert world.get_component(agent.entity, SystemPromptComponent) == SystemPromptComponent("Be long.")
        assert world.get_component(agent.entity, RequestOptionsComponent) == RequestOptionsComponent({"temperature": 0.3})
        assert [message.content for message in agent.messages] == ["What is a journal?"]
        assert await agent.ask("Or else?") == "Another answer."
        (call,) = providers["fake"].calls
        assert (call.model, call.options["temperature"], call.messages[0].content) == ("m2", 0.3, "Be long.")


async def test_also_in_the_middle_of_an_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, store = await record(capsys, tmp_path)
    seq = turn_of(store, "keeps ")
    done = await run_here(capsys, "fork", store, "--entity", "1", "--at", str(seq), "--on-fork", "restart")
    assert (done.code, done.out) == (0, "4\n")
    with Recording.open(store) as recording:
        components = recording.components(recording.world().entities[4])
    state = components[StreamStateComponent.__name__]
    assert "".join(delta.get("content", "") for delta in state["deltas"]) == "A journal keeps "
    assert state["resume"] == "restart"


async def test_without_another_place_it_is_made_in_the_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, store = await record(capsys, tmp_path)
    assert (await run_here(capsys, "fork", store, "--entity", "2")).out == "4\n"
    assert (await run_here(capsys, "fork", store, "--entity", "4", "--model", "m2")).out == "5\n"
    done = await run_here(capsys, "diff", store, "--entity", "2", "--entity", "5")
    assert (done.code, done.out) == (1, "LLMComponent.model: '' ≠ 'm2'\n")


async def test_a_store_that_is_open_is_forked_into_another_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, store = await record(capsys, tmp_path)
    providers = {name: FakeProvider([], name=name) for name in PROVIDERS}
    async with open_world(store, providers=providers, tools={"look_up": lambda word: word}):
        complains(await run_here(capsys, "fork", store, "--entity", "1"), 1, "is open for writing")
        assert (await run_here(capsys, "fork", store, "--entity", "1", "-o", str(tmp_path / "other.db"))).code == 0


@pytest.mark.parametrize(
    ("words", "code", "what"),
    [
        (["nowhere.db", "--entity", "1"], 2, "there is no store nowhere.db"),
        (["crew.py", "--entity", "1"], 1, "is no store"),
        (["run.db"], 2, "Missing option '--entity'"),
        (["run.db", "--entity", "99"], 2, "run.db has no entity 99; it has 1 to 3"),
        (["run.db", "--entity", "1", "--at", "9999"], 2, "run.db has no fact 9999 of entity 1"),
        (["run.db", "--entity", "1", "-o", "crew.py"], 2, "crew.py exists; name another file"),
        (["run.db", "--entity", "1", "--on-fork", "perhaps"], 2, "perhaps"),
        (["run.db", "--entity", "1", "--at", "1", "--model", "m"], 2, "entity 1 of run.db is no agent then"),
    ],
)
async def test_wrong_usage_is_one_line(
    words: list[str], code: int, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    await record(capsys, tmp_path)
    complains(await run_here(capsys, "fork", *words), code, what)
    assert not Path("other.db").exists()
