"""What there is to see in the facts of a recording: what somebody says, and everything else in one line each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from ecs_agent.cli.render import written_out
from ecs_agent.cli.terminal import Look
from ecs_agent.store.fact_data import FactData
from ecs_agent.streaming.delta_data import DeltaReader
from ecs_agent.streaming.message_data import message_from_data, tool_call_from_data


@dataclass(frozen=True, slots=True)
class Speech:
    """A piece of what an agent says, or thinks."""

    entity: int
    text: str
    look: Look = Look.PLAIN


@dataclass(frozen=True, slots=True)
class SpeechOver:
    """An agent has ended its answer."""

    entity: int


@dataclass(frozen=True, slots=True)
class Remark:
    """Something else, in one line. `mark` stands before the text; `entity` is None for the world itself."""

    entity: int | None
    text: str
    look: Look = Look.QUIET
    mark: str = ":"


Seen: TypeAlias = Speech | SpeechOver | Remark

_HEARD: Final = " ←"


class Narration:
    """Tells what there is to see, fact by fact.

    Attributes:
        names: of entities that have one.
    """

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self._readers: dict[int, DeltaReader] = {}
        self._spoke: set[int] = set()  # whose answer came in pieces

    def of(self, fact: FactData) -> list[Seen]:
        """What there is to see in the next fact."""
        if fact.entity is None:
            return _of_world(fact)
        if fact.type == "StreamDeltaEvent":
            return list(self._speech(fact, fact.entity))
        return [*self._of_event(fact, fact.entity), *self._of_change(fact, fact.entity)]

    def _speech(self, fact: FactData, entity: int) -> Iterator[Seen]:
        self._spoke.add(entity)
        for delta in self._readers.setdefault(entity, DeltaReader()).read(fact.data):
            if delta.reasoning:
                yield Speech(entity, delta.reasoning, Look.QUIET)
            if delta.content or delta.refusal:
                yield Speech(entity, (delta.content or "") + (delta.refusal or ""))

    def _of_event(self, fact: FactData, entity: int) -> list[Seen]:
        data: Any = fact.data
        match fact.type:
            case "AttemptStarted":
                self._readers[entity] = DeltaReader()
                self._spoke.discard(entity)
            case "StreamEndEvent":
                whole = message_from_data(data["result"]["message"])
                missed: list[Seen] = [] if entity in self._spoke or not whole.content else [Speech(entity, whole.content)]
                return [*missed, SpeechOver(entity)]
            case "AttemptContinued":
                return [SpeechOver(entity), Remark(entity, "(the answer broke off, and goes on)")]
            case "AttemptDiscarded":
                return [SpeechOver(entity), *([Remark(entity, "(what it said does not hold)")] if data["message"] is not None else [])]
            case "AttemptInterrupted":
                return [SpeechOver(entity), *([Remark(entity, "(interrupted)")] if data["message"] is not None else [])]
            case "ToolExecutionStarted":
                return [Remark(entity, written_out(tool_call_from_data(data["call"])), Look.TOOL, " →")]
            case "ToolExecutionCompleted":
                failed = data["is_error"]
                return [Remark(entity, data["text"] or "(nothing)", Look.ALARM if failed else Look.TOOL, " ✗" if failed else _HEARD)]
            case "ErrorOccurredEvent":
                return [Remark(entity, data["error"], Look.ALARM, " ✗")]
            case "EntityForked":
                return [Remark(entity, f"(a fork of {self.name(data['source'])} as it was behind its fact {data['seq']})")]
            case _:
                pass
        return []

    def _of_change(self, fact: FactData, entity: int) -> list[Seen]:
        match fact.change:
            case ["put", "NameComponent", _, {"name": str(name)}]:
                self.names[entity] = name
            case ["put", "TerminalComponent", _, {"reason": reason}]:
                return [Remark(entity, f"(ended: {reason})")]
            case ["put", "QuarantineComponent", _, {"reason": reason}]:
                return [Remark(entity, f"(quarantined: {reason})", Look.ALARM)]
            case ["edit", "ConversationComponent", _, [["grow", "messages", _, [message]]]] if fact.type == "MessageAppended":
                said = message_from_data(message)
                return [Remark(entity, said.content, Look.PLAIN, _HEARD)] if said.role == "user" else []
            case _:
                pass
        return []

    def name(self, entity: int) -> str:
        """How an entity is called."""
        return self.names.get(entity) or f"agent {entity}"


def _of_world(fact: FactData) -> list[Seen]:
    match fact.type:
        case "ProgramStopped":
            return [Remark(None, "(the program was told to stop)")]
        case "WorldRestored":
            return [Remark(None, "(the world was opened again)")]
        case "ProgramEnded" if fact.data["error"] is not None:
            return [Remark(None, f"(the program failed: {fact.data['error']})", Look.ALARM)]
        case _:
            return []
