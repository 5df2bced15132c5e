"""Transcripts: what the log of an agent says its conversation is, what it cost, and what became of each attempt. The log is the truth; the
components are its sum, and `check_world` compares them.

Pure. A conversation that was given to an entity is known from the log only if the log says what became of components (`Log.keeps_changes`), since the
component itself has changed since. Without that a transcript is marked as not known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from ecs_agent.components import ConversationComponent, PendingToolCallsComponent, QueuedInputComponent, StreamStateComponent, TurnComponent
from ecs_agent.core import ComponentAdded, ComponentChanged, ComponentRemoved, EntityDeleted, Envelope
from ecs_agent.core.change import Change, Edited, Grown, Put, Replaced
from ecs_agent.core.forking import EntityRewound
from ecs_agent.streaming.events import Finished, TextDelta
from ecs_agent.systems.attempt import AttemptContinued, AttemptDiscarded, AttemptInterrupted, AttemptStarted, estimated, sum_of
from ecs_agent.systems.conversation import HistoryReplaced, HistorySealed, InputQueued, MessageAppended, sealed
from ecs_agent.systems.tool_execution import ToolExecutionCompleted, ToolOutcomeUnknown
from ecs_agent.types import ConversationTruncatedEvent, Message, StreamDelta, StreamDeltaEvent, StreamEndEvent, ToolCall, Usage


@dataclass(slots=True)
class AttemptRecord:
    """One attempt. `message` is what came of it: the answer, what was kept, or what was taken back; `usage` what it cost.

    `taken_back` says that its message was kept as interrupted and removed later, when the turn was asked again; `elsewhere` that it began with
    another entity, of which this one is a fork.
    """

    run: int
    turn: int
    attempt: int
    outcome: Literal["open", "completed", "continued", "discarded", "interrupted"] = "open"
    message: Message | None = None
    usage: Usage | None = None
    taken_back: bool = False
    elsewhere: bool = False


@dataclass(slots=True)
class Transcript:
    """An agent as its log tells of it.

    `messages` are its conversation, `queued` what users said in the middle of a turn, `usage` what its run has cost so far. `problems` says what in
    the log contradicts itself. `is_known` and `usage_is_known` say whether the log tells how they began.
    """

    messages: list[Message] = field(default_factory=list[Message])
    queued: list[Message] = field(default_factory=list[Message])
    usage: Usage | None = None
    attempts: list[AttemptRecord] = field(default_factory=list[AttemptRecord])
    problems: list[str] = field(default_factory=list[str])
    is_known: bool = True
    usage_is_known: bool = True

    @property
    def open_attempt(self) -> AttemptRecord | None:
        """The attempt that has not ended."""
        return self.attempts[-1] if self.attempts and self.attempts[-1].outcome == "open" else None


def fold_history(facts: Iterable[Envelope], *, is_exact: bool = False) -> Transcript:
    """The transcript of one entity, from its facts in order; `is_exact` as in `HistoryFold`."""
    history = HistoryFold(is_exact=is_exact)
    for fact in facts:
        history.add(fact)
    return history.transcript


class HistoryFold:
    """Folds the facts of one entity into its transcript, one after another; it can be looked at at any time.

    Args:
        is_whole: the facts begin with the entity. Else what happened before them is not known.
        is_exact: the facts were read from a journal, so the components in them are as they were then.
    """

    def __init__(self, *, is_whole: bool = True, is_exact: bool = False) -> None:
        self.transcript = Transcript(is_known=is_whole, usage_is_known=is_whole)
        self.is_deleted = False
        self.is_whole = is_whole
        self._is_exact = is_exact
        self._deltas: list[StreamDelta] = []  # of the open attempt
        self._has_state = False
        self._wanted: Counter[str] = Counter()  # results that the pending calls are still to get

    def add(self, fact: Envelope) -> None:
        """Take the next fact."""
        event: object = fact.payload
        match event:
            case StreamDeltaEvent(delta=delta):
                self._deltas.append(delta)
            case ComponentAdded() | ComponentChanged() | ComponentRemoved():
                self._component(fact, event)
            case AttemptStarted() | AttemptContinued() | AttemptDiscarded() | AttemptInterrupted() | StreamEndEvent():
                self._attempt(fact, event)
            case ToolExecutionCompleted(call=call) | ToolOutcomeUnknown(call=call):
                self._result(fact, call.id)
            case EntityRewound():
                self._rewound()
            case EntityDeleted():
                self.is_deleted = True
            case _:
                self._conversation(event)

    # Messages

    def _conversation(self, event: object) -> None:
        messages = self.transcript.messages
        match event:
            case MessageAppended(message=message):
                messages.append(message)
            case HistoryReplaced(messages=replaced):
                messages[:] = replaced
                self.transcript.is_known = True
            case HistorySealed():
                messages[:] = sealed(messages)
            case ConversationTruncatedEvent(removed_count=count):
                head = next((at for at, message in enumerate(messages) if message.role != "system"), len(messages))
                del messages[head : head + count]
            case InputQueued(message=message):
                self.transcript.queued.append(message)
            case _:
                pass  # of others

    def _component(self, fact: Envelope, event: ComponentAdded | ComponentChanged | ComponentRemoved) -> None:
        transcript, name = self.transcript, _name_of(event.component)
        if name == ConversationComponent.__name__:
            self._held_messages(fact.change, event)
        elif name == QueuedInputComponent.__name__ and not isinstance(event, ComponentChanged):
            transcript.queued = list(self._given(fact.change, event, "messages") or ())
        elif name == TurnComponent.__name__ and isinstance(event, ComponentAdded):
            transcript.usage = self._given(fact.change, event, "usage")
            transcript.usage_is_known = self._is_exact or fact.change is not None
        elif name == StreamStateComponent.__name__:
            self._has_state = not isinstance(event, ComponentRemoved)
            if isinstance(event, ComponentAdded) and transcript.open_attempt is None:
                self._begun(fact, elsewhere=True)
        elif name == PendingToolCallsComponent.__name__ and isinstance(event, ComponentAdded):
            calls: list[ToolCall] = getattr(event.component, "tool_calls", [])
            self._wanted = Counter([call.id for call in calls])

    def _held_messages(self, change: Change | None, event: ComponentAdded | ComponentChanged | ComponentRemoved) -> None:
        transcript = self.transcript
        if isinstance(event, ComponentRemoved):
            transcript.messages = []
        elif isinstance(event, ComponentAdded):
            transcript.messages = list(self._given(change, event, "messages") or ())
            transcript.is_known = self._is_exact or change is not None
        elif isinstance(change, Edited):  # edited past the functions that tell it
            for edit in change.edits:
                if isinstance(edit, Replaced) and edit.field == "messages":
                    transcript.messages = list(edit.value)
                elif isinstance(edit, Grown) and edit.field == "messages":
                    transcript.messages[edit.kept :] = edit.tail
        else:
            transcript.is_known = False

    def _given(self, change: Change | None, event: ComponentAdded | ComponentChanged | ComponentRemoved, name: str) -> Any:
        """A field of a component that came, as it was then; None if it is not known, or the component went."""
        if isinstance(change, Put):
            return change.values[change.names.index(name)]
        return getattr(event.component, name, None) if self._is_exact and isinstance(event, ComponentAdded) else None

    # Attempts

    def _begun(self, fact: Envelope, *, elsewhere: bool = False) -> None:
        self.transcript.attempts.append(AttemptRecord(fact.run, fact.turn, fact.attempt, elsewhere=elsewhere))
        self._deltas = []

    def _attempt(self, fact: Envelope, event: AttemptStarted | AttemptContinued | AttemptDiscarded | AttemptInterrupted | StreamEndEvent) -> None:
        transcript, current = self.transcript, self.transcript.open_attempt
        if isinstance(event, AttemptStarted):
            if current is not None:
                transcript.problems.append(f"an attempt begins at {fact.pos} before the one before it has ended")
            self._begun(fact)
        elif current is None:
            self._ended_before(fact, event)
        elif isinstance(event, StreamEndEvent):
            self._ended(current, "completed", event.result.message, event.result.usage or estimated(self._deltas))
        elif isinstance(event, AttemptContinued):
            self._ended(current, "continued", event.message, event.usage)
        elif isinstance(event, AttemptDiscarded):
            self._ended(current, "discarded", event.message, event.usage)
        else:
            self._ended(current, "interrupted", event.message, event.usage)

    def _ended(
        self,
        current: AttemptRecord,
        outcome: Literal["completed", "continued", "discarded", "interrupted"],
        message: Message | None,
        usage: Usage | None,
    ) -> None:
        current.outcome, current.message, current.usage = outcome, message, usage
        self.transcript.usage = sum_of(self.transcript.usage, usage)

    def _ended_before(self, fact: Envelope, event: AttemptContinued | AttemptDiscarded | AttemptInterrupted | StreamEndEvent) -> None:
        """No attempt is open: what was kept of the last one may be taken back, once; all else is wrong."""
        transcript = self.transcript
        last = transcript.attempts[-1] if transcript.attempts else None
        if isinstance(event, AttemptDiscarded) and transcript.messages and transcript.messages[-1] == event.message:
            del transcript.messages[-1]
            if last is not None:
                last.taken_back = True
        elif self.is_whole or last is not None:
            transcript.problems.append(f"{fact.type} at {fact.pos} ends an attempt, and none is open")

    def _result(self, fact: Envelope, call: str) -> None:
        if not self._wanted[call] and self.is_whole:
            self.transcript.problems.append(f"{fact.type} at {fact.pos} is a result of call {call!r}, which waits for none")
        self._wanted[call] -= 1

    def _rewound(self) -> None:
        current = self.transcript.open_attempt
        if current is not None and not self._has_state:
            current.outcome, current.taken_back = "interrupted", True


def _name_of(component: object) -> str:
    """The name of a component's class; a fact that was read from a journal may hold only that."""
    tag = getattr(component, "tag", None)
    return tag if isinstance(tag, str) else type(component).__name__


