"""What happened in a recorded world, sorted for a replay: facts, answers piece by piece, results of tools, each with the moment at which it came."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import Any, Final, TypeAlias

from ecs_agent.providers.recorded.error_data import error_from_data
from ecs_agent.store.codecs import Codecs
from ecs_agent.store.fact_data import FactData
from ecs_agent.streaming.delta_data import DeltaReader
from ecs_agent.streaming.message_data import part_from_data
from ecs_agent.types import CompletionResult, ImagePart, JsonObject, StreamDelta, StreamEndEvent

AttemptKey: TypeAlias = tuple[int, int, int, int]
"""Entity, run, turn and attempt."""

CallKey: TypeAlias = tuple[int, int, int, str]
"""Entity, run, turn and the call's id."""

YEAR_NS: Final = 365 * 86_400 * 10**9


@unique
class AttemptEnd(StrEnum):
    """How asking a model ended. OPEN: the recording ends before."""

    COMPLETED = "completed"
    CONTINUED = "continued"
    DISCARDED = "discarded"
    INTERRUPTED = "interrupted"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Moment:
    """When something came from outside: the position of the first fact that it led to, and that one's time, UTC in nanoseconds."""

    pos: int
    time: int


@dataclass(frozen=True, slots=True)
class RecordedBurst:
    """Pieces of an answer that came together, `offset` seconds after the model was asked."""

    moment: Moment
    offset: float
    deltas: list[StreamDelta]


@dataclass(frozen=True, slots=True)
class RecordedError:
    """What asking a model failed with, as `error_to_data` has it."""

    data: JsonObject

    def made(self) -> BaseException:
        """The error. One of a type that is not ours is another one of that name, which says the same."""
        if self.data["kind"] != "other":
            return error_from_data(self.data)
        name, message = self.data["type"], self.data["message"]
        known: type[BaseException] = {"SystemExit": SystemExit, "CancelledError": asyncio.CancelledError}.get(name) or type(name, (RuntimeError,), {})
        return known(message) if message else known()


@dataclass(slots=True)
class RecordedAttempt:
    """One time a model was asked.

    `accepted` is when it began to answer, None if it never did or was asked for a whole answer. `end` is when the answer ended or failed, None if
    the recording ends before; `error` is what it failed with, None if it did not, or was cancelled.
    """

    key: AttemptKey
    begun: Moment
    accepted: Moment | None = None
    bursts: list[RecordedBurst] = field(default_factory=list[RecordedBurst])
    end: Moment | None = None
    outcome: AttemptEnd = AttemptEnd.OPEN
    result: CompletionResult | None = None
    error: RecordedError | None = None


@dataclass(frozen=True, slots=True)
class RecordedResult:
    """What came of a tool call, after so many seconds."""

    key: CallKey
    name: str
    moment: Moment
    text: str
    is_error: bool
    seconds: float
    images: tuple[ImagePart, ...] = ()


@dataclass(slots=True)
class RecordedSession:
    """A world's life from its beginning to the end of the program that made it, or of its process.

    Attributes:
        seed: of its randomness.
        facts: those to be done again; of the last one perhaps not all pieces.
        end: the position behind them.
        attempts: how models answered. One may have been made more than once, after an undo.
        results: what tools returned.
        begun: the calls that began; those without a result were cut off.
        stops: when the program was told to stop, and whether agents were to finish their step.
        is_whole: whether these are all until the world was closed, and not merely left, as by a crash.
        ended: how the program ended, as far as it was told; the error that it raised.
    """

    seed: str
    facts: list[FactData]
    end: int
    is_whole: bool
    attempts: dict[AttemptKey, list[RecordedAttempt]] = field(default_factory=dict[AttemptKey, list[RecordedAttempt]])
    results: dict[CallKey, list[RecordedResult]] = field(default_factory=dict[CallKey, list[RecordedResult]])
    begun: set[CallKey] = field(default_factory=set[CallKey])
    stops: list[tuple[Moment, bool]] = field(default_factory=list[tuple[Moment, bool]])
    ended: str | None = None
    error: str | None = None

    @property
    def start(self) -> int:
        """The time of its first fact."""
        return self.facts[0].time

    @property
    def is_complete(self) -> bool:
        """Whether the program came to its end by itself: what it does beyond is something else than what was recorded."""
        return self.is_whole and self.ended != "interrupted"

    @property
    def is_virtual(self) -> bool:
        """Whether it was made on virtual time, which begins in 1970: then everything happened exactly when it was due."""
        return self.start < YEAR_NS


def read_session(facts: list[FactData], codecs: Codecs, *, seed: str, was_closed: bool, until: int | None = None) -> RecordedSession:
    """Sort what happened.

    Args:
        facts: everything.
        codecs: of events.
        seed: of the world's randomness.
        was_closed: whether the world was closed behind the last of them.
        until: only those before this position are to be done again.
    """
    end = facts[-1].pos + facts[-1].count
    is_whole = was_closed and (until is None or until >= end)
    wanted = end if until is None else min(until, end)
    session = RecordedSession(seed, [fact for fact in facts if fact.pos < wanted], wanted, is_whole)
    _Sorting(session, codecs).take(facts)
    return session


