"""Chunks of the OpenAI chat protocol as they are read from bytes: typed where the protocol is kept, leniently where a server is not.

Two types read the same bytes. `PlainChunk` fits only a chunk that is nothing but new text, so that its fitting is all the checking there is,
done in C for many chunks at once. `Chunk` fits everything that has the protocol's shape; what has another shape is read by `lenient`.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

import msgspec

from ecs_agent.providers.wire.typed_json import fitting, fitting_lines
from ecs_agent.streaming.json_edge import is_list, is_object
from ecs_agent.streaming.sse import Run
from ecs_agent.types import JsonObject

Nothing: TypeAlias = Literal[""] | tuple[()] | None
"""What servers write for a field that says nothing: null, an empty text, or an empty list."""


class PlainDelta(msgspec.Struct, gc=False):
    """New text and nothing else."""

    content: str
    reasoning_content: Nothing = None
    reasoning: Nothing = None
    reasoning_details: Nothing = None
    thinking_blocks: Nothing = None
    extra_content: None = None
    encrypted_content: Nothing = None
    reasoning_opaque: Nothing = None
    refusal: Nothing = None
    annotations: Nothing = None
    images: Nothing = None
    tool_calls: Nothing = None
    function_call: None = None


class PlainChoice(msgspec.Struct, gc=False):
    """The only choice of its chunk."""

    delta: PlainDelta
    index: Literal[0] | None = 0
    finish_reason: Literal[""] | None = None
    logprobs: None = None
    usage: None = None
    error: None = None


class PlainChunk(msgspec.Struct, gc=False):
    """A chunk that holds new text and nothing else that is read here."""

    choices: tuple[PlainChoice]
    object: Literal["chat.completion.chunk"] | None = None
    usage: None = None
    x_groq: None = None
    error: None = None
    base_resp: None = None
    citations: Nothing = None
    search_results: Nothing = None


class Delta(msgspec.Struct, gc=False):
    """The fields we read; msgspec skips all others without building them. Values are Any, since servers put anything anywhere."""

    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: Any = None
    thinking_blocks: Any = None
    extra_content: Any = None
    encrypted_content: Any = None
    reasoning_opaque: Any = None
    refusal: Any = None
    annotations: Any = None
    images: Any = None
    tool_calls: Any = None
    function_call: Any = None


class Choice(msgspec.Struct, gc=False):
    """One of the answers of a chunk; only number 0 is ours."""

    index: Any = 0
    delta: Delta | None = None
    finish_reason: Any = None
    message: Delta | None = None
    logprobs: Any = None
    usage: Any = None
    error: Any = None


class Chunk(msgspec.Struct, gc=False):
    """One event of a stream, or a whole answer that was not streamed."""

    choices: list[Choice] | None = None
    object: Any = None
    usage: Any = None
    x_groq: Any = None
    error: Any = None
    base_resp: Any = None
    citations: Any = None
    search_results: Any = None


_CHUNK: Final = msgspec.json.Decoder(Chunk)
_PLAIN: Final = msgspec.json.Decoder(PlainChunk)


def plain_chunks(run: Run) -> list[PlainChunk]:
    """The chunks of a run if every one of them is new text and nothing else; none if any is more."""
    return fitting_lines(_PLAIN, run)


def chunk_of(data: bytes) -> Chunk | None:
    """The chunk that an event's data is, None if it has not the protocol's shape."""
    return fitting(_CHUNK, data)


def lenient(found: JsonObject) -> Chunk:
    """A chunk from an object of any shape: what does not fit is as if it were not there."""
    choices = found.get("choices")
    fields = {name: found.get(name) for name in Chunk.__struct_fields__}
    fields["choices"] = [_choice(choice) for choice in choices if is_object(choice)] if is_list(choices) else None
    return Chunk(**fields)


def _choice(found: JsonObject) -> Choice:
    return Choice(
        found.get("index", 0),
        _delta(found.get("delta")),
        found.get("finish_reason"),
        _delta(found.get("message")),
        found.get("logprobs"),
        found.get("usage"),
        found.get("error"),
    )


def _delta(found: Any) -> Delta | None:
    return Delta(**{name: value for name, value in found.items() if name in Delta.__struct_fields__}) if is_object(found) else None
