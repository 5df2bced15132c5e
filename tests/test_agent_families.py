"""Agents over every protocol: tools, thoughts and pictures, a store, a crash in mid-answer, and conversations that go from one protocol to another.

What only its own server understands (signatures, encrypted thoughts) is stored and goes back unchanged; what is sent is always what an API takes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from ecs_agent import Agent, World, spawn_agent, tool
from ecs_agent.components import LLMComponent, StreamPolicy
from ecs_agent.core import LoopClock, Runner
from ecs_agent.errors import RateLimitError, ServerError, StreamInterruptedError
from ecs_agent.providers import AnthropicProvider, FallbackProvider, GeminiProvider, OpenAIProvider, OpenAIResponsesProvider
from ecs_agent.providers.script import Step
from ecs_agent.store import open_world
from ecs_agent.systems import append_message
from ecs_agent.systems.continuation import GO_ON
from ecs_agent.systems.invariants import check_world
from ecs_agent.testing import ScriptedTransport, WireFamily, request_problems, run
from ecs_agent.types import EntityId, ImagePart, Message, OpaquePart, ReasoningPart, TextPart, ToolCall, Usage

PICTURE: Final = ImagePart(data=b"\x89PNG\r\n\x1a\n", media_type="image/png")


@tool
def draw(name: str) -> list[TextPart | ImagePart]:
    """Draw something."""
    return [TextPart(f"A {name}."), PICTURE]


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


PROVIDERS: Final[dict[WireFamily, Callable[..., Any]]] = {
    "openai-chat": lambda transport, model="m", **http: OpenAIProvider("k", transport.base_url, model, transport=transport, **http),
    "openai-responses": lambda transport, model="m", **http: OpenAIResponsesProvider("k", transport.base_url, model, transport=transport, **http),
    "anthropic": lambda transport, model="claude-opus-5", **http: AnthropicProvider("k", transport.base_url, model, transport=transport, **http),
    "gemini": lambda transport, model="gemini-3-flash", **http: GeminiProvider("k", transport.base_url, model, transport=transport, **http),
}
BODY: Final[dict[WireFamily, str]] = {"openai-chat": "messages", "openai-responses": "input", "anthropic": "messages", "gemini": "contents"}

THINKING: Final = {"type": "thinking", "thinking": "deep", "signature": "c2lnbmVk"}
REASONING: Final = {"id": "rs_9", "type": "reasoning", "summary": [], "encrypted_content": "c2VhbGVk"}
SEALED: Final[dict[WireFamily, list[Step]]] = {
    "openai-chat": [],
    "openai-responses": [OpaquePart("openai-responses", REASONING)],
    "anthropic": [OpaquePart("anthropic", THINKING)],
    "gemini": [],
}
"""What stands before an answer and is its server's alone; Gemini's stands on the call."""

SEAL: Final[dict[WireFamily, str]] = {
    "openai-chat": "c1",
    "openai-responses": json.dumps(REASONING),
    "anthropic": json.dumps(THINKING),
    "gemini": '"thoughtSignature": "c2lnbmVk"',
}
"""What a later request of the same protocol holds."""


def calling(wire: WireFamily, ids: str = "c") -> list[Step]:
    """Thoughts, a text, and two calls at once."""
    opaque = {"gemini": {"thoughtSignature": "c2lnbmVk"}} if wire == "gemini" else None
    return [
        *SEALED[wire],
        ReasoningPart("Hm."),
        "Let me see.",
        ToolCall(f"{ids}1", "draw", {"name": "cat"}, opaque=opaque),
        ToolCall(f"{ids}2", "add", {"a": 1, "b": 2}),
        Usage(10, 5, 15),
    ]


def sent(wire: WireFamily, transport: ScriptedTransport, number: int) -> list[Any]:
    """The conversation in a request, without the marks of what is to be kept in a cache."""
    found: list[Any] = json.loads(json.dumps(transport.requests[number].body[BODY[wire]]).replace(', "cache_control": {"type": "ephemeral"}', ""))
    return found


def assert_taken(wire: WireFamily, *transports: ScriptedTransport) -> None:
    assert [problem for transport in transports for request in transport.requests for problem in request_problems(wire, request.body)] == []


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_a_turn_with_thoughts_calls_at_once_and_a_picture(wire: WireFamily) -> None:
    transport = ScriptedTransport([calling(wire), ["Done.", Usage(20, 5, 25)], "Again."])
    async with World() as world:
        agent = spawn_agent(world, PROVIDERS[wire](transport), system_prompt="Be brief.", tools=[draw, add], reasoning_effort="low")
        assert await agent.ask("Draw and add.") == "Done."
        assert await agent.ask("And now?") == "Again."
        assert check_world(world) == []
    assert_taken(wire, transport)
    first, second = json.dumps(sent(wire, transport, 1)), sent(wire, transport, 2)
    assert SEAL[wire] in first
    assert "iVBORw0KGgo=" in first  # the picture
    assert second[: len(sent(wire, transport, 1))] == sent(wire, transport, 1) or wire == "gemini"  # there the calls of the current turn differ
    assert SEAL[wire] in json.dumps(second)


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_a_conversation_in_a_file_goes_on_in_another_life(wire: WireFamily, tmp_path: Path) -> None:
    before, after = ScriptedTransport([calling(wire), "Done."]), ScriptedTransport(["Again."])
    async with open_world(tmp_path / "world.db", providers=[first := PROVIDERS[wire](before)], tools=[draw, add]) as world:
        agent = spawn_agent(world, first, tools=[draw, add], reasoning_effort="low")
        await agent.ask("Draw and add.")
        said = agent.messages
    async with open_world(tmp_path / "world.db", providers=[PROVIDERS[wire](after)], tools=[draw, add]) as world:
        again = Agent(world, agent.entity)
        assert again.messages == said
        assert await again.ask("And now?") == "Again."
    assert_taken(wire, before, after)
    assert sent(wire, after, 0)[: len(sent(wire, before, 1))] == sent(wire, before, 1)
    assert SEAL[wire] in json.dumps(sent(wire, after, 0))


def cut_off(wire: WireFamily, path: Path, policy: StreamPolicy, model: str, goes_on: str = "was a cat.") -> tuple[ScriptedTransport, list[Message]]:
    """An agent whose process ends when it has said some words of its second answer; how its next life goes."""
    before = ScriptedTransport([calling(wire), ["Once upon a time there ", 100.0, "was a cat."]])
    after = ScriptedTransport([goes_on])
    made: dict[str, Any] = {"read_timeout": None}

    async def first() -> None:
        world = open_world(path, providers=[provider := PROVIDERS[wire](before, model, **made)], tools=[draw, add], clock=LoopClock())
        agent = spawn_agent(world, provider, tools=[draw, add], policy=policy)
        append_message(world, agent.entity, "Draw, add and tell.")
        running = asyncio.ensure_future(Runner().run(world))
        await asyncio.sleep(50.0)
        await world.commit()
        for found in path.parent.iterdir():  # as it is on the disk in mid-answer
            (path.parent.parent / found.name).write_bytes(found.read_bytes())
        running.cancel()
        await asyncio.wait((running,))
        await world.aclose()

    async def second() -> list[Message]:
        moved = path.parent.parent / path.name
        async with open_world(moved, providers=[PROVIDERS[wire](after, model, **made)], tools=[draw, add], clock=LoopClock()) as world:
            await Runner().run(world)
            assert check_world(world) == []
            return Agent(world, EntityId(1)).messages

    run(first)
    return after, run(second)


@pytest.mark.parametrize("on_restore", ["continue", "restart"])
@pytest.mark.parametrize("wire", PROVIDERS)
def test_an_answer_that_a_crash_cut_goes_on_as_its_policy_says(wire: WireFamily, on_restore: Any, tmp_path: Path) -> None:
    (tmp_path / "life").mkdir()
    model = {"anthropic": "claude-opus-5", "gemini": "gemini-3-flash"}.get(wire, "m")
    after, messages = cut_off(wire, tmp_path / "life" / "world.db", StreamPolicy(on_restore=on_restore), model)
    assert_taken(wire, after)
    said = json.dumps(sent(wire, after, 0))
    assert (GO_ON in said, "Once upon" in said) == (on_restore == "continue",) * 2  # none of these goes on behind an assistant's last message
    assert messages[-1].content == ("Once upon a time there was a cat." if on_restore == "continue" else "was a cat.")
    assert [message.role for message in messages] == ["user", "assistant", "tool", "tool", "assistant"]
    assert SEAL[wire] in said


def test_a_claude_that_can_goes_on_behind_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "life").mkdir()
    after, messages = cut_off("anthropic", tmp_path / "life" / "world.db", StreamPolicy(on_restore="continue"), "claude-sonnet-4-5", " was a cat.")
    assert sent("anthropic", after, 0)[-1] == {"role": "assistant", "content": [{"type": "text", "text": "Once upon a time there"}]}
    assert messages[-1].content == "Once upon a time there was a cat."
    assert_taken("anthropic", after)


@pytest.mark.parametrize("other", PROVIDERS)
@pytest.mark.parametrize("wire", PROVIDERS)
async def test_a_conversation_goes_to_another_protocol_and_back(wire: WireFamily, other: WireFamily) -> None:
    first, second, third = (
        ScriptedTransport([calling(wire), "Done."]),
        ScriptedTransport([calling(other, "d"), "There."]),
        ScriptedTransport(["Back."]),
    )
    async with World() as world:
        agent = spawn_agent(world, PROVIDERS[wire](first), tools=[draw, add], reasoning_effort="low")
        await agent.ask("Draw and add.")
        llm = world.get_component(agent.entity, LLMComponent)
        assert llm is not None
        llm.provider = PROVIDERS[other](second)
        assert await agent.ask("You too.") == "There."
        llm.provider = PROVIDERS[wire](third)
        assert await agent.ask("And back.") == "Back."
    assert_taken(wire, first, third)
    assert_taken(other, second)
    assert SEAL[wire] in json.dumps(sent(wire, third, 0))
    if other != wire:
        assert not {'"c2lnbmVk"', '"c2VhbGVk"'} & set(json.dumps(sent(other, second, 0)).split())  # nobody else is sent it


FAILURES: Final[list[Any]] = [RateLimitError("slow down"), ServerError("down"), StreamInterruptedError("lost")]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(("wire", "other"), [("anthropic", "gemini"), ("gemini", "openai-responses"), ("openai-chat", "anthropic")])
async def test_where_one_family_fails_another_answers_in_the_middle_of_a_turn(wire: WireFamily, other: WireFamily, failure: Exception) -> None:
    answers: Sequence[Any] = [calling(wire), failure]
    first, second = ScriptedTransport(answers), ScriptedTransport(["Done."])
    async with World() as world, FallbackProvider([PROVIDERS[wire](first), PROVIDERS[other](second)]) as provider:
        agent = spawn_agent(world, provider, tools=[draw, add], reasoning_effort="low")
        assert await agent.ask("Draw and add.") == "Done."
    assert_taken(wire, first)
    assert_taken(other, second)
    assert "iVBORw0KGgo=" in json.dumps(sent(other, second, 0))
