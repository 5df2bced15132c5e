"""Letters between entities, and the inbox in which they wait.

The World stamps a letter with who sent it and its number among that sender's letters. It is state like any other: delivered in one edit, it
raises the receiver's stamp and wakes it. It is taken out with `Entity.receive`, in an order that does not depend on who was faster.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from ecs_agent.core.component import Unforked
from ecs_agent.core.entry import EntityEntry
from ecs_agent.core.log import EventKind
from ecs_agent.core.row import Row
from ecs_agent.core.state import State
from ecs_agent.errors import InboxFullError
from ecs_agent.types import EntityId


class Letter(msgspec.Struct, frozen=True):
    """Something one entity told another. `sender` is None when it came from outside; `seq` counts the letters of one sender, from 1."""

    sender: EntityId | None
    seq: int
    content: object


@dataclass(slots=True)
class InboxComponent(Unforked):
    """The letters that an entity has not taken yet, as they arrived. A sender is refused while `limit` of them wait."""

    letters: list[Letter] = field(default_factory=list[Letter])
    limit: int = 1000


class LetterDelivered(msgspec.Struct, frozen=True):
    """A letter reached an entity's inbox."""

    entity_id: EntityId
    letter: Letter


class LettersReceived(msgspec.Struct, frozen=True):
    """An entity took letters out of its inbox."""

    entity_id: EntityId
    letters: tuple[Letter, ...]


def deliver(state: State, sender: Row | None, to: EntityId, content: object) -> Letter:
    """Put a letter into an inbox, which is made if there is none.

    Raises:
        EntityNotFoundError: there is no such receiver.
        InboxFullError: it has not taken its letters for too long.
    """
    receiver = state.row(to)
    inbox: InboxComponent | None = receiver.components.get(InboxComponent)
    if inbox is not None and len(inbox.letters) >= inbox.limit:
        raise InboxFullError(f"the inbox of entity {to} is full: {len(inbox.letters)} letters wait; no system takes them, or not fast enough")
    if inbox is None:
        inbox = InboxComponent()
        state.put(receiver, inbox, None)
    whose: Row | State = state if sender is None else sender
    whose.sent += 1
    letter = Letter(None if sender is None else sender.id, whose.sent, content)
    inbox.letters.append(letter)
    # Nobody's own change, also while a call of the receiver runs: whoever works on the inbox has to look again.
    kind = EventKind.INPUT if sender is None else EventKind.DERIVED
    state.note_edit(receiver, InboxComponent, None, LetterDelivered(to, letter), kind)
    return letter


def receive(state: State, row: Row, author: EntityEntry | None, kinds: tuple[type, ...]) -> list[Letter]:
    """Take letters out of a row's inbox: all, or those whose content is of one of the kinds. Ordered by sender, then seq."""
    inbox: InboxComponent | None = row.components.get(InboxComponent)
    taken = [] if inbox is None else [letter for letter in inbox.letters if not kinds or isinstance(letter.content, kinds)]
    if inbox is None or not taken:
        return []
    inbox.letters[:] = [letter for letter in inbox.letters if kinds and not isinstance(letter.content, kinds)]
    taken.sort(key=_order)
    state.note_edit(row, InboxComponent, author, LettersReceived(row.id, tuple(taken)))
    return taken


def _order(letter: Letter) -> tuple[int, int]:
    return letter.sender or 0, letter.seq
