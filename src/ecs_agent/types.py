"""Pure values that every other room shares: messages and their parts, tool calls, usage, deltas, results, and the reference's events.

Values are frozen, with one exception: `StreamDelta` is made by the million, so it is a plain slots dataclass that nobody changes after
it was yielded. Nothing here does I/O, keeps state, or imports anything but the standard library.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NewType, TypeAlias

from ecs_agent.message import (
    AudioPart,
    CitationPart,
    FilePart,
    ImagePart,
    JsonObject,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCall,
)

__all__ = [
    "AudioPart",
    "CitationPart",
    "CompletionResult",
    "ConversationTruncatedEvent",
    "EntityId",
    "ErrorOccurredEvent",
    "FilePart",
    "FinishReason",
    "ImagePart",
    "JsonObject",
    "Message",
    "MessageDeliveredEvent",
    "OpaquePart",
    "Part",
    "PlanRevisedEvent",
    "PlanStepCompletedEvent",
    "ReasoningPart",
    "RefusalPart",
    "RetryConfig",
    "Role",
    "StreamDelta",
    "StreamDeltaEvent",
    "StreamEndEvent",
    "StreamStartEvent",
    "TextPart",
    "Timing",
    "TokenLogprob",
    "ToolCall",
    "ToolCallFragment",
    "ToolSchema",
    "Usage",
    "UserInputReceivedEvent",
    "UserInputRequestedEvent",
]

EntityId = NewType("EntityId", int)

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "pause"]
"""Why an answer ended. An unknown reason of a server is None with the raw word kept beside it; it is never reported as "stop"."""


@dataclass(frozen=True, slots=True)
class ToolSchema:
    """What a model is told about a tool; `parameters` is a JSON schema of type object."""

    name: str
    description: str
    parameters: JsonObject


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one response as the provider reported them; `estimated` marks a count of our own.

    `cached_tokens`, read from a cache, and `cache_write_tokens`, written to one, are part of `prompt_tokens`, `reasoning_tokens` part of
    `completion_tokens`; None means that the provider did not say.
    """

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    estimated: bool = False
    cache_write_tokens: int | None = None

    def __add__(self, other: Usage) -> Usage:
        """The usage of two responses together; the sum is estimated when either is."""
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.total_tokens + other.total_tokens,
            _sum_known(self.cached_tokens, other.cached_tokens),
            _sum_known(self.reasoning_tokens, other.reasoning_tokens),
            self.estimated or other.estimated,
            _sum_known(self.cache_write_tokens, other.cache_write_tokens),
        )


