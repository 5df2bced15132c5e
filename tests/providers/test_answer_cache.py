"""AnswerCache: what is kept, for how long, and what becomes of stores that are broken."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, MutableMapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.providers.answer_cache import AnswerCache
from ecs_agent.types import CompletionResult, Message, OpaquePart, ReasoningPart, TextPart, Timing, ToolCall, Usage

CANARY = "sk-canary-0123456789abcdefghij"


def answer(text: str = "a", finish: Any = "stop", **more: Any) -> CompletionResult:
    return CompletionResult(Message("assistant", text, **more), Usage(1, 2, 3), finish)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def cache(store: MutableMapping[str, bytes] | None = None, most: int = 3, ttl: float | None = None, clock: Clock | None = None) -> AnswerCache:
    return AnswerCache({} if store is None else store, most, ttl, clock or Clock())


class Broken(dict[str, bytes]):
    """A store that fails in one way."""

    def __init__(self, way: str, **kept: bytes) -> None:
        super().__init__(kept)
        self.way = way

    def get(self, key: str, default: Any = None) -> Any:
        self.fail("get")
        return super().get(key, default)

    def pop(self, key: str, *default: Any) -> Any:
        self.fail("pop")
        return super().pop(key, *default)

    def __setitem__(self, key: str, value: bytes) -> None:
        self.fail("set")
        super().__setitem__(key, value)

    def fail(self, way: str) -> None:
        if way == self.way:
            raise OSError("the disk is gone")


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "ecs_agent.providers.answer_cache"]


WHOLE = CompletionResult(
    Message(
        "assistant",
        parts=[
            ReasoningPart("hm", {"signature": "abc"}),
            TextPart("é\ud800"),
            ToolCall("c", "f", {}, raw_arguments="{", arguments_error="cut"),
            OpaquePart("x", {"y": [1]}),
        ],
    ),
    Usage(1, 2, 3, cached_tokens=1, reasoning_tokens=2),
    "tool_calls",
    "tool_use",
)


class TestKeeping:
    def test_an_answer_comes_back_as_it_was_but_for_its_timing(self) -> None:
        answers = cache()
        answers.keep("k", replace(WHOLE, timing=Timing(1.0, 2.0, 3)), ())
        assert answers.get("k") == WHOLE
        assert answers.get("other") is None

    @pytest.mark.parametrize("finish", ["length", "content_filter", "pause", None])
    def test_an_answer_that_ended_otherwise_is_not_kept(self, finish: Any) -> None:
        store: dict[str, bytes] = {}
        cache(store).keep("k", answer(finish=finish), ())
        assert store == {}

    def test_one_that_was_interrupted_is_not(self) -> None:
        store: dict[str, bytes] = {}
        cache(store).keep("k", CompletionResult(Message("assistant", "a", interrupted=True), finish_reason="stop"), ())
        assert store == {}

    def test_one_that_a_stream_could_not_give_is_not(self) -> None:
        store: dict[str, bytes] = {}
        cache(store).keep("k", CompletionResult(Message("assistant", parts=[TextPart("a"), TextPart("b")]), finish_reason="stop"), ())
        assert store == {}

    @pytest.mark.parametrize("said", [f"It is {CANARY}.", "It is odd-secret-value."])
    def test_one_that_holds_a_key_is_not(self, said: str) -> None:
        store: dict[str, bytes] = {}
        cache(store).keep("k", answer(said), ["odd-secret-value"])
        assert store == {}

    def test_those_that_were_used_least_recently_go_first(self) -> None:
        store: dict[str, bytes] = {}
        answers = cache(store)
        for key in "abc":
            answers.keep(key, answer(key), ())
        assert answers.get("a") == answer("a")
        answers.keep("d", answer("d"), ())
        assert set(store) == {"a", "c", "d"}
        answers.keep("c", answer("c2"), ())
        answers.keep("e", answer("e"), ())
        assert set(store) == {"c", "d", "e"}

    def test_what_a_store_held_before_counts_too(self) -> None:
        store: dict[str, bytes] = {}
        before = cache(store)
        for key in "abc":
            before.keep(key, answer(key), ())
        after = cache(store, most=2)
        assert after.get("a") == answer("a")
        after.keep("d", answer("d"), ())
        assert set(store) == {"a", "d"}

    @given(st.lists(st.tuples(st.sampled_from("abcde"), st.booleans()), max_size=30))
    def test_it_is_never_more_than_allowed(self, uses: list[tuple[str, bool]]) -> None:
        store: dict[str, bytes] = {}
        answers = cache(store, most=2)
        recent: list[str] = []
        for key, keeps in uses:
            if keeps:
                answers.keep(key, answer(key), ())
            if keeps or answers.get(key) is not None:
                recent = [*[other for other in recent if other != key], key][-2:]
            assert set(store) == set(recent)


class TestAge:
    def test_an_answer_is_kept_for_so_long(self) -> None:
        clock, store = Clock(), dict[str, bytes]()
        answers = cache(store, ttl=10.0, clock=clock)
        answers.keep("k", answer(), ())
        clock.now += 9.9
        assert answers.get("k") == answer()
        clock.now += 0.1
        assert answers.get("k") is None
        assert store == {}

    def test_also_by_those_who_open_the_store_later(self) -> None:
        clock, store = Clock(), dict[str, bytes]()
        cache(store, clock=clock).keep("k", answer(), ())
        clock.now += 100.0
        assert cache(store, clock=clock).get("k") == answer()
        assert cache(store, ttl=100.0, clock=clock).get("k") is None


class TestBrokenStores:
    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"{",
            b"\xff",
            b"[]",
            b"{}",
            b'{"version":2,"kept":1,"result":{"message":{"role":"assistant","content":"a"}}}',
            b'{"version":1,"kept":"x","result":{"message":{"role":"assistant","content":"a"}}}',
            b'{"version":1,"kept":1}',
            b'{"version":1,"kept":1,"result":{"message":{"role":"nobody"}}}',
            b'{"version":1,"kept":1,"result":7}',
        ],
    )
    def test_a_damaged_entry_is_a_miss_and_a_warning(self, data: bytes, caplog: pytest.LogCaptureFixture) -> None:
        store = {"k": data}
        with caplog.at_level(logging.WARNING, logger="ecs_agent"):
            assert cache(store).get("k") is None
        assert len(warnings(caplog)) == 1
        assert store == {}

    @given(st.data())
    def test_whatever_the_damage_is(self, data: st.DataObject) -> None:
        store: dict[str, bytes] = {}
        answers = cache(store)
        answers.keep("k", WHOLE, ())
        whole = store["k"]
        place = data.draw(st.integers(0, len(whole) - 1))
        store["k"] = whole[:place] + data.draw(st.binary(max_size=3)) + whole[place + data.draw(st.integers(0, 3)) :]
        got = answers.get("k")
        assert got is None or isinstance(got, CompletionResult)

    def test_one_that_cannot_be_read_is_a_miss(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING, logger="ecs_agent"):
            assert cache(Broken("get", k=b"")).get("k") is None
        assert "a kept answer cannot be read" in warnings(caplog)[0]

    def test_one_that_cannot_be_written_costs_no_answer(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING, logger="ecs_agent"):
            cache(Broken("set")).keep("k", answer(), ())
        assert "an answer cannot be kept" in warnings(caplog)[0]

    def test_one_from_which_nothing_can_be_removed_ends_all_the_same(self) -> None:
        store = Broken("pop")
        answers = cache(store, most=1)
        for key in "ab":
            answers.keep(key, answer(key), ())
        assert set(store) == {"a", "b"}

    def test_an_answer_that_is_no_data_is_not_kept(self, caplog: pytest.LogCaptureFixture) -> None:
        store: dict[str, bytes] = {}
        with caplog.at_level(logging.WARNING, logger="ecs_agent"):
            cache(store).keep("k", CompletionResult(Message("assistant", parts=[OpaquePart("x", {"y": object()})]), finish_reason="stop"), ())
        assert (store, len(warnings(caplog))) == ({}, 1)


def test_an_entry_is_json_that_says_what_it_is() -> None:
    store: dict[str, bytes] = {}
    cache(store).keep("k", answer("hm"), ())
    entry = json.loads(store["k"])
    assert (entry["version"], entry["kept"], entry["result"]["message"]) == (1, 1000.0, {"role": "assistant", "content": "hm"})


def test_any_mapping_is_a_store() -> None:
    class Mapping(MutableMapping[str, bytes]):
        def __init__(self) -> None:
            self.held: dict[str, bytes] = {}

        def __getitem__(self, key: str) -> bytes:
            return self.held[key]

        def __setitem__(self, key: str, value: bytes) -> None:
            self.held[key] = value

        def __delitem__(self, key: str) -> None:
            del self.held[key]

        def __iter__(self) -> Iterator[str]:
            return iter(self.held)

        def __len__(self) -> int:
            return len(self.held)

    store = Mapping()
    answers = cache(store, most=1)
    answers.keep("a", answer("a"), ())
    answers.keep("b", answer("b"), ())
    assert (answers.get("a"), answers.get("b"), len(store)) == (None, answer("b"), 1)
