"""`open_world`: a world whose every fact is kept, and which goes on where its process ended, however that was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Final, TypeAlias

from ecs_agent.agent import install
from ecs_agent.core import Clock, World
from ecs_agent.core.collector import paused_gc
from ecs_agent.core.loading import load
from ecs_agent.providers.protocol import ProviderLike
from ecs_agent.store.codecs import Codecs, Registration
from ecs_agent.store.document import checkpoint_of, read_document
from ecs_agent.store.engine import JournalEngine
from ecs_agent.store.events import WorldRestored
from ecs_agent.store.history import History
from ecs_agent.store.journal import Durability
from ecs_agent.store.memory_engine import MemoryEngine
from ecs_agent.store.references import References
from ecs_agent.store.sqlite_engine import SqliteEngine, Synchronous
from ecs_agent.types import JsonObject

Providers: TypeAlias = Sequence[ProviderLike] | Mapping[str, ProviderLike]
Tools: TypeAlias = Sequence[Callable[..., object]] | Mapping[str, Callable[..., object]]

SNAPSHOT_EVERY: Final = 20_000
"""Facts between two snapshots; opening a world folds at most about so many."""


def open_world(
    path: str | Path | None = None,
    *,
    providers: Providers = (),
    tools: Tools = (),
    components: Iterable[type | Registration] = (),
    systems: Iterable[object] | None = None,
    durability: Durability = "turn",
    synchronous: Synchronous = "NORMAL",
    clock: Clock | None = None,
    rng: Random | None = None,
    checked: bool = False,
    engine: JournalEngine | None = None,
    snapshot_every: int = SNAPSHOT_EVERY,
    document: str | Path | JsonObject | None = None,
) -> World:
    """A world in a file: made if there is none, else as it was when its process ended. Reading blocks; do it before agents run.

        async with open_world("crew.db", providers=[provider], tools=[get_weather]) as world:
            ...

    What was in flight is there as well: an answer that was arriving goes on as its agent's `StreamPolicy.on_restore` says, a tool that had begun
    is run again only if it is idempotent.

    Args:
        path: the file; None keeps everything in memory, for tests and for forks and undo without a file.
        providers: those that saved agents name, by their `name`, or under names of your own.
        tools: the functions that saved agents may call.
        components: types of your own, to be read back as what they were. Types that are not given stay data, and are kept.
        systems: what is registered; by default what agents need.
        durability: "turn": facts are written as they happen, the pieces of answers some at a time, and nobody waits but a tool that must not run
            twice. "event": every fact at once. "exit": at `commit`, and at the end.
        synchronous: of sqlite: NORMAL is safe when the process dies, FULL also when the machine does.
        clock: where time comes from.
        rng: the source of the randomness of a new world.
        checked: as of `World`.
        engine: another place to keep it than a file of sqlite.
        snapshot_every: facts between snapshots.
        document: what a new store begins with: a world that `WorldSerializer` saved, or the path of its file.

    Raises:
        MissingReferencesError: saved agents name providers or tools that were not given; the message lists them.
        StoreFormatError: the file is no store of ours, damaged, or of a newer version.
        StoreInUseError: another process, or another world, has it open.
        JournalError: it cannot be read or written.
    """
    if engine is None:
        engine = MemoryEngine() if path is None else SqliteEngine(path, synchronous=synchronous)
    references = References(providers=providers, tools=tools)
    codecs = Codecs(components, references=references)
    history = History(engine, codecs, durability=durability, snapshot_every=snapshot_every)
    try:
        world = World(history, clock, rng=rng, checked=checked)
        with paused_gc():
            saved = history.begin(world.state) if document is None else checkpoint_of(_read(document), codecs)
            references.check()
            if saved is not None:
                load(world.state, saved)
        if document is not None:
            history.adopt(world.state)
    except BaseException:
        history.close()
        raise
    for system in systems if systems is not None else ():
        world.register_system(system)
    if systems is None:
        install(world)
    if saved is not None and document is None:
        history.renew(world.state)
        world.report(WorldRestored(history.epoch, saved.pos, tuple(codecs.unknown)))
    return world


def _read(document: str | Path | JsonObject) -> object:
    return document if isinstance(document, dict) else read_document(document)
