"""The lease through which a system's call reads and writes its entity."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import TypeVar

from ecs_agent.core.bundle import spawn
from ecs_agent.core.entry import EntityEntry
from ecs_agent.core.events import RequestFailed
from ecs_agent.core.inbox import Letter, deliver, receive
from ecs_agent.core.lease import Lease
from ecs_agent.core.log import EventKind, EventType, Gatherer
from ecs_agent.core.outcome import Outcome, sentence
from ecs_agent.core.row import Request, Row
from ecs_agent.core.state import Growth, State
from ecs_agent.errors import LeaseRevokedError, RequestsFullError
from ecs_agent.types import EntityId

T = TypeVar("T")

MAX_REQUESTS = 1000
"""So many requests wait for one entity at most."""


class Entity(Lease):
    """A system's lease on the entity of its call: everything it changes goes through here.

    The lease ends with the call. After a cancel or a delete each use raises `LeaseRevokedError`, so that a call that lingers cannot write
    over what was decided since.
    """

    __slots__ = ("_entry", "_is_driven", "_live", "_row", "_state", "gathered")

    def __init__(self, state: State, row: Row, entry: EntityEntry | None = None, *, is_driven: bool = False) -> None:
        self._state = state
        self._row = row
        self._entry = entry
        self._live = True
        self._is_driven = is_driven
        self.gathered: Callable[[], None] | None = None

    @property
    def id(self) -> EntityId:
        """The entity's id; readable also after the lease has ended."""
        return self._row.id

    def __repr__(self) -> str:
        return f"Entity({self._row.id})"

    @property
    def ancestors(self) -> list[EntityId]:
        """Its parent, that one's parent, and so on."""
        found: list[EntityId] = []
        above = self._own().parent
        while above is not None:
            found.append(above)
            above = self._state.rows[above].parent
        return found

    def peek(self, entity: EntityId, component_type: type[T]) -> T | None:
        """A component of another entity, to read and not to change; None if it has none or is gone."""
        self._own()
        row = self._state.rows.get(entity)
        return None if row is None else row.components.get(component_type)

    def get(self, component_type: type[T]) -> T | None:
        """A component of this entity."""
        return self._own().components.get(component_type)

    def has(self, component_type: type) -> bool:
        """Whether this entity has a component of the type."""
        return component_type in self._own().components

    def add(self, component: object) -> None:
        """Add a component, or replace the one of its type."""
        self._state.put(self._own(), component, self._entry)

    def remove(self, component_type: type) -> None:
        """Remove a component; nothing happens when there is none."""
        self._state.take(self._own(), component_type, self._entry)

    def touch(self, component_type: type) -> None:
        """Say that something deep inside a component changed, which comparing cannot find."""
        self._state.note_edit(self._own(), component_type, self._entry)

    def edit(self, component_type: type, event: object, growth: Growth | None = None, kind: EventKind = EventKind.DERIVED) -> None:
        """Say that a component was changed in place, and which event tells it. Call it right after the change, without awaiting between.

        Args:
            component_type: which component.
            event: what happened to it.
            growth: if all that changed is that a list got new elements at its end: its field, and how many. Then the cost is that of these alone.
            kind: whether it came from outside.
        """
        self._state.note_edit(self._own(), component_type, self._entry, event, kind, growth)

    def emit(self, event: object, kind: EventKind = EventKind.DERIVED) -> None:
        """Append an event to the log under this entity and wake its subscribers. Never waits."""
        self._state.record(self._own(), event, kind)

    def emit_each(self, make: EventType[T], items: Sequence[T], kind: EventKind = EventKind.DERIVED, into: Gatherer[T] | None = None) -> None:
        """Append events that arrived together, `make(id, item)` for each item. Costs as much as one of them as long as nobody listens.

        Nobody may change `items` afterwards: events are made of them when somebody reads. `into` is a component of this entity that takes the
        items in, before anybody hears of them: a journal then stores the items, and not the component each time.
        """
        self._state.record_each(self._own(), make, items, kind, into)

    async def committed(self) -> None:
        """Wait until everything so far is safe in the World's journal; at once if it has none. For what must not be done unrecorded.

        Raises:
            JournalError: it could not be written.
            UnsavableError: a component of this entity is no data.
        """
        row = self._own()
        if self._state.log.keeps_changes:
            self.write()
            await self._state.log.commit(row.id)

    @property
    def may_block(self) -> bool:
        """Whether any consumer chose to hold producers back (`Block`), so that `room` may have to wait."""
        return bool(self._state.bus.blocking)

    async def room(self) -> None:
        """Wait while a consumer that chose to (`Block`) is behind with this entity's events. Call it after events that come in numbers."""
        row = self._own()
        if self._state.bus.blocking:
            await self._state.bus.room(row.id, row.types)

    def send(self, to: EntityId, content: object) -> Letter:
        """Send something to another entity. It arrives at once and is seen at the receiver's next call.

        Raises:
            EntityNotFoundError: there is no such entity.
            InboxFullError: it has not taken its letters for too long.
        """
        return deliver(self._state, self._own(), to, content)

    def receive(self, *kinds: type) -> list[Letter]:
        """Take this entity's letters: all, or those whose content is of one of the given types; the others stay. Ordered by sender, then seq.

        Deal with them before you await: a call that is cancelled does not put them back.
        """
        return receive(self._state, self._own(), self._entry, kinds)

    def before_waiting(self, write: Callable[[], None]) -> None:
        """Have `write` called right before this call waits next, or ends: for what arrives in many pieces and is cheaper to write together.

        Between two awaits nobody else runs, so nobody can tell the difference. Outside a run, as in a test of the system alone, it is called
        at once.
        """
        self.write()
        self.gathered = write
        if not self._is_driven:
            self.write()

    def write(self) -> None:
        """Write now what was left for the next wait; nothing happens when the lease has ended."""
        gathered, self.gathered = self.gathered, None
        if gathered is not None and self._live:
            gathered()

    def label(self, *, run: int | None = None, turn: int | None = None, attempt: int | None = None) -> None:
        """Say to which run, turn and attempt the next events belong; what is not given stays."""
        label = self._own().label
        label.run = label.run if run is None else run
        label.turn = label.turn if turn is None else turn
        label.attempt = label.attempt if attempt is None else attempt

    def spawn(self, *components: object) -> EntityId:
        """Create a child of this entity, with components or copies of those in bundles; deleting the parent deletes it.

        Raises:
            DuplicateComponentError: two components are of the same type.
            EntityNotFoundError: the target of a relation does not exist.
        """
        return spawn(self._state, components, self._own().id).id

    def despawn(self, child: EntityId) -> None:
        """Delete a child of this entity.

        Raises:
            ValueError: it is not a child of this entity.
        """
        if child not in self._own().children:
            raise ValueError(f"entity {child} is not a child of entity {self.id}; a system may delete its own children only")
        self._state.delete(self._state.row(child))

    def request(self, entity: EntityId, change: Callable[[Entity], None]) -> None:
        """Ask for a change of another entity: `change` is called with a lease on it, at once or as soon as no call runs on it.

        It is a plain function and does not wait. What it raises becomes a `RequestFailed` event.

        Raises:
            EntityNotFoundError: there is no such entity.
            RequestsFullError: too many requests wait for it.
        """
        request(self._state, self._own().id, entity, change)

    async def join(self, entity: EntityId) -> Outcome:
        """Wait until another entity comes to rest, and return how it did; at once when nothing is due on it.

        Waiting holds no permit. Entities that wait for each other in a circle are a deadlock: their calls are cancelled, and they end with
        that reason.

        Raises:
            RuntimeError: no run moves the entities, as in a test that calls the system itself.
        """
        self._own()
        run = self._state.run
        if run is None:
            raise RuntimeError("no run is active, so no entity will come to rest")
        return await run.join(self, entity)

    def commit(self) -> None:
        """Compare this entity's components now instead of at the end of the call, so that what belongs together is recorded together."""
        self._state.compare(self._own(), self._entry)

    def new_id(self, prefix: str) -> str:
        """A fresh id that a seed reproduces, such as "call_3f9a01c2"."""
        return f"{prefix}_{self.random.getrandbits(32):08x}"

    @property
    def random(self) -> Random:
        """This entity's own source of randomness, seeded by the World's seed and its place among the children of its parent."""
        return self._own().random()

    def resource(self, kind: type[T], make: Callable[[], T]) -> T:
        """The World's one live object of a type; see `World.resource`."""
        return self._state.resources.get(kind, make)

    async def breathe(self) -> None:
        """Let everyone else run once; for loops that may go on for long without waiting."""
        await asyncio.sleep(0)

    def now(self) -> int:
        """The World's clock: UTC in nanoseconds."""
        return self._state.clock.now()

    def monotonic(self) -> float:
        """The World's clock for durations: seconds."""
        return self._state.clock.monotonic()

    def revoke(self) -> None:
        """End the lease; done by the run when the call is over."""
        self._live = False

    def _own(self) -> Row:
        if not self._live:
            raise LeaseRevokedError(
                f"the call on entity {self._row.id} is over (ended, cancelled, or its entity deleted); it can no longer read or write it"
            )
        return self._row


