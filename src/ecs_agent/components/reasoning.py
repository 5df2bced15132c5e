"""What makes an entity an agent, and where it stands while it thinks."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby

from ecs_agent.providers.protocol import ModelOptions, ProviderLike
from ecs_agent.streaming.fold import fold, merge
from ecs_agent.types import CompletionResult, StreamDelta, Usage


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
class LimitsComponent:
    """What one run may cost. An agent without this component has the defaults.

    `turns` and `tokens` count from the last input on; `tool_calls` are those of one turn, the rest of them are answered with an error.
    """

    turns: int = 50
    tool_calls: int = 32
    tokens: int = 1_000_000


@dataclass(slots=True)
class TurnComponent:
    """Where an agent stands: the number of its run, of the turn in the run, of the attempt in the turn, and the run's usage so far."""

    run: int = 0
    turn: int = 0
    attempt: int = 0
    usage: Usage | None = None


COMPACT_AT = 512
"""So many deltas are merged at a time."""


@dataclass(slots=True)
class StreamStateComponent:
    """An answer that is still arriving. Each delta stands here before anyone sees it.

    `deltas` are the pieces in order. Neighbours are merged some hundred at a time, so that a long answer costs its text and not its pieces;
    `merged` says how many entries are such blocks already. The component exists exactly while an attempt is open.
    """

    attempt: int
    deltas: list[StreamDelta] = field(default_factory=list[StreamDelta])
    merged: int = 0

    def add(self, delta: StreamDelta) -> None:
        """Take the next piece."""
        self.deltas.append(delta)
        if len(self.deltas) - self.merged >= COMPACT_AT:
            self.deltas[self.merged :] = _merged(self.deltas[self.merged :])
            self.merged = len(self.deltas)

    def result(self) -> CompletionResult:
        """What has arrived so far."""
        return fold(self.deltas)


def _merged(deltas: list[StreamDelta]) -> list[StreamDelta]:
    """Fewer deltas with the same fold; runs of plain text, nearly all there is, are joined at once."""
    result: list[StreamDelta] = []
    for is_plain, run in groupby(deltas, _is_plain_text):
        if is_plain:
            result.append(StreamDelta("".join([delta.content or "" for delta in run])))
            continue
        for delta in run:
            together = merge(result[-1], delta) if result else None
            if together is None:
                result.append(delta)
            else:
                result[-1] = together
    return result


def _is_plain_text(delta: StreamDelta) -> bool:
    return delta == StreamDelta(delta.content)