_ENDS: Final = {
    StreamEndEvent.__name__: AttemptEnd.COMPLETED,
    "AttemptContinued": AttemptEnd.CONTINUED,
    "AttemptDiscarded": AttemptEnd.DISCARDED,
    "AttemptInterrupted": AttemptEnd.INTERRUPTED,
}


@dataclass(slots=True)
class _Open:
    """An attempt while its facts are read."""

    attempt: RecordedAttempt
    reader: DeltaReader = field(default_factory=DeltaReader)
    is_stopped: bool = False


class _Sorting:
    """Reads facts in order.

    Args:
        session: what is filled.
        codecs: of events.
    """

    def __init__(self, session: RecordedSession, codecs: Codecs) -> None:
        self._session = session
        self._codecs = codecs
        self._open: dict[int, _Open] = {}
        self._cut: dict[int, tuple[RecordedAttempt, int]] = {}  # just now, and the seq of that fact
        self._edited: dict[int, Moment] = {}  # where changes begin that were found by comparing, with nothing else since
        self._last = -1

    def take(self, facts: Iterable[FactData]) -> None:
        """Read."""
        for fact in facts:
            if fact.entity is None:
                self._take_worlds(fact)
            else:
                self._take(fact, fact.entity)
            self._last = fact.pos + fact.count - 1

    def _take_worlds(self, fact: FactData) -> None:
        if fact.type == "ProgramStopped":
            self._session.stops.append((_moment(fact), bool(fact.data["after_step"])))
        elif fact.type == "ProgramEnded":
            self._session.ended, self._session.error = fact.data["outcome"], fact.data["error"]

    def _take(self, fact: FactData, entity: int) -> None:
        change = fact.change
        if entity in self._cut:
            self._look_for_cancel(fact, *self._cut.pop(entity))
        if change is not None and change[0] == "drop" and change[1] == "StreamStateComponent" and entity in self._open:
            self._stop(self._open[entity], self._edited.get(entity) or _moment(fact))
        if fact.type != "ComponentChanged":
            self._edited.pop(entity, None)
        elif entity not in self._edited or fact.pos != self._last + 1:
            self._edited[entity] = _moment(fact)
        self._take_event(fact, entity)

    def _take_event(self, fact: FactData, entity: int) -> None:
        held = self._open.get(entity)
        if fact.type == "AttemptStarted":
            key = entity, fact.run, fact.turn, fact.attempt
            attempt = RecordedAttempt(key, _moment(fact))
            self._session.attempts.setdefault(key, []).append(attempt)
            self._open[entity] = _Open(attempt)
        elif fact.type == "ToolExecutionStarted":
            self._session.begun.add((entity, fact.run, fact.turn, fact.data["call"]["id"]))
        elif fact.type == "ToolExecutionCompleted":
            self._take_result(fact, entity)
        elif held is None:
            pass
        elif fact.type == "StreamStartEvent":
            held.attempt.accepted = _moment(fact)
        elif fact.type == "StreamDeltaEvent":
            offset = (fact.time - held.attempt.begun.time) / 1e9
            held.attempt.bursts.append(RecordedBurst(_moment(fact), offset, held.reader.read(fact.data)))
        elif fact.type == "AttemptFailed":
            self._stop(held, _moment(fact))
            held.attempt.error = RecordedError(fact.data["error"])
        elif fact.type in _ENDS:
            self._end(fact, entity, held)

    def _take_result(self, fact: FactData, entity: int) -> None:
        data = fact.data
        key = entity, fact.run, fact.turn, data["call"]["id"]
        images = tuple([part for each in data.get("images") or () if isinstance(part := part_from_data(each), ImagePart)])
        result = RecordedResult(key, data["call"]["name"], _moment(fact), data["text"], data["is_error"], data["seconds"], images)
        self._session.results.setdefault(key, []).append(result)

    @staticmethod
    def _stop(held: _Open, moment: Moment) -> None:
        if not held.is_stopped:
            held.is_stopped = True
            held.attempt.end = moment

    def _end(self, fact: FactData, entity: int, held: _Open) -> None:
        attempt = held.attempt
        del self._open[entity]
        self._stop(held, _moment(fact))
        attempt.outcome = _ENDS[fact.type]
        if attempt.outcome is AttemptEnd.COMPLETED:
            event: Any = self._codecs.decode_event(fact.type, fact.version, fact.data)
            attempt.result = event.result
        elif attempt.outcome is AttemptEnd.INTERRUPTED and attempt.error is None:
            self._cut[entity] = attempt, fact.seq

    @staticmethod
    def _look_for_cancel(fact: FactData, attempt: RecordedAttempt, seq: int) -> None:
        """A provider that cancels the task it is asked in fails likewise, but nobody can tell so at once: its failure follows the cut."""
        match fact.change:
            case ["put", "ErrorComponent", _, {"error": "CancelledError", "kind": None}] if fact.seq == seq + 1:
                attempt.error = RecordedError({"kind": "other", "type": "CancelledError", "message": ""})
            case _:
                pass


def _moment(fact: FactData) -> Moment:
    return Moment(fact.pos, fact.time)
