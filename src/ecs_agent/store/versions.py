"""Versions: what became of each component since the last snapshot, so that a snapshot costs what changed and not what there is.

A version is a list of changes, as they stand in facts (`ecs_agent.store.fact_data`), with the items of bursts behind them. One that begins with "put"
stands for itself; any other is an addition to the version before. So a component that did not change is stored once, and a conversation grows by
its new messages.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ecs_agent.core.component import field_names
from ecs_agent.core.events import EntityCreated, EntityDeleted
from ecs_agent.core.inbox import LetterDelivered
from ecs_agent.core.row import Row
from ecs_agent.core.state import State
from ecs_agent.store.codecs import Codecs
from ecs_agent.store.engine import Snapshot, Version
from ecs_agent.store.fact_data import ChangeData, FactData
from ecs_agent.store.json_text import dumps
from ecs_agent.types import EntityId

SHORT: Final = 32
"""A list that grew behind so many elements is long: its component is not written whole."""

MOST_CHANGES: Final = 8
MOST_ADDITIONS: Final = 16
"""A component that is not long is written whole when it changed more often, or when so many additions stand behind its last whole version."""

ENTITY: Final = ""
"""The tag under which an entity's own numbers are stored."""


class Versions:
    """What became of components since the last snapshot.

    Args:
        codecs: how components are written.
        every: after so many facts a snapshot is due.
    """

    def __init__(self, codecs: Codecs, every: int) -> None:
        self._codecs = codecs
        self._every = every
        self._changed: dict[int, dict[str, list[ChangeData]]] = {}  # by entity and tag
        self._facts = 0
        self._stored: dict[int, dict[str, int]] = {}  # how many additions stand behind the last whole version

    def know(self, entity: int, tags: Iterable[str]) -> None:
        """Of an entity the store has versions of components with these tags."""
        self._stored.setdefault(entity, {}).update({tag: MOST_ADDITIONS for tag in tags if tag != ENTITY})

    def postpone(self) -> None:
        """A snapshot cannot be made just now."""
        self._facts = 0

    def note(self, fact: FactData) -> None:
        """Take a fact in."""
        self._facts += fact.count
        if fact.entity is None:
            return
        components = self._changed.setdefault(fact.entity, {})
        if fact.type == EntityCreated.__name__ and fact.parent is not None:
            self._changed.setdefault(fact.parent, {})  # it counts its children
        elif fact.type == LetterDelivered.__name__ and (sender := fact.data["letter"].get("sender")) is not None:
            self._changed.setdefault(sender, {})  # it counts its letters
        elif fact.type == EntityDeleted.__name__:
            components.clear()
        change = fact.change
        if change is not None and change[0] != "none":
            changes = components.setdefault(change[1], [])
            if change[0] in ("put", "drop"):
                changes.clear()
            changes.append(_with_items(fact, change) if change[0] == "add" else change)

    @property
    def due(self) -> bool:
        """Whether so much happened that a snapshot pays."""
        return self._facts >= self._every

    def take(self, state: State, pos: int) -> Snapshot:
        """What changed up to a position, and begin anew. `state` is that of the same position.

        Raises:
            UnsavableError: a component holds what is no data; nothing has begun anew.
        """
        versions: list[Version] = []
        for entity, components in self._changed.items():
            row = state.rows.get(EntityId(entity))
            if row is None:
                versions += [Version(entity, tag, 1, pos, None) for tag in (ENTITY, *sorted(self._stored.get(entity, ())))]
            else:
                versions.append(_numbers(row, pos))
                versions += [self._component(row, tag, changes, pos) for tag, changes in components.items()]
        for entity in self._changed:
            if EntityId(entity) not in state.rows:
                self._stored.pop(entity, None)
        self._changed, self._facts = {}, 0
        return Snapshot(pos, _counts(state), versions)

    def _component(self, row: Row, tag: str, changes: list[ChangeData], pos: int) -> Version:
        stored = self._stored.setdefault(row.id, {})
        if changes[-1][0] == "drop":
            stored.pop(tag, None)
            return Version(row.id, tag, 1, pos, None)
        additions = 0 if changes[0][0] == "put" else stored.get(tag, MOST_ADDITIONS) + 1
        if any(map(_is_long, changes)) or (len(changes) <= MOST_CHANGES and additions <= MOST_ADDITIONS):
            stored[tag] = additions
            return Version(row.id, tag, 1, pos, dumps(changes), adds=additions > 0)
        kind = next(held for held in row.components if self._codecs.tag_of(held)[0] == tag)
        # As it was told last: a call that runs may be in the middle of a change, which later facts tell.
        fields = self._codecs.fields_data(kind, field_names(kind), row.snapshots[kind])
        stored[tag] = 0
        return Version(row.id, tag, 1, pos, dumps([["put", *self._codecs.tag_of(kind), fields]]))


def _with_items(fact: FactData, change: ChangeData) -> ChangeData:
    """The change of a burst, or of a segment of several, with its items."""
    return [*change, fact.data, None if fact.places is None else [at for *_, at in fact.places]]


def whole_snapshot(state: State, codecs: Codecs, pos: int) -> Snapshot:
    """All there is, for a store that begins with it.

    Raises:
        UnsavableError: a component holds what is no data.
    """
    versions: list[Version] = []
    for row in state.rows.values():
        versions.append(_numbers(row, pos))
        for kind, component in row.components.items():
            if not codecs.is_transient(kind):
                tag, version, fields = codecs.encode_component(component)
                versions.append(Version(row.id, tag, version, pos, dumps([["put", tag, version, fields]])))
    return Snapshot(pos, _counts(state), versions)


def _counts(state: State) -> bytes:
    return dumps({"roots": state.roots, "next_id": state.ids.upcoming, "sent": state.sent})


def _numbers(row: Row, pos: int) -> Version:
    label = row.label
    return Version(row.id, ENTITY, 1, pos, dumps([row.place, row.spawned, row.seq, row.sent, label.run, label.turn, label.attempt]))


def _is_long(change: ChangeData) -> bool:
    """Whether writing the whole component would write much that is stored already, or is not known but by its bursts."""
    return change[0] == "add" or (change[0] == "edit" and any(edit[0] == "grow" and edit[2] > SHORT for edit in change[3]))
