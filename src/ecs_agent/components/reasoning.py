"""What makes an entity an agent, and where it stands while it thinks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import groupby
from operator import attrgetter
from typing import Literal

from ecs_agent.components.limits import LimitsComponent as LimitsComponent  # noqa: PLC0414 - it stood here, and is still found here
from ecs_agent.core.log import Gatherer
from ecs_agent.providers.protocol import ModelOptions, ProviderLike
from ecs_agent.streaming.delta_run import runs
from ecs_agent.streaming.fold import Fold
from ecs_agent.types import CompletionResult, StreamDelta, Timing, Usage


@dataclass(slots=True)
class LLMComponent:
    """Makes its entity an agent: whom to ask. `model` "" means the provider's own; `system_prompt` yields to a `SystemPromptComponent`."""

    provider: ProviderLike
    model: str = ""
    system_prompt: str = ""


@dataclass(slots=True)
class SystemPromptComponent:
    """The agent's instructions; wins over every other place where they may stand."""

    content: str


@dataclass(slots=True)
class StreamingComponent:
    """Whether answers stream. They do by default; an agent that only needs the end can save the events."""

    enabled: bool = True


@dataclass(slots=True)
class RequestOptionsComponent:
    """What every request of this agent asks for: temperature, max_tokens and the other options of `complete`."""

    options: ModelOptions = field(default_factory=ModelOptions)


@dataclass(slots=True)
class TurnComponent:
    """Where an agent stands: the number of its run, of the turn in the run, of the attempt in the turn, and the run's usage so far.

    `timing` is how the last answer arrived. `broken` says that the last attempt ended before its answer did, and nobody meant it to: the next
    attempt takes its place within the same turn. `drops` is how many attempts of this turn a `StreamPolicy` has replaced.
    """

    run: int = 0
    turn: int = 0
    attempt: int = 0
    usage: Usage | None = None
    timing: Timing | None = None
    broken: bool = False
    drops: int = 0


COMPACT_AT = 512
"""So many deltas are merged at a time."""


@dataclass(slots=True)
class StreamStateComponent(Gatherer[StreamDelta]):
    """An answer that is still arriving. Each delta stands here before anyone sees it. The component exists exactly while an attempt is open.

    `deltas` are the pieces in order. Neighbours are merged some hundred at a time, so that a long answer costs its text and not its pieces;
    `merged` says how many entries are such blocks already. `prefix` are the pieces of earlier attempts, with which this one goes on.
    `started`, `first_at` and `last_at` are the World's clock in seconds: when the model was asked, when its first piece came, and its newest;
    `longest_gap` is the longest wait between two pieces so far. `phase` is "asking" until the first piece is there. `provider` says who was asked,
    and `messages` how many messages it was sent. `resume` says what becomes of the answer when nobody takes it in any more, as after a restart
    or in a fork: "continue", "restart" or "interrupted"; None leaves that to the agent's `StreamPolicy`.
    """

    attempt: int
    deltas: list[StreamDelta] = field(default_factory=list[StreamDelta])
    merged: int = 0
    received: int = 0
    started: float = 0.0
    first_at: float | None = None
    last_at: float = 0.0
    longest_gap: float = 0.0
    prefix: list[StreamDelta] = field(default_factory=list[StreamDelta])
    phase: Literal["asking", "arriving"] = "asking"
    provider: str = ""
    messages: int = 0
    resume: str | None = None

    def add(self, deltas: Sequence[StreamDelta], now: float = 0.0, /) -> None:
        """Take the next pieces, which arrived together. What this holds afterwards follows from what it held and from these arguments alone."""
        if self.first_at is None:
            self.first_at = now
            self.phase = "arriving"
        elif now - self.last_at > self.longest_gap:
            self.longest_gap = now - self.last_at
        self.last_at = now
        self.received += len(deltas)
        self.deltas += deltas
        if len(self.deltas) - self.merged >= COMPACT_AT:
            self.deltas[self.merged :] = _merged(self.deltas[self.merged :])
            self.merged = len(self.deltas)

    def result(self) -> CompletionResult:
        """What has arrived so far, in this attempt and in those it goes on with; the usage is that of this attempt."""
        folded = Fold()
        if self.prefix:
            folded.extend(self.prefix)
        folded.extend(self.deltas)
        return folded.result(self.timing)

    def pieces(self) -> list[StreamDelta]:
        """All pieces so far as the prefix of another attempt: few, and without what the provider counted."""
        return _merged([*self.prefix, *[replace(delta, usage=None) if delta.usage is not None else delta for delta in self.deltas]])

    @property
    def told_usage(self) -> Usage | None:
        """What the provider has counted of this attempt, as far as it said so."""
        return next((delta.usage for delta in reversed(self.deltas) if delta.usage is not None), None)

    @property
    def timing(self) -> Timing:
        """How it has arrived so far; pieces that were written together count as one moment."""
        if self.first_at is None:
            return Timing()
        usage = self.deltas[-1].usage
        spread = self.last_at - self.first_at
        tokens = usage.completion_tokens if usage is not None else self.received
        return Timing(
            time_to_first_delta=self.first_at - self.started,
            duration=self.last_at - self.started,
            deltas=self.received,
            gap_max=self.longest_gap or None,
            tokens_per_second=tokens / spread if spread > 0 else None,
        )


def _merged(deltas: list[StreamDelta]) -> list[StreamDelta]:
    """Fewer deltas with the same fold; runs of plain text, nearly all there is, are joined at once."""
    result: list[StreamDelta] = []
    for is_plain, run in groupby(deltas, _is_plain_text):
        if is_plain:
            result.append(StreamDelta("".join([delta.content or "" for delta in run])))
        else:
            result += [together.delta() for together in runs(run)]
    return result


_rest = attrgetter(*[field.name for field in fields(StreamDelta) if field.name != "content"])
_NOTHING_ELSE = _rest(StreamDelta())


def _is_plain_text(delta: StreamDelta) -> bool:
    return bool(_rest(delta) == _NOTHING_ELSE)
