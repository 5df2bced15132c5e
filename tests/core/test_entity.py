"""The lease: all that a call may do to its entity, and that it may do nothing once the call is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import pytest

from ecs_agent.core import ComponentChanged, Entity, EntityIdGenerator, EventKind, World
from ecs_agent.errors import EntityNotFoundError, LeaseRevokedError
from ecs_agent.types import EntityId


@dataclass
class Box:
    items: list[str]


@dataclass
class Style:
    name: str = "plain"


@dataclass(frozen=True)
class Filled:
    count: int


def lease_on(world: World, entity: EntityId) -> Entity:
    return Entity(world.state, world.state.row(entity))


@pytest.fixture
def me() -> Entity:
    world = World(rng=Random(1))
    return lease_on(world, world.create_entity())


def facts(me: Entity) -> list[object]:
    return [envelope.payload for envelope in me._state.log.read() if envelope.entity == me.id]


def test_ids_count_up_and_are_never_given_twice() -> None:
    ids = EntityIdGenerator()
    assert [ids.next(), ids.next(), ids.next()] == [1, 2, 3]
    assert EntityIdGenerator(start=8).next() == 8


def test_it_reads_and_writes_the_components_of_its_entity(me: Entity) -> None:
    box = Box([])
    me.add(box)
    assert me.has(Box)
    assert me.get(Box) is box
    assert me._state.rows[me.id].components[Box] is box
    me.remove(Box)
    me.remove(Box)
    assert not me.has(Box)
    assert me.get(Box) is None
    assert repr(me) == "Entity(1)"


def test_a_change_in_place_is_recorded_by_commit_by_touch_or_by_the_event_that_tells_it(me: Entity) -> None:
    box = Box([])
    me.add(box)
    told = len(facts(me))
    me.commit()
    assert len(facts(me)) == told
    box.items.append("a")
    me.commit()
    me.touch(Box)
    box.items.append("b")
    me.edit(Box, Filled(2))
    me.commit()
    assert facts(me)[told:] == [ComponentChanged(me.id, box), ComponentChanged(me.id, box), Filled(2)]


def test_touching_what_is_not_there_is_an_error(me: Entity) -> None:
    with pytest.raises(EntityNotFoundError, match="has no Style that could have changed"):
        me.touch(Style)


def test_events_carry_the_label_of_run_turn_and_attempt(me: Entity) -> None:
    me.emit("first")
    me.label(run=1, turn=2, attempt=3)
    me.emit("second", EventKind.INPUT)
    me.label(attempt=4)
    me.emit("third")
    told = [(e.payload, e.run, e.turn, e.attempt, e.kind) for e in me._state.log.read()][1:]
    assert told == [("first", 0, 0, 0, "derived"), ("second", 1, 2, 3, "input"), ("third", 1, 2, 4, "derived")]


def test_rule_7_a_call_may_spawn_and_delete_its_own_children_and_no_others(me: Entity) -> None:
    child, stranger = me.spawn(Box(["x"]), Style()), me._state.create(None).id
    assert [e.parent for e in me._state.log.read() if e.entity == child] == [me.id] * 4  # created, child of, and its two components
    with pytest.raises(ValueError, match=f"entity {stranger} is not a child of entity {me.id}"):
        me.despawn(stranger)
    me.despawn(child)
    assert child not in me._state.rows
    with pytest.raises(ValueError, match="is not a child"):
        me.despawn(child)


def test_new_ids_are_the_same_again_with_the_same_seed() -> None:
    def drawn(seed: int) -> list[str]:
        world = World(rng=Random(seed))
        me = lease_on(world, world.create_entity())
        return [me.new_id("call"), me.new_id("call"), f"{me.random.random()}"]

    assert drawn(7) == drawn(7) != drawn(8)
    assert drawn(7)[0] != drawn(7)[1]
    assert drawn(7)[0].startswith("call_")


def test_what_an_entity_draws_does_not_depend_on_how_others_were_interleaved() -> None:
    """Law 12. Ids of entities tell who came first; randomness is seeded by the place in the tree and does not."""

    def drawn(order: str) -> dict[str, str]:
        world = World(rng=Random(3))
        parents = {name: lease_on(world, world.create_entity()) for name in "ab"}
        names: dict[str, Entity] = dict(parents)
        for name in order:
            count = sum(other.startswith(name) for other in names)
            names[f"{name}{count}"] = lease_on(world, parents[name].spawn(Box([])))
        names["later root"] = lease_on(world, world.create_entity())
        return {name: names[name].new_id("id") for name in sorted(names)}

    assert drawn("aabb") == drawn("abab") == drawn("bbaa")
    later = [{name: value for name, value in drawn(order).items() if name == "later root"} for order in ("", "a", "bb")]
    assert later[0] == later[1] == later[2]
    assert len(set(drawn("aabb").values())) == 7


@pytest.mark.parametrize(
    "use",
    [
        lambda me: me.get(Box),
        lambda me: me.has(Box),
        lambda me: me.add(Box([])),
        lambda me: me.remove(Box),
        lambda me: me.touch(Box),
        lambda me: me.edit(Box, Filled(1)),
        lambda me: me.emit("event"),
        lambda me: me.label(turn=1),
        lambda me: me.spawn(),
        lambda me: me.despawn(EntityId(2)),
        lambda me: me.commit(),
        lambda me: me.new_id("call"),
        lambda me: me.random,
    ],
)
def test_rule_11_once_revoked_a_lease_refuses_every_use(me: Entity, use: Callable[[Entity], object]) -> None:
    me.add(Box([]))
    told = len(facts(me))
    me.revoke()
    with pytest.raises(LeaseRevokedError, match="the call on entity 1 is over"):
        use(me)
    assert len(facts(me)) == told
    assert me.id == 1


async def test_breathing_lets_everyone_else_run_once(me: Entity) -> None:
    ran: list[str] = []
    asyncio.get_running_loop().call_soon(ran.append, "other")
    await me.breathe()
    assert ran == ["other"]


def test_it_reads_the_clock_of_its_world_and_its_live_objects(me: Entity) -> None:
    assert me.now() > 1_600_000_000_000_000_000
    assert me.monotonic() <= me.monotonic()
    assert me.resource(Random, Random) is me._state.resources.get(Random)
