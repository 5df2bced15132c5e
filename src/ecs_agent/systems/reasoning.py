"""Reasoning: asks the model when it is the model's turn, and turns its stream into state, events and, at the end, one message.

Order of each delta: it stands in `StreamStateComponent`, then in the log, then subscribers are woken. However the call ends, `settle` leaves a
valid conversation: text that had arrived is kept as an interrupted message, half a tool call is not a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from ecs_agent.components import (
    ConversationComponent,
    InterruptionComponent,
    LimitsComponent,
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
from ecs_agent.core import Entity, EventKind, Read, World, system
from ecs_agent.errors import ProviderExhaustedError
from ecs_agent.providers.calling import ask, open_stream
from ecs_agent.providers.protocol import RequestOptions
from ecs_agent.streaming.fold import merge
from ecs_agent.streaming.stream import CompletionStream
from ecs_agent.systems.conversation import append, awaits_model, seal
from ecs_agent.types import (
    CompletionResult,
    EntityId,
    Message,
    Part,
    StreamDelta,
    StreamDeltaEvent,
    StreamEndEvent,
    StreamStartEvent,
    ToolCall,
    Usage,
)

YIELD_EVERY = 64
"""After so many deltas without a suspension the loop gets a turn, so that one flood does not stop everyone else."""


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """A model is about to be asked."""

    entity_id: EntityId
    turn: int


@dataclass(frozen=True, slots=True)
class AttemptInterrupted:
    """An answer was cut or cancelled; `message` is what is kept of it, None if nothing had arrived."""

    entity_id: EntityId
    message: Message | None
    usage: Usage | None


def _is_its_turn(_llm: LLMComponent, conversation: ConversationComponent, *_: object) -> bool:
    return awaits_model(conversation.messages)


class ReasoningSystem:
    """Asks the model of an entity when the last message is from the user or a tool.

    Args:
        priority: lower runs first.
    """

    def __init__(self, priority: int = 0) -> None:
        self.priority = priority

    def registered(self, world: World) -> None:
        """Tell the bus how deltas are merged for consumers that are behind."""
        world.event_bus.merge_with(StreamDeltaEvent, _merge_events)

    @system(
        without=(PendingToolCallsComponent, InterruptionComponent),
        when=_is_its_turn,
    )
    async def __call__(
        self,
        me: Entity,
        llm: Read[LLMComponent],
        conversation: ConversationComponent,
        prompt: Read[SystemPromptComponent] | None = None,
        registry: Read[ToolRegistryComponent] | None = None,
        chosen: Read[RequestOptionsComponent] | None = None,
        limits: Read[LimitsComponent] | None = None,
        streaming: Read[StreamingComponent] | None = None,
    ) -> None:
        """One turn: ask, store, and leave either an answer or pending tool calls."""
        if me.has(StreamStateComponent):
            self.settle(me)  # an attempt that lost its owner, as after a restart
            return
        seal(me)
        turn = _begin_turn(me, limits or LimitsComponent())
        if turn is None:
            return
        options = _options(llm, chosen, registry)
        messages = visible(conversation.messages, prompt.content if prompt else llm.system_prompt)
        state = StreamStateComponent(turn.attempt)
        me.add(state)
        try:
            if streaming is None or streaming.enabled:
                result = await _receive(me, state, await open_stream(llm.provider, messages, options))
            else:
                result = await ask(llm.provider, messages, options)
        except ProviderExhaustedError:
            me.remove(StreamStateComponent)
            me.add(TerminalComponent("provider_exhausted"))
            return
        _commit(me, turn, result)

    def settle(self, me: Entity) -> None:
        """Close an attempt that did not end by itself: keep its text as an interrupted message."""
        state = me.get(StreamStateComponent)
        if state is None:
            return
        partial = state.result()
        kept = replace(partial.message, interrupted=True, parts=_without_calls(partial.message))
        me.remove(StreamStateComponent)
        if kept.parts:
            append(me, kept)
        me.emit(AttemptInterrupted(me.id, kept if kept.parts else None, partial.usage))


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


def _begin_turn(me: Entity, limits: LimitsComponent) -> TurnComponent | None:
    before = me.get(TurnComponent) or TurnComponent(run=1)
    spent = before.usage.total_tokens if before.usage else 0
    if before.turn >= limits.turns or spent >= limits.tokens:
        me.add(TerminalComponent("max_turns" if before.turn >= limits.turns else "max_tokens"))
        return None
    turn = TurnComponent(before.run, before.turn + 1, before.attempt + 1, before.usage)
    me.add(turn)
    me.label(run=turn.run, turn=turn.turn, attempt=turn.attempt)
    me.emit(TurnStarted(me.id, turn.turn))
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


async def _receive(me: Entity, state: StreamStateComponent, stream: CompletionStream) -> CompletionResult:
    me.emit(StreamStartEvent(me.id))
    count = 0
    async with stream:
        async for delta in stream:
            state.add(delta)
            me.emit(StreamDeltaEvent(me.id, delta), EventKind.INPUT)
            count += 1
            if count % YIELD_EVERY == 0:
                await me.breathe()
    return stream.result()


def _commit(me: Entity, turn: TurnComponent, result: CompletionResult) -> None:
    """The end of a turn, without awaiting: message, usage and pending calls change together."""
    message = result.message
    if result.finish_reason == "content_filter":
        message = replace(message, parts=_without_calls(message))
        result = replace(result, message=message)
    usage = result.usage if turn.usage is None else turn.usage + result.usage if result.usage else turn.usage
    me.remove(StreamStateComponent)
    me.add(TurnComponent(turn.run, turn.turn, turn.attempt, usage))
    append(me, message)
    calls = message.tool_calls
    if calls:
        me.add(PendingToolCallsComponent(calls))
    me.emit(StreamEndEvent(me.id, result))


def _merge_events(earlier: StreamDeltaEvent, later: StreamDeltaEvent) -> StreamDeltaEvent | None:
    delta: StreamDelta | None = merge(earlier.delta, later.delta)
    return None if delta is None else StreamDeltaEvent(later.entity_id, delta)
