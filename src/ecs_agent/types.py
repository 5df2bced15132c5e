"""Pure values that every other room shares: messages and their parts, tool calls, usage, deltas, results, and the reference's events.

Values are frozen, with one exception: `StreamDelta` is made by the million, so it is a plain slots dataclass that nobody changes after
it was yielded. Nothing in this module does I/O, keeps state, or imports anything but the standard library.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NewType, TypeAlias

EntityId = NewType("EntityId", int)

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "pause"]
"""Why an answer ended. An unknown reason of a server is None with the raw word kept beside it; it is never reported as "stop"."""

JsonObject: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TextPart:
    """Text that is shown."""

    tag: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True, slots=True)
class ImagePart:
    """An image, by `url` (https or data) or by `data` with its `media_type`, never both."""

    tag: ClassVar[str] = "image"
    url: str | None = None
    data: bytes | None = None
    media_type: str = "image/png"
    detail: Literal["auto", "low", "high"] | None = None


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file: its bytes with name and media type, or the id under which a provider keeps it."""

    tag: ClassVar[str] = "file"
    data: bytes | None = None
    file_id: str | None = None
    filename: str | None = None
    media_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class AudioPart:
    """Recorded audio; `format` is the encoding's short name ("wav", "mp3")."""

    tag: ClassVar[str] = "audio"
    data: bytes
    format: str = "wav"


@dataclass(frozen=True, slots=True)
class ReasoningPart:
    """What the model thought before it answered; `opaque` is data of the provider that has to be sent back with it unchanged."""

    tag: ClassVar[str] = "reasoning"
    text: str
    opaque: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class RefusalPart:
    """The model's own words for declining to answer."""

    tag: ClassVar[str] = "refusal"
    text: str


@dataclass(frozen=True, slots=True)
class CitationPart:
    """A source that the answer names. `start` and `end` are the positions of the cited characters in the message's text, where the provider said.

    `quote` is what the source says; `data` is the provider's own record of the citation. It is not sent back.
    """

    tag: ClassVar[str] = "citation"
    url: str
    title: str = ""
    quote: str = ""
    start: int | None = None
    end: int | None = None
    data: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class OpaquePart:
    """Replay data that only its provider understands (signatures, encrypted reasoning): stored in order, sent back, never read.

    `source` names the wire family it came from ("openai-chat"); a codec of another family leaves it aside.
    """

    tag: ClassVar[str] = "opaque"
    source: str
    data: JsonObject


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool the model asked for.

    `arguments` are the parsed arguments. When their text was not a JSON object they are `{}`, `raw_arguments` holds the text and
    `arguments_error` says what is wrong with it; such a call is answered with that error and never run. `opaque` as in `ReasoningPart`.
    """

    tag: ClassVar[str] = "tool_call"
    id: str
    name: str
    arguments: JsonObject = field(default_factory=dict[str, Any])
    raw_arguments: str | None = None
    arguments_error: str | None = None
    opaque: JsonObject | None = None


Part: TypeAlias = TextPart | ImagePart | FilePart | AudioPart | ReasoningPart | RefusalPart | CitationPart | OpaquePart | ToolCall


@dataclass(frozen=True, slots=True, init=False)
class Message:
    """One entry of a conversation: a role and ordered parts.

    `Message("user", "hello")` is the simple form. `content`, `reasoning`, `refusal` and `tool_calls` are views of the parts;
    `interrupted` marks an answer that was cut or cancelled, so that it is kept and yet never taken for a whole one. A message of role
    "tool" answers the call `tool_call_id`; `is_error` says that it reports a failure.
    """

    role: Role
    parts: tuple[Part, ...]
    tool_call_id: str | None
    name: str | None
    interrupted: bool
    is_error: bool

    def __init__(
        self,
        role: Role,
        content: str | Sequence[Part] | None = None,
        tool_calls: Sequence[ToolCall] | None = None,
        tool_call_id: str | None = None,
        *,
        parts: Sequence[Part] | None = None,
        name: str | None = None,
        interrupted: bool = False,
        is_error: bool = False,
    ) -> None:
        if role not in ("system", "user", "assistant", "tool"):
            raise ValueError(f"role is {role!r}; it must be 'system', 'user', 'assistant' or 'tool'")
        if parts is None:
            parts = _parts_of(content, tool_calls)
        elif content is not None or tool_calls is not None:
            raise ValueError("give either parts, or content and tool_calls, not both")
        put = object.__setattr__
        put(self, "role", role)
        put(self, "parts", tuple(parts))
        put(self, "tool_call_id", tool_call_id)
        put(self, "name", name)
        put(self, "interrupted", interrupted)
        put(self, "is_error", is_error)

    @property
    def content(self) -> str:
        """The text parts, joined; "" when there are none."""
        return "".join([part.text for part in self.parts if type(part) is TextPart])

    @property
    def reasoning(self) -> str:
        """The reasoning parts, joined; "" when there are none."""
        return "".join([part.text for part in self.parts if type(part) is ReasoningPart])

    @property
    def refusal(self) -> str:
        """The refusal parts, joined; "" when there are none."""
        return "".join([part.text for part in self.parts if type(part) is RefusalPart])

    @property
    def citations(self) -> list[CitationPart]:
        """The sources that the answer names, in order."""
        return [part for part in self.parts if type(part) is CitationPart]

    @property
    def tool_calls(self) -> list[ToolCall] | None:
        """The calls in the order the model made them, None when it made none."""
        return [part for part in self.parts if type(part) is ToolCall] or None


def _parts_of(content: str | Sequence[Part] | None, tool_calls: Sequence[ToolCall] | None) -> tuple[Part, ...]:
    parts: tuple[Part, ...]
    if content is None or content == "":
        parts = ()
    elif isinstance(content, str):
        parts = (TextPart(content),)
    else:
        parts = tuple(content)
    return (*parts, *tool_calls) if tool_calls else parts


@dataclass(frozen=True, slots=True)
class ToolSchema:
    """What a model is told about a tool; `parameters` is a JSON schema of type object."""

    name: str
    description: str
    parameters: JsonObject


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one response as the provider reported them; `estimated` marks a count of our own.

    `cached_tokens` are part of `prompt_tokens`, `reasoning_tokens` part of `completion_tokens`; None means that the provider did not say.
    """

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    estimated: bool = False

    def __add__(self, other: Usage) -> Usage:
        """The usage of two responses together; the sum is estimated when either is."""
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.total_tokens + other.total_tokens,
            _sum_known(self.cached_tokens, other.cached_tokens),
            _sum_known(self.reasoning_tokens, other.reasoning_tokens),
            self.estimated or other.estimated,
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
    `logprobs` are those of all tokens, empty when they were not asked for.
    """

    message: Message
    usage: Usage | None = None
    finish_reason: FinishReason | None = None
    raw_finish_reason: str | None = None
    timing: Timing | None = None
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class RetryConfig:
    """When and how long `RetryProvider` waits: attempt n waits base + U(0, base), base = clamp(multiplier * 2**(n-1), min_wait, max_wait).

    The sum is capped at `max_wait`; without `jitter` it is base. A Retry-After of the server replaces it. All times in seconds;
    `max_elapsed` bounds the whole call, None means no bound. `max_attempts` counts the first one.
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
    """A message of one agent reached another's inbox."""

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
    """An agent's plan was replaced."""

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
