"""When two facts are the same, and how the first difference between two logs is told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from tests.store.recorded_parts import crew, recorded

from ecs_agent.store.codecs import Codecs
from ecs_agent.store.diff import ABSENT
from ecs_agent.store.divergence import Comparison, Divergence, PlainFacts, difference, hash_of
from ecs_agent.store.fact_data import FactData
from ecs_agent.store.recorded_session import RecordedSession, read_session


def fact(
    pos: int, kind: str, data: Any = None, change: list[Any] | None = None, *, entity: int = 1, seq: int = 0, count: int = 1, time: int = 0
) -> FactData:
    return FactData(pos, count, entity, seq or pos + 1, 1, 1, 1, None, "derived", kind, 1, time, data, change)


def pieces(pos: int, *texts: str) -> FactData:
    return fact(pos, "StreamDeltaEvent", [{"text": text} for text in texts], ["add", "StreamStateComponent", pos / 10], count=len(texts), time=pos)


def put(pos: int, tag: str, **fields: Any) -> FactData:
    return fact(pos, "ComponentAdded", None, ["put", tag, 1, fields])


def edit(pos: int, tag: str, *edits: list[Any]) -> FactData:
    return fact(pos, "ComponentChanged", None, ["edit", tag, 1, list(edits)])


def session(facts: Iterable[FactData], *, was_closed: bool = True) -> RecordedSession:
    facts = list(facts)
    return RecordedSession("seed", facts, facts[-1].pos + facts[-1].count, was_closed)


def first_difference(recorded: list[FactData], now: list[FactData], *, was_closed: bool = True) -> Divergence | None:
    comparison = Comparison(session(recorded, was_closed=was_closed))
    comparison.take(now)
    return comparison.divergence or comparison.missing()


class TestWhatIsTheSame:
    def test_pieces_are_however_they_arrived(self) -> None:
        one = [pieces(0, "a", "b", "c")]
        for other in (
            [pieces(0, "a"), pieces(1, "b", "c")],
            [pieces(0, "a", "b"), pieces(2, "c")],
            [pieces(n, text) for n, text in enumerate("abc")],
        ):
            assert first_difference(one, other) is None
            assert hash_of(session(one)) == hash_of(session(other))

    def test_but_not_when_they_are_other_pieces(self) -> None:
        assert str(first_difference([pieces(0, "ab", "c")], [pieces(0, "a", "bc")])) == "entity 1: StreamDeltaEvent.content: 'ab' ≠ 'a'"

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (put(0, "ErrorComponent", error="no", timestamp=1.0, retry_at=None), put(0, "ErrorComponent", error="no", timestamp=2.0, retry_at=3.0)),
            (put(0, "StreamStateComponent", started=1.0, attempt=1), put(0, "StreamStateComponent", started=2.0, attempt=1)),
            (edit(0, "TurnComponent", ["set", "turn", 2]), edit(0, "TurnComponent", ["set", "turn", 2], ["set", "timing", {"deltas": 1}])),
            (
                fact(0, "StreamEndEvent", {"result": {"message": {}, "timing": {"deltas": 3}}}),
                fact(0, "StreamEndEvent", {"result": {"message": {}, "timing": None}}),
            ),
            (fact(0, "ToolExecutionCompleted", {"text": "x", "seconds": 1.0}), fact(0, "ToolExecutionCompleted", {"text": "x", "seconds": 2.0})),
            (fact(0, "Anything", {"a": 1}, time=1), fact(0, "Anything", {"a": 1}, time=2)),
            (fact(0, "Anything", {"a": 1, "b": 2}), fact(0, "Anything", {"b": 2, "a": 1})),
            (fact(0, "Anything", {"a": "\ud800"}), fact(0, "Anything", {"a": "\ud800"})),
        ],
    )
    def test_times_do_not_count(self, one: FactData, other: FactData) -> None:
        assert first_difference([one], [other]) is None
        assert hash_of(session([one])) == hash_of(session([other]))

    def test_nor_do_fields_that_somebody_named(self) -> None:
        one, other = put(0, "Mine", seen_at=1, word="a"), put(0, "Mine", seen_at=2, word="a")
        assert str(first_difference([one], [other])) == "entity 1: Mine.seen_at: 1 ≠ 2"
        assert hash_of(session([one]), ["Mine.seen_at"]) == hash_of(session([other]), ["Mine.seen_at"])

    def test_nor_the_order_of_entities_that_have_nothing_to_do_with_each_other(self) -> None:
        mine, yours = fact(0, "A", {}, entity=1, seq=1), fact(1, "B", {}, entity=2, seq=1)
        swapped = [msgspec.structs.replace(yours, pos=0), msgspec.structs.replace(mine, pos=1)]
        assert first_difference([mine, yours], swapped) is None
        assert hash_of(session([mine, yours])) == hash_of(session(swapped))


class TestHowADifferenceIsTold:
    @pytest.mark.parametrize(
        ("one", "other", "told"),
        [
            (
                put(0, "SystemPromptComponent", content="Be brief."),
                put(0, "SystemPromptComponent", content="Be long."),
                "SystemPromptComponent.content: 'Be brief.' ≠ 'Be long.'",
            ),
            (put(0, "A", x={"y": [1, 2]}), put(0, "A", x={"y": [1, 3]}), "A.x.y[1]: 2 ≠ 3"),
            (put(0, "A", x=1), put(0, "A", x=1, y=2), "A.y: (nothing) ≠ 2"),
            (edit(0, "A", ["set", "x", 1]), edit(0, "A", ["set", "x", 2]), "A.x: 1 ≠ 2"),
            (edit(0, "A", ["grow", "x", 3, ["a"]]), edit(0, "A", ["grow", "x", 3, ["b"]]), "A.x[3]: 'a' ≠ 'b'"),
            (edit(0, "A", ["grow", "x", 3, []]), edit(0, "A", ["grow", "x", 2, []]), "A.x[3:]: '(removed)' ≠ (nothing)"),
            (edit(0, "A", ["merge", "x", {"k": 1}, []]), edit(0, "A", ["merge", "x", {"k": 2}, []]), "A.x.k: 1 ≠ 2"),
            (edit(0, "A", ["merge", "x", {}, ["k"]]), edit(0, "A", ["merge", "x", {"k": 2}, []]), "A.x.k: '(removed)' ≠ 2"),
            (fact(0, "Told", {"a": 1}), fact(0, "Told", {"a": "1"}), "Told.a: 1 ≠ '1'"),
        ],
    )
    def test_by_the_path_to_it(self, one: FactData, other: FactData, told: str) -> None:
        assert str(first_difference([one], [other])) == f"entity 1: {told}"

    def test_by_what_happened_instead(self) -> None:
        assert str(first_difference([fact(0, "TurnStarted", {"turn": 1})], [put(0, "ErrorComponent", error="no")])) == (
            "entity 1, fact 1: TurnStarted was recorded, now there is ErrorComponent added (no)"
        )

    def test_a_label_that_differs_is_told_too(self) -> None:
        one = fact(0, "Told", {"a": 1})
        assert str(first_difference([one], [msgspec.structs.replace(one, turn=2)])) == "entity 1: turn: 1 ≠ 2"

    def test_what_was_not_done_is_told(self) -> None:
        assert (
            str(first_difference([fact(0, "A", {}), fact(1, "B", {})], [fact(0, "A", {})]))
            == "entity 1, fact 2: B was recorded, now there is nothing"
        )

    def test_so_is_what_was_done_beyond(self) -> None:
        done = [fact(0, "A", {}), fact(1, "B", {})]
        assert str(first_difference(done[:1], done)) == "entity 1, fact 2: nothing was recorded, now there is B"

    def test_but_not_beyond_a_recording_that_was_cut_off(self) -> None:
        done = [fact(0, "A", {}), fact(1, "B", {})]
        assert first_difference(done[:1], done, was_closed=False) is None

    def test_the_first_in_the_recording_is_told(self) -> None:
        one = [fact(n, "A", {"n": n}, entity=n, seq=1) for n in range(1, 4)]
        other = [fact(n, "A", {"n": -n}, entity=n, seq=1) for n in (3, 2)] + one[:1]
        assert str(first_difference(one, other)) == "entity 2: A.n: 2 ≠ -2"

    def test_facts_that_are_alike_do_not_differ(self) -> None:
        (plain,) = PlainFacts().of(fact(0, "A", {"x": 1}))
        assert difference(plain, plain) is None
        assert difference(None, None) is None
        assert difference(plain, None) == Divergence(1, 1, 0, "", "A", ABSENT)


def test_a_recording_is_the_same_as_itself() -> None:
    facts = list(recorded(crew(3)).facts())
    comparison = Comparison(read_session(facts, Codecs(), seed="", was_closed=True))
    comparison.take(facts)
    assert (comparison.divergence, comparison.missing(), comparison.entities) == (None, None, 3)
    assert comparison.facts == sum(each.count for each in facts if each.entity is not None)


def test_each_fact_counts_in_the_hash() -> None:
    facts = list(recorded(crew(2)).facts())
    places = [place for place, each in enumerate(facts) if each.type != "StreamDeltaEvent"]
    hashes = {hash_of(session(facts[:place] + facts[place + 1 :])) for place in places}
    assert len(hashes | {hash_of(session(facts))}) == len(places) + 1
