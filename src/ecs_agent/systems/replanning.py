"""Replanning: when a step does not work out, the model is asked for new steps in place of those that are left."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, cast

from ecs_agent.components import (
    ConversationComponent,
    InterruptionComponent,
    LLMComponent,
    PendingToolCallsComponent,
    PlanComponent,
    RequestOptionsComponent,
    StreamStateComponent,
    SystemPromptComponent,
    TerminalComponent,
    TurnComponent,
)
from ecs_agent.core import Entity, Read, World, system
from ecs_agent.errors import ProviderExhaustedError
from ecs_agent.logging import get_logger
from ecs_agent.providers.protocol import RequestOptions
from ecs_agent.systems.conversation import sealed
from ecs_agent.systems.outside import Outside
from ecs_agent.systems.planning import PlanReview
from ecs_agent.systems.reasoning import visible
from ecs_agent.types import JsonObject, Message, PlanRevisedEvent, Usage

MAX_STEPS = 50
MAX_STEP_LENGTH = 2_000
MAX_TRIED = 100
"""So many brackets of an answer are looked at, since each may cost a walk through all that follows."""

_UNFIT = ("tool_choice", "parallel_tool_calls", "output_format", "response_format", "logprobs", "top_logprobs")
"""Options that are meant for the agent's answers and not for a list of steps."""

_log = get_logger("ecs_agent.systems.replanning")


def _failed_calls(messages: Sequence[Message]) -> list[str]:
    """The calls of the last turn that failed, as long as the model has not said anything about them."""
    failed: list[str] = []
    for message in reversed(messages):
        if message.role != "tool":
            break
        if message.is_error:
            failed.append(message.tool_call_id or "")
    return failed


def _is_in_doubt(plan: PlanComponent, _llm: object, conversation: ConversationComponent, *_: object) -> bool:
    if plan.completed or plan.revise:
        return not plan.completed
    failed = _failed_calls(conversation.messages) if plan.asked and plan.revisions < plan.max_revisions else []
    return bool(failed) and failed != plan.reviewed


class ReplanningSystem:
    """Asks the model for new remaining steps after a tool failed, or when an answer to a step has a line that begins with REPLAN.

    It is asked apart from the conversation, for a JSON array of strings. From that the steps from the current one on are replaced; an empty
    array ends the plan. An answer in which there is no such array leaves the plan as it is; it counts as one of the `max_revisions` all the same.

    Args:
        priority: lower runs first; behind tool execution, so that a failure is seen before the model goes on.
    """

    def __init__(self, priority: int = 7) -> None:
        self.priority = priority

    def registered(self, world: World) -> None:
        """Let planning know that plans are revised here."""
        world.resource(PlanReview, PlanReview).is_available = True

    @system(without=(PendingToolCallsComponent, StreamStateComponent, InterruptionComponent), when=_is_in_doubt)
    async def __call__(
        self,
        me: Entity,
        plan: PlanComponent,
        llm: Read[LLMComponent],
        conversation: Read[ConversationComponent],
        prompt: Read[SystemPromptComponent] | None = None,
        chosen: Read[RequestOptionsComponent] | None = None,
    ) -> None:
        """Revise one plan. Nothing is written before the answer is there, so a cancel leaves nothing behind."""
        failed = _failed_calls(conversation.messages)
        question = _question(plan, plan.revise or "a tool failed")
        shown = visible(sealed(conversation.messages), prompt.content if prompt else llm.system_prompt)
        try:
            outside, turn = me.resource(Outside, Outside), me.get(TurnComponent) or TurnComponent()
            result = await outside.ask(me.id, turn, llm.provider, [*shown, Message("user", question)], _options(llm, chosen))
        except ProviderExhaustedError:
            me.add(TerminalComponent("provider_exhausted"))
            return
        _account(me, result.usage)
        if me.get(PlanComponent) is not plan:
            return  # there is another plan by now
        plan.reviewed = failed
        _revise(me, plan, steps_in(result.message.content))


def _question(plan: PlanComponent, reason: str) -> str:
    done = "\n".join([f"{at}. {step}" for at, step in enumerate(plan.steps[: plan.current_step], 1)]) or "none"
    left = "\n".join([f"{at}. {step}" for at, step in enumerate(plan.steps[plan.current_step :], plan.current_step + 1)])
    return (
        f"The plan may have to change: {reason}\n\nSteps that are done:\n{done}\n\nSteps that are left:\n{left}\n\n"
        "Answer with the steps that should take the place of those that are left, as a JSON array of strings and nothing else. "
        "Repeat them if they are still right; give [] if there is nothing left to do."
    )


def _options(llm: LLMComponent, chosen: RequestOptionsComponent | None) -> RequestOptions:
    options = cast("RequestOptions", {name: value for name, value in chosen.options.items() if name not in _UNFIT} if chosen else {})
    if llm.model and llm.model != getattr(llm.provider, "model", None):
        options["model"] = llm.model
    return options


def _account(me: Entity, usage: Usage | None) -> None:
    """Add what the question cost to the run's usage, so that its limit counts it."""
    turn = me.get(TurnComponent)
    if turn is not None and usage is not None:
        me.add(replace(turn, usage=turn.usage + usage if turn.usage is not None else usage))


def _revise(me: Entity, plan: PlanComponent, left: list[str] | None) -> None:
    plan.revisions += 1
    if plan.revise:
        plan.revise, plan.asked = "", False  # the answer that asked for it completes nothing
    old = list(plan.steps)
    if left is None:
        _log.warning("no steps in the answer, the plan stays", entity=me.id)
        return
    new = [*old[: plan.current_step], *left]
    if new == old:
        return
    plan.steps = new
    plan.asked = False  # the step that the model is at was another one
    me.edit(PlanComponent, PlanRevisedEvent(me.id, old, list(new)))


def steps_in(text: str) -> list[str] | None:
    """The first JSON array of steps in a model's answer, whatever stands around it; [] if there is only an empty one, None if there is none.

    A step is a string that is not blank, or an object whose "step" or "description" is one. At most 50 are taken, each cut at 2,000 characters.
    """
    decoder = json.JSONDecoder()
    nothing: list[str] | None = None
    for found in islice(re.finditer(r"\[", text), MAX_TRIED):
        try:
            value, _ = decoder.raw_decode(text, found.start())
        except (ValueError, RecursionError):
            continue
        steps = _steps(value)
        if steps:
            return steps
        nothing = steps if nothing is None else nothing
    return nothing


def _steps(items: list[Any]) -> list[str] | None:
    steps: list[str] = []
    for item in items:
        step: object = item
        if isinstance(item, dict):
            named = cast("JsonObject", item)
            step = named.get("step") or named.get("description")
        if not isinstance(step, str) or not step.strip():
            return None
        steps.append(step.strip()[:MAX_STEP_LENGTH])
    return steps[:MAX_STEPS]
