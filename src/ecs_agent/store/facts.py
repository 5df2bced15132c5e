"""Facts as data: what stands in a frame of a journal, and what becomes of it when it is read.

What an event says that its change says as well is written once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from ecs_agent.core.change import Change, Dropped, Edit, Grown, Merged, Put
from ecs_agent.core.events import ComponentAdded, ComponentChanged, ComponentRemoved, EntityDeleted
from ecs_agent.core.forking import EntityRewound
from ecs_agent.core.log import Burst, Entry, Envelope, EventKind, gathers
from ecs_agent.errors import StoreFormatError, UnsavableError
from ecs_agent.store.codecs import Codecs
from ecs_agent.store.fact_data import ChangeData, FactData
from ecs_agent.store.json_text import dumps, loads
from ecs_agent.store.segments import Segment, expanded
from ecs_agent.streaming.delta_data import DeltaReader, DeltaWriter
from ecs_agent.streaming.json_edge import is_list
from ecs_agent.streaming.message_data import message_from_data
from ecs_agent.systems.conversation import MessageAppended
from ecs_agent.types import EntityId, StreamDelta, StreamDeltaEvent

_Attempt: TypeAlias = tuple[int, int, int]

_TOLD_BY_CHANGE: Final = (ComponentAdded, ComponentChanged, ComponentRemoved)

_NAMED: Final = {kind.__name__: kind for kind in _TOLD_BY_CHANGE}


class ComponentNamed(msgspec.Struct, frozen=True):
    """Stands, in a fact that was read from a journal, for a component that changed or went: what it was then is not known to the fact alone."""

    tag: str


class FactCodec:
    """Writes entries of a log as data, and reads them back.

    Args:
        codecs: of components and events.
    """

    def __init__(self, codecs: Codecs) -> None:
        self._codecs = codecs
        self._reader = msgspec.json.Decoder(list[FactData])
        self._writers: dict[EntityId, tuple[_Attempt, DeltaWriter]] = {}

    # Writing

    def write(self, entries: Iterable[Entry]) -> list[FactData]:
        """Entries as data, in order; the pieces of an answer that are among them stand together.

        Raises:
            UnsavableError: something in them is no data.
        """
        written: list[FactData | Segment] = []
        segments: dict[EntityId | None, Segment] = {}
        for entry in entries:
            if type(entry) is Burst and entry.make is StreamDeltaEvent:
                segment = segments.get(entry.entity)
                if segment is None or not segment.takes(entry):
                    segment = segments[entry.entity] = Segment(entry, self._tag(entry.into), self._writer(entry))
                    written.append(segment)
                segment.add(entry)
            else:
                segments.pop(entry.entity, None)
                written.append(self._write(entry))
        return [each.fact() if isinstance(each, Segment) else each for each in written]

    def _write(self, entry: Entry) -> FactData:
        data, change = self._burst(entry) if isinstance(entry, Burst) else self._fact(entry)
        return FactData(
            entry.pos, entry.count, entry.entity, entry.seq, entry.run, entry.turn, entry.attempt, entry.parent,
            entry.kind.value, entry.type, entry.version, entry.time, data, change,
        )  # fmt: skip

    def _tag(self, kind: type | None) -> str | None:
        return None if kind is None or self._codecs.is_transient(kind) else self._codecs.tag_of(kind)[0]

    def encode(self, facts: Sequence[FactData]) -> bytes:
        """A frame."""
        return dumps(facts)

    def _burst(self, burst: Burst) -> tuple[Any, ChangeData | None]:
        if burst.into is not None and not self._codecs.is_transient(burst.into):
            raise UnsavableError(
                f"{burst.into.__name__} takes in {burst.type}s, but a store gives back pieces of answers alone; edit it, or make it transient"
            )
        return [self._codecs.encode_event(event)[1] for event in burst.payloads()], None

    def _writer(self, burst: Burst) -> DeltaWriter:
        """Who writes the deltas of an attempt: what they repeat of those before, as calls that grow, is written once."""
        attempt = (burst.run, burst.turn, burst.attempt)
        known = self._writers.get(burst.entity)
        if known is None or known[0] != attempt:
            known = self._writers[burst.entity] = (attempt, DeltaWriter())
        return known[1]

    def _fact(self, fact: Envelope) -> tuple[Any, ChangeData | None]:
        change = None if fact.change is None else self._change(fact.change)
        payload: object = fact.payload
        if fact.entity is not None and _ends_pieces(fact):
            self._writers.pop(fact.entity, None)
        if isinstance(payload, _TOLD_BY_CHANGE) and change is not None:
            return None, change
        if type(payload) is MessageAppended and change is not None and _is_appended(fact.change, payload):
            return None, change
        return self._codecs.encode_event(payload)[1], change

    def _change(self, change: Change) -> ChangeData:
        codecs, kind = self._codecs, change.component
        tag, version = codecs.tag_of(kind)
        if codecs.is_transient(kind):
            return ["none", tag]
        if isinstance(change, Put):
            return ["put", tag, version, codecs.fields_data(kind, change.names, change.values)]
        if isinstance(change, Dropped):
            return ["drop", tag]
        return ["edit", tag, version, [self._edit(kind, edit) for edit in change.edits]]

    def _edit(self, kind: type, edit: Edit) -> list[Any]:
        codecs, name = self._codecs, edit.field
        if isinstance(edit, Grown):
            return ["grow", name, edit.kept, codecs.tail_data(kind, name, edit.tail)]
        if isinstance(edit, Merged):
            return ["merge", name, codecs.items_data(kind, name, edit.items), [codecs.key_data(key) for key in edit.gone]]
        return ["set", name, codecs.field_data(kind, name, edit.value)]

    # Reading

    def decode(self, frame: bytes) -> list[FactData]:
        """The facts of a frame, as data.

        Raises:
            StoreFormatError: it is damaged.
        """
        try:
            facts = self._reader.decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError):  # text with half surrogate pairs, which only the standard library reads; or damage
            try:
                facts = msgspec.convert(loads(frame), list[FactData])
            except msgspec.ValidationError as error:
                raise StoreFormatError(f"a frame of the journal is damaged: {error}") from None
        return expanded(facts)

    def read(self, facts: Iterable[FactData], epoch: int) -> Iterator[Envelope]:
        """Facts as they were told, one by one. An event of a type that is not known is an `UnknownEvent`."""
        deltas: dict[int | None, tuple[_Attempt, DeltaReader]] = {}
        for fact in facts:
            for index, payload in enumerate(self._payloads(fact, deltas)):
                yield Envelope(
                    epoch, fact.pos + index, None if fact.entity is None else EntityId(fact.entity), fact.seq + index if fact.seq else 0,
                    fact.run, fact.turn, fact.attempt, None if fact.parent is None else EntityId(fact.parent),
                    EventKind(fact.kind), fact.type, fact.version, fact.time, payload,
                )  # fmt: skip

    def _payloads(self, fact: FactData, deltas: dict[int | None, tuple[_Attempt, DeltaReader]]) -> list[object]:
        entity = EntityId(fact.entity or 0)
        if fact.type == StreamDeltaEvent.__name__ and is_list(fact.data):
            attempt = (fact.run, fact.turn, fact.attempt)
            known = deltas.get(fact.entity)
            if known is None or known[0] != attempt:
                known = deltas[fact.entity] = (attempt, DeltaReader())
            return [StreamDeltaEvent(entity, delta) for delta in _read(known[1], fact)]
        if fact.count > 1 or is_list(fact.data):
            return [self._codecs.decode_event(fact.type, fact.version, data) for data in fact.data]
        if fact.data is None and fact.change is not None:
            return [self._told_by_change(entity, fact, fact.change)]
        return [self._codecs.decode_event(fact.type, fact.version, fact.data)]

    def _told_by_change(self, entity: EntityId, fact: FactData, change: ChangeData) -> object:
        match change:
            case ["put", tag, version, fields]:
                kind = ComponentChanged if fact.type == ComponentChanged.__name__ else ComponentAdded
                return kind(entity, self._codecs.decode_component(tag, version, fields))
            case ["edit", _, _, [["grow", _, _, [message]]]] if fact.type == MessageAppended.__name__:
                return MessageAppended(entity, message_from_data(message))
            case _:
                return _NAMED.get(fact.type, ComponentChanged)(entity, ComponentNamed(change[1]))


def _read(reader: DeltaReader, fact: FactData) -> list[StreamDelta]:
    """The deltas of a burst. Calls that began before what is read, where somebody begins in the middle of an attempt, are their new pieces alone."""
    try:
        return reader.read(fact.data)
    except ValueError:
        pass
    try:
        return reader.read([{name: value for name, value in entry.items() if name != "tool_calls"} for entry in fact.data])
    except (ValueError, AttributeError) as error:
        raise StoreFormatError(f"the pieces of an answer at position {fact.pos} are damaged: {error}") from error


def _ends_pieces(fact: Envelope) -> bool:
    """Whether pieces of an answer that come later belong to no earlier ones; their numbers may come once more, as behind an undo."""
    if isinstance(fact.payload, (EntityDeleted, EntityRewound)):
        return True
    return isinstance(fact.change, (Put, Dropped)) and gathers(fact.change.component)


def _is_appended(change: Change | None, event: MessageAppended) -> bool:
    """Whether a change is that one message was appended, and that one is the event's."""
    match getattr(change, "edits", ()):
        case (Grown(tail=[message]),):
            return message is event.message
        case _:
            return False
