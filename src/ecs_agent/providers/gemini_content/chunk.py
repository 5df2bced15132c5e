"""Chunks of the Gemini protocol as they are read from bytes: many plain ones at once, any other by itself.

`PlainChunk` fits only a chunk that is nothing but new text, so that its fitting is all the checking there is, done in C for many chunks at once.
What each chunk counts is only noted: the last count is the one that matters.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

import msgspec

from ecs_agent.providers.wire.typed_json import fitting_lines
from ecs_agent.streaming.json_edge import NOT_JSON, is_list, is_object
from ecs_agent.streaming.sse import Run
from ecs_agent.types import JsonObject

NoFinish: TypeAlias = Literal["", "FINISH_REASON_UNSPECIFIED"] | None
"""What a candidate says whose answer goes on."""


class Counts(msgspec.Struct, gc=False):
    """What a chunk counts."""

    promptTokenCount: int | None = None  # noqa: N815 - the protocol's names
    candidatesTokenCount: int | None = None  # noqa: N815
    thoughtsTokenCount: int | None = None  # noqa: N815
    toolUsePromptTokenCount: int | None = None  # noqa: N815
    cachedContentTokenCount: int | None = None  # noqa: N815
    totalTokenCount: int | None = None  # noqa: N815

    @property
    def say_something(self) -> bool:
        """Whether it is a count, and not only a word on the kind of traffic."""
        return self.promptTokenCount is not None or self.candidatesTokenCount is not None or self.thoughtsTokenCount is not None


class PlainPart(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """New text and nothing else."""

    text: str
    thought: None = None
    thoughtSignature: Literal[""] | None = None  # noqa: N815


class PlainContent(msgspec.Struct, gc=False):
    """A content of one part."""

    parts: tuple[PlainPart]


class PlainCandidate(msgspec.Struct, gc=False):
    """The only candidate of its chunk."""

    content: PlainContent
    index: Literal[0] | None = 0
    finishReason: NoFinish = None  # noqa: N815
    groundingMetadata: None = None  # noqa: N815
    citationMetadata: None = None  # noqa: N815
    logprobsResult: None = None  # noqa: N815


class PlainChunk(msgspec.Struct, gc=False):
    """A chunk that holds new text and nothing else that is read here, but for what it counts."""

    candidates: tuple[PlainCandidate]
    usageMetadata: Counts | None = None  # noqa: N815
    promptFeedback: None = None  # noqa: N815
    error: None = None


_PLAIN: Final = msgspec.json.Decoder(PlainChunk)
_ANY: Final = msgspec.json.Decoder()


def plain_chunks(run: Run) -> list[PlainChunk]:
    """The chunks of a run if every one of them is new text and nothing else; none if any is more."""
    return fitting_lines(_PLAIN, run)


def value_of(data: bytes) -> Any:
    """The JSON value that an event's data is, `NOT_JSON` if it is none or one that only a patient reader takes."""
    try:
        return _ANY.decode(data)
    except (ValueError, RecursionError):
        return NOT_JSON


def candidate_of(found: Any) -> JsonObject | None:
    """The candidate that is ours, number 0, of a chunk's `candidates`."""
    candidates = [candidate for candidate in found if is_object(candidate)] if is_list(found) else []
    return next((candidate for candidate in candidates if candidate.get("index") in (0, None, "0", "")), None)


def parts_of(candidate: JsonObject) -> list[JsonObject]:
    """The parts of a candidate's content, none where it has none."""
    content = candidate.get("content")
    parts = content.get("parts") if is_object(content) else None
    return [part for part in parts if is_object(part)] if is_list(parts) else []
