"""Whether a program did again what was recorded, entity by entity and fact by fact, and where it first did not.

Facts are compared as data, without the positions that entities which have nothing to do with each other have among each other, and without times:
those of the facts themselves, and these (`TIMES`), by the type of a component or an event:
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import msgspec

from ecs_agent.store.diff import ABSENT, Difference, diff_data
from ecs_agent.store.fact_data import ChangeData, FactData
from ecs_agent.store.json_text import dumps
from ecs_agent.store.recorded_session import RecordedSession
from ecs_agent.streaming.delta_data import DeltaReader, DeltaWriter
from ecs_agent.streaming.json_edge import is_list, is_object
from ecs_agent.types import JsonObject, StreamDelta, StreamDeltaEvent

TIMES: Final[dict[str, frozenset[str]]] = {
    "ErrorComponent": frozenset({"timestamp", "retry_at"}),
    "StreamStateComponent": frozenset({"started", "first_at", "last_at", "longest_gap"}),
    "TurnComponent": frozenset({"timing"}),
    "StreamEndEvent": frozenset({"result.timing"}),
    "ToolExecutionCompleted": frozenset({"seconds"}),
}

VERBS: Final = {"ComponentAdded": "added", "ComponentChanged": "changed", "ComponentRemoved": "removed"}
"""How those facts are called that only tell what became of a component."""

Times: TypeAlias = dict[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first difference between a recording and a replay.

    Attributes:
        entity: whose log differs.
        seq: at which of its facts.
        pos: where that stands in the recording; in the replay if the recording has nothing there.
        path: of the field that differs; empty if another thing happened.
        recorded: what the recording has there.
        now: what the replay has there.
    """

    entity: int
    seq: int
    pos: int
    path: str
    recorded: object
    now: object

    def __str__(self) -> str:
        if self.path:
            return f"entity {self.entity}: {Difference(self.path, self.recorded, self.now)}"
        return f"entity {self.entity}, fact {self.seq}: {_said(self.recorded)} was recorded, now there is {_said(self.now)}"


def _said(what: object) -> str:
    return "nothing" if what is ABSENT else str(what)


@dataclass(frozen=True, slots=True)
class PlainFact:
    """One fact of an entity, without places and times: `what` happened, and the rest of it as data."""

    entity: int
    seq: int
    pos: int
    what: str
    data: JsonObject

    @property
    def told(self) -> str:
        """What happened, and what is to be known at once when that is a failure."""
        error = self.data.get("ErrorComponent", {}).get("error")
        return self.what if error is None else f"{self.what} ({error})"


class PlainFacts:
    """Makes plain facts of facts. The pieces of an answer are one each, however they arrived.

    Args:
        ignore: fields that do not count, as in "MyComponent.seen_at".
    """

    def __init__(self, ignore: Collection[str] = ()) -> None:
        self._times = times_with(ignore)
        self._readers: dict[int, tuple[tuple[int, int, int], DeltaReader]] = {}

    def of(self, fact: FactData) -> Iterator[PlainFact]:
        """Those of a fact of an entity; of a burst, each. All before have to be given before."""
        entity = fact.entity or 0
        told = {"run": fact.run, "turn": fact.turn, "attempt": fact.attempt, "kind": fact.kind, "parent": fact.parent, "version": fact.version}
        data, items = fact.data, [fact.data]
        if fact.type == StreamDeltaEvent.__name__ and is_list(data):
            items = [_delta_data(delta) for delta in self._reader(fact).read(data)]
        elif fact.count > 1 and is_list(data):
            items = data
        change = {} if fact.change is None else self._change(fact.change)
        verb = VERBS.get(fact.type)
        what = fact.type if verb is None or not change else f"{next(iter(change))} {verb}"
        for index, item in enumerate(items):
            event = {} if item is None else {fact.type: _without(item, self._times.get(fact.type))}
            yield PlainFact(entity, fact.seq + index, fact.pos + index, what, {**event, **change, **told})

    def _reader(self, fact: FactData) -> DeltaReader:
        attempt = (fact.run, fact.turn, fact.attempt)
        known = self._readers.get(fact.entity or 0)
        if known is None or known[0] != attempt:
            known = self._readers[fact.entity or 0] = (attempt, DeltaReader())
        return known[1]

    def _change(self, change: ChangeData) -> JsonObject:
        tag, times = change[1], self._times.get(change[1])
        match change:
            case ["put", _, version, fields]:
                return {tag: {**_without(fields, times), "(version)": version}}
            case ["edit", _, _, edits]:
                return {tag: _edits(edits, times)}
            case _:
                return {tag: {}}


def times_with(ignore: Collection[str]) -> Times:
    """The table of fields that do not count, with some more."""
    times = dict(TIMES)
    for each in ignore:
        kind, _, path = each.partition(".")
        times[kind] = times.get(kind, frozenset()) | {path}
    return times


def _edits(edits: list[Any], times: frozenset[str] | None) -> JsonObject:
    told: JsonObject = {}
    for edit in edits:
        field = edit[1]
        if times is not None and field in times:
            continue
        match edit:
            case ["grow", _, kept, tail]:
                told.update({f"{field}[{kept + index}]": item for index, item in enumerate(tail)} or {f"{field}[{kept}:]": "(removed)"})
            case ["merge", _, items, gone]:
                told.update({f"{field}.{key}": item for key, item in items.items()})
                told.update({f"{field}.{key}": "(removed)" for key in gone})
            case _:
                told[field] = edit[2]
    return told


