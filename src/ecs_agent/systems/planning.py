"""Planning: puts the steps of a plan to the agent, one after the other; its answer to one completes it."""

from __future__ import annotations

import re

from ecs_agent.components import (
    ConversationComponent,
    InterruptionComponent,
    PendingToolCallsComponent,
    PlanComponent,
    StreamStateComponent,
    UserInputComponent,
)
from ecs_agent.core import Entity, system
from ecs_agent.systems.conversation import append, awaits_model, seal
from ecs_agent.types import Message, PlanStepCompletedEvent

_REPLAN = re.compile(r"^[ \t]*REPLAN\b:?[ \t]*(.*)$", re.MULTILINE)


def revision_wanted(answer: str) -> str | None:
    """Why an answer asks for another plan: it has a line that begins with the word REPLAN, in capitals, and says why behind it."""
    found = _REPLAN.search(answer)
    return None if found is None else found[1].strip() or "the agent asked for it"


def _is_nobodys_turn(plan: PlanComponent, conversation: ConversationComponent | None) -> bool:
    return not (plan.completed or plan.revise) and (conversation is None or not awaits_model(conversation.messages))


class PlanReview:
    """A resource that says whether a world has a `ReplanningSystem`; without one an answer that asks for another plan is like any other."""

    def __init__(self) -> None:
        self.is_available = False


class PlanningSystem:
    """Works through a `PlanComponent`: "Step 2 of 3: …" is said to the agent when it is nobody's turn, and its next whole answer completes the step.

    An answer that was interrupted completes nothing; the step is put again. All steps are one run, with one run's limits.

    Args:
        priority: lower runs first.
    """

    def __init__(self, priority: int = 0) -> None:
        self.priority = priority

    @system(without=(PendingToolCallsComponent, StreamStateComponent, InterruptionComponent, UserInputComponent), when=_is_nobodys_turn)
    async def __call__(self, me: Entity, plan: PlanComponent, conversation: ConversationComponent | None = None) -> None:
        """Complete the step that was answered, and put the next one."""
        messages = conversation.messages if conversation is not None else []
        last = messages[-1] if messages else None
        if last is not None and last.tool_calls:
            seal(me)  # calls that nobody runs any more; with their results it is the model's turn
            return
        if plan.asked and last is not None and last.role == "assistant" and not last.interrupted:
            wanted = revision_wanted(last.content)
            if wanted is not None and plan.revisions < plan.max_revisions and me.resource(PlanReview, PlanReview).is_available:
                plan.revise = wanted
                return
            _complete(me, plan)
        _put_next(me, plan)


def _complete(me: Entity, plan: PlanComponent) -> None:
    index, plan.current_step = plan.current_step, plan.current_step + 1
    plan.asked = False
    if index < len(plan.steps):
        me.edit(PlanComponent, PlanStepCompletedEvent(me.id, index, plan.steps[index]))


def _put_next(me: Entity, plan: PlanComponent) -> None:
    if plan.current_step >= len(plan.steps):
        plan.completed = True
        return
    plan.asked = True
    append(me, Message("user", f"Step {plan.current_step + 1} of {len(plan.steps)}: {plan.steps[plan.current_step]}"))
