"""Messages and deltas as hypothesis draws them: everything their types allow."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from ecs_agent.types import (
    AudioPart,
    CitationPart,
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    StreamDelta,
    TextPart,
    TokenLogprob,
    ToolCall,
    ToolCallFragment,
    Usage,
)

texts = st.text(st.characters(), max_size=12) | st.sampled_from(["", "$tuple", "$$", "\ud83d", "\ud83d\ude00", "\x00", "naïve 漢字 🙂"])
words = st.sampled_from(["a", "$a", "$$a", "$tuple", "$any", "text", "tag", ""])
whole = st.integers() | st.sampled_from([2**63, -(2**63) - 1, 10**40])
numbers = st.floats(allow_nan=False) | whole
counts = st.integers(0, 10**6)


def json_values(leaf: st.SearchStrategy[Any] | None = None) -> st.SearchStrategy[Any]:
    """Whatever JSON can say, and the plain values of Python that it cannot."""
    leaves = st.none() | st.booleans() | numbers | texts | st.binary(max_size=4) if leaf is None else leaf
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(words | texts, inner, max_size=3)
            | st.lists(inner, max_size=2).map(tuple)
            | st.dictionaries(st.integers() | st.tuples(st.integers(), texts), inner, max_size=2)
            | st.sets(whole | texts, max_size=3)
            | st.frozensets(whole, max_size=3)
        ),
        max_leaves=8,
    )


TAGS = [
    "tuple",
    "set",
    "frozenset",
    "bytes",
    "bytearray",
    "deque",
    "dict",
    "int",
    "float",
    "any",
    "of",
    "value",
    "absent",
    "withheld",
    "datetime",
    "Path",
]
hostile: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(words | texts | st.sampled_from(TAGS).map("$".__add__), inner, max_size=2)
        | st.tuples(st.sampled_from(TAGS), inner).map(lambda pair: {f"${pair[0]}": pair[1]})
    ),
    max_leaves=6,
)
"""Data as a file may hold it that somebody else wrote."""

objects = st.dictionaries(words | texts, json_values(), max_size=3)
some_text = st.none() | texts
calls = st.builds(ToolCall, texts, texts, objects, some_text, some_text, st.none() | objects)
parts: st.SearchStrategy[Part] = st.one_of(
    st.builds(TextPart, texts),
    st.builds(ImagePart, some_text, st.none() | st.binary(max_size=4), texts, st.sampled_from([None, "auto", "low", "high"])),
    st.builds(FilePart, st.none() | st.binary(max_size=4), some_text, some_text, texts),
    st.builds(AudioPart, st.binary(max_size=4), texts),
    st.builds(ReasoningPart, texts, st.none() | objects),
    st.builds(RefusalPart, texts),
    st.builds(CitationPart, texts, texts, texts, st.none() | whole, st.none() | whole, st.none() | objects),
    st.builds(OpaquePart, texts, objects),
    calls,
)
messages = st.builds(
    Message,
    st.sampled_from(["system", "user", "assistant", "tool"]),
    parts=st.lists(parts, max_size=4),
    tool_call_id=some_text,
    name=some_text,
    interrupted=st.booleans(),
    is_error=st.booleans(),
) | st.builds(Message, st.sampled_from(["user", "assistant"]), texts)

usages = st.builds(Usage, counts, counts, counts, st.none() | counts, st.none() | counts, st.booleans())
likely = st.builds(TokenLogprob, texts, numbers).map(lambda one: (one,)) | st.just(())
logprobs = st.builds(TokenLogprob, texts, numbers | st.just(float("-inf")), st.none() | st.binary(max_size=3), likely)
fragments = st.builds(ToolCallFragment, st.integers(0, 3), some_text, some_text, texts, st.none() | objects)
plain_deltas = st.builds(StreamDelta, texts)
deltas = st.builds(
    StreamDelta,
    some_text,
    st.none() | st.lists(calls, max_size=2) | st.lists(calls, max_size=2).map(tuple),
    st.sampled_from([None, "stop", "length", "tool_calls", "content_filter", "pause"]),
    st.none() | usages,
    some_text,
    some_text,
    st.lists(fragments, max_size=2).map(tuple),
    st.lists(parts, max_size=2).map(tuple),
    some_text,
    st.booleans(),
    st.lists(logprobs, max_size=2).map(tuple),
)
