"""Reasoning: asks the model when it is the model's turn, and turns its stream into state, events and, at the end, one message.

Order of each delta: it stands in `StreamStateComponent`, then in the log, then subscribers are woken. However the call ends, `settle` leaves a
valid conversation: text that had arrived is kept as an interrupted message, half a tool call is not a call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import cast

import msgspec

from ecs_agent.components import (
    ConversationComponent,
    InterruptionComponent,
    LLMComponent,
    PendingToolCallsComponent,
    RequestOptionsComponent,
    StreamingComponent,
    StreamStateComponent,
    SystemPromptComponent,
    TerminalComponent,
    ToolRegistryComponent,
    TurnComponent,
)
from ecs_agent.core import Entity, Read, World, system
from ecs_agent.core.permits import PermitPool
from ecs_agent.errors import ProviderExhaustedError, SystemDefinitionError
from ecs_agent.providers.calling import ask, open_answer
from ecs_agent.providers.protocol import ProviderLike, RequestOptions
from ecs_agent.streaming.delta_run import runs
from ecs_agent.systems.budget import LimitReached, budget_of
from ecs_agent.systems.conversation import admit, append, awaits_model, seal
from ecs_agent.systems.inflow import Inflow
from ecs_agent.systems.ledger import Ledger, estimate_tokens
from ecs_agent.systems.meter import characters_in
from ecs_agent.types import (
    CompletionResult,
    EntityId,
    Message,
    Part,
    StreamDeltaEvent,
    StreamEndEvent,
    ToolCall,
    Usage,
)


class TurnStarted(msgspec.Struct, frozen=True):
    """A model is about to be asked."""

    entity_id: EntityId
    turn: int


class AttemptInterrupted(msgspec.Struct, frozen=True):
    """An answer was cut or cancelled; `message` is what is kept of it, None if nothing had arrived.

    `usage` is the provider's count if it had told one, else an estimate of what arrived, marked as such; None if that is nothing.
    """

    entity_id: EntityId
    message: Message | None
    usage: Usage | None


class AttemptDiscarded(msgspec.Struct, frozen=True):
    """An interrupted answer was taken back, since the model is asked again: whoever showed it removes it."""

    entity_id: EntityId
    message: Message


def _is_its_turn(_llm: LLMComponent, conversation: ConversationComponent, turn: TurnComponent | None) -> bool:
    messages = conversation.messages
    return awaits_model(messages) or (turn is not None and turn.broken and bool(messages) and messages[-1].interrupted)


class ReasoningSystem:
    """Asks the model of an entity when the last message is from the user or a tool.

    So it does when its last answer broke off and nothing keeps it from going on: the attempt failed and is tried again
    (`SupervisionComponent`, `touch`), or the run that held it ended. That answer is taken back first (`AttemptDiscarded`), and the next attempt
    belongs to the same turn.

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
        prompt: Read[SystemPromptComponent] | None = None,
        registry: Read[ToolRegistryComponent] | None = None,
        chosen: Read[RequestOptionsComponent] | None = None,
        streaming: Read[StreamingComponent] | None = None,
    ) -> None:
        """One turn: ask, store, and leave either an answer or pending tool calls."""
        if me.has(StreamStateComponent):  # an attempt that lost its owner, as after a restart
            self.settle(me)
            me.add(InterruptionComponent("its run ended before the answer did"))
            return
        release = await self._permits.acquire(id(llm.provider)) if self._permits is not None else None
        try:
            seal(me)
            system_prompt = prompt.content if prompt else llm.system_prompt
            await self._attempt(me, turn or _first_turn(me), llm.provider, conversation, system_prompt, _options(llm, chosen, registry), streaming)
        finally:
            if release is not None:
                release()

    async def _attempt(
        self,
        me: Entity,
        turn: TurnComponent,
        provider: ProviderLike,
        conversation: ConversationComponent,
        system_prompt: str,
        options: RequestOptions,
        streaming: StreamingComponent | None,
    ) -> None:
        again = turn.broken
        budget, result = budget_of(me, turn), None
        reached = budget.reached(again=again)
        if reached is not None:
            me.add(TerminalComponent(reached))
            return
        if again:
            _discard_interrupted(me, conversation)
        budget.begin_attempt(again=again)
        state = _begin(me, turn, again=again)
        messages = visible(conversation.messages, system_prompt)
        try:
            if streaming is None or streaming.enabled:
                result = await Inflow(me, state, budget).receive(await open_answer(provider, messages, options))
            else:
                result = await ask(provider, messages, options)
        except ProviderExhaustedError:
            self._end(me, "provider_exhausted")
        except LimitReached as limit:
            self._end(me, limit.reason)
        else:
            _commit(me, turn, state, result)
        finally:
            budget.end_turn(result.usage if result is not None else None)

    def _end(self, me: Entity, reason: str) -> None:
        self.settle(me)
        me.add(TerminalComponent(reason))

    def settle(self, me: Entity) -> None:
        """Close an attempt that did not end by itself: keep its text as an interrupted message."""
        state = me.get(StreamStateComponent)
        if state is None:
            return
        partial = state.result()
        kept = replace(partial.message, interrupted=True, parts=_without_calls(partial.message))
        usage = partial.usage or _estimated(state)
        turn = me.get(TurnComponent)
        if turn is not None:
            turn.broken = not me.has(InterruptionComponent)
            turn.usage = _sum(turn.usage, usage)
        me.remove(StreamStateComponent)
        if kept.parts:
            append(me, kept)
        admit(me)
        interrupted = AttemptInterrupted(me.id, kept if kept.parts else None, usage)
        if turn is not None:
            me.edit(TurnComponent, interrupted)
        else:
            me.emit(interrupted)


