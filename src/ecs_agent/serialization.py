"""`WorldSerializer`: a world as one JSON document, as in the reference. `ecs_agent.store.open_world` keeps one with its history."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from ecs_agent.core import World
from ecs_agent.core.collector import paused_gc
from ecs_agent.core.loading import load
from ecs_agent.providers.protocol import ProviderLike
from ecs_agent.store.codecs import Codecs, Registration
from ecs_agent.store.document import checkpoint_of, read_document, world_data, write_document
from ecs_agent.store.references import References
from ecs_agent.streaming.json_edge import is_object
from ecs_agent.types import JsonObject

Providers: TypeAlias = Sequence[ProviderLike] | Mapping[str, ProviderLike]
ToolHandlers: TypeAlias = Sequence[Callable[..., object]] | Mapping[str, Callable[..., object]]


class WorldSerializer:
    """Saves a world as it is at a moment, between two facts, and makes it anew: entities, components, relations, and answers that are arriving.

    Providers and tools are saved by name and given again when a world is loaded. Keys are in neither. Systems are not saved: register
    them as ever. A world without any gets those that agents need with its first `agent.run`.
    """

    @staticmethod
    def to_dict(world: World) -> JsonObject:
        """A world as JSON data.

        Raises:
            UnsavableError: a component holds what is no data.
        """
        return world_data(world, Codecs())

    @staticmethod
    def from_dict(
        data: JsonObject,
        providers: Providers = (),
        tool_handlers: ToolHandlers = (),
        *,
        components: Iterable[type | Registration] = (),
    ) -> World:
        """The world of such data.

        Args:
            data: what `to_dict` returned.
            providers: those that saved agents name, by their `name` or under names.
            tool_handlers: the functions that saved agents may call.
            components: types of your own; those that are not given stay data.

        Raises:
            MissingReferencesError: providers or tools are missing; the message lists them.
            StoreFormatError: this is no saved world, a damaged one, or one of a newer version.
        """
        references = References(providers=providers, tools=tool_handlers)
        world = World()
        with paused_gc():
            saved = checkpoint_of(data, Codecs(components, references=references))
            references.check()
            load(world.state, saved)
        return world

    @staticmethod
    def save(world: World, path: str | Path) -> None:
        """Write a world to a file: whole, or not at all. Only the file's owner may read it.

        Raises:
            JournalError: it could not be written; what stood there before still does.
            UnsavableError: a component holds what is no data.
        """
        write_document(WorldSerializer.to_dict(world), path)

    @staticmethod
    def load(
        path: str | Path,
        providers: Providers = (),
        tool_handlers: ToolHandlers = (),
        *,
        components: Iterable[type | Registration] = (),
    ) -> World:
        """The world of a file; see `from_dict`.

        Raises:
            FileNotFoundError: there is no such file.
            MissingReferencesError: providers or tools are missing.
            StoreFormatError: it holds no saved world.
        """
        with paused_gc():
            document = read_document(path)
        return WorldSerializer.from_dict(document if is_object(document) else {}, providers, tool_handlers, components=components)
