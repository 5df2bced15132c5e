"""Forks and undo: an entity once more, and an entity as it was."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from ecs_agent.core import AwaitsInput, ChildOf, InboxComponent, MemoryLog, Relation, World
from ecs_agent.core.checkpoint import Checkpoint, SavedRow
from ecs_agent.core.component import Unforked
from ecs_agent.core.forking import EntityForked, EntityRewound
from ecs_agent.errors import CircularParentError, DuplicateComponentError, EntityNotFoundError, NoHistoryError, WorldClosedError
from ecs_agent.types import EntityId, Message


@dataclass(slots=True)
class Talk:
    messages: list[Message] = field(default_factory=list)
    notes: dict[str, list[str]] = field(default_factory=dict)


@dataclass(slots=True)
class Model:
    name: str


@dataclass(slots=True)
class Arriving:
    pieces: list[str] = field(default_factory=list)
    resume: str | None = None


@dataclass(slots=True)
class Question(AwaitsInput):
    text: str = ""


@dataclass(slots=True)
class Running(Unforked):
    calls: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Likes(Relation):
    pass


@dataclass(frozen=True, slots=True)
class Keeps(Relation):
    on_target_deleted = "keep"


class PastLog(MemoryLog):
    """A log that knows one past of one entity."""

    keeps_changes = True

    def __init__(self, past: SavedRow) -> None:
        super().__init__()
        self.past = past

    def row_at(self, entity: EntityId, seq: int) -> SavedRow:  # type: ignore[override]
        assert (entity, seq) == (self.past.id, self.past.seq)
        return self.past


def past(entity: int, seq: int, *components: object) -> SavedRow:
    return SavedRow(EntityId(entity), "0/0", 0, seq, 0, 4, 5, 6, components)


class TestForking:
    def test_a_fork_has_the_same_data_and_its_own_containers(self) -> None:
        world = World()
        hello = Message("user", "hello")
        first = world.spawn(Talk([hello], {"k": ["v"]}), Model("a"))
        second = world.fork(first)
        talk, other = world.get_component(first, Talk), world.get_component(second, Talk)
        assert second != first
        assert talk == other
        assert talk is not None
        assert other is not None
        assert other.messages[0] is hello
        talk.messages.clear()
        talk.notes["k"].append("w")
        assert other == Talk([hello], {"k": ["v"]})

    def test_components_can_be_replaced_on_the_branch(self) -> None:
        world = World()
        first = world.spawn(Talk(), Model("a"))
        second = world.fork(first, Model("b"), Question("?"))
        assert world.get_component(second, Model) == Model("b")
        assert world.get_component(second, Question) == Question("?")
        assert world.get_component(first, Model) == Model("a")

    def test_what_runs_is_not_copied(self) -> None:
        world = World()
        first = world.spawn(Talk(), Running(["c1"]), Question("sure?"))
        world.send(first, "a letter")
        second = world.fork(first)
        assert world.has_component(first, InboxComponent)
        assert not any(world.has_component(second, kind) for kind in (Running, Question, InboxComponent))

    @pytest.mark.parametrize("how", ["continue", "restart", "interrupted"])
    def test_work_in_hand_is_told_what_becomes_of_it(self, how: str) -> None:
        world = World()
        first = world.spawn(Arriving(["half"]))
        second = world.fork(first, on_fork=how)  # type: ignore[arg-type]
        assert world.get_component(second, Arriving) == Arriving(["half"], how)
        assert world.get_component(first, Arriving) == Arriving(["half"])

    def test_another_word_for_it_is_refused(self) -> None:
        world = World()
        first = world.spawn(Talk())
        with pytest.raises(ValueError, match='"continue", "restart" or "interrupted"'):
            world.fork(first, on_fork="resume")  # type: ignore[arg-type]
        assert world.entities == [first]

    def test_relations_are_copied_and_children_are_not(self) -> None:
        world = World()
        parent, friend = world.spawn(), world.spawn()
        first = world.spawn(Likes(friend), parent=parent)
        world.spawn(parent=first)
        second = world.fork(first)
        assert world.children(parent) == [first, second]
        assert world.related(Likes, friend) == [first, second]
        assert world.children(second) == []
        assert world.get_component(second, ChildOf) == ChildOf(parent)

    def test_the_log_says_where_it_came_from(self) -> None:
        world = World()
        first = world.spawn(Talk())
        second = world.fork(first)
        assert [fact.payload for fact in world.log.read()][-1] == EntityForked(second, first, world.state.rows[first].seq)

    def test_the_past_is_asked_for_by_its_number(self) -> None:
        world = World(PastLog(past(1, 2, Talk([Message("user", "old")]), Arriving(["p"]))))
        first = world.spawn(Talk([Message("user", "new")]), Arriving())
        second = world.fork(first, at=2, on_fork="restart")
        assert world.get_component(second, Talk) == Talk([Message("user", "old")])
        assert world.get_component(second, Arriving) == Arriving(["p"], "restart")
        label = world.state.rows[second].label
        assert (label.run, label.turn, label.attempt) == (4, 5, 6)

    def test_the_newest_number_is_now_also_without_a_history(self) -> None:
        world = World()
        first = world.spawn(Talk())
        assert world.get_component(world.fork(first, at=world.state.rows[first].seq), Talk) == Talk()
        with pytest.raises(NoHistoryError, match="open_world"):
            world.fork(first, at=1)

    def test_bad_arguments_change_nothing(self) -> None:
        world = World()
        first = world.spawn(Talk())
        with pytest.raises(EntityNotFoundError):
            world.fork(EntityId(99))
        with pytest.raises(DuplicateComponentError):
            world.fork(first, Model("a"), Model("b"))
        assert world.entities == [first]

    def test_a_relation_to_nobody_changes_nothing(self) -> None:
        world = World()
        first = world.spawn(Talk())
        with pytest.raises(EntityNotFoundError, match="99"):
            world.fork(first, Likes(EntityId(99)))
        assert world.entities == [first]

    def test_relations_to_those_that_are_gone_are_left_out(self) -> None:
        world = World(PastLog(past(2, 2, Talk(), Likes(EntityId(77)), ChildOf(EntityId(88)))))
        other = world.spawn()
        first = world.spawn(Talk(), Keeps(other))
        world.delete_entity(other)
        assert world.get_component(first, Keeps) == Keeps(other)
        assert set(world.state.rows[world.fork(first)].components) == {Talk}
        assert set(world.state.rows[world.fork(first, at=2)].components) == {Talk}

    async def test_a_closed_world_forks_nobody(self) -> None:
        world = World()
        first = world.spawn(Talk())
        await world.aclose()
        with pytest.raises(WorldClosedError):
            world.fork(first)


class TestUndo:
    def test_an_entity_is_what_it_was_and_the_log_goes_on(self) -> None:
        world = World(PastLog(past(1, 2, Talk([Message("user", "old")]), Model("a"))))
        first = world.spawn(Talk([Message("user", "new")]), Model("a"), Question("?"))
        model = world.get_component(first, Model)
        before = world.log.next_pos
        world.undo(first, 2)
        assert world.get_component(first, Talk) == Talk([Message("user", "old")])
        assert world.get_component(first, Model) is model  # what was the same stays
        assert not world.has_component(first, Question)
        told = [fact.payload for fact in world.log.read(before)]
        assert told[-1] == EntityRewound(first, 2)
        assert len(told) == 3

    def test_relations_to_those_that_are_gone_do_not_come_back(self) -> None:
        world = World(PastLog(past(2, 2, Talk(), Likes(EntityId(77)), Keeps(EntityId(1)))))
        other = world.spawn()
        first = world.spawn(Keeps(other))
        world.delete_entity(other)
        world.undo(first, 2)
        assert set(world.state.rows[first].components) == {Talk, Keeps}

    def test_a_parent_that_is_below_it_now_is_refused_before_anything_is_changed(self) -> None:
        world = World(PastLog(past(1, 2, Talk([Message("user", "old")]), ChildOf(EntityId(2)))))
        first = world.spawn(Talk())
        world.spawn(parent=first)
        before = world.log.next_pos
        with pytest.raises(CircularParentError):
            world.undo(first, 2)
        assert world.get_component(first, Talk) == Talk()
        assert world.log.next_pos == before

    def test_without_a_history_nothing_can_be_undone(self) -> None:
        world = World()
        with pytest.raises(NoHistoryError, match="keeps no history"):
            world.undo(world.spawn(Talk()), 1)
        with pytest.raises(NoHistoryError, match="keeps no history"):
            world.at(0)


def test_a_world_at_a_position_is_one_of_its_own() -> None:
    class Known(MemoryLog):
        def state_at(self, pos: int) -> Checkpoint:  # type: ignore[override]
            likes = SavedRow(EntityId(1), "s/0", 1, 3, 2, 0, 0, 0, (Likes(EntityId(2)), ChildOf(EntityId(3))))
            return Checkpoint(pos, "s", 2, 8, 5, (likes, past(2, 1, Talk()), past(3, 1)))

    world = World(Known())
    then = world.at(7)
    assert then.entities == [1, 2, 3]
    assert then.related(Likes, EntityId(2)) == [1]
    assert then.children(EntityId(3)) == [1]
    assert then.query(Talk) == [(2, (Talk(),))]
    assert then.create_entity() == 8
    assert then.send(EntityId(2), "x").seq == 6
    assert world.entities == []


def test_a_saved_entity_never_draws_the_same_number_twice() -> None:
    class Known(MemoryLog):
        def state_at(self, pos: int) -> Checkpoint:  # type: ignore[override]
            return Checkpoint(pos, "s", 1, 2, 0, (past(1, pos),))

    drawn = [World(Known()).at(pos).state.rows[EntityId(1)].random().random() for pos in (0, 1, 1, 2)]
    assert drawn[1] == drawn[2]
    assert len(set(drawn)) == 3


def test_a_checkpoint_is_loaded_into_an_empty_world_only() -> None:
    from ecs_agent.core.loading import load

    world = World()
    world.spawn()
    with pytest.raises(ValueError, match="empty"):
        load(world.state, Checkpoint(0, "s", 0, 1, 0, ()))


def test_a_relation_to_one_that_is_gone_is_kept() -> None:
    class Known(MemoryLog):
        def state_at(self, pos: int) -> Checkpoint:  # type: ignore[override]
            return Checkpoint(pos, "s", 1, 2, 0, (past(1, 1, Likes(EntityId(77))),))

    then = World(Known()).at(0)
    assert then.get_component(EntityId(1), Likes) == Likes(EntityId(77))
    assert then.query(Likes) == [(1, (Likes(EntityId(77)),))]
    then.remove_component(EntityId(1), Likes)
    assert then.query(Likes) == []
