"""Systems: all logic. An entity system handles one entity per call and its signature is its query; a world system sees the whole world.

    @system(priority=5, when=lambda inbox: inbox.items)
    async def deliver(me: Entity, inbox: Inbox, style: Read[Style], name: Name | None) -> None: ...

Required parameters must be present, `X | None` may be, `Read[X]` promises not to change it, `Entity` is the lease through which the call
writes. A class becomes an entity system by a decorated `__call__`. An object with `async process(world)` is a world system: a barrier.
"""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Annotated, Any, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints, overload, runtime_checkable

from ecs_agent.core.component import HALTING
from ecs_agent.core.lease import Lease
from ecs_agent.errors import SystemDefinitionError

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Awaitable[None]])

_READ = object()
_SPEC = "__ecs_system__"

Read = Annotated[T, _READ]
"""A component parameter that the system only reads, so that others may run beside it."""


@runtime_checkable
class System(Protocol):
    """The reference's form of a system: it sees the whole world, and everyone meets at it."""

    async def process(self, world: Any) -> None:
        """Do one tick of a `World`; not named here, since worlds are made of systems."""
        ...


class Access(Enum):
    """What a parameter of an entity system stands for."""

    LEASE = auto()
    REQUIRED = auto()
    OPTIONAL = auto()


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an entity system."""

    name: str
    access: Access
    type: type
    read: bool = False


@dataclass(frozen=True, slots=True)
class SystemSpec:
    """What a signature says: the query, the access, and the rest of the decorator's arguments."""

    parameters: tuple[Parameter, ...]
    without: tuple[type, ...] = ()
    when: Callable[..., object] | None = None
    priority: int = 0

    @property
    def required(self) -> tuple[type, ...]:
        """Types an entity must have."""
        return tuple(p.type for p in self.parameters if p.access is Access.REQUIRED)

    @property
    def asked(self) -> int | None:
        """How many of the components `when` takes; None for all."""
        if self.when is None:
            return 0
        try:
            parameters = list(inspect.signature(self.when).parameters.values())
        except (TypeError, ValueError):  # some that are written in C have none
            return None
        if any(p.kind is p.VAR_POSITIONAL for p in parameters):
            return None
        return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)

    @property
    def excluded(self) -> tuple[type, ...]:
        """Types an entity must not have: those of `without`, and the halting ones that the signature does not name."""
        named = [p.type for p in self.parameters]
        return (*self.without, *[t for t in HALTING if t not in named and t not in self.without])

    @property
    def components(self) -> tuple[Parameter, ...]:
        """The parameters that are components."""
        return tuple(p for p in self.parameters if p.access is not Access.LEASE)

    def conflicts(self, other: SystemSpec) -> bool:
        """Whether the two may not run together on one entity: one writes what the other touches."""
        mine, theirs = ({p.type: p.read for p in spec.components} for spec in (self, other))
        return any(not (read and theirs[t]) for t, read in mine.items() if t in theirs)


@overload
def system(function: F) -> F: ...
@overload
def system(*, priority: int = 0, without: tuple[type, ...] = (), when: Callable[..., object] | None = None) -> Callable[[F], F]: ...
def system(
    function: F | None = None, *, priority: int = 0, without: tuple[type, ...] = (), when: Callable[..., object] | None = None
) -> F | Callable[[F], F]:
    """Make an async function, or the `__call__` of a class, an entity system. It stays callable as it is, so a test just calls it.

    Args:
        function: the function, when used without parentheses.
        priority: lower runs first; an argument of `register_system` wins.
        without: component types that keep the system away.
        when: called with the system's components in the order of the signature, without the lease, the first ones if it takes fewer; the
            system runs while it is true.
            Without it the system runs once after each change of the entity that is not its own.

    Raises:
        SystemDefinitionError: a parameter has no hint, the hint cannot be resolved, or it is not a component type.
    """
    names = sys._getframe(1).f_locals  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - classes of the function that defines the system are visible only here

    def decorate(decorated: F) -> F:
        spec = SystemSpec(_parameters(decorated, names), without, when, priority)
        setattr(decorated, _SPEC, spec)
        return decorated

    return decorate if function is None else decorate(function)


def spec_of(candidate: object) -> SystemSpec | None:
    """The spec of an entity system, None for anything else."""
    found = getattr(candidate, _SPEC, None) or getattr(type(candidate).__call__ if callable(candidate) else None, _SPEC, None)
    return found if isinstance(found, SystemSpec) else None


def _parameters(function: Callable[..., object], names: Mapping[str, Any]) -> tuple[Parameter, ...]:
    where = f"system {getattr(function, '__qualname__', function)!s}"
    if not inspect.iscoroutinefunction(function):
        raise SystemDefinitionError(f"{where} is not an async function; write 'async def'")
    try:
        hints = get_type_hints(function, localns=dict(names), include_extras=True)
    except NameError as error:
        raise SystemDefinitionError(f"{where}: the type hint {error.name!r} cannot be resolved; import it in the module of the system") from error
    found: list[Parameter] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name == "self":
            continue
        if parameter.kind not in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            raise SystemDefinitionError(f"{where}: parameter {name!r} must be an ordinary one, not *args, **kwargs or keyword-only")
        if name not in hints:
            raise SystemDefinitionError(f"{where}: parameter {name!r} has no type hint; the hints are the query")
        found.append(_parameter(where, name, hints[name]))
    if len({p.type for p in found}) < len(found):
        raise SystemDefinitionError(f"{where}: a type stands twice in the signature; an entity has at most one component of a type")
    if all(p.access is not Access.REQUIRED for p in found):
        raise SystemDefinitionError(f"{where}: at least one component must be required, else it would match every entity")
    return tuple(found)


def _parameter(where: str, name: str, hint: Any) -> Parameter:
    access, read = Access.REQUIRED, False
    if get_origin(hint) in (Union, types.UnionType):
        members = [member for member in get_args(hint) if member is not type(None)]
        if len(members) != 1:
            raise SystemDefinitionError(f"{where}: parameter {name!r} may be 'X' or 'X | None', not a union of several types")
        access, hint = Access.OPTIONAL, members[0]
    if get_origin(hint) is Annotated:
        hint, *marks = get_args(hint)
        read = any(mark is _READ for mark in marks)
    if not isinstance(hint, type):
        raise SystemDefinitionError(f"{where}: parameter {name!r} is {hint!r}, which is not a component class")
    kind: type[Any] = hint
    return Parameter(name, Access.LEASE if Lease in kind.__mro__ else access, kind, read)