def _sum(before: Usage | None, more: Usage | None) -> Usage | None:
    return more if before is None else before if more is None else before + more


def _estimated(state: StreamStateComponent) -> Usage | None:
    tokens = estimate_tokens(characters_in(state.deltas))
    return Usage(0, tokens, tokens, estimated=True) if tokens else None


def _discard_interrupted(me: Entity, conversation: ConversationComponent) -> None:
    if conversation.messages and conversation.messages[-1].interrupted:
        message = conversation.messages.pop()
        me.edit(ConversationComponent, AttemptDiscarded(me.id, message))


def _without_calls(message: Message) -> tuple[Part, ...]:
    return tuple([part for part in message.parts if not isinstance(part, ToolCall)])


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


def _begin(me: Entity, turn: TurnComponent, *, again: bool) -> StreamStateComponent:
    turn.broken = False
    turn.attempt = turn.attempt + 1 if again else 1
    turn.turn += not again
    me.label(run=turn.run, turn=turn.turn, attempt=turn.attempt)
    if again:
        me.touch(TurnComponent)
    else:
        me.edit(TurnComponent, TurnStarted(me.id, turn.turn))
    state = StreamStateComponent(turn.attempt, started=me.monotonic())
    me.add(state)
    return state


def _options(llm: LLMComponent, chosen: RequestOptionsComponent | None, registry: ToolRegistryComponent | None) -> RequestOptions:
    options = RequestOptions()
    if chosen:
        options.update(cast("RequestOptions", chosen.options))
    if registry and registry.tools:
        options["tools"] = list(registry.tools.values())
    if llm.model and llm.model != getattr(llm.provider, "model", None):
        options["model"] = llm.model
    return options


def _commit(me: Entity, turn: TurnComponent, state: StreamStateComponent, result: CompletionResult) -> None:
    """The end of a turn, without awaiting: message, usage and pending calls change together."""
    message = result.message
    if result.finish_reason == "content_filter":
        message = replace(message, parts=_without_calls(message))
        result = replace(result, message=message)
    me.remove(StreamStateComponent)
    append(me, message)
    calls = message.tool_calls
    if calls:
        me.add(PendingToolCallsComponent(calls))
    else:
        admit(me)
    turn.usage = _sum(turn.usage, result.usage or _estimated(state))
    turn.timing = result.timing
    me.edit(TurnComponent, StreamEndEvent(me.id, result))


def _merge_events(events: Sequence[StreamDeltaEvent]) -> Iterator[tuple[StreamDeltaEvent, int]]:
    return ((StreamDeltaEvent(events[0].entity_id, run.delta()), run.count) for run in runs(event.delta for event in events))
