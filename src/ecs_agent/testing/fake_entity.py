"""A stand-in for the lease, so that a test calls a system as the plain function it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random
from typing import Any, TypeVar, cast

from ecs_agent.core import EndReason, Entity, EventKind, EventType, Gatherer, Letter, Outcome, World
from ecs_agent.core.entry import EntityEntry
from ecs_agent.core.inbox import deliver
from ecs_agent.core.state import Growth
from ecs_agent.core.system import spec_of
from ecs_agent.errors import SystemDefinitionError
from ecs_agent.types import EntityId

T = TypeVar("T")


class StandingClock:
    """A clock that only goes on when it is told to: both readings begin at 0."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> int:
        """UTC, in nanoseconds since 1970."""
        return round(self.seconds * 1e9)

    def monotonic(self) -> float:
        """Seconds."""
        return self.seconds


class FakeEntity(Entity):
    """The lease of a call that a test makes. What a system does with it works as in a run, and is written down.

        me = FakeEntity(Mood("glum"))
        await cheer_up(me, me[Mood])
        assert me.emitted == [CheeredUp(me.id)]

    The entity lives in a small world of its own, which nothing moves: time stands until `pass_time`, and what is sent, asked or spawned is
    there to be looked at. `me.revoke()` ends the lease, as a cancel does.

    Args:
        components: those of the entity.
        outcomes: what `join` answers, by entity; that they are idle by default.
        seed: of `random` and `new_id`.

    Attributes:
        world: where it lives.
        added: components that were added or replaced, in order.
        removed: types that were removed.
        emitted: events that were emitted, one by one, in numbers, or with an edit.
        sent: letters, with their receivers.
        spawned: children.
        requested: whose change was asked for.
        joined: who was waited for.
    """

    __slots__ = ("_clock", "added", "emitted", "joined", "outcomes", "removed", "requested", "sent", "spawned", "world")

    def __init__(self, *components: object, outcomes: Mapping[EntityId, Outcome] | None = None, seed: int = 0) -> None:
        self._clock = StandingClock()
        self.world = World(clock=self._clock, rng=Random(seed))  # noqa: S311 - to reproduce, not to keep secrets
        state = self.world.state
        super().__init__(state, state.row(self.world.spawn(*components)))
        self.outcomes: dict[EntityId, Outcome] = dict(outcomes or {})
        self.added: list[object] = []
        self.removed: list[type] = []
        self.emitted: list[object] = []
        self.sent: list[tuple[EntityId, Letter]] = []
        self.spawned: list[EntityId] = []
        self.requested: list[EntityId] = []
        self.joined: list[EntityId] = []

    # What a test does

    def __getitem__(self, component_type: type[T]) -> T:
        """A component of the entity, also after the lease has ended.

        Raises:
            KeyError: it has none.
        """
        found = self.world.get_component(self.id, component_type)
        if found is None:
            raise KeyError(f"the entity has no {component_type.__name__}")
        return found

    def peer(self, *components: object) -> EntityId:
        """Another entity in the same world, to send to, ask, join."""
        return self.world.spawn(*components)

    def deliver(self, content: object, sender: EntityId | None = None) -> Letter:
        """A letter for the entity, from a peer or from outside."""
        state = self.world.state
        return deliver(state, state.row(sender) if sender is not None else None, self.id, content)

    def pass_time(self, seconds: float) -> None:
        """Let time go on."""
        self._clock.seconds += seconds

    def would_run(self, system: object) -> bool:
        """Whether a run would make this call now: the components are there, none of the excluded ones is, and `when` is true."""
        entry = _entry(system)
        return entry.matches(self._types()) and entry.holds(self._held())

    async def call(self, system: object) -> None:
        """Call a system with the components that its signature asks for.

        Raises:
            LookupError: the entity is none of those that the system runs on.
            Exception: what the system raises.
        """
        entry = _entry(system)
        if not entry.matches(self._types()):
            missing = sorted([kind.__name__ for kind in entry.required - self._types()])
            unwanted = sorted([kind.__name__ for kind in entry.unwanted & self._types()])
            raise LookupError(
                f"{entry.name} does not run on this entity: it lacks {missing or 'nothing'} and has {unwanted or 'nothing'} to exclude it"
            )
        await entry.call(*entry.arguments(self._held(), self))

    # What a system does

    def add(self, component: object) -> None:
        """As `Entity.add`."""
        super().add(component)
        self.added.append(component)

    def remove(self, component_type: type) -> None:
        """As `Entity.remove`."""
        if self.has(component_type):
            self.removed.append(component_type)
        super().remove(component_type)

    def edit(self, component_type: type, event: object, growth: Growth | None = None, kind: EventKind = EventKind.DERIVED) -> None:
        """As `Entity.edit`."""
        super().edit(component_type, event, growth, kind)
        self.emitted.append(event)

    def emit(self, event: object, kind: EventKind = EventKind.DERIVED) -> None:
        """As `Entity.emit`."""
        super().emit(event, kind)
        self.emitted.append(event)

    def emit_each(self, make: EventType[T], items: Sequence[T], kind: EventKind = EventKind.DERIVED, into: Gatherer[T] | None = None) -> None:
        """As `Entity.emit_each`."""
        super().emit_each(make, items, kind, into)
        self.emitted += [make(self.id, item) for item in items]

    def send(self, to: EntityId, content: object) -> Letter:
        """As `Entity.send`."""
        letter = super().send(to, content)
        self.sent.append((to, letter))
        return letter

    def spawn(self, *components: object) -> EntityId:
        """As `Entity.spawn`."""
        child = super().spawn(*components)
        self.spawned.append(child)
        return child

    def request(self, entity: EntityId, change: Callable[[Entity], None]) -> None:
        """As `Entity.request`; no call runs on anybody here, so the change is made at once."""
        super().request(entity, change)
        self.requested.append(entity)

    async def join(self, entity: EntityId) -> Outcome:
        """Answers at once, with what `outcomes` says."""
        self.has(object)  # refuses when the lease has ended
        self.joined.append(entity)
        return self.outcomes.get(entity, Outcome(EndReason.IDLE))

    def _held(self) -> Mapping[type, Any]:
        return self.world.state.row(self.id).components

    def _types(self) -> frozenset[type]:
        return self.world.state.row(self.id).types


def _entry(system: object) -> EntityEntry:
    name = getattr(system, "__name__", None) or type(system).__name__
    if spec_of(system) is None or not callable(system):
        raise SystemDefinitionError(f"{name} is not an entity system; decorate it with @system")
    return EntityEntry(cast("Callable[..., Awaitable[None]]", system), name, 0, 0)
