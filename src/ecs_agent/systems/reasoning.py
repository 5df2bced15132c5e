"""Reasoning: asks the model when it is the model's turn, and turns its stream into state, events and, at the end, one message.

Order of each delta: it stands in `StreamStateComponent`, then in the log, then subscribers are woken. However the call ends, `settle` leaves a
valid conversation: text that had arrived is kept as an interrupted message, half a tool call is not a call. An attempt that dropped stays open
while its `StreamPolicy` waits, so that what it said is lost neither by a cancel nor by the end of the program; it ends when the next one begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from ecs_agent.components import (
    ConversationComponent,
    InterruptionComponent,
    LLMComponent,
    PendingToolCallsComponent,
    RequestOptionsComponent,
    StreamingComponent,
    StreamPolicy,
    StreamStateComponent,
    SystemPromptComponent,
    TerminalComponent,
    ToolRegistryComponent,
    TurnComponent,
)
from ecs_agent.components.stream_policy import NO_POLICY
from ecs_agent.core import Entity, Read, World, system
from ecs_agent.core.permits import PermitPool
from ecs_agent.errors import ProviderExhaustedError, SystemDefinitionError
from ecs_agent.providers.protocol import ProviderLike, RequestOptions
from ecs_agent.streaming.delta_run import runs
from ecs_agent.systems.attempt import AttemptDiscarded as AttemptDiscarded  # noqa: PLC0414 - these stood here, and are still found here
from ecs_agent.systems.attempt import AttemptInterrupted as AttemptInterrupted  # noqa: PLC0414
from ecs_agent.systems.attempt import AttemptStarted, begin, complete, discard, go_on, interrupt, take_back, usage_of
from ecs_agent.systems.attempt import TurnStarted as TurnStarted  # noqa: PLC0414
from ecs_agent.systems.budget import LimitReached, budget_of
from ecs_agent.systems.continuation import continuation, is_continuable
from ecs_agent.systems.conversation import awaits_model, seal
from ecs_agent.systems.inflow import Inflow
from ecs_agent.systems.ledger import Ledger
from ecs_agent.systems.stream_policy import may_ask_again, wait_before, whom_to_ask
from ecs_agent.types import Message, StreamDelta, StreamDeltaEvent


def _is_its_turn(_llm: LLMComponent, conversation: ConversationComponent, turn: TurnComponent | None, orphan: StreamStateComponent | None) -> bool:
    messages = conversation.messages
    return awaits_model(messages) or orphan is not None or (turn is not None and turn.broken and bool(messages) and messages[-1].interrupted)


class ReasoningSystem:
    """Asks the model of an entity when the last message is from the user or a tool.

    So it does when its last answer broke off and nothing keeps it from going on: the attempt failed and is tried again
    (`SupervisionComponent`, `touch`), or the run that held it ended. That answer is taken back first (`AttemptDiscarded`), and the next attempt
    belongs to the same turn. With a `StreamPolicy` an answer that drops is asked for again right away, within the same call. An answer that a
    restart or a fork found half said (a `StreamStateComponent` without an owner) is continued, restarted or kept, as its `resume` or the policy says.

    Args:
        priority: lower runs first.
        max_requests: how many models may be asked at once in this World; None for as many as there are agents.
        max_requests_per_provider: how many of them through one provider object. Who waits for either is served first come, first served.
    """

    def __init__(self, priority: int = 0, *, max_requests: int | None = None, max_requests_per_provider: int | None = None) -> None:
        self.priority = priority
        limited = max_requests is not None or max_requests_per_provider is not None
        self._permits = PermitPool(max_requests, max_requests_per_provider) if limited else None

    def registered(self, world: World) -> None:
        """Tell the bus how deltas are merged for consumers that are behind.

        Raises:
            SystemDefinitionError: the world has a reasoning system already, and both would ask.
        """
        if any(isinstance(entry.call, ReasoningSystem) and entry.call is not self for entry in world.schedule.entity_systems):
            raise SystemDefinitionError("this world has a ReasoningSystem already; register your own before the first agent is spawned")
        world.event_bus.merge_with(StreamDeltaEvent, _merge_events)
        world.resource(Ledger, lambda: Ledger(world.has_entity))

    @system(
        without=(PendingToolCallsComponent, InterruptionComponent),
        when=_is_its_turn,
    )
    async def __call__(
        self,
        me: Entity,
        llm: Read[LLMComponent],
        conversation: ConversationComponent,
        turn: TurnComponent | None = None,
        orphan: StreamStateComponent | None = None,
        prompt: Read[SystemPromptComponent] | None = None,
        registry: Read[ToolRegistryComponent] | None = None,
        chosen: Read[RequestOptionsComponent] | None = None,
        streaming: Read[StreamingComponent] | None = None,
        policy: Read[StreamPolicy] | None = None,
    ) -> None:
        """One turn: ask, store, and leave either an answer or pending tool calls."""
        turn, policy = turn or _first_turn(me), policy or NO_POLICY
        goes_on = False
        if orphan is not None:
            becomes = orphan.resume or policy.on_restore
            if becomes == "interrupted":
                me.add(InterruptionComponent("its run ended before the answer did"))  # first: what is kept is meant to be kept
                self.settle(me)
                return
            goes_on = becomes == "continue"
            _account(me, turn, orphan)
        system_prompt = prompt.content if prompt else llm.system_prompt
        streams = streaming is None or streaming.enabled
        drops = turn.drops if turn.broken or orphan is not None else 0
        asking = _Asking(me, llm, conversation, turn, policy, system_prompt, _options(llm, chosen, registry), streams, drops)
        seconds: float | None = 0.0
        while seconds is not None:
            if seconds:
                await asyncio.sleep(seconds)
            provider = whom_to_ask(llm, policy, asking.drops)
            release = await self._permits.acquire(id(provider)) if self._permits is not None else None
            try:
                seconds = await asking.attempt(provider, goes_on=goes_on)
            finally:
                if release is not None:
                    release()
            goes_on = policy.on_drop == "continue"

    def settle(self, me: Entity) -> None:
        """Close an attempt that did not end by itself: keep its text as an interrupted message."""
        interrupt(me)


@dataclass(slots=True)
class _Asking:
    """One turn of one agent, as often as it is asked for."""

    me: Entity
    llm: LLMComponent
    conversation: ConversationComponent
    turn: TurnComponent
    policy: StreamPolicy
    system_prompt: str
    options: RequestOptions
    streams: bool
    drops: int

    async def attempt(self, provider: ProviderLike, *, goes_on: bool) -> float | None:
        """Ask once. None when the turn is over; after a drop, the seconds to wait before the next attempt.

        Args:
            provider: whom to ask.
            goes_on: if an attempt is open still, go on behind it where that can be done; else it is taken back.
        """
        me, turn = self.me, self.turn
        seal(me)
        before = me.get(StreamStateComponent)
        again = (turn.broken or before is not None) and turn.turn > 0
        budget, result = budget_of(me, turn), None
        reached = budget.reached(again=again, more=0 if before is None else _tokens_of(before))
        if reached is not None:
            _end(me, reached)
            return None
        behind, prefix = self._over(before, provider, again=again, goes_on=goes_on)
        messages = [*visible(self.conversation.messages, self.system_prompt), *behind]
        budget.begin_attempt(again=again)
        state = begin(me, turn, self._started(provider, len(messages), again=again), prefix, again=again)
        inflow = Inflow(me, state, budget, self.policy)
        try:
            result = await inflow.receive(provider, messages, self._options_for(provider), stream=self.streams)
        except ProviderExhaustedError:
            _end(me, "provider_exhausted")
        except LimitReached as limit:
            _end(me, limit.reason)
        except Exception as error:
            if not may_ask_again(self.policy, self.drops, error):
                raise
            self.drops += 1
            same = whom_to_ask(self.llm, self.policy, self.drops) is provider
            return wait_before(self.policy, self.drops, error, same=same)
        else:
            complete(me, turn, state, result)
        finally:
            budget.end_turn(result.usage if result is not None else state.told_usage)
        return None

    def _over(
        self, before: StreamStateComponent | None, provider: ProviderLike, *, again: bool, goes_on: bool
    ) -> tuple[list[Message], list[StreamDelta]]:
        """End the attempt that is still open; what the next one is sent behind the conversation, and the pieces it goes on with."""
        me, turn = self.me, self.turn
        if before is None:
            if again:
                take_back(me, self.conversation)
            return [], []
        turn.drops = self.drops
        behind = continuation(before.result().message, provider) if goes_on and self.streams and is_continuable(before) else None
        if behind is None:
            discard(me, turn, before)
            return [], []
        go_on(me, turn, before)
        return behind, before.pieces()

    def _started(self, provider: ProviderLike, messages: int, *, again: bool) -> AttemptStarted:
        own = self.llm.model if provider is self.llm.provider else ""
        name = getattr(provider, "name", None)
        model = own or getattr(provider, "model", None)
        return AttemptStarted(
            self.me.id,
            self.turn.attempt + 1 if again else 1,
            name if isinstance(name, str) else type(provider).__name__,
            model if isinstance(model, str) else "",
            messages,
        )

    def _options_for(self, provider: ProviderLike) -> RequestOptions:
        """A fallback is asked for its own model: the agent's is that of another provider."""
        if provider is self.llm.provider or "model" not in self.options:
            return self.options
        options = self.options.copy()
        options.pop("model")
        return options


