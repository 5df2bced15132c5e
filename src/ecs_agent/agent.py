"""The five-line way in: spawn an agent into a World and iterate over what it does.

    async with World() as world:
        agent = spawn_agent(world, provider, system_prompt="Be brief.", tools=[get_weather])
        async for event in agent.run("Is it raining in Paris?"):
            if isinstance(event, TextDelta):
                print(event.text, end="", flush=True)

An `Agent` is a handle and holds nothing: all state is in the entity's components. A run is owned by whoever iterates it: leaving its
`async with`, closing it, or dropping the last reference after a `break` stops the agent and keeps what was said. Watching with
`world.events(agent.entity)` never does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias, Unpack

from ecs_agent.components import (
    ConversationComponent,
    InterruptionComponent,
    LimitsComponent,
    LLMComponent,
    RequestOptionsComponent,
    StreamPolicy,
    SystemPromptComponent,
    TerminalComponent,
    ToolRegistryComponent,
    TurnComponent,
)
from ecs_agent.core import EndReason, Envelope, EventStream, Outcome, World
from ecs_agent.core.outcome import sentence
from ecs_agent.core.runner import Service
from ecs_agent.core.running.barriers import as_exception
from ecs_agent.core.running.engine import Engine
from ecs_agent.errors import DepthLimitError, RunEndedError, WorldBusyError
from ecs_agent.providers.model_pool import ModelPool
from ecs_agent.providers.protocol import ModelOptions, ProviderLike
from ecs_agent.providers.wrapping import check_provider
from ecs_agent.streaming.events import EventTranslator, Finished, StreamEvent
from ecs_agent.systems.attempt import AttemptContinued, AttemptDiscarded, AttemptStarted, TurnStarted
from ecs_agent.systems.budget import is_too_deep
from ecs_agent.systems.conversation import append_message
from ecs_agent.systems.error_handling import ErrorHandlingSystem
from ecs_agent.systems.memory import MemorySystem
from ecs_agent.systems.reasoning import ReasoningSystem
from ecs_agent.systems.tool_execution import ToolExecutionCompleted, ToolExecutionStarted, ToolExecutionSystem
from ecs_agent.tools import tool_table
from ecs_agent.types import EntityId, Message, StreamDeltaEvent, StreamEndEvent, Usage


@dataclass(frozen=True, slots=True)
class RunCompleted:
    """The agent is at rest; always the last event of a run.

    `reason` is "idle" when it finished its answer, "interrupted" when it was told to stop, else why it ended; `detail` says more: for "terminal"
    the reason of the `TerminalComponent`, for "system_failed" what a world system raised. `text` is the last answer, and `complete` whether that
    is a whole answer to the last input. `usage` is that of all turns, None when no provider reported any.
    """

    reason: str
    detail: str | None
    text: str
    usage: Usage | None
    turns: int
    complete: bool = True


AgentEvent: TypeAlias = StreamEvent | TurnStarted | AttemptContinued | AttemptDiscarded | ToolExecutionStarted | ToolExecutionCompleted | RunCompleted
"""Everything a run yields: the events of its streams, and what happens around them. `AttemptDiscarded` takes back all that came of an answer since
`TurnStarted`; after `AttemptContinued` it stays, and what comes next belongs behind it."""


def install(world: World) -> None:
    """Register the systems an agent needs, those that are not registered yet."""
    present = {type(entry.call) for entry in world.schedule.entity_systems}
    for kind in (ReasoningSystem, ToolExecutionSystem, MemorySystem, ErrorHandlingSystem):
        if kind not in present:
            world.register_system(kind())


def spawn_agent(
    world: World,
    provider: ProviderLike | str,
    *,
    model: str = "",
    system_prompt: str = "",
    tools: Iterable[Callable[..., object]] = (),
    messages: Sequence[Message] = (),
    max_messages: int = 100,
    limits: LimitsComponent | None = None,
    policy: StreamPolicy | None = None,
    parent: Agent | EntityId | None = None,
    **options: Unpack[ModelOptions],
) -> Agent:
    """Create an entity that is an agent, and the systems it needs if the world has none yet.

    Args:
        world: where it lives.
        provider: whom it asks; or "service/model", as `ecs_agent.providers.resolve_model` takes it, of which the World keeps one provider a service,
            and closes it.
        model: replaces the provider's own model.
        system_prompt: its instructions.
        tools: functions decorated with `@tool`.
        messages: what was said before.
        max_messages: how long its conversation may grow before the oldest turns are dropped.
        limits: what one run may cost.
        policy: what becomes of an answer that drops, is late, or was arriving when the program ended.
        parent: whose sub-agent it is: it is deleted with its parent, and counts in the limits of the tree it is in.
        options: what every request asks for, such as `temperature=0.2`.

    Raises:
        ConfigurationError: there is no service of that name, or no key for it.
        TypeError: `provider` is none.
        ToolDefinitionError: a function cannot be a tool, or two have the same name.
        DepthLimitError: there would be more levels of agents below one of those above it than its `LimitsComponent.depth` allows.
        EntityNotFoundError: there is no such parent.
    """
    install(world)
    schemas, handlers = tool_table(tools)
    parent = parent.entity if isinstance(parent, Agent) else parent
    if parent is not None:
        _check_depth(world, parent)
    if isinstance(provider, str):
        provider, own = world.resource(ModelPool, ModelPool).get(provider)
        model = model or own
    else:
        check_provider(provider)
    entity = world.create_entity(parent=parent)
    world.add_component(entity, LLMComponent(provider, model))
    world.add_component(entity, ConversationComponent(list(messages), max_messages))
    if system_prompt:
        world.add_component(entity, SystemPromptComponent(system_prompt))
    if schemas:
        world.add_component(entity, ToolRegistryComponent(schemas, {**handlers}))
    if options:
        world.add_component(entity, RequestOptionsComponent(options))
    for chosen in (limits, policy):
        if chosen is not None:
            world.add_component(entity, chosen)
    return Agent(world, entity)


def _check_depth(world: World, parent: EntityId) -> None:
    above: list[EntityId] = [parent]
    while (next_above := world.parent(above[-1])) is not None:
        above.append(next_above)
    if is_too_deep(above, world.get_component):
        raise DepthLimitError(f"an agent below agent {parent} would be one level too deep (LimitsComponent.depth of an agent above it)")


class Agent:
    """A handle on an entity that is an agent.

    Args:
        world: where it lives.
        entity: which it is.
    """

    def __init__(self, world: World, entity: EntityId) -> None:
        self.world = world
        self.entity = entity

    def __repr__(self) -> str:
        return f"Agent(entity={self.entity})"

    @property
    def messages(self) -> list[Message]:
        """A copy of its conversation."""
        conversation = self.world.get_component(self.entity, ConversationComponent)
        return list(conversation.messages) if conversation else []

    def run(self, message: Message | str) -> AgentRun:
        """Say something and have it answered. The run begins when it is first iterated, awaited or entered.

        A world without any entity system, as one that was loaded, gets those that agents need.
        """
        if not self.world.schedule.entity_systems:
            install(self.world)
        return AgentRun(self, message)

    async def ask(self, message: Message | str) -> str:
        """Say something and return the text of the answer.

        Raises:
            ProviderError: the model could not be asked, or its answer broke off.
            RunEndedError: something else ended the run before the answer was complete: a limit, an interruption, a stop.
        """
        completed = await self.run(message).result()
        if not completed.complete:
            why = completed.reason if completed.detail is None else f"{completed.reason}, {completed.detail}"
            raise RunEndedError(
                f"the run of agent {self.entity} ended before its answer was complete: {why}", reason=completed.reason, text=completed.text
            )
        return completed.text

    def interrupt(self, reason: str = "interrupted") -> None:
        """Tell it to stop: running calls are cancelled, what was said is kept, open tool calls are answered as interrupted."""
        self.world.add_component(self.entity, InterruptionComponent(reason))


class AgentRun:
    """One run of an agent: an async iterator of typed events, an async context manager, and a final result.

    After `RunCompleted` the iteration ends. If the agent failed, its error is raised instead; the conversation then holds what had arrived.

    Args:
        agent: who runs.
        message: the input.
    """

    def __init__(self, agent: Agent, message: Message | str) -> None:
        self._agent = agent
        self._message = message
        self._service = agent.world.resource(_Runs, lambda: _Runs(agent.world))
        self._events: EventStream | None = None
        self._settled: asyncio.Future[Outcome] | None = None
        self._engine: Engine | None = None
        self._translator = EventTranslator()
        self._ready: deque[AgentEvent] = deque()
        self._completed: RunCompleted | None = None
        self._over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AgentEvent:
        while not self._ready:
            if self._over:
                raise StopAsyncIteration
            events = await self._begun()
            try:
                self._translate(await anext(events))
            except StopAsyncIteration:
                await self._conclude()
            except BaseException:
                self.close()  # cancelled while waiting: the owner is gone
                raise
        return self._ready.popleft()

    async def result(self) -> RunCompleted:
        """Run to the end.

        Raises:
            ProviderError: the model could not be asked, or its answer broke off.
            RuntimeError: the run was closed, or has failed, before.
        """
        async for _ in self:
            pass
        if self._completed is None:
            raise RuntimeError("this run was closed, or has failed, before it was completed; it has no result")
        return self._completed

    async def cancel(self, reason: str = "interrupted") -> None:
        """Stop the answer and wait until the agent is at rest; iterating on yields what is left, then `RunCompleted`."""
        self._agent.interrupt(reason)
        if self._settled is not None:
            await asyncio.shield(self._settled)

    def close(self) -> None:
        """Stop the agent if it still runs, and leave."""
        if self._over:
            return
        self._over = True
        if self._events is None:
            return
        if self._settled is not None and not self._settled.done() and self._agent.world.has_entity(self._agent.entity):
            self._agent.interrupt("its run was closed")
        self._leave()

    async def aclose(self) -> None:
        """As `close`, and wait until the agent is at rest."""
        settled = self._settled
        self.close()
        if settled is not None:
            await asyncio.shield(settled)
        await self._service.aclose()

    async def __aenter__(self) -> Self:
        await self._begun()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if not self._over and self._events is not None and not self._agent.world.closed:
            self.close()

    async def _begun(self) -> EventStream:
        if self._events is None:
            self._service.enter(self._agent.entity)
            try:
                engine = self._engine = await self._service.acquire()
            except BaseException:
                self._service.leave(self._agent.entity)
                raise
            try:
                self._events = self._agent.world.events(self._agent.entity)
                append_message(self._agent.world, self._agent.entity, self._message)
            except BaseException:
                self._over = True
                self._leave()
                raise
            self._settled = engine.settled(self._agent.entity)
            self._settled.add_done_callback(_closing(self._events))
        return self._events

    def _translate(self, envelope: Envelope) -> None:
        match envelope.payload:
            case StreamDeltaEvent(delta=delta):
                self._ready.extend([event for event in self._translator.translate(delta) if not isinstance(event, Finished)])
            case StreamEndEvent(result=result):
                self._ready.append(Finished(result))  # this one has the timing
            case TurnStarted() as event:
                self._translator = EventTranslator()
                self._ready.append(event)
            case AttemptStarted():
                self._translator = EventTranslator()  # an attempt before may have ended in the middle of a call
            case AttemptContinued() | AttemptDiscarded() | ToolExecutionStarted() | ToolExecutionCompleted() as event:
                self._ready.append(event)
            case _:
                pass  # structural events are for observers of the world

    async def _conclude(self) -> None:
        assert self._settled is not None  # noqa: S101 - the stream of events ends because this is done
        self._over = True
        self._leave()
        if self._settled.cancelled():
            return
        outcome = self._settled.result()
        if outcome.error is not None:
            raise as_exception(repr(self._agent), outcome.error)
        summary = self._summary(outcome)
        if self._agent.world.log.keeps_changes:
            await self._agent.world.log.commit(self._agent.entity)  # an answer that was given is stored
        self._completed = summary
        self._ready.append(self._completed)

    def _summary(self, outcome: Outcome) -> RunCompleted:
        world, entity = self._agent.world, self._agent.entity
        turn = world.get_component(entity, TurnComponent) or TurnComponent()
        terminal = world.get_component(entity, TerminalComponent)
        interruption = world.get_component(entity, InterruptionComponent)
        reason, detail = str(outcome.reason), terminal.reason if terminal else None
        if outcome.reason is EndReason.IDLE and interruption is not None:
            reason, detail = "interrupted", interruption.reason
        if outcome.reason is EndReason.SYSTEM_FAILED and self._engine is not None and self._engine.failures:
            failure = self._engine.failures[0]
            detail = f"{type(failure).__name__}: {sentence(failure)}"
        messages = self._agent.messages
        last = next((m for m in reversed(messages) if m.role in ("assistant", "user")), None)
        text = last.content if last is not None and last.role == "assistant" else ""
        complete = last is not None and last is messages[-1] and last.role == "assistant" and not (last.interrupted or last.tool_calls)
        return RunCompleted(reason, detail, text, turn.usage, turn.turn, complete)

    def _leave(self) -> None:
        if self._events is not None:
            self._events.close()
        self._service.leave(self._agent.entity)
        self._service.release()


class _Runs(Service):
    """The background run that all agents of a world share while any of them is asked, and which of them are."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._active: dict[EntityId, None] = {}

    def enter(self, entity: EntityId) -> None:
        """Claim an agent for a run."""
        if entity in self._active:
            raise WorldBusyError(f"agent {entity} is already running; await that run or cancel it first")
        self._active[entity] = None

    def leave(self, entity: EntityId) -> None:
        """Give it back."""
        self._active.pop(entity, None)


def _closing(events: EventStream) -> Callable[[asyncio.Future[Outcome]], None]:
    """A callback that ends a stream and keeps no run alive, so that a run that was dropped is collected."""
    return lambda _: events.close()