def _without(data: Any, paths: frozenset[str] | None) -> Any:
    if not paths or not is_object(data):
        return data
    held = dict(data)
    for path in paths:
        name, _, rest = path.partition(".")
        if not rest:
            held.pop(name, None)
        elif name in held:
            held[name] = _without(held[name], frozenset({rest}))
    return held


def _delta_data(delta: StreamDelta) -> JsonObject:
    """A piece as data. Calls so far follow from the fragments of calls, where these are told."""
    calls = None if delta.tool_fragments or delta.tool_calls is None else tuple(delta.tool_calls)
    return DeltaWriter().write_one(replace(delta, tool_calls=calls))


class Comparison:
    """Compares what a replay does with its recording, as it goes.

    Args:
        session: what was recorded.
        ignore: fields that do not count; see `PlainFacts`.

    Attributes:
        divergence: the first difference so far, by its place in the recording.
        facts: how many were compared.
        is_closed: whether it is over.
        end: the position of the replay from which on nothing is compared, if it is known.
    """

    def __init__(self, session: RecordedSession, ignore: Collection[str] = ()) -> None:
        self._session = session
        self._recorded = PlainFacts(ignore)
        self._now = PlainFacts(ignore)
        self._logs: dict[int, Iterator[PlainFact]] = {}
        self._ended: set[int] = set()
        self._next: dict[int, PlainFact] = {}
        self._digests: dict[int, Any] = {}
        self.divergence: Divergence | None = None
        self.facts = 0
        self.is_closed = False
        self.end: int | None = None
        for entity, facts in _by_entity(session.facts).items():
            self._logs[entity] = self._plain(facts)
            self._go_on(entity)

    def _plain(self, facts: Iterable[FactData]) -> Iterator[PlainFact]:
        for fact in facts:
            for plain in self._recorded.of(fact):
                if plain.pos < self._session.end:
                    yield plain

    def _go_on(self, entity: int) -> None:
        fact = next(self._logs[entity], None)
        if fact is None:
            self._next.pop(entity, None)
        else:
            self._next[entity] = fact

    @property
    def hash(self) -> str:
        """SHA-256 over the logs of all entities so far, in the order of their ids: what was done, without times."""
        together = hashlib.sha256()
        for entity in sorted(self._digests):
            together.update(f"{entity} {self._digests[entity].hexdigest()}\n".encode())
        return together.hexdigest()

    @property
    def entities(self) -> int:
        """How many have done something."""
        return len(self._digests)

    def take(self, facts: Iterable[FactData]) -> None:
        """Compare the next facts of the replay."""
        for fact in facts:
            if fact.entity is not None and fact.entity not in self._ended and not self.is_closed:
                for plain in self._now.of(fact):
                    if self.end is None or plain.pos < self.end:
                        self._compare(plain)

    def _compare(self, now: PlainFact) -> None:
        recorded = self._next.get(now.entity)
        if recorded is None and now.entity in self._logs and not self._session.is_complete:
            return  # its recording was cut off here, and that of others a little later
        self._digest(now)
        self.facts += 1
        if recorded is not None:
            self._go_on(now.entity)
        found = difference(recorded, now)
        if found is not None:
            self._ended.add(now.entity)
            if self.divergence is None or found.pos < self.divergence.pos:
                self.divergence = found

    def _digest(self, fact: PlainFact) -> None:
        digest = self._digests.get(fact.entity)
        if digest is None:
            digest = self._digests[fact.entity] = hashlib.sha256()
        digest.update(_ordered([fact.what, fact.data]))

    def close(self) -> None:
        """What comes from now on is not compared."""
        self.is_closed = True

    def missing(self) -> Divergence | None:
        """The first recorded fact that has not been done."""
        left = min(self._next.values(), key=lambda fact: fact.pos, default=None)
        return None if left is None else difference(left, None)


def difference(recorded: PlainFact | None, now: PlainFact | None) -> Divergence | None:
    """In what a fact differs from the recorded one; None if in nothing."""
    fact = recorded or now
    if fact is None:
        return None
    if recorded is None or now is None or recorded.what != now.what:
        left, right = (ABSENT if each is None else each.told for each in (recorded, now))
        return Divergence(fact.entity, fact.seq, fact.pos, "", left, right)
    if recorded.data == now.data:
        return None
    first = diff_data(recorded.data, now.data)[0]
    return Divergence(fact.entity, fact.seq, fact.pos, first.path, first.left, first.right)


def hash_of(session: RecordedSession, ignore: Collection[str] = ()) -> str:
    """That of a recording itself: a replay that did the same has the same."""
    comparison = Comparison(session, ignore)
    comparison.end = session.end
    comparison.take(session.facts)
    return comparison.hash


def _by_entity(facts: Iterable[FactData]) -> dict[int, list[FactData]]:
    logs: dict[int, list[FactData]] = {}
    for fact in facts:
        if fact.entity is not None:
            logs.setdefault(fact.entity, []).append(fact)
    return logs


def _ordered(data: Any) -> bytes:
    """As JSON, whatever the order in which its objects were filled."""
    try:
        return msgspec.json.encode(data, order="sorted")
    except UnicodeEncodeError:  # half surrogate pairs
        return dumps(data)