def request(state: State, sender: EntityId | None, entity: EntityId, change: Callable[[Entity], None]) -> None:
    """Have an entity changed at once, or as soon as no call runs on it; see `Entity.request`."""
    row = state.row(entity)
    if row.requests is None:
        row.requests = []
    if len(row.requests) >= MAX_REQUESTS:
        raise RequestsFullError(f"{MAX_REQUESTS} requests wait for entity {entity}; its call has been running for too long, or is asked too much")
    row.requests.append(Request(sender, change))
    if not row.calls and not row.applying:
        apply_requests(state, row)


def apply_requests(state: State, row: Row) -> None:
    """Make the changes that were asked of a row, in the order of the asking; what one of them asks of the same row is done after it."""
    row.applying = True
    done = 0
    try:
        while row.requests:
            asked = row.requests.pop(0)
            error: str | None
            if row.id not in state.rows:
                error = "the entity was deleted before"
            elif done >= MAX_REQUESTS:
                error = f"{MAX_REQUESTS} requests in a row asked for more of them"
            else:
                error = _apply(state, row, asked.change)
            done += 1
            if error is not None:
                state.report(RequestFailed(row.id, asked.sender, error))
    finally:
        row.applying = False


def _apply(state: State, row: Row, change: Callable[[Entity], None]) -> str | None:
    """Make one change; what went wrong. It is the row's own, whoever asked for it."""
    lease = Entity(state, row)
    acting, state.acting = state.acting, None
    failure = None
    try:
        change(lease)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code; it fails nobody but itself
        failure = f"{type(error).__name__}: {sentence(error)}"
    finally:
        lease.revoke()
        state.acting = acting
    if row.id in state.rows:
        state.compare(row)
    return failure
