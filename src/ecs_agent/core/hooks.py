"""Hooks: functions that are called when a component of a type came or went, right after the write that did it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ecs_agent.core.column import Column, Reference
from ecs_agent.core.events import HandlerFailed
from ecs_agent.core.outcome import sentence
from ecs_agent.types import EntityId

Act: TypeAlias = Callable[[EntityId, Any], object]

MAX_DEPTH = 100
"""So long may a chain be in which a hook's write calls the next hook."""

_logger = logging.getLogger("ecs_agent.core.hooks")


@dataclass(slots=True, eq=False)
class _Hook:
    name: str
    event: str
    act: Act
    live: bool = True


class Hooks:
    """The hooks of a world, and those calls of them that wait for the current write to end.

    Each component object is told once when it comes and once when it goes. Replacing is both, the old one goes first; adding the very same
    object again is neither.

    Args:
        report: takes the failure of a hook.
    """

    def __init__(self, report: Callable[[HandlerFailed], None]) -> None:
        self._report = report
        self._ears: dict[Column, _Ear] = {}
        self._writing = False
        self._depth = 0
        self.waiting: deque[tuple[_Hook, EntityId, object, int]] = deque()

    def on_add(self, column: Column, name: str, act: Act) -> Callable[[], None]:
        """Have a function called when a component came; what is returned ends that."""
        ear = self._ear(column)
        return self._register(ear, ear.adding, _Hook(name, "ComponentAdded", act))

    def on_remove(self, column: Column, name: str, act: Act) -> Callable[[], None]:
        """Have a function called when a component went; what is returned ends that."""
        ear = self._ear(column)
        return self._register(ear, ear.removing, _Hook(name, "ComponentRemoved", act))

    def _ear(self, column: Column) -> _Ear:
        ear = self._ears.get(column)
        if ear is None:
            ear = self._ears[column] = _Ear(self, column)
            column.listen(ear.myself)
        return ear

    def _register(self, ear: _Ear, hooks: list[_Hook], hook: _Hook) -> Callable[[], None]:
        hooks.append(hook)

        def end() -> None:
            if hook.live:
                hook.live = False
                hooks.remove(hook)
                if not ear.adding and not ear.removing:
                    self._ears.pop(ear.column).ignore()

        return end

    def queue(self, hooks: list[_Hook], entity: EntityId, component: object) -> None:
        """Have hooks called when the write is over."""
        self.waiting.extend([(hook, entity, component, self._depth + 1) for hook in hooks])

    def hold(self) -> bool:
        """What follows is one write; give `release` what this returns."""
        outer, self._writing = self._writing, True
        return outer

    def release(self, outer: bool) -> None:
        """The write is over."""
        self._writing = outer
        if self.waiting:
            self.run()

    @property
    def calling(self) -> bool:
        """Whether a hook is being called right now."""
        return self._depth > 0

    def run(self) -> None:
        """Call what waits, first in, first out; a hook's own writes queue behind. Within a larger write, or another hook, it goes on waiting."""
        if self._writing:
            return
        self._writing = True
        try:
            while self.waiting:
                hook, entity, component, self._depth = self.waiting.popleft()
                if hook.live:
                    self._call(hook, entity, component)
        finally:
            self._writing, self._depth = False, 0

    def _call(self, hook: _Hook, entity: EntityId, component: object) -> None:
        if self._depth > MAX_DEPTH:
            self._failed(hook, f"it was not called: hooks set each other off {MAX_DEPTH} times in a row")
            return
        try:
            hook.act(entity, component)
        except (Exception, SystemExit, asyncio.CancelledError) as error:  # noqa: BLE001 - it may raise anything, and nobody who wrote is disturbed
            self._failed(hook, f"{type(error).__name__}: {sentence(error)}")

    def _failed(self, hook: _Hook, error: str) -> None:
        _logger.error("hook %s failed on %s: %s", hook.name, hook.event, error)
        self._report(HandlerFailed(hook.name, hook.event, error))


@dataclass(slots=True, eq=False)
class _Ear:
    """Listens to one column as long as a hook asks for it."""

    hooks: Hooks
    column: Column
    adding: list[_Hook] = field(default_factory=list[_Hook])
    removing: list[_Hook] = field(default_factory=list[_Hook])
    myself: Reference = field(init=False)

    def __post_init__(self) -> None:
        self.myself = lambda: self

    def ignore(self) -> None:
        self.column.ignore(self.myself)

    def came(self, column: Column, entity: EntityId, component: Any, before: Any) -> None:
        if component is not before:
            if before is not None:
                self.went(column, entity, before)
            self.hooks.queue(self.adding, entity, component)

    def went(self, column: Column, entity: EntityId, component: Any) -> None:  # noqa: ARG002 - it listens to one column only
        self.hooks.queue(self.removing, entity, component)

    def edited(self, column: Column, entity: EntityId) -> None:
        """Nothing: it is still the same component."""


def name_of(hook: object) -> str:
    """What failures call a hook."""
    return getattr(hook, "__qualname__", None) or repr(hook)
