"""One life of a crew: a process that opens its store, works, and tells line by line what is safe, until it is done or killed.

python -m tests.crash.life '{"seed": 7, …}'     # a `Life` as JSON
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final, Literal, TypeAlias

import msgspec
from tests.crash.crew import Effects, Errand, Model, crew_of, furnish, play, tools_of

from ecs_agent import World
from ecs_agent.components import ConversationComponent
from ecs_agent.core import Clock, ComponentAdded, ComponentChanged, ComponentRemoved, Envelope, EventStream, EveryDelta
from ecs_agent.store import Frame, JournalEngine, Snapshot, SqliteEngine, open_world
from ecs_agent.store.journal import Durability
from ecs_agent.streaming.message_data import message_to_data
from ecs_agent.types import JsonObject, Message

Kind: TypeAlias = Literal["opening", "seconds", "line", "before write", "after write", "before effect", "after effect"]

SNAPSHOT_EVERY: Final = (20_000, 50, 200)
DURABILITIES: Final[tuple[Durability, ...]] = ("turn", "event", "turn", "exit", "turn")
MOST: Final = 1_000_000
"""So many facts wait for whoever digests them; none is merged."""

_TOLD_OTHERWISE: Final = (ComponentAdded, ComponentChanged, ComponentRemoved)
"""Events that hold live components, which change later."""


class Moment(msgspec.Struct, frozen=True):
    """When a life is ended: `at` seconds after its start ("opening") or after it opened, at its line number `at`, or around a write or an effect.

    Who kills at a write or an effect is the process itself.
    """

    kind: Kind
    at: float


class Life(msgspec.Struct, frozen=True):
    """A crew's life number `number`: its store, and the file into which its tools write."""

    seed: int
    number: int
    store: str
    effects: str
    moment: Moment | None = None


class Death:
    """Kills this process when its moment has come."""

    def __init__(self, moment: Moment | None) -> None:
        self._moment = moment
        self._seen: Counter[str] = Counter()

    def at(self, what: str) -> None:
        """Something happens that may be the moment."""
        self._seen[what] += 1
        if self._moment is not None and self._moment.kind == what and self._seen[what] == self._moment.at:
            os.kill(os.getpid(), signal.SIGKILL)


class MortalEngine(SqliteEngine):
    """A store in whose writes one can die. On a slow disk much is on its way at any moment."""

    def __init__(self, path: str, death: Death, slow: Random | None) -> None:
        super().__init__(path)
        self._death, self._slow = death, slow

    def write(self, frames: Sequence[Frame], snapshot: Snapshot | None = None) -> None:
        if self._slow is not None:
            time.sleep(self._slow.uniform(0.0, 0.02))
        self._death.at("before write")
        super().write(frames, snapshot)
        self._death.at("after write")


def opened(engine: JournalEngine, seed: int, models: Sequence[Model], add: Callable[[str], None], clock: Clock | None = None) -> World:
    """The world of a store, furnished."""
    tools = tools_of(add)
    world = open_world(
        engine=engine,
        providers=[model.provider for model in models],
        tools={each.name: each for each in tools} | {"send_message": tools[0]},  # those that chat get their own afterwards
        components=[Errand],
        durability=DURABILITIES[seed // 3 % len(DURABILITIES)],
        clock=clock,
        rng=Random(seed),
        snapshot_every=SNAPSHOT_EVERY[seed % len(SNAPSHOT_EVERY)],
    )
    furnish(world, seed, models, tools)
    return world


async def live(life: Life, tell: Callable[[JsonObject], None]) -> None:
    """Open the store, work to the end, and tell what is safe."""
    death = Death(life.moment)
    models = [Model(life.seed, member, Random(f"{life.seed} {life.number} {member.number}")) for member in crew_of(life.seed)]
    effects = Effects(Path(life.effects), lambda when: death.at(f"{when} effect"))
    engine = MortalEngine(life.store, death, Random(life.seed) if life.seed % 5 < 2 else None)
    async with opened(engine, life.seed, models, effects.add) as world:
        facts, start = world.events(policy=EveryDelta(MOST)), world.log.next_pos
        tell({"opened": start, "epoch": world.log.epoch})
        telling = asyncio.ensure_future(_tell_what_is_safe(world, facts, start, tell, Random(f"{life.seed} {life.number}")))
        problems = await play(world, life.seed, lambda *run: tell({"completed": run}))
        telling.cancel()
        for problem in [*problems, *[problem for model in models for problem in model.problems]]:
            tell({"problem": problem})
    tell({"finished": True})


async def _tell_what_is_safe(world: World, facts: EventStream, start: int, tell: Callable[[JsonObject], None], draw: Random) -> None:
    digest, held = hashlib.sha256(), list[Envelope]()
    while True:
        said = said_in(world)
        end = await world.commit()
        while facts.pending():
            held.append(await anext(facts))
        for fact in [fact for fact in held if fact.pos < end]:
            digest.update(form(fact).encode("utf-8", "surrogatepass"))
        held = [fact for fact in held if fact.pos >= end]
        tell({"safe": end, "start": start, "digest": digest.hexdigest(), "said": said})
        await asyncio.sleep(draw.choice((0, 0.002, 0.01, 0.03)))


def said_in(world: World) -> dict[str, str]:
    """Each conversation of a world, in short."""
    return {str(entity): _short(held.messages) for entity, (held,) in world.query(ConversationComponent)}


def _short(messages: Iterable[Message]) -> str:
    return hashlib.sha256(repr([message_to_data(message) for message in messages]).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def form(fact: Envelope) -> str:
    """All that a fact says, as long as it is not a live object, in one line."""
    payload: Any = fact.payload
    said = "" if isinstance(payload, _TOLD_OTHERWISE) else repr(payload)
    return f"{fact.epoch} {fact.pos} {fact.entity} {fact.seq} {fact.run} {fact.turn} {fact.attempt} {fact.kind} {fact.type} {fact.time} {said}\n"


def main(life: Life, out: int) -> None:
    """Live, and tell on a file descriptor."""

    def tell(line: JsonObject) -> None:
        os.write(out, msgspec.json.encode(line) + b"\n")

    try:
        asyncio.run(live(life, tell))
    except BaseException as error:
        tell({"problem": f"life {life.number} ended with {type(error).__name__}: {error}"})
        raise


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=Life), sys.stdout.fileno())
