"""User input: an agent waits for a person, and nothing waits inside a call. The run ends as waiting_input, or sleeps, until the answer is there."""

from __future__ import annotations

from ecs_agent.components import (
    ConversationComponent,
    InterruptionComponent,
    PendingToolCallsComponent,
    StreamStateComponent,
    TerminalComponent,
    TurnComponent,
    UserInputComponent,
)
from ecs_agent.core import Entity, EventKind, World, system
from ecs_agent.errors import EntityNotFoundError
from ecs_agent.systems.budget import RUN_LIMITS
from ecs_agent.systems.conversation import append, awaits_model, seal
from ecs_agent.types import EntityId, Message, UserInputReceivedEvent, UserInputRequestedEvent


def answer_input(world: World, entity: EntityId, text: str) -> None:
    """Say what the person answered. It is new input: it lifts an error, a quarantine, an interruption and a run's limits.

    Raises:
        EntityNotFoundError: there is no such entity, or it waits for nobody.
        ValueError: it was answered before, and the agent has not taken that up yet.
    """
    waiting = world.get_component(entity, UserInputComponent)
    if waiting is None:
        raise EntityNotFoundError(f"entity {entity} waits for no input; it has no UserInputComponent")
    if waiting.answer is not None:
        raise ValueError(f"entity {entity} was answered already; say more with append_message")
    world.touch(entity)
    world.remove_component(entity, InterruptionComponent)
    terminal = world.get_component(entity, TerminalComponent)
    if terminal is not None and terminal.reason in RUN_LIMITS:
        world.remove_component(entity, TerminalComponent)
    waiting.answer = text
    world.edit(entity, UserInputComponent, UserInputReceivedEvent(entity, text), EventKind.INPUT)


def _is_news(waiting: UserInputComponent, _: object) -> bool:
    return waiting.answer is not None or not waiting.requested


class UserInputSystem:
    """Announces a `UserInputComponent` by one `UserInputRequestedEvent`, and puts the answer into the conversation as the user's message.

    It waits while an answer or a tool is running, so that nothing comes between a call and its result.

    Args:
        priority: lower runs first.
    """

    def __init__(self, priority: int = -10) -> None:
        self.priority = priority

    @system(without=(PendingToolCallsComponent, StreamStateComponent, InterruptionComponent), when=_is_news)
    async def __call__(self, me: Entity, waiting: UserInputComponent, conversation: ConversationComponent | None = None) -> None:
        """Ask, or take the answer; both without awaiting."""
        if waiting.answer is None:
            waiting.requested = True
            me.edit(UserInputComponent, UserInputRequestedEvent(me.id, waiting.prompt))
            return
        seal(me)
        if conversation is None or not awaits_model(conversation.messages):
            turn = me.get(TurnComponent)
            me.add(TurnComponent(run=turn.run + 1 if turn is not None else 1))
        append(me, Message("user", waiting.answer))
        me.remove(UserInputComponent)
