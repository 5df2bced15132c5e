"""What stands in the journal for facts that are no data."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from tests.store.journal_parts import Piece

from ecs_agent.core.change import Change, Dropped, Edited, Put, Replaced
from ecs_agent.core.events import EntityDeleted
from ecs_agent.core.log import Burst, Entry, Envelope, EventKind
from ecs_agent.errors import UnsavableError
from ecs_agent.store.events import FactUnsaved
from ecs_agent.store.salvage import Salvage
from ecs_agent.types import EntityId


class Note:
    """A component."""


class Other:
    """Another one."""


class Stream:
    """One that bursts go into."""


BAD = object()


def change(kind: type, value: object, *, whole: bool = False) -> Change:
    return Put(kind, ("text",), (value,)) if whole else Edited(kind, (Replaced("text", value),))


def fact(pos: int, entity: int = 1, payload: object = "told", changed: Change | None = None) -> Envelope:
    return Envelope(0, pos, EntityId(entity), pos, 0, 0, 0, None, EventKind.DERIVED, "Told", 3, 0, payload, changed)


def pieces(pos: int, *items: object, into: type | None = None) -> Burst:
    at = 0.5 if into else 0.0
    return Burst(0, pos, EntityId(1), pos, 0, 0, 0, None, EventKind.INPUT, "Piece", 1, 0, items, Piece, into, at)


class Written:
    """Takes entries as a codec does, refuses those that hold `BAD`, and keeps the last it took."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.calls = 0

    def __call__(self, entries: Sequence[Entry]) -> bytes:
        self.calls += 1
        for entry in entries:
            held: list[object] = list(entry.items) if isinstance(entry, Burst) else [entry.payload]
            if isinstance(entry, Envelope) and entry.change is not None:
                held += [*getattr(entry.change, "values", ()), *[each.value for each in getattr(entry.change, "edits", ())]]
            if any(value is BAD for value in held):
                raise UnsavableError(f"{entry.type} at {entry.pos} is no data")
        self.entries = list(entries)
        return b"frame"


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def salvage(written: Written) -> Salvage:
    return Salvage(written)


def unsaved(entry: Entry) -> FactUnsaved:
    assert isinstance(entry, Envelope)
    assert (entry.type, entry.version, entry.change) == ("FactUnsaved", 1, None)
    payload = entry.payload
    assert isinstance(payload, FactUnsaved)
    return payload


def test_what_is_data_is_encoded_once(salvage: Salvage, written: Written) -> None:
    entries: list[Entry] = [fact(0), pieces(1, "a", "b")]
    assert salvage.encode(entries) == b"frame"
    assert (written.entries, written.calls) == (entries, 1)
    assert (salvage.unsaved, salvage.lost, salvage.news) == ({}, {}, [])


def test_in_the_place_of_a_lost_fact_stands_what_is_missing(salvage: Salvage, written: Written) -> None:
    lost = fact(1, 2, BAD)
    salvage.encode([fact(0), lost, fact(2)])
    assert written.entries[::2] == [fact(0), fact(2)]
    assert unsaved(written.entries[1]) == FactUnsaved(EntityId(2), "Told", None, "Told at 1 is no data")
    assert written.entries[1] == msgspec.structs.replace(lost, payload=unsaved(written.entries[1]), type="FactUnsaved", version=1)
    assert list(salvage.lost) == [2]
    assert salvage.unsaved == {}


def test_events_of_a_type_are_news_once_for_each_entity(salvage: Salvage) -> None:
    salvage.encode([fact(0, 1, BAD), fact(1, 2, BAD), fact(2, 1, BAD)])
    salvage.encode([fact(3, 1, BAD)])
    assert [str(error) for error in salvage.news] == ["Told at 0 is no data", "Told at 1 is no data"]
    assert str(salvage.lost[EntityId(1)]) == "Told at 0 is no data"


def test_errors_of_codecs_that_are_none_of_ours_say_whose_fact_it_was() -> None:
    cause = RecursionError("too deep")

    def encode(entries: Sequence[Entry]) -> bytes:
        if any(entry.type == "Told" for entry in entries):
            raise cause
        return b"frame"

    salvage = Salvage(encode)
    salvage.encode([fact(0, 7)])
    (error,) = salvage.news
    assert str(error) == "Told of entity 7 cannot be written: RecursionError: too deep"
    assert error.__cause__ is cause


