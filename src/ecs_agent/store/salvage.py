"""What becomes of facts that cannot be written because something in them is no data.

The rule: nothing vanishes in silence, and nobody else's facts suffer.
* In the place of the fact the journal has a `FactUnsaved`, which says what is missing; all other facts are written as ever.
* Of a component whose change could not be written the journal has the last state that it could write. Later edits, which build on what is
  missing, are replaced as well, until the component comes anew as a whole, is removed, or its entity is deleted.
* Until then it is in `unsaved`, and commits that cover its entity fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from ecs_agent.core.change import Change, Edited
from ecs_agent.core.events import EntityDeleted
from ecs_agent.core.log import Burst, Entry, Envelope
from ecs_agent.errors import UnsavableError
from ecs_agent.store.events import FactUnsaved
from ecs_agent.types import EntityId


class Salvage:
    """Encodes entries, and keeps account of what could not be.

    Attributes:
        unsaved: the components whose state in the journal is not their state, and why.
        lost: entities of which an event could not be written, and why. To be taken out by whoever raises it.
        news: what could not be written since this was last emptied; of events of one type once for each entity.

    Args:
        encode: entries as bytes. What it raises for some of them is found out by trying them one by one.
    """

    def __init__(self, encode: Callable[[Sequence[Entry]], bytes]) -> None:
        self.unsaved: dict[tuple[EntityId | None, type], UnsavableError] = {}
        self.lost: dict[EntityId | None, UnsavableError] = {}
        self.news: list[UnsavableError] = []
        self._told: set[tuple[EntityId | None, str]] = set()
        self._encode = encode

    def encode(self, entries: Sequence[Entry]) -> bytes:
        """Entries as bytes, those that are no data replaced. All are tried one by one only if they fail together."""
        if self.unsaved:
            entries = [kept for entry in entries for kept in (self._kept(entry) if self._is_concerned(entry) else (entry,))]
        try:
            return self._encode(entries)
        except Exception:  # noqa: BLE001 - whatever it is, it is raised once more by the entry that is to blame
            return self._encode([kept for entry in entries for kept in self._kept(entry)])

    def _is_concerned(self, entry: Entry) -> bool:
        """Whether an entry changes a component that is not saved, or ends its entity."""
        if isinstance(entry, Burst):
            return entry.into is not None and (entry.entity, entry.into) in self.unsaved
        if isinstance(entry.payload, EntityDeleted):
            return True
        return entry.change is not None and (entry.entity, entry.change.component) in self.unsaved

    def _kept(self, entry: Entry) -> Iterator[Entry]:
        return self._burst(entry) if isinstance(entry, Burst) else iter((self._fact(entry),))

    def _fact(self, fact: Envelope) -> Envelope:
        change: Change | None = fact.change
        if change is None:
            if isinstance(fact.payload, EntityDeleted):
                self._forget(fact.payload.entity_id)
            error = self._fault(fact)
            return fact if error is None else self._lose(fact, error, None)
        key = fact.entity, change.component
        error = self.unsaved.get(key) if isinstance(change, Edited) else None
        if error is not None:
            return _unsaved(fact, error, change.component)
        error = self._fault(fact)
        if error is not None:
            return self._lose(fact, error, change.component)
        self.unsaved.pop(key, None)
        return fact

    def _burst(self, burst: Burst) -> Iterator[Entry]:
        """A burst without the items that are no data: what stands between them stays together."""
        kind = burst.into
        error = self._fault(burst)
        if error is not None and kind is not None:
            self.unsaved.setdefault((burst.entity, kind), error)
        if kind is not None and (burst.entity, kind) in self.unsaved:
            burst = msgspec.structs.replace(burst, into=None, at=0.0)  # it cannot be added to what the journal does not have
        if error is None:
            yield burst
            return
        start = 0
        for index in range(burst.count):
            error = self._fault(_part(burst, index, index + 1))
            if error is not None:
                if index > start:
                    yield _part(burst, start, index)
                yield self._lose(burst.fact(index), error, kind)
                start = index + 1
        if start < burst.count:
            yield _part(burst, start, burst.count)

    def _fault(self, entry: Entry) -> UnsavableError | None:
        """Why an entry cannot be written; None if it can."""
        try:
            self._encode([entry])
        except UnsavableError as error:
            return error
        except Exception as error:  # noqa: BLE001 - a codec of the user's may raise anything
            unsavable = UnsavableError(f"{entry.type} of entity {entry.entity} cannot be written: {type(error).__name__}: {error}")
            unsavable.__cause__ = error
            return unsavable
        return None

    def _lose(self, fact: Envelope, error: UnsavableError, kind: type | None) -> Envelope:
        if kind is not None:
            self.unsaved.setdefault((fact.entity, kind), error)
            self.news.append(error)
        else:
            self.lost.setdefault(fact.entity, error)
            if (fact.entity, fact.type) not in self._told:
                self._told.add((fact.entity, fact.type))
                self.news.append(error)
        return _unsaved(fact, error, kind)

    def _forget(self, entity: EntityId) -> None:
        for key in [key for key in self.unsaved if key[0] == entity]:
            del self.unsaved[key]
        self._told = {key for key in self._told if key[0] != entity}


def _unsaved(fact: Envelope, error: UnsavableError, kind: type | None) -> Envelope:
    payload = FactUnsaved(fact.entity, fact.type, None if kind is None else kind.__name__, str(error))
    return msgspec.structs.replace(fact, payload=payload, type=FactUnsaved.__name__, version=1, change=None)


def _part(burst: Burst, start: int, stop: int) -> Burst:
    return msgspec.structs.replace(burst, pos=burst.pos + start, seq=burst.seq + start, items=burst.items[start:stop])
