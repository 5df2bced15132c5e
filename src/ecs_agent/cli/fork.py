"""`ecs-agent fork`: an agent of a stored world once more, from one of its facts on, perhaps with another model or prompt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from ecs_agent.cli.failures import ExitCode
from ecs_agent.cli.sanitize import one_line
from ecs_agent.cli.stores import opened, pos_behind
from ecs_agent.cli.terminal import Look, standard_error
from ecs_agent.components import LLMComponent, RequestOptionsComponent, SystemPromptComponent
from ecs_agent.core.forking import OnFork
from ecs_agent.errors import ConfigurationError, MissingReferencesError
from ecs_agent.providers.protocol import ModelOptions
from ecs_agent.store.codecs import Codecs
from ecs_agent.store.copying import copy_store
from ecs_agent.store.open import open_world
from ecs_agent.store.references import References
from ecs_agent.store.sqlite_engine import SqliteEngine
from ecs_agent.types import EntityId


@dataclass(frozen=True, slots=True)
class Branch:
    """What is other on the branch; None leaves it as it is. `on_fork` says what becomes of an answer that was arriving."""

    model: str | None = None
    system: str | None = None
    temperature: float | None = None
    on_fork: OnFork = "continue"

    def replaced(self, components: Sequence[object], path: str, entity: int) -> list[object]:
        """Components that stand in the place of the first one's.

        Raises:
            ConfigurationError: that one is no agent.
        """
        held: dict[type, Any] = {type(component): component for component in components}
        llm: LLMComponent | None = held.get(LLMComponent)
        options: RequestOptionsComponent | None = held.get(RequestOptionsComponent)
        made: list[object] = []
        if llm is None and (self.model, self.system, self.temperature) != (None, None, None):
            raise ConfigurationError(f"entity {entity} of {path} is no agent then, so it has no model, prompt or temperature")
        if self.model is not None and llm is not None:
            made.append(replace(llm, model=self.model))
        if self.system is not None:
            made.append(SystemPromptComponent(self.system))
        if self.temperature is not None:
            chosen = ModelOptions() if options is None else options.options.copy()
            chosen["temperature"] = self.temperature
            made.append(RequestOptionsComponent(chosen))
        return made


def fork(path: str, entity: int, at: int | None, branch: Branch, *, out: str | None = None, color: bool = True) -> int:
    """Fork, and write the id of the new entity; the exit code.

    Args:
        path: of the store.
        entity: whom to fork.
        at: behind which of its facts; None for its last one.
        branch: what is other there.
        out: a new store, which begins as a copy of the first; None adds the new entity to the first one.
        color: False keeps every escape sequence out.

    Raises:
        ConfigurationError: there is no such store, entity or fact, or the new store exists.
        StoreError: a store cannot be read or written.
    """
    if out is not None and Path(out).exists():
        raise ConfigurationError(f"{out} exists; name another file")
    stand_ins, components = _looked_up(path, entity, at)
    replaced = branch.replaced(components, path, entity)
    if out is not None:
        copy_store(SqliteEngine(path, read_only=True), SqliteEngine(out))
    made = asyncio.run(_forked(out or path, EntityId(entity), at, replaced, branch.on_fork, stand_ins))
    print(made)
    standard_error(color=color).line(_told(made, entity, at, out or path, stand_ins), Look.QUIET)
    return ExitCode.OK


class _StandIns:
    """What a saved world names, as objects of which nothing but the name is known."""

    def __init__(self, missing: MissingReferencesError | None) -> None:
        self.providers = {name: _Named(name) for name in (missing.providers if missing is not None else ())}
        self.tools: dict[str, Callable[..., object]] = dict.fromkeys(missing.tools if missing is not None else (), _nothing)


def _looked_up(path: str, entity: int, at: int | None) -> tuple[_StandIns, Sequence[object]]:
    """What a world names, and the components that the fork begins with."""
    with opened(path) as recording:
        now = recording.world()
        if entity not in now.entities:
            raise ConfigurationError(f"{path} has no entity {entity}; it has {_listed(list(now.entities))}")
        past = now if at is None else recording.world(pos_behind(recording, path, entity, at))
    references = References()
    codecs = Codecs(references=references)
    now.checkpoint(codecs)
    past.row(entity, codecs)
    stand_ins = _StandIns(None)
    try:
        references.check()
    except MissingReferencesError as missing:
        stand_ins = _StandIns(missing)
    known = Codecs(references=References(providers=stand_ins.providers, tools=stand_ins.tools))
    return stand_ins, past.row(entity, known).components


async def _forked(path: str, entity: EntityId, at: int | None, replaced: Sequence[object], on_fork: OnFork, stand_ins: _StandIns) -> EntityId:
    async with open_world(path, providers=stand_ins.providers, tools=stand_ins.tools, systems=()) as world:
        made = world.fork(entity, *replaced, at=at, on_fork=on_fork)
        await world.commit()
        return made


class _Named:
    """Stands for a provider of a saved world, of which nothing but the name is known here."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def complete(self, *_: object, **__: object) -> NoReturn:
        raise MissingReferencesError(f"the provider {self.name!r} of a saved world was not given")


async def _nothing() -> None:
    """Stands for a tool."""


def _told(made: int, entity: int, at: int | None, path: str, stand_ins: _StandIns) -> str:
    where = "as it is" if at is None else f"as it was behind its fact {at}"
    told = f"entity {made} of {path} is entity {entity} {where}"
    used = ", ".join([*stand_ins.providers, *stand_ins.tools])
    return one_line(f"{told}; providers and tools stay names, to be given to open_world: {used}" if used else told)


def _listed(entities: list[int]) -> str:
    return f"{entities[0]} to {entities[-1]}" if entities else "none"
