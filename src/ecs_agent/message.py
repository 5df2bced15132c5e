"""A message of a conversation: a role and ordered parts. Pure values; `ecs_agent.types` is where they are imported from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal, TypeAlias

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]

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
    """What the model thought before it answered.

    `opaque` is what has to be sent back with it unchanged, by the wire family that it came from and that alone understands it ("openai-chat").
    """

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
        put(self, "parts", _checked(tuple(parts)))
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


_PARTS: Final = (TextPart, ImagePart, FilePart, AudioPart, ReasoningPart, RefusalPart, CitationPart, OpaquePart, ToolCall)


def _checked(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    for part in parts:
        given: object = part
        if not isinstance(given, _PARTS):
            raise TypeError(f"a message holds a {type(given).__name__}; give a text, or a list of parts such as [TextPart('…'), ImagePart(url='…')]")
    return parts


def _parts_of(content: str | Sequence[Part] | None, tool_calls: Sequence[ToolCall] | None) -> tuple[Part, ...]:
    parts: tuple[Part, ...]
    if content is None or content == "":
        parts = ()
    elif isinstance(content, str):
        parts = (TextPart(content),)
    else:
        given: object = content
        if not isinstance(given, Sequence):  # a dict has an order too, that of its keys
            raise TypeError(f"content is a {type(given).__name__}; give a text, or a list of parts such as [TextPart('…'), ImagePart(url='…')]")
        parts = tuple(content)
    return (*parts, *tool_calls) if tool_calls else parts