class ShownText:
    """What somebody sees who shows text as it arrives, and takes back what is taken back. After a run it is what the conversation holds.

    Give it an entity's events in order: those of its log, or those that a run yields.

    Attributes:
        answers: the texts that are complete, or were kept.
        text: the one that is arriving.
    """

    def __init__(self) -> None:
        self.answers: list[str] = []
        self.text = ""
        self._is_open = False

    def take(self, event: object) -> None:
        """See the next event."""
        match event:
            case AttemptStarted():
                self._is_open = True
            case StreamDeltaEvent(delta=StreamDelta(content=str(text))) | TextDelta(text=text):
                self.text += text
                self._is_open = True
            case StreamEndEvent(result=result) | Finished(result=result):
                self._keep(self.text or result.message.content)  # one that did not stream is shown at its end
            case AttemptInterrupted():
                self._keep(self.text)
            case AttemptContinued(message=message):
                self.text, self._is_open = message.content, False  # what it was already, for those who saw it from its beginning
            case AttemptDiscarded(message=taken):
                if not self._is_open and taken is not None and self.answers[-1:] == [taken.content]:
                    self.answers.pop()
                self.text, self._is_open = "", False
            case _:
                pass  # shows no text

    def _keep(self, text: str) -> None:
        if text:
            self.answers.append(text)
        self.text, self._is_open = "", False