def test_edits_build_on_what_is_missing_until_the_component_comes_as_a_whole(salvage: Salvage, written: Written) -> None:
    salvage.encode([fact(0, changed=change(Note, BAD, whole=True)), fact(1, changed=change(Note, "fine"))])
    assert [unsaved(entry).component for entry in written.entries] == ["Note", "Note"]
    salvage.encode([fact(2, changed=change(Note, "fine")), fact(3, changed=change(Other, "fine")), fact(4, 2, changed=change(Note, "fine"))])
    assert unsaved(written.entries[0]).error == "Told at 0 is no data"
    assert written.entries[1:] == [fact(3, changed=change(Other, "fine")), fact(4, 2, changed=change(Note, "fine"))]
    assert len(salvage.news) == 1
    salvage.encode([fact(5, changed=change(Note, "anew", whole=True)), fact(6, changed=change(Note, "fine"))])
    assert written.entries == [fact(5, changed=change(Note, "anew", whole=True)), fact(6, changed=change(Note, "fine"))]
    assert salvage.unsaved == {}


def test_an_edit_that_is_no_data_makes_its_component_unsaved(salvage: Salvage) -> None:
    salvage.encode([fact(0, changed=change(Note, "fine", whole=True)), fact(1, changed=change(Note, BAD))])
    assert {key: str(error) for key, error in salvage.unsaved.items()} == {(1, Note): "Told at 1 is no data"}


@pytest.mark.parametrize("end", [fact(1, changed=Dropped(Note)), fact(1, payload=EntityDeleted(EntityId(1)))])
def test_what_is_gone_is_not_missing(salvage: Salvage, written: Written, end: Envelope) -> None:
    salvage.encode([fact(0, changed=change(Note, BAD, whole=True)), fact(9, 2, changed=change(Note, BAD, whole=True))])
    salvage.encode([end])
    assert written.entries == [end]
    assert list(salvage.unsaved) == [(2, Note)]


def test_of_an_entity_that_is_gone_no_account_is_kept(salvage: Salvage) -> None:
    salvage.encode([fact(0, 1, BAD), fact(1, 2, BAD), fact(2, 1, EntityDeleted(EntityId(1)))])
    assert salvage._told == {(2, "Told")}


@pytest.mark.parametrize(
    ("items", "kept"),
    [
        (("a", BAD, "b", "c"), [("a",), None, ("b", "c")]),
        ((BAD, "a"), [None, ("a",)]),
        (("a", "b", BAD), [("a", "b"), None]),
        ((BAD, BAD), [None, None]),
    ],
)
def test_of_a_burst_only_the_items_are_lost_that_are_no_data(
    salvage: Salvage, written: Written, items: tuple[object, ...], kept: list[tuple[object, ...] | None]
) -> None:
    salvage.encode([pieces(5, *items)])
    assert [entry.items if isinstance(entry, Burst) else None for entry in written.entries] == kept
    assert [entry.pos for entry in written.entries] == [entry.seq for entry in written.entries]
    ends = [entry.pos + entry.count for entry in written.entries]
    assert [entry.pos for entry in written.entries] == [5, *ends[:-1]]
    assert ends[-1] == 5 + len(items)
    assert salvage.unsaved == {}
    assert list(salvage.lost) == [1]


def test_a_component_that_missed_an_item_takes_no_more_in(salvage: Salvage, written: Written) -> None:
    salvage.encode([pieces(0, "a", BAD, into=Stream)])
    assert list(salvage.unsaved) == [(1, Stream)]
    assert isinstance(written.entries[0], Burst)
    assert (written.entries[0].into, written.entries[0].at) == (None, 0.0)
    salvage.encode([pieces(2, "b", into=Stream), pieces(3, "c", into=Note)])
    assert [entry.into for entry in written.entries if isinstance(entry, Burst)] == [None, Note]
    salvage.encode([fact(4, changed=change(Stream, "anew", whole=True)), pieces(5, "d", into=Stream)])
    assert written.entries[1] == pieces(5, "d", into=Stream)


def test_a_codec_that_cannot_even_write_what_is_missing_is_an_error_of_its_own() -> None:
    def encode(entries: Sequence[Entry]) -> bytes:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        Salvage(encode).encode([fact(0)])


def test_who_has_nothing_to_do_with_it_is_not_tried_by_himself() -> None:
    written = Written()
    salvage = Salvage(written)
    salvage.encode([fact(1, changed=change(Note, BAD, whole=True))])
    written.calls = 0
    others = [fact(number, entity=2, changed=change(Other, "fine", whole=True)) for number in range(2, 50)]
    salvage.encode(others)
    assert (written.calls, written.entries) == (1, others)
    written.calls = 0
    salvage.encode([*others, fact(50, changed=change(Note, "mended", whole=True))])
    assert written.calls == 2
    assert salvage.unsaved == {}
