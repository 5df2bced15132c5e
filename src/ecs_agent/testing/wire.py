"""What the writers of all wire protocols share: a scripted answer becomes events, with the faults of a plan built in.

Everything that is sent remembers what it says, so that what a correct client must report follows from the plan and not from any client.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Final, TypeAlias

from ecs_agent.errors import ErrorKind, ProviderError
from ecs_agent.providers.script import Move, Script, Step, moves
from ecs_agent.testing.fault_plan import FaultPlan
from ecs_agent.types import CompletionResult, FinishReason, JsonObject, StreamDelta, ToolCall, Usage

ALL_FINISHES: Final[frozenset[FinishReason]] = frozenset({"stop", "length", "tool_calls", "content_filter", "pause"})


@dataclass(frozen=True, slots=True)
class WireEvent:
    """One event as it is sent.

    Attributes:
        raw: its bytes, up to and with its blank line.
        data_end: how many of them hold its data whole; what comes after them only ends lines.
        says: what it adds to the answer.
        usage: the usage it tells.
        finish: it holds the finish reason.
        done: it says that nothing comes any more.
        failure: it says that the answer failed.
    """

    raw: bytes
    data_end: int
    says: StreamDelta | None = None
    usage: Usage | None = None
    finish: bool = False
    done: bool = False
    failure: ErrorKind | None = None


Written: TypeAlias = Iterator[WireEvent | float]
"""Events in order, and pauses in seconds between them."""


class WireWriter(ABC):
    """Writes one scripted answer in a wire protocol.

    Args:
        script: what is said.
        plan: what goes wrong; places of a plan that the protocol does not know (an index of calls, say) do nothing.

    Attributes:
        statuses: the HTTP status of each kind of error that a server tells in words; the others are broken connections and bodies.
        finishes: the finish reasons that the protocol can tell.
        names_events: events have their type on a line of its own.
    """

    statuses: ClassVar[Mapping[ErrorKind, int]]
    finishes: ClassVar[frozenset[FinishReason]] = ALL_FINISHES
    names_events: ClassVar[bool] = False

    def __init__(self, script: Script, plan: FaultPlan) -> None:
        self._script = script
        self._plan = plan
        self._usage: Usage | None = None

    def written(self) -> Written:
        """The events and pauses in order, were the body not cut at a byte."""
        limits = [(at, fails) for at, fails in ((self._plan.cut_after, False), (self._plan.fail_after, True)) if at is not None]
        limit, fails = min(limits, default=(None, False))
        yield from self._begin()
        deltas = 0
        for move in gathered(moves(self._script, self._plan.by), whole_calls=self._has_whole_calls()):
            reached = limit is not None and isinstance(move, StreamDelta) and (deltas >= limit or move.final)
            if reached or isinstance(move, Exception):
                if isinstance(move, Exception):
                    yield self._failure(kind_of(move), str(move))
                elif fails:
                    yield self._failure(self._plan.fail_with, f"failed by plan {self._plan.seed}")
                return
            match move:
                case StreamDelta(final=True):
                    yield from self._finish(move)
                case StreamDelta():
                    deltas += 1
                    yield from self._pending_usage()
                    yield from self._delta(move)
                case Usage():
                    yield from self._pending_usage()
                    self._usage = move
                case _:
                    yield move

    # What a protocol says

    @classmethod
    @abstractmethod
    def whole(cls, result: CompletionResult) -> JsonObject:
        """The answer as one JSON object."""

    @classmethod
    @abstractmethod
    def error(cls, kind: ErrorKind, message: str) -> JsonObject:
        """The body of an error that has a status."""

    @classmethod
    def can_say(cls, step: Step) -> bool:
        """Whether the protocol has words for a step of a script."""
        del step
        return True

    @abstractmethod
    def _begin(self) -> Written:
        """What comes before the first delta."""

    @abstractmethod
    def _delta(self, move: StreamDelta) -> Written:
        """What a delta becomes; the event that tells it `says` it."""

    @abstractmethod
    def _told_usage(self, usage: Usage) -> Written:
        """A usage report in the middle of an answer; nothing where there is no place for one."""

    @abstractmethod
    def _finish(self, final: StreamDelta) -> Written:
        """The end of the answer."""

    def _error_event(self, kind: ErrorKind, message: str) -> WireEvent:
        """An error in the middle of an answer."""
        return self._data(self.error(kind, message), failure=kind)

    def _has_whole_calls(self) -> bool:
        """Whether a call is said at once."""
        return False

    # How it is written

    def _pending_usage(self) -> Written:
        """A usage that is not the last thing in a script stands where it stands."""
        if self._usage is not None and self._plan.usage != "missing":
            yield from self._told_usage(self._usage)
        self._usage = None

    def _failure(self, kind: ErrorKind, message: str) -> WireEvent:
        if kind in self.statuses:
            return self._error_event(kind, message)
        if kind is ErrorKind.MALFORMED:
            return self._data("this is not JSON", failure=kind)
        return WireEvent(b"", 0, failure=ErrorKind.STREAM_INTERRUPTED)

    def _data(
        self,
        data: JsonObject | str,
        *,
        says: StreamDelta | None = None,
        usage: Usage | None = None,
        finish: bool = False,
        done: bool = False,
        failure: ErrorKind | None = None,
    ) -> WireEvent:
        end = self._plan.line_end
        comment = {"none": "", "between": f": keep-alive{end}{end}", "inside": f": keep-alive{end}"}[self._plan.comments]
        named = f"event: {data['type']}{end}" if self.names_events and not isinstance(data, str) else ""
        text = f"{comment}{named}data: {data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)}".encode()
        return WireEvent(text + f"{end}{end}".encode(), len(text), says, usage, finish, done, failure)


def gathered(played: Iterable[Move], *, whole_calls: bool) -> Iterator[Move]:
    """The same moves; with `whole_calls` all fragments of a call are one delta."""
    held: StreamDelta | None = None
    for move in played:
        piece = move if whole_calls and isinstance(move, StreamDelta) and move.tool_fragments else None
        if held is not None and piece is not None and piece.tool_fragments[0].index == held.tool_fragments[0].index:
            first = held.tool_fragments[0]
            joined = replace(first, arguments=first.arguments + piece.tool_fragments[0].arguments)
            held = StreamDelta(tool_calls=piece.tool_calls, tool_fragments=(joined,))
            continue
        if held is not None:
            yield held
        held = piece
        if piece is None:
            yield move


def kind_of(error: Exception) -> ErrorKind:
    """The kind of a scripted failure; what is no error of a provider is a broken connection."""
    return error.kind if isinstance(error, ProviderError) else ErrorKind.STREAM_INTERRUPTED


def is_object(call: ToolCall) -> bool:
    """Whether a call's arguments are a JSON object."""
    return call.raw_arguments is None or isinstance(parsed(call.raw_arguments), dict)


def arguments_of(call: ToolCall) -> str:
    """A call's arguments as text."""
    return call.raw_arguments if call.raw_arguments is not None else json.dumps(call.arguments, ensure_ascii=False)


def parsed(text: str) -> object:
    """The JSON value, None for what is no JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return None
