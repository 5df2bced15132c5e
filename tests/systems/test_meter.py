"""StreamMeter: an answer is counted while it arrives, and ends where a limit is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.components.limits import LimitsComponent, PricesComponent
from ecs_agent.systems.ledger import Ledger, Spent
from ecs_agent.systems.meter import LOOK_EVERY, StreamMeter
from ecs_agent.types import EntityId, StreamDelta, ToolCallFragment, Usage

PARENT, AGENT, SIBLING = EntityId(1), EntityId(2), EntityId(3)
NOBODYS: dict[EntityId, LimitsComponent] = {}


def begun() -> Ledger:
    ledger = Ledger()
    ledger.begin(PARENT, (), 1)
    ledger.begin(AGENT, (PARENT,), 1)
    ledger.begin(SIBLING, (PARENT,), 1)
    return ledger


@given(st.lists(st.integers(1, 9), max_size=60), st.integers(1, 100))
def test_it_ends_with_the_first_delta_that_reaches_the_limit(sizes: list[int], limit: int) -> None:
    limits = {AGENT: LimitsComponent(tokens=limit)}
    meter = StreamMeter(begun(), AGENT, limits.get)
    total = 0
    for size in sizes:
        total += size
        reached = meter.add([StreamDelta("x" * size)])
        assert reached == ((AGENT, "max_tokens") if -(-total // 4) >= limit else None)
        if reached:
            break


def test_everything_that_a_model_writes_counts() -> None:
    ledger = begun()
    meter = StreamMeter(ledger, AGENT, NOBODYS.get)
    meter.add([StreamDelta("1234", reasoning="1234", refusal="1234")])
    meter.add([StreamDelta(tool_fragments=(ToolCallFragment(0, "id", "name", '{"a":1}x'),))])
    meter.settle(None)
    assert ledger.spent(AGENT) == Spent(6, estimated=True)


def test_the_usage_replaces_the_estimate() -> None:
    ledger = begun()
    limits = {PARENT: LimitsComponent(tree_cost=1e9)}  # others may spend it too, so the ledger is kept up to date
    meter = StreamMeter(ledger, AGENT, limits.get, PricesComponent(1.0, 1_000_000.0))
    meter.add([StreamDelta("x" * 200)])
    assert ledger.spent(PARENT, tree=True) == Spent(50, 50.0, estimated=True)
    meter.settle(Usage(1_000_000, 20, 1_000_020))
    assert ledger.spent(AGENT) == ledger.spent(PARENT, tree=True) == Spent(1_000_020, 21.0)
    meter.settle(None)  # twice is once
    assert ledger.spent(AGENT) == Spent(1_000_020, 21.0)


def test_cost_ends_it_too() -> None:
    limits = {AGENT: LimitsComponent(cost=3.0)}
    meter = StreamMeter(begun(), AGENT, limits.get, PricesComponent(0.0, 1_000_000.0))
    reached = [meter.add([StreamDelta("x")]) for _ in range(9)]
    assert reached == [None] * 8 + [(AGENT, "max_cost")]


def test_what_others_spend_of_the_tree_is_noticed_soon() -> None:
    ledger = begun()
    limits = {PARENT: LimitsComponent(tree_tokens=1000)}
    meter = StreamMeter(ledger, AGENT, limits.get)
    assert meter.add([StreamDelta("x" * 40)]) is None
    ledger.spend(SIBLING, tokens=1000)
    noticed = [meter.add([StreamDelta("xxxx")]) for _ in range(LOOK_EVERY)]
    assert (PARENT, "max_tree_tokens") in noticed


def test_most_deltas_do_not_ask_the_ledger() -> None:
    asked: list[EntityId] = []

    def limits_of(entity: EntityId) -> LimitsComponent | None:
        asked.append(entity)
        return None

    meter = StreamMeter(begun(), AGENT, limits_of)
    asked.clear()
    for _ in range(8 * LOOK_EVERY * 4):
        meter.add([StreamDelta("x")])
    assert len(asked) <= 8 * 6


def test_a_limit_that_is_reached_already_ends_it_at_once() -> None:
    ledger = begun()
    ledger.spend(AGENT, tokens=10)
    meter = StreamMeter(ledger, AGENT, {AGENT: LimitsComponent(tokens=10)}.get)
    assert meter.add([StreamDelta("x")]) == (AGENT, "max_tokens")


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_an_agent_that_is_not_there_is_not_counted(size: int) -> None:
    ledger = Ledger()
    meter = StreamMeter(ledger, AGENT, NOBODYS.get)
    assert meter.add([StreamDelta("x" * size)]) is None
    meter.settle(Usage(1, 1, 2))
    assert ledger.spent(AGENT) == Spent()
