"""Tool execution: runs the calls of one answer side by side and puts exactly one result for each into the conversation.

A result is known as soon as its call ends and stands in `PendingToolCallsComponent` from then on, so a cancel loses no finished work: what
is done is kept, what is not gets an interrupted result.

Before a tool is called, that it will be stands there too, and in the journal if there is one (the *intent*). When the program ended in the middle
of a call, the next one so knows that the call may have taken effect: it is not run again, unless its tool is `idempotent`, and the model is told.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Final

import msgspec

from ecs_agent.components import (
    InterruptionComponent,
    LimitsComponent,
    PendingToolCallsComponent,
    ToolRegistryComponent,
    ToolResultsComponent,
    TurnComponent,
)
from ecs_agent.components.limits import DEFAULT_LIMITS
from ecs_agent.core import Entity, EventKind, Read, World, system
from ecs_agent.core.permits import Permits
from ecs_agent.systems.budget import budget_of
from ecs_agent.systems.conversation import admit, answered_last, append, interrupted_result
from ecs_agent.systems.outside import Outside
from ecs_agent.tools.execution import ToolLimits, ToolOutcome, execute_call
from ecs_agent.tools.threads import ToolThreads
from ecs_agent.types import EntityId, ImagePart, Message, Part, TextPart, ToolCall


class ToolExecutionStarted(msgspec.Struct, frozen=True):
    """A tool is about to run with these arguments."""

    entity_id: EntityId
    call: ToolCall


class ToolExecutionCompleted(msgspec.Struct, frozen=True):
    """A call has its result; `is_error` says that it reports a failure, which the model sees too. `images` are the pictures in it."""

    entity_id: EntityId
    call: ToolCall
    text: str
    is_error: bool
    seconds: float
    images: tuple[ImagePart, ...] = ()


class ToolOutcomeUnknown(msgspec.Struct, frozen=True):
    """The program ended while this call ran: whether it took effect is not known. It is not run again; the model is told."""

    entity_id: EntityId
    call: ToolCall


LOST: Final = "interrupted: the program ended while this call ran; it is not known whether it took effect"

_NO_TOOLS = ToolRegistryComponent()


class ToolExecutionSystem:
    """Runs pending tool calls.

    Args:
        priority: lower runs first.
        limits: what one call may take.
    """

    def __init__(self, priority: int = 5, *, limits: ToolLimits | None = None) -> None:
        self.priority = priority
        self._limits = limits if limits is not None else ToolLimits()

    @system(without=(InterruptionComponent,))
    async def __call__(
        self,
        me: Entity,
        pending: PendingToolCallsComponent,
        registry: Read[ToolRegistryComponent] | None = None,
        limits: Read[LimitsComponent] | None = None,
    ) -> None:
        """Run the calls of one answer; the conversation gets all results at once, in the order of the calls."""
        allowed, known = limits or DEFAULT_LIMITS, registry or _NO_TOOLS
        if pending.started:
            _give_up_lost(me, pending, known)
        calls = [call for call in pending.tool_calls if call.id not in pending.results]
        within = calls if allowed.tool_calls is None else calls[: max(0, allowed.tool_calls - len(pending.results))]
        permitted, limit = budget_of(me, me.get(TurnComponent) or TurnComponent()).begin_tool_calls(len(within))
        for call in calls[permitted:]:
            why = (
                f"a turn may call at most {allowed.tool_calls} tools; call the rest in the next turn"
                if permitted == len(within)
                else f"the limit {limit} of this run is reached"
            )
            _keep(me, pending, call, ToolOutcome(f"not run: {why}", is_error=True, seconds=0.0))
        at_once = Permits(allowed.parallel_tools) if allowed.parallel_tools is not None else None
        if at_once is None:
            await _intend(me, pending, within[:permitted], known)
        await World.gather([self._run(me, pending, call, known, at_once) for call in within[:permitted]])
        self.settle(me)

    async def _run(
        self, me: Entity, pending: PendingToolCallsComponent, call: ToolCall, registry: ToolRegistryComponent, at_once: Permits | None
    ) -> None:
        release = None
        if at_once is not None:
            release = await at_once.acquire()
        try:
            if at_once is not None:
                await _intend(me, pending, [call], registry)
            outside, turn = me.resource(Outside, Outside), me.get(TurnComponent) or TurnComponent()
            outcome = await outside.run_tool(me.id, turn, call, lambda: self._execute(me, call, registry))
        finally:
            if release is not None:
                release()
        _keep(me, pending, call, outcome)

    def _execute(self, me: Entity, call: ToolCall, registry: ToolRegistryComponent) -> Awaitable[ToolOutcome]:
        return execute_call(
            call,
            registry.handlers.get(call.name),
            limits=self._limits,
            threads=me.resource(ToolThreads, ToolThreads),
            schema=registry.tools.get(call.name),
            known=registry.handlers,
            lease=me,
        )

    def settle(self, me: Entity) -> None:
        """Answer every pending call that has no answer: with its result where there is one, else as interrupted."""
        pending = me.get(PendingToolCallsComponent)
        if pending is None:
            return
        results = [pending.results.get(call.id) or interrupted_result(call) for call in pending.tool_calls]
        told = answered_last(me)
        append(me, *[result for result in results if result.tool_call_id not in told])
        me.remove(PendingToolCallsComponent)
        admit(me)
        me.add(ToolResultsComponent({call.id: result.content for call, result in zip(pending.tool_calls, results, strict=True)}))


async def _intend(me: Entity, pending: PendingToolCallsComponent, calls: Sequence[ToolCall], registry: ToolRegistryComponent) -> None:
    """Write down that these calls are about to run, and wait until that is safe, unless it does no harm to run them twice."""
    for call in calls:
        if call.id not in pending.started:
            pending.started.append(call.id)
        me.edit(PendingToolCallsComponent, ToolExecutionStarted(me.id, call))
    if not all(_is_idempotent(registry, call) for call in calls):
        await me.committed()


def _give_up_lost(me: Entity, pending: PendingToolCallsComponent, registry: ToolRegistryComponent) -> None:
    """Answer the calls that were running when the program ended, but for those that may simply run again."""
    for call in pending.tool_calls:
        if call.id in pending.started and call.id not in pending.results and not _is_idempotent(registry, call):
            pending.results[call.id] = Message("tool", LOST, tool_call_id=call.id, name=call.name, is_error=True)
            me.edit(PendingToolCallsComponent, ToolOutcomeUnknown(me.id, call))


def _is_idempotent(registry: ToolRegistryComponent, call: ToolCall) -> bool:
    return getattr(registry.handlers.get(call.name), "idempotent", False) is True


def _keep(me: Entity, pending: PendingToolCallsComponent, call: ToolCall, outcome: ToolOutcome) -> None:
    told: list[Part] = [*([TextPart(outcome.text)] if outcome.text else []), *outcome.images]
    pending.results[call.id] = Message("tool", told, tool_call_id=call.id, name=call.name, is_error=outcome.is_error)
    completed = ToolExecutionCompleted(me.id, call, outcome.text, outcome.is_error, outcome.seconds, outcome.images)
    me.edit(PendingToolCallsComponent, completed, kind=EventKind.INPUT)