def _end(me: Entity, reason: str) -> None:
    interrupt(me)
    me.add(TerminalComponent(reason))


def _tokens_of(state: StreamStateComponent) -> int:
    usage = usage_of(state)
    return usage.total_tokens if usage is not None else 0


def _account(me: Entity, turn: TurnComponent, orphan: StreamStateComponent) -> None:
    """Count an answer that another process, or another entity, has received: what was spent in memory there is not known here."""
    budget = budget_of(me, turn)
    budget.begin_attempt(again=True)
    try:
        budget.receive(orphan.deltas)
    except LimitReached:
        pass  # asked before the next attempt
    finally:
        budget.end_turn(orphan.told_usage)


def visible(messages: Sequence[Message], system_prompt: str) -> list[Message]:
    """What the model is sent: one system message at most, the agent's own prompt before one in the history; empty answers are left out."""
    shown = [message for message in messages if message.parts or message.role != "assistant"]
    if not system_prompt:
        return shown
    if shown and shown[0].role == "system":
        shown = shown[1:]
    return [Message("system", system_prompt), *shown]


def _first_turn(me: Entity) -> TurnComponent:
    turn = TurnComponent(run=1)
    me.add(turn)
    return turn


def _options(llm: LLMComponent, chosen: RequestOptionsComponent | None, registry: ToolRegistryComponent | None) -> RequestOptions:
    options = RequestOptions()
    if chosen:
        options.update(cast("RequestOptions", chosen.options))
    if registry and registry.tools:
        options["tools"] = list(registry.tools.values())
    if llm.model and llm.model != getattr(llm.provider, "model", None):
        options["model"] = llm.model
    return options


def _merge_events(events: Sequence[StreamDeltaEvent]) -> Iterator[tuple[StreamDeltaEvent, int]]:
    return ((StreamDeltaEvent(events[0].entity_id, run.delta()), run.count) for run in runs(event.delta for event in events))
