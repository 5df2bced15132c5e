"""Single fields of the Messages protocol: usage and citations."""

from __future__ import annotations

from typing import Any, Final

from ecs_agent.streaming.json_edge import is_object, whole_count, without_surrogates
from ecs_agent.types import CitationPart, JsonObject, Usage

SOURCE: Final = "anthropic"
"""The wire family of what only this protocol understands."""

_COUNTS: Final = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")


class Tally:
    """What an answer has cost so far. Every count is a total, and the last one that a server told counts; they are never summed over events."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def take(self, found: Any) -> None:
        """Take the usage of an event; what is no count in it is as if it were not there."""
        if not is_object(found):
            return
        details = found.get("output_tokens_details")
        told = {name: found.get(name) for name in _COUNTS} | {"thinking_tokens": details.get("thinking_tokens") if is_object(details) else None}
        self._counts |= {name: count for name, value in told.items() if (count := whole_count(value)) is not None}

    def usage(self) -> Usage | None:
        """All of it; None when nothing was counted. What was read from the cache or written to it is part of the prompt."""
        if not any(name in self._counts for name in _COUNTS):
            return None
        prompt, completion = sum([self._counts.get(name, 0) for name in _COUNTS[:3]]), self._counts.get("output_tokens", 0)
        return Usage(
            prompt,
            completion,
            prompt + completion,
            self._counts.get("cache_read_input_tokens"),
            self._counts.get("thinking_tokens"),
            cache_write_tokens=self._counts.get("cache_creation_input_tokens"),
        )


def citation_of(found: JsonObject, start: int | None, end: int | None) -> CitationPart | None:
    """A citation of the text from `start` to `end`; None when it names neither a source nor what it says."""
    data: JsonObject = without_surrogates(found)
    url = _text(data.get("url")) or _text(data.get("source"))
    title = _text(data.get("title")) or _text(data.get("document_title"))
    quote = _text(data.get("cited_text"))
    return CitationPart(url, title, quote, start, end, data) if url or title or quote else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