def _sum_known(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else a + b


@dataclass(frozen=True, slots=True)
class ToolCallFragment:
    """A new piece of a call: `index` is its position among the calls of this answer; `id` and `name` stand on its first fragment."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    opaque: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """How probable the model found a token: the natural logarithm, with the same of the likeliest tokens at its place, if they were asked for.

    `utf8` are the token's bytes, where the provider told them: a token may be less than a character.
    """

    token: str
    logprob: float
    utf8: bytes | None = None
    top: tuple[TokenLogprob, ...] = ()


@dataclass(slots=True)
class StreamDelta:
    """A piece of an answer that is still arriving. Never changed after it was yielded.

    `content`, `reasoning` and `refusal` are new text. `tool_calls` is cumulative: every call so far, with the arguments as far as they have
    arrived, parsed only when read; `tool_fragments` holds just the new pieces. `parts` are whole parts that came at once (citations, opaque
    data). `logprobs` are those of this delta's tokens, if they were asked for. Exactly one delta, the last, has `final` set: it carries the
    finish reason, the usage if the server told it, and the complete calls.
    """

    content: str | None = None
    tool_calls: Sequence[ToolCall] | None = None
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_fragments: tuple[ToolCallFragment, ...] = ()
    parts: tuple[Part, ...] = ()
    raw_finish_reason: str | None = None
    final: bool = False
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Timing:
    """How a stream arrived, in seconds from the sending of the request; None where it has not happened (yet).

    The gaps are those between deltas that arrived at different times. `tokens_per_second` counts from the first delta to the last, by the
    provider's completion tokens when known, else by the number of deltas.
    """

    time_to_first_delta: float | None = None
    duration: float | None = None
    deltas: int = 0
    gap_p50: float | None = None
    gap_p99: float | None = None
    gap_max: float | None = None
    tokens_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class CompletionResult:
    """A whole answer, or the part of it that has arrived (then `message.interrupted` is set).

    `finish_reason` is None when it is unknown; `raw_finish_reason` is the server's own word. `usage` is None when the provider did not say.
    `logprobs` are those of all tokens, empty when they were not asked for. `parsed` is the instance of the pydantic class that was given as
    `response_format`, None when none was; it is derived from the text, so recordings and stores do not keep it.
    """

    message: Message
    usage: Usage | None = None
    finish_reason: FinishReason | None = None
    raw_finish_reason: str | None = None
    timing: Timing | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    parsed: object | None = field(default=None, metadata={"derived": True})


@dataclass(frozen=True, slots=True)
class RetryConfig:
    """When and how long `RetryProvider` waits, and a provider of embeddings that is given one.

    Attempt n waits base + U(0, base), base = clamp(multiplier * 2**(n-1), min_wait, max_wait). The sum is capped at `max_wait`; without `jitter` it
    is base. A Retry-After of the server replaces it. All times are seconds. `max_attempts` counts the first one. No attempt begins later than
    `max_elapsed` after the first, None means no bound; how long an attempt itself may take, its provider's limits say.
    """

    max_attempts: int = 3
    multiplier: float = 1.0
    min_wait: float = 4.0
    max_wait: float = 60.0
    retry_status_codes: tuple[int, ...] = (429, 500, 502, 503, 504)
    max_elapsed: float | None = 300.0
    jitter: bool = True

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError(f"max_attempts is {self.max_attempts}; it counts the first attempt, so it must be at least 1")
        if not 0 <= self.min_wait <= self.max_wait:
            raise ValueError(f"need 0 <= min_wait <= max_wait, got {self.min_wait} and {self.max_wait}")
        if not self.multiplier >= 0:
            raise ValueError(f"multiplier is {self.multiplier}; give 0 or more")
        if self.max_elapsed is not None and not self.max_elapsed >= 0:
            raise ValueError(f"max_elapsed is {self.max_elapsed}; give seconds from 0 on, or None for no bound")


# The reference's events. Newer ones stand beside the system that emits them.


@dataclass(frozen=True, slots=True)
class ConversationTruncatedEvent:
    """Old messages were removed from a conversation."""

    entity_id: EntityId
    removed_count: int


@dataclass(frozen=True, slots=True)
class ErrorOccurredEvent:
    """A system failed on an entity; `error` is the sentence for people."""

    entity_id: EntityId
    error: str
    system_name: str


@dataclass(frozen=True, slots=True)
class MessageDeliveredEvent:
    """A message of one agent stands in another's conversation; `message` is what was sent."""

    from_entity: EntityId
    to_entity: EntityId
    message: Message


@dataclass(frozen=True, slots=True)
class PlanStepCompletedEvent:
    """A step of an agent's plan is done."""

    entity_id: EntityId
    step_index: int
    step_description: str


@dataclass(frozen=True, slots=True)
class PlanRevisedEvent:
    """The steps of an agent's plan that were left were replaced by others."""

    entity_id: EntityId
    old_steps: list[str]
    new_steps: list[str]


@dataclass(frozen=True, slots=True)
class StreamStartEvent:
    """A provider accepted the request; deltas follow."""

    entity_id: EntityId


@dataclass(frozen=True, slots=True)
class StreamDeltaEvent:
    """A piece of an agent's answer was stored."""

    entity_id: EntityId
    delta: StreamDelta


@dataclass(frozen=True, slots=True)
class StreamEndEvent:
    """An agent's answer is complete and stands in its conversation."""

    entity_id: EntityId
    result: CompletionResult


@dataclass(frozen=True, slots=True)
class UserInputRequestedEvent:
    """An agent waits for a person to answer `prompt`."""

    entity_id: EntityId
    prompt: str


@dataclass(frozen=True, slots=True)
class UserInputReceivedEvent:
    """A person answered."""

    entity_id: EntityId
    text: str
