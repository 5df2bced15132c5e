"""State from facts, as data: the fold that restores a world, and that says what it was at any position.

It works on data and not on objects: each component is decoded once, at the end, so that one place knows of older versions, and a component of a
type that nobody knows any more simply stays the data it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from ecs_agent.core.checkpoint import Checkpoint, SavedRow
from ecs_agent.core.events import EntityCreated, EntityDeleted
from ecs_agent.core.inbox import LetterDelivered
from ecs_agent.core.log import Gatherer, gathers
from ecs_agent.errors import StoreFormatError
from ecs_agent.store.codecs import Codecs
from ecs_agent.store.engine import Snapshot, Version
from ecs_agent.store.fact_data import ChangeData, FactData
from ecs_agent.store.json_text import loads
from ecs_agent.store.segments import deltas_data
from ecs_agent.store.value_codec import held
from ecs_agent.store.versions import ENTITY
from ecs_agent.streaming.delta_data import DeltaReader
from ecs_agent.types import EntityId, JsonObject, StreamDelta


@dataclass(slots=True)
class ComponentData:
    """A component as data, and the bursts it took in since it came: when, their items, and how many of these count (None: all)."""

    version: int
    fields: JsonObject
    bursts: list[tuple[float, list[Any], int | None]] = field(default_factory=list[tuple[float, list[Any], int | None]])


@dataclass(slots=True)
class EntityData:
    """An entity as data; see `SavedRow`."""

    place: str
    spawned: int = 0
    seq: int = 0
    sent: int = 0
    run: int = 0
    turn: int = 0
    attempt: int = 0
    components: dict[str, ComponentData] = field(default_factory=dict[str, ComponentData])


@dataclass(slots=True)
class WorldData:
    """A world as data, as far as facts have been folded into it.

    Attributes:
        seed: of its randomness.
        pos: the position behind the last fact.
        only: the one entity whose components are wanted; None for all.
    """

    seed: str
    pos: int = 0
    roots: int = 0
    next_id: int = 1
    sent: int = 0
    entities: dict[int, EntityData] = field(default_factory=dict[int, EntityData])
    only: int | None = None

    def begin(self, snapshot: Snapshot) -> None:
        """Begin with a snapshot instead of nothing.

        Raises:
            StoreFormatError: it is damaged.
        """
        numbers = loads(snapshot.meta)
        try:
            self.pos, self.roots, self.next_id, self.sent = snapshot.pos, numbers["roots"], numbers["next_id"], numbers["sent"]
            for version in snapshot.versions:
                self._begin_with(version)
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            raise StoreFormatError(f"a snapshot at position {snapshot.pos} is damaged: {type(error).__name__}: {error}") from error

    def _begin_with(self, version: Version) -> None:
        entity, tag = version.entity, version.tag
        if version.data is None:
            return
        if tag == ENTITY:  # it stands before the entity's components
            self.entities[entity] = EntityData(*loads(version.data))
        elif (data := self.entities.get(entity)) is not None and self.only in (None, entity):  # None: it was deleted, components and all
            for change in loads(version.data):
                if change[0] != "add":
                    apply(data.components, change)
                elif change[4] is None:
                    apply(data.components, change, change[3])
                else:
                    for at, items in zip(change[4], change[3], strict=True):
                        apply(data.components, [*change[:2], at], deltas_data(items))

    def fold(self, facts: Iterable[FactData], before: int | None = None) -> None:
        """Take facts in, those before a position if one is given."""
        for fact in facts:
            if fact.pos < self.pos:
                continue
            if before is not None and fact.pos >= before:
                return
            count = fact.count if before is None else min(fact.count, before - fact.pos)
            self._take(fact, count)
            self.pos = fact.pos + count

    def _take(self, fact: FactData, count: int) -> None:
        if fact.type == EntityCreated.__name__ and fact.entity is not None:
            self._create(fact.entity, fact.parent)
        elif fact.type == LetterDelivered.__name__ and fact.data is not None:
            self._count_letter(fact.data)
        entity = self.entities.get(fact.entity) if fact.entity is not None else None
        if entity is None:
            return
        if fact.type == EntityDeleted.__name__:
            del self.entities[fact.entity or 0]
            return
        entity.seq = fact.seq + count - 1
        entity.run, entity.turn, entity.attempt = fact.run, fact.turn, fact.attempt
        if fact.change is not None and self.only in (None, fact.entity):
            apply(entity.components, fact.change, fact.data, count)

    def _create(self, entity: int, parent: int | None) -> None:
        above = None if parent is None else self.entities.get(parent)
        if above is None:
            place, self.roots = f"{self.seed}/{self.roots}", self.roots + 1
        else:
            place, above.spawned = f"{above.place}/{above.spawned}", above.spawned + 1
        self.entities[entity] = EntityData(place)
        self.next_id = max(self.next_id, entity + 1)

    def _count_letter(self, data: JsonObject) -> None:
        sender, seq = data["letter"].get("sender"), data["letter"]["seq"]
        if sender is None:
            self.sent = max(self.sent, seq)
        elif (entity := self.entities.get(sender)) is not None:
            entity.sent = max(entity.sent, seq)

    # As objects

    def checkpoint(self, codecs: Codecs) -> Checkpoint:
        """The world, its components decoded.

        Raises:
            StoreFormatError: a component cannot be read.
        """
        rows = tuple([self.row(entity, codecs) for entity in self.entities])
        return Checkpoint(self.pos, self.seed, self.roots, self.next_id, self.sent, rows)

    def row(self, entity: int, codecs: Codecs) -> SavedRow:
        """One entity, its components decoded."""
        data = self.entities[entity]
        codecs.references.used_by(entity)
        components = tuple([_decoded(tag, component, codecs) for tag, component in data.components.items()])
        return SavedRow(EntityId(entity), data.place, data.spawned, data.seq, data.sent, data.run, data.turn, data.attempt, components)


def apply(components: dict[str, ComponentData], change: ChangeData, data: Any = None, count: int | None = None) -> None:
    """Do to an entity's components what a fact did to them.

    Args:
        components: by tag; changed.
        change: see `ecs_agent.store.fact_data`.
        data: the fact's, for the items of a burst.
        count: how many of these items count; all by default.

    Raises:
        StoreFormatError: the change does not fit.
    """
    try:
        _apply(components, change, data, count)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise StoreFormatError(f"a change of the journal does not fit the state before it: {type(error).__name__}: {error}") from error


def _apply(components: dict[str, ComponentData], change: ChangeData, data: Any, count: int | None) -> None:
    operation, tag = change[0], change[1]
    if operation == "put":
        components[tag] = ComponentData(change[2], dict(change[3]))
    elif operation == "drop":
        components.pop(tag, None)
    elif operation == "none":
        pass
    elif operation == "add":
        components[tag].bursts.append((change[2], data, count))
    else:
        component = components[tag]
        component.version = change[2]
        for edit in change[3]:
            _edit(component.fields, edit)


def _edit(fields: JsonObject, edit: list[Any]) -> None:
    operation, name = edit[0], edit[1]
    if operation == "set":
        fields[name] = edit[2]
    elif operation == "grow":
        kept: list[Any] = held(fields.setdefault(name, []))
        if len(kept) < edit[2]:
            raise ValueError(f"{name} has {len(kept)} elements, {edit[2]} of them should stay")
        kept[edit[2] :] = edit[3]
    else:
        merged: JsonObject = held(fields.setdefault(name, {}))
        for key in edit[3]:
            merged.pop(key, None)
        merged.update(edit[2])


def _decoded(tag: str, data: ComponentData, codecs: Codecs) -> object:
    component = codecs.decode_component(tag, data.version, data.fields)
    kind: type = type(component)
    if not data.bursts or not gathers(kind):
        return component
    gatherer = cast("Gatherer[StreamDelta]", component)
    reader = DeltaReader(getattr(gatherer, "deltas", ()))
    for at, items, count in data.bursts:
        gatherer.add(reader.read(items)[:count], at)
    return gatherer
