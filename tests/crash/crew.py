"""A crew that is made to crash: agents that stream, call tools and write to each other, all of it drawn from a seed.

What a model says follows from its conversation alone, and not from results of tools, so whoever asks again gets the same answer, and two runs of a
seed can be held against each other word for word. When an answer drops is up to chance.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Final, Literal, TypeAlias

from ecs_agent import Agent, Entity, Runner, World, append_message, spawn_agent, system, tool
from ecs_agent.components import (
    CollaborationComponent,
    ConversationComponent,
    InterruptionComponent,
    LimitsComponent,
    PendingToolCallsComponent,
    StreamPolicy,
    StreamStateComponent,
    ToolRegistryComponent,
)
from ecs_agent.errors import StreamInterruptedError
from ecs_agent.providers import FakeProvider
from ecs_agent.providers.capabilities import Capabilities
from ecs_agent.providers.script import Script
from ecs_agent.systems import CollaborationSystem, history_problems, send_message_tool
from ecs_agent.systems.collaboration import send_message
from ecs_agent.systems.continuation import ECHO_FROM, GO_ON
from ecs_agent.systems.conversation import awaits_model
from ecs_agent.tools import Tool
from ecs_agent.types import EntityId, Message, ToolCall, Usage

OnRestore: TypeAlias = Literal["continue", "restart", "interrupted"]
OnDrop: TypeAlias = Literal["raise", "retry", "continue"]

RESUME: Final = "go on, please"
"""The new input of an agent whose answer the crash has interrupted."""

INPUT: Final = re.compile(r"input \d+")
LETTERS: Final = 3
"""So many letters each of two that chat writes."""

ONCE: Final = ("note", "stamp")
"""The tools that must not run twice."""

_WORDS: Final = "once upon a time there was naïve 漢字 🙂 stream that never lied, and so they lived; \n\n the end".split(" ")  # noqa: SIM905 - as it is read


@dataclass(frozen=True, slots=True)
class Member:
    """One agent of a crew. `number` is its entity; `to` whom it writes when it has answered all its inputs, `peer` with whom it chats."""

    number: int
    inputs: int
    to: int | None
    peer: int | None
    on_drop: OnDrop | None
    on_restore: OnRestore
    at_once: int | None
    prefill: bool
    delay: float


@dataclass(slots=True)
class Errand:
    """A letter that an agent has to write when it is done with its inputs."""

    to: EntityId
    inputs: int
    sent: bool = False


def crew_of(seed: int) -> list[Member]:
    """Chains of agents, of which each writes to the next; and perhaps two that chat."""
    draw = Random(f"crew {seed}")
    crew: list[Member] = []

    def join(inputs: int, to: int | None, peer: int | None) -> None:
        on_drop = draw.choice((None, "raise", "retry", "continue"))
        on_restore: OnRestore = "restart" if on_drop is None else draw.choice(("continue", "continue", "restart", "interrupted"))
        at_once, prefill, delay = draw.choice((None, None, 1, 2)), draw.random() < 0.5, draw.uniform(0.0005, 0.004)
        crew.append(Member(len(crew) + 1, inputs, to, peer, on_drop, on_restore, at_once, prefill, delay))  # type: ignore[arg-type]  # of the words above

    for _ in range(draw.randint(1, 2)):
        length = draw.randint(1, 3)
        for place in range(length):
            join(0 if place else draw.randint(1, 3), len(crew) + 2 if place < length - 1 else None, None)
    if draw.random() < 0.5:
        join(1, None, len(crew) + 2)
        join(0, None, len(crew))
    return crew


# What models say


class Model:
    """The model of a member, as a provider; `chance` is that of this process, and decides what drops.

    Attributes:
        problems: what was wrong with requests.
    """

    def __init__(self, seed: int, member: Member, chance: Random) -> None:
        self.problems: list[str] = []
        self.provider = FakeProvider(
            [self._reply] * 10_000,
            delay=member.delay,
            by="word",
            name=f"model {member.number}",
            capabilities=Capabilities(prefill=member.prefill),
        )
        self._seed, self._member, self._chance = seed, member, chance

    def _reply(self, messages: Sequence[Message]) -> Script:
        before, partial, asked = _parted(messages)
        self.problems += [f"agent {self._member.number} is asked with an invalid history: {problem}" for problem in history_problems(before)]
        whole = answer(self._seed, self._member, before)
        if partial is None:
            return self._luck(whole)
        if not whole.text.startswith(partial):
            self.problems.append(f"agent {self._member.number} is to go on behind {partial!r}, which it has never said")
        if asked and len(partial) >= ECHO_FROM and self._chance.random() < 0.5:
            return self._luck(replace(whole, reasoning=""))  # as models do that are asked in words: once more from the beginning
        return self._luck(replace(whole, text=whole.text[len(partial) :], reasoning=""))

    def _luck(self, script: Script) -> Script:
        if self._member.on_drop in ("retry", "continue") and self._chance.random() < 0.2:
            return replace(script, error=StreamInterruptedError("the connection was lost"), fail_after=self._chance.randint(0, 20))
        return script


def _parted(messages: Sequence[Message]) -> tuple[Sequence[Message], str | None, bool]:
    """A request without what asks to go on; the answer that is to be gone on with, and whether that was asked in words."""
    if messages[-1].role == "assistant":
        return messages[:-1], messages[-1].content, False
    if messages[-1].content == GO_ON:
        return messages[:-2], messages[-2].content, True
    return messages, None, False


def told(messages: Sequence[Message]) -> list[Message]:
    """What was said, without the traces of crashes: what was interrupted, and the input that made it go on."""
    return [
        message
        for message in messages
        if not (message.role == "system" or message.interrupted or (message.role == "user" and message.content == RESUME))
    ]


def answer(seed: int, member: Member, messages: Sequence[Message]) -> Script:
    """What a model says to a conversation."""
    said = told(messages)
    asked = max(at for at, message in enumerate(said) if message.role == "user")
    step = sum(message.role == "assistant" for message in said[asked:])
    usage = Usage(len(said), 5, len(said) + 5)
    if member.peer is not None:
        return _chat(member, said, step, usage)
    draw, turns = (Random(f"{seed} {member.number} {_digest(part)}") for part in (said, said[: asked + 1]))
    if step < turns.randint(0, 2):
        calls = [_call(draw, f"{member.number}-{len(said)}-{index}") for index in range(draw.randint(1, 3))]
        return Script(_text(draw, draw.choice((0, 3, 9))), tool_calls=calls, usage=usage)
    return Script(_text(draw, draw.randint(4, 25)), reasoning=draw.choice(("", "I wonder, and think, and then")), usage=usage)


def _chat(member: Member, said: list[Message], step: int, usage: Usage) -> Script:
    written = sum(len(message.tool_calls or ()) for message in said)
    if not step and written < LETTERS:
        call = ToolCall(f"{member.number}-letter-{written}", "send_message", {"to": member.peer, "text": f"letter {written} of {member.number}"})
        return Script("Let me write to them. ", tool_calls=[call], usage=usage)
    return Script(f"So be it: {len(said)} things were said and {written} letters written.", usage=usage)


def _digest(said: Sequence[Message]) -> str:
    """A conversation in short, whatever the results of its tools are."""
    parts = [(message.role, message.tool_call_id or message.content) for message in said]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _text(draw: Random, count: int) -> str:
    return " ".join(draw.choices(_WORDS, k=count))


def _call(draw: Random, name: str) -> ToolCall:
    seconds = draw.choice((0.0, round(draw.uniform(0, 0.01), 4)))
    return ToolCall(name, draw.choice(("note", "note", "stamp", "look_up")), {"key": name, "seconds": seconds})


# What tools do


class Effects:
    """What tools did outside: lines of a file, each safe when `add` returns.

    Args:
        path: of the file.
        at: called before and after each one.
    """

    def __init__(self, path: Path, at: Callable[[str], None] = lambda _: None) -> None:
        self._path, self._at = path, at

    def add(self, key: str) -> None:
        self._at("before")
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(handle, f"{key}\n".encode())
            os.fsync(handle)
        finally:
            os.close(handle)
        self._at("after")


def result_of(call: ToolCall) -> str:
    """What a tool says when all went well."""
    return f"sent to agent {call.arguments['to']}" if call.name == "send_message" else f"{call.name} {call.arguments['key']}: done"


def tools_of(add: Callable[[str], None]) -> list[Tool[..., Any]]:
    """The tools of all members; what they do outside is told to `add`."""

    @tool
    async def note(key: str, seconds: float) -> str:
        """Not idempotent."""
        await asyncio.sleep(seconds / 2)
        add(key)
        await asyncio.sleep(seconds / 2)
        return f"note {key}: done"

    @tool
    def stamp(key: str, seconds: float) -> str:
        """Not idempotent, and in a thread."""
        add(key)
        return f"stamp {key}: done"

    @tool(idempotent=True)
    async def look_up(key: str, seconds: float) -> str:
        """Does no harm."""
        await asyncio.sleep(seconds)
        return f"look_up {key}: done"

    return [note, stamp, look_up]


# What happens


@system(
    priority=6,
    without=(StreamStateComponent, PendingToolCallsComponent, InterruptionComponent),
    when=lambda errand, conversation: not errand.sent and _is_done(errand.inputs, conversation.messages),
)
async def run_errand(me: Entity, errand: Errand, conversation: ConversationComponent) -> None:
    """Write to the next one, and write down that this was done, in one stretch: a crash finds both or neither."""
    send_message(me, errand.to, f"an errand of {me.id}")
    errand.sent = True


def _is_done(inputs: int, messages: Sequence[Message]) -> bool:
    return inputs_in(messages) >= max(1, inputs) and not awaits_model(messages) and not messages[-1].interrupted


def inputs_in(messages: Sequence[Message]) -> int:
    """How many inputs a member has got."""
    return sum(message.role == "user" and message.content != RESUME for message in messages)


def furnish(world: World, seed: int, models: Sequence[Model], tools: Sequence[Tool[..., Any]]) -> None:
    """Give a world its systems, a new one its crew, and those that chat the tool by which they do: each has one of its own."""
    crew = crew_of(seed)
    for each in (CollaborationSystem(), run_errand):
        world.register_system(each)
    if not world.entities:
        for member, model in zip(crew, models, strict=True):
            _spawn(world, member, model, tools)
    for member in crew:
        if member.peer is not None:
            writing = send_message_tool(world, EntityId(member.number))
            world.add_component(EntityId(member.number), ToolRegistryComponent({writing.name: writing.schema}, {writing.name: writing}))


def _spawn(world: World, member: Member, model: Model, tools: Sequence[Tool[..., Any]]) -> None:
    policy = None
    if member.on_drop is not None:
        policy = StreamPolicy(on_drop=member.on_drop, on_restore=member.on_restore, max_attempts=1000, backoff=0.0001)
    limits = LimitsComponent(parallel_tools=member.at_once) if member.at_once is not None else None
    agent = spawn_agent(world, model.provider, tools=tools, policy=policy, limits=limits, system_prompt=f"You are {member.number}.")
    peers = [EntityId(peer) for peer in (member.to, member.peer) if peer is not None]
    world.add_component(agent.entity, CollaborationComponent(peers))
    if member.to is not None:
        world.add_component(agent.entity, Errand(EntityId(member.to), member.inputs))


async def play(world: World, seed: int, done: Callable[[int, str, str], None]) -> list[str]:
    """Bring the crew's work to its end, wherever it stands; what went wrong.

    Args:
        world: furnished.
        seed: of the crew.
        done: is told the agent, the input and the answer of each run that was completed.
    """
    problems = await _finish(world)
    serving = asyncio.ensure_future(Runner().serve(world))
    await asyncio.sleep(0)  # it runs from now on, so it can be stopped

    async def tell(member: Member) -> None:
        agent = Agent(world, EntityId(member.number))
        for number in range(inputs_in(agent.messages), member.inputs):
            completed = await agent.run(f"input {number}").result()
            done(member.number, f"input {number}", completed.text)

    try:
        await World.gather([tell(member) for member in crew_of(seed) if member.inputs])
    finally:
        world.stop(after_step=True)
        await serving
    return problems + await _finish(world)


async def _finish(world: World) -> list[str]:
    """Run until everyone is at rest, and have those go on that a crash has interrupted."""
    problems: list[str] = []
    while not problems:
        result = await Runner().run(world)
        problems += [f"agent {entity} failed: {error!r}" for entity, error in result.errors.items()]
        stopped = [entity for entity, _ in world.query(InterruptionComponent)]
        if not stopped:
            break
        for entity in stopped:
            append_message(world, entity, RESUME)
    return problems
