"""Typed events of one answer, translated from its deltas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ecs_agent.streaming.fold import Fold
from ecs_agent.types import CitationPart, CompletionResult, StreamDelta, ToolCall, Usage


@dataclass(frozen=True, slots=True)
class TextDelta:
    """New text of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """New text of what the model thinks."""

    text: str


@dataclass(frozen=True, slots=True)
class RefusalDelta:
    """New text of the model's refusal."""

    text: str


@dataclass(frozen=True, slots=True)
class CitationReceived:
    """The answer names a source."""

    citation: CitationPart


@dataclass(frozen=True, slots=True)
class ToolCallStarted:
    """A tool call began; `index` is its position in the answer. `id` and `name` are what its first piece holds, "" where they come later."""

    index: int
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """New text of a call's arguments."""

    index: int
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolCallCompleted:
    """A call is whole; whether it may be run says its `arguments_error`."""

    index: int
    call: ToolCall


@dataclass(frozen=True, slots=True)
class UsageReported:
    """The provider told the usage."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is complete."""

    result: CompletionResult


StreamEvent: TypeAlias = (
    TextDelta | ReasoningDelta | RefusalDelta | CitationReceived | ToolCallStarted | ToolCallDelta | ToolCallCompleted | UsageReported | Finished
)


class EventTranslator:
    """Turns the deltas of one answer into events, one delta after another."""

    def __init__(self) -> None:
        self._fold = Fold()
        self._begun = 0
        self._finished = False

    def translate(self, delta: StreamDelta) -> list[StreamEvent]:
        """The events that a delta stands for."""
        self._fold.add(delta)
        events: list[StreamEvent] = []
        if delta.reasoning:
            events.append(ReasoningDelta(delta.reasoning))
        if delta.content:
            events.append(TextDelta(delta.content))
        if delta.refusal:
            events.append(RefusalDelta(delta.refusal))
        events += [CitationReceived(part) for part in delta.parts if isinstance(part, CitationPart)]
        if delta.tool_calls is not None:
            self._calls(delta, events)
        if delta.usage is not None:
            events.append(UsageReported(delta.usage))
        if self._fold.complete and not self._finished:
            self._finished = True
            events.append(Finished(self._fold.result()))
        return events

    def _calls(self, delta: StreamDelta, events: list[StreamEvent]) -> None:
        calls = delta.tool_calls or ()
        firsts = {piece.index: piece for piece in reversed(delta.tool_fragments)}
        for index in range(self._begun, len(calls)):
            first = firsts.get(index)
            if first is None:  # a provider that sends no fragments; reading the view would parse all calls at each of them
                events.append(ToolCallStarted(index, calls[index].id, calls[index].name))
            else:
                events.append(ToolCallStarted(index, first.id or "", first.name or ""))
        self._begun = max(self._begun, len(calls))
        events += [ToolCallDelta(piece.index, piece.arguments) for piece in delta.tool_fragments if piece.arguments]
        if delta.final or delta.finish_reason is not None:
            events += [ToolCallCompleted(index, call) for index, call in enumerate(calls)]
