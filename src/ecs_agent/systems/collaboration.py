"""Collaboration: what agents write to each other becomes messages in their conversations.

Agents cannot go on for ever by answering each other: a run's limits are renewed by input from outside only, once for each agent that it
reaches through others. So whatever a person says, each agent spends at most one run's limits on it.
"""

from __future__ import annotations

from ecs_agent.components import (
    CollaborationComponent,
    ConversationComponent,
    InterruptionComponent,
    PendingToolCallsComponent,
    StreamStateComponent,
    TurnComponent,
)
from ecs_agent.components.collaboration import Cause, PeerMessage
from ecs_agent.core import Entity, InboxComponent, Letter, World, system
from ecs_agent.systems.conversation import append, awaits_model, seal
from ecs_agent.tools import Tool, tool
from ecs_agent.types import EntityId, Message, MessageDeliveredEvent, Part, TextPart

MAX_CAUSES = 1000
"""Of so many agents it is kept which of their runs was heard of."""

_MAIL = (str, Message, PeerMessage)
_SHOWN = ("text", "image", "file", "audio")


def _has_mail(collaboration: CollaborationComponent, inbox: InboxComponent | None, _: object) -> bool:
    return bool(collaboration.inbox) or (inbox is not None and any(isinstance(letter.content, _MAIL) for letter in inbox.letters))


class CollaborationSystem:
    """Puts letters of other agents into an agent's conversation, as messages of a user that begin with "[from agent 7] ".

    It takes the letters whose content is a `str`, a `Message` or a `PeerMessage` and leaves the others in the inbox. It waits while an answer
    or a tool is running, so that nothing comes between a call and its result.

    Args:
        priority: lower runs first.
    """

    def __init__(self, priority: int = 5) -> None:
        self.priority = priority

    @system(without=(PendingToolCallsComponent, StreamStateComponent, InterruptionComponent), when=_has_mail)
    async def __call__(
        self,
        me: Entity,
        collaboration: CollaborationComponent,
        inbox: InboxComponent | None = None,
        conversation: ConversationComponent | None = None,
    ) -> None:
        """Take all mail, without awaiting: what is no longer in the inbox stands in the conversation."""
        if conversation is not None:
            seal(me)
        for letter in me.receive(*_MAIL) if inbox is not None else ():
            content = letter.content
            _renew(me, collaboration, letter.sender, content.cause if isinstance(content, PeerMessage) else None)
            _put(me, letter.sender, content.message if isinstance(content, PeerMessage) else content)
        mail = list(collaboration.inbox)
        collaboration.inbox.clear()
        for sender, message in mail:
            _put(me, sender, message)


def _put(me: Entity, sender: EntityId | None, content: object) -> None:
    message = content if isinstance(content, Message) else Message("user", str(content))
    append(me, _told(sender, message))
    if sender is not None:
        me.emit(MessageDeliveredEvent(sender, me.id, message))


def _told(sender: EntityId | None, message: Message) -> Message:
    """A message as its receiver reads it: what is shown of it, said by a user, and who that is."""
    parts: list[Part] = [part for part in message.parts if part.tag in _SHOWN]
    if sender is None:
        return Message("user", parts=parts)
    name = f"[from agent {sender}] "
    if parts and isinstance(parts[0], TextPart):
        return Message("user", parts=[TextPart(name + parts[0].text), *parts[1:]])
    return Message("user", parts=[TextPart(name), *parts])


def _renew(me: Entity, collaboration: CollaborationComponent, sender: EntityId | None, cause: Cause | None) -> None:
    """Begin a new run for what comes from outside, or goes back to an input from outside that this agent has not worked on yet."""
    conversation = me.get(ConversationComponent)
    if conversation is not None and awaits_model(conversation.messages):
        return  # it belongs to the run that goes on
    turn = me.get(TurnComponent)
    run = turn.run if turn is not None else 0
    if sender is None:
        me.add(TurnComponent(run=run + 1))
    elif cause is not None and cause.entity != me.id and cause.run > collaboration.causes.get(cause.entity, 0):
        me.add(TurnComponent(run=run + 1))
        collaboration.cause, collaboration.run = cause, run + 1
        collaboration.causes.pop(cause.entity, None)
        collaboration.causes[cause.entity] = cause.run
        while len(collaboration.causes) > MAX_CAUSES:
            del collaboration.causes[next(iter(collaboration.causes))]


def _sent(entity: EntityId, collaboration: CollaborationComponent | None, turn: TurnComponent | None, to: EntityId, message: Message) -> PeerMessage:
    """What to put into a letter.

    Raises:
        PermissionError: the receiver is none of the peers.
    """
    peers = collaboration.peers if collaboration is not None else []
    if to not in peers:
        known = ", ".join([str(peer) for peer in peers]) or "nobody"
        raise PermissionError(f"agent {entity} may not write to {to}, only to: {known}")
    run = turn.run if turn is not None else 1
    if collaboration is not None and collaboration.cause is not None and collaboration.run == run:
        return PeerMessage(message, collaboration.cause)
    return PeerMessage(message, Cause(entity, run))


def send_message(me: Entity, to: EntityId, message: Message | str) -> Letter:
    """Write to a peer, from a system of the agent that writes.

    Raises:
        PermissionError: the receiver is none of the agent's peers.
        EntityNotFoundError: it is gone.
        InboxFullError: it has not taken its letters for too long.
    """
    message = message if isinstance(message, Message) else Message("user", message)
    return me.send(to, _sent(me.id, me.get(CollaborationComponent), me.get(TurnComponent), to, message))


async def _send_message(to: int, text: str, me: Entity) -> str:
    """Write to another agent; an answer comes later, as a message that begins with "[from agent …]".

    Args:
        to: The agent's number.
        text: What to tell it.
        me: The agent that writes.
    """
    send_message(me, EntityId(to), text)
    return f"sent to agent {to}"


def send_message_tool(world: World | None = None, entity: EntityId | None = None) -> Tool[..., object]:
    """The tool by which an agent's model writes to the peers in its `CollaborationComponent`, and to nobody else.

    One serves all agents: the sender is the agent whose model calls it, whatever that says. Made for an agent of a world, it also tells the model
    who its peers are; without, as for `open_world(tools=[send_message_tool()])`, the model learns so when it writes to another.
    """
    made = tool(_send_message, name="send_message")
    collaboration = world.get_component(entity, CollaborationComponent) if world is not None and entity is not None else None
    peers = ", ".join([str(peer) for peer in collaboration.peers]) if collaboration is not None else ""
    return tool(_send_message, name="send_message", description=f"{made.description}\nAgents you can write to: {peers}.") if peers else made
