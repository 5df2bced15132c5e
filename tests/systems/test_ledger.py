"""Ledger: what agents and their trees have spent, against a model that adds everything up again."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.components.limits import LimitsComponent
from ecs_agent.systems.ledger import Ledger, Spent
from ecs_agent.types import EntityId

ROOT, CHILD, GRANDCHILD, OTHER = EntityId(1), EntityId(2), EntityId(3), EntityId(4)
NOBODYS: dict[EntityId, LimitsComponent] = {}


def family() -> Ledger:
    ledger = Ledger()
    ledger.begin(ROOT, (), run=1)
    ledger.begin(CHILD, (ROOT,), run=1)
    ledger.begin(GRANDCHILD, (CHILD, ROOT), run=1)
    ledger.begin(OTHER, (), run=1)
    return ledger


def test_spending_counts_for_the_agent_and_the_trees_it_is_in() -> None:
    ledger = family()
    ledger.spend(GRANDCHILD, tokens=10, cost=0.5, turns=1, tool_calls=2)
    ledger.spend(ROOT, tokens=1)
    assert ledger.spent(GRANDCHILD) == ledger.spent(GRANDCHILD, tree=True) == Spent(10, 0.5, 1, 2)
    assert (ledger.spent(CHILD), ledger.spent(CHILD, tree=True)) == (Spent(), Spent(10, 0.5, 1, 2))
    assert (ledger.spent(ROOT), ledger.spent(ROOT, tree=True)) == (Spent(1), Spent(11, 0.5, 1, 2))
    assert ledger.spent(OTHER, tree=True) == Spent()


def test_a_new_run_begins_with_nothing_and_the_parents_run_goes_on() -> None:
    ledger = family()
    ledger.spend(CHILD, tokens=10)
    ledger.begin(CHILD, (ROOT,), run=2)
    assert ledger.spent(CHILD) == ledger.spent(CHILD, tree=True) == Spent()
    assert ledger.spent(ROOT, tree=True) == Spent(10)
    ledger.begin(ROOT, (), run=2)
    assert ledger.spent(ROOT, tree=True) == Spent()


def test_the_same_run_goes_on_with_what_it_had() -> None:
    ledger = family()
    ledger.spend(CHILD, tokens=10)
    ledger.begin(CHILD, (OTHER,), run=1)  # it has another parent now
    ledger.spend(CHILD, tokens=1)
    assert ledger.spent(CHILD) == Spent(11)
    assert (ledger.spent(ROOT, tree=True), ledger.spent(OTHER, tree=True)) == (Spent(10), Spent(1))


def test_an_estimate_is_marked_until_the_count_replaces_it() -> None:
    ledger = family()
    ledger.spend(CHILD, tokens=7, cost=0.07, estimated=True)
    ledger.spend(CHILD, tokens=3, cost=0.03, estimated=True)
    assert ledger.spent(ROOT, tree=True) == Spent(10, 0.1, estimated=True)
    ledger.settle(CHILD, Spent(10, 0.1, estimated=True), Spent(25, 0.4))
    for found in (ledger.spent(CHILD), ledger.spent(ROOT, tree=True)):
        assert (found.tokens, found.estimated) == (25, False)
        assert found.cost == pytest.approx(0.4)


def test_an_estimate_of_an_earlier_run_takes_nothing_from_this_one() -> None:
    ledger = family()
    ledger.spend(CHILD, tokens=100, cost=1.0, estimated=True)
    ledger.begin(ROOT, (), run=2)  # meanwhile the child streams on
    ledger.spend(ROOT, tokens=5, cost=0.5)
    ledger.settle(CHILD, Spent(100, 1.0), Spent(80, 0.8))
    assert ledger.spent(CHILD) == Spent(80, 0.8)
    assert ledger.spent(ROOT, tree=True) == Spent(5, 0.5)


def test_an_estimate_of_this_run_is_marked_whatever_became_of_one_of_an_earlier_run() -> None:
    ledger = family()
    ledger.spend(CHILD, tokens=100, estimated=True)
    ledger.begin(ROOT, (), run=2)
    ledger.settle(CHILD, Spent(100), Spent(80))
    ledger.spend(CHILD, tokens=10, estimated=True)
    assert ledger.spent(ROOT, tree=True) == Spent(10, estimated=True)


def test_a_sum_that_is_settled_is_no_estimate_however_its_fractions_were_rounded() -> None:
    ledger = family()
    ledger.spend(CHILD, tokens=1, cost=0.1, estimated=True)
    ledger.spend(CHILD, tokens=1, cost=0.2, estimated=True)
    ledger.settle(CHILD, Spent(2, 0.3), Spent(2, 0.3))
    assert not ledger.spent(CHILD).estimated


def test_a_cost_alone_may_be_an_estimate() -> None:
    ledger = family()
    ledger.spend(CHILD, cost=0.5, estimated=True)
    assert ledger.spent(CHILD) == Spent(0, 0.5, estimated=True)


def test_whoever_is_gone_spends_nothing_more_and_what_it_spent_stays() -> None:
    there = {ROOT, CHILD, GRANDCHILD}
    ledger = Ledger(there.__contains__)
    strangers = iter(range(1_000, 2_000))

    def go(entity: EntityId) -> None:
        there.remove(entity)
        for number in islice(strangers, 200):  # the gone are dropped when others come
            ledger.begin(EntityId(number), (), run=1)

    ledger.begin(ROOT, (), run=1)
    ledger.begin(CHILD, (ROOT,), run=1)
    ledger.begin(GRANDCHILD, (CHILD, ROOT), run=1)
    ledger.spend(GRANDCHILD, tokens=10)
    go(GRANDCHILD)
    ledger.spend(GRANDCHILD, tokens=10)
    ledger.settle(GRANDCHILD, Spent(), Spent(5))
    assert ledger.spent(GRANDCHILD) == ledger.spent(GRANDCHILD, tree=True) == Spent()
    assert ledger.spent(ROOT, tree=True) == Spent(10)
    go(ROOT)
    assert ledger.spent(ROOT, tree=True) == Spent()
    ledger.spend(CHILD, tokens=1)
    assert ledger.spent(CHILD) == Spent(1)


class TestExceeded:
    @pytest.mark.parametrize(
        ("limits", "spent", "tree", "name"),
        [
            ({"turns": 3}, {"turns": 3}, {}, "max_turns"),
            ({"turns": 3}, {"turns": 2}, {}, None),
            ({"tokens": 10}, {"tokens": 10}, {}, "max_tokens"),
            ({"tokens": 10}, {"tokens": 9}, {}, None),
            ({"cost": 0.5}, {"cost": 0.5}, {}, "max_cost"),
            ({}, {"cost": 1e9}, {}, None),
            ({"run_tool_calls": 4}, {"tool_calls": 4}, {}, "max_run_tool_calls"),
            ({"tool_calls": 4}, {"tool_calls": 400}, {}, None),  # those of one turn, which are counted elsewhere
            ({"tree_turns": 3}, {}, {"turns": 3}, "max_tree_turns"),
            ({"tree_tool_calls": 3}, {}, {"tool_calls": 3}, "max_tree_tool_calls"),
            ({"tree_tokens": 3}, {}, {"tokens": 3}, "max_tree_tokens"),
            ({"tree_cost": 3.0}, {}, {"cost": 3.0}, "max_tree_cost"),
            ({}, {}, {"tokens": 10**9, "cost": 1e9, "turns": 10**6, "tool_calls": 10**6}, None),
        ],
    )
    def test_a_limit_is_named(self, limits: dict[str, Any], spent: dict[str, Any], tree: dict[str, Any], name: str | None) -> None:
        ledger = family()
        ledger.spend(CHILD, **spent)
        ledger.spend(GRANDCHILD, **tree)
        assert ledger.exceeded(CHILD, {CHILD: LimitsComponent(**limits)}.get) == (None if name is None else (CHILD, name))

    def test_in_a_stream_only_tokens_and_cost_count(self) -> None:
        limits = LimitsComponent(turns=0, run_tool_calls=0, tree_turns=0, tree_tool_calls=0, tree_tokens=5)
        ledger = family()
        assert ledger.exceeded(CHILD, {CHILD: limits}.get, streaming=True) is None
        ledger.spend(GRANDCHILD, tokens=5)
        assert ledger.exceeded(CHILD, {CHILD: limits}.get, streaming=True) == (CHILD, "max_tree_tokens")

    def test_the_tree_of_an_agent_above_ends_those_below(self) -> None:
        ledger = family()
        limits = {ROOT: LimitsComponent(tree_tokens=100, turns=0)}
        ledger.spend(CHILD, tokens=99)
        assert ledger.exceeded(GRANDCHILD, limits.get) is None
        ledger.spend(GRANDCHILD, tokens=1)
        assert ledger.exceeded(GRANDCHILD, limits.get) == (ROOT, "max_tree_tokens")
        assert ledger.exceeded(CHILD, limits.get, streaming=True) == (ROOT, "max_tree_tokens")
        assert ledger.exceeded(OTHER, limits.get) is None

    def test_the_tree_of_the_agent_itself_counts_too(self) -> None:
        ledger = family()
        ledger.spend(GRANDCHILD, tokens=5)
        assert ledger.exceeded(CHILD, {CHILD: LimitsComponent(tree_tokens=5)}.get) == (CHILD, "max_tree_tokens")

    def test_who_has_no_limits_has_the_defaults(self) -> None:
        ledger = family()
        ledger.spend(CHILD, turns=50)
        assert ledger.exceeded(CHILD, NOBODYS.get) == (CHILD, "max_turns")
        assert ledger.exceeded(EntityId(99), NOBODYS.get) is None


class TestRoom:
    def room(self, price: float = 0.0, **limits: Any) -> float:
        ledger = family()
        ledger.spend(CHILD, tokens=10, cost=1.0)
        ledger.spend(ROOT, tokens=5, cost=1.0)
        return ledger.room(CHILD, {ROOT: LimitsComponent(**limits)}.get, price)

    def test_the_nearest_limit_counts(self) -> None:
        assert self.room() == 1_000_000 - 10
        assert self.room(tree_tokens=100) == 85
        assert self.room(tree_cost=4.0) == 1_000_000 - 10
        assert self.room(0.5, tree_cost=4.0) == 4
        assert self.room(tokens=0) == 1_000_000 - 10  # the parent's own
        assert Ledger().room(CHILD, NOBODYS.get) == float("inf")

    def test_the_agents_own_limits_count_as_well(self) -> None:
        ledger = family()
        ledger.spend(CHILD, tokens=10, cost=1.0)
        assert ledger.room(CHILD, {CHILD: LimitsComponent(tokens=12)}.get) == 2
        assert ledger.room(CHILD, {CHILD: LimitsComponent(cost=2.0)}.get, 0.25) == 4
        assert ledger.room(CHILD, {CHILD: LimitsComponent(tree_tokens=11)}.get) == 1


PARENTS = {1: (), 2: (1,), 3: (2, 1), 4: (1,), 5: ()}
ACTIONS = st.lists(st.tuples(st.sampled_from("sseb"), st.sampled_from(list(PARENTS)), st.integers(0, 50), st.integers(0, 50)), max_size=40)


@given(ACTIONS)
def test_any_spending_adds_up(actions: list[tuple[str, int, int, int]]) -> None:
    """Every account is the sum of what was spent below it since its run began, with each estimate replaced by its count."""
    ledger = Ledger()
    runs = dict.fromkeys(PARENTS, 0)
    began = dict.fromkeys(PARENTS, 0)
    spendings: list[tuple[int, int, int]] = []
    for entity, parents in PARENTS.items():
        ledger.begin(EntityId(entity), [EntityId(parent) for parent in parents], 0)
    for number, (action, entity, tokens, guess) in enumerate(actions):
        if action == "b":
            runs[entity] += 1
            began[entity] = number
            ledger.begin(EntityId(entity), [EntityId(parent) for parent in PARENTS[entity]], runs[entity])
            continue
        if action == "e":
            ledger.spend(EntityId(entity), tokens=guess, estimated=True)
            ledger.settle(EntityId(entity), Spent(guess), Spent(tokens))
        else:
            ledger.spend(EntityId(entity), tokens=tokens)
        spendings.append((number, entity, tokens))
    for entity in PARENTS:
        own = sum([tokens for number, who, tokens in spendings if who == entity and number >= began[entity]])
        tree = sum([tokens for number, who, tokens in spendings if entity in (who, *PARENTS[who]) and number >= began[entity]])
        assert ledger.spent(EntityId(entity)) == Spent(own)
        assert ledger.spent(EntityId(entity), tree=True) == Spent(tree)
