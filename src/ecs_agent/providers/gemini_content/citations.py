"""The sources of an answer in the Gemini protocol, and where in its text they are cited.

The protocol counts bytes of UTF-8 (https://ai.google.dev/api/generate-content#Segment), and from the beginning of a part whose borders a stream
does not keep. So a place is believed where the text there is what the server says it is; else that text is looked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeGuard

from ecs_agent.providers.gemini_content.fields import text_of
from ecs_agent.streaming.json_edge import is_list, is_object, without_surrogates
from ecs_agent.types import CitationPart, JsonObject

Place = tuple[int | None, int | None]
_NOWHERE: Final[Place] = (None, None)


class Sources:
    """Takes what chunks say of sources, and tells at the end what it is."""

    def __init__(self) -> None:
        self._grounding: list[JsonObject] = []
        self._cited: list[JsonObject] = []

    def add(self, candidate: JsonObject) -> None:
        """Take a candidate's sources."""
        grounding, cited = candidate.get("groundingMetadata"), candidate.get("citationMetadata")
        if is_object(grounding):
            self._grounding.append(grounding)
        if is_object(cited):
            self._cited += [entry for name in ("citationSources", "citations") for entry in _objects(cited.get(name))]

    def parts(self, text: str) -> tuple[CitationPart, ...]:
        """All of them, each once, for an answer with this text."""
        places = _Places(text)
        made = [part for metadata in self._grounding for part in _grounded(metadata, places)]
        made += [_citation(entry, places) for entry in self._cited if text_of(entry.get("uri"))]
        known: set[tuple[object, ...]] = set()
        parts: list[CitationPart] = []
        for part in made:
            said = (part.url, part.title, part.quote, part.start, part.end)
            if said not in known:
                known.add(said)
                parts.append(part)
        return tuple(parts)


class _Places:
    """Finds places in a text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._bytes = text.encode()

    def of(self, record: JsonObject, said: str = "") -> Place:
        """The characters that a record with `startIndex` and `endIndex` means; nothing where they are not in this text, or not what was said."""
        start, end = record.get("startIndex", 0), record.get("endIndex")
        if _is_place(start) and _is_place(end) and start < end <= len(self._bytes):
            place = (self._character(start), self._character(end))
            if not said or self._text[place[0] : place[1]] == said:
                return place
        at = self._text.find(said)
        return (at, at + len(said)) if said and at >= 0 and at == self._text.rfind(said) else _NOWHERE

    def _character(self, offset: int) -> int:
        return len(self._bytes[:offset].decode("utf-8", "ignore"))


def _grounded(metadata: JsonObject, places: _Places) -> Iterator[CitationPart]:
    chunks = metadata.get("groundingChunks")
    chunks = chunks if is_list(chunks) else []
    supported: set[int] = set()
    for support in _objects(metadata.get("groundingSupports")):
        segment, indices = support.get("segment"), support.get("groundingChunkIndices")
        place = places.of(segment, text_of(segment.get("text"))) if is_object(segment) else _NOWHERE
        for index in indices if is_list(indices) else ():
            if _is_place(index) and index < len(chunks):
                supported.add(index)
                yield from _source(chunks[index], place, support)
    for index, chunk in enumerate(chunks):
        if index not in supported:
            yield from _source(chunk, _NOWHERE, None)


def _source(chunk: Any, place: Place, support: JsonObject | None) -> Iterator[CitationPart]:
    """The citation of a chunk (a page, a document, a place on a map), if it says where it is from."""
    for source in chunk.values() if is_object(chunk) else ():
        if is_object(source):
            names = ("uri", "documentName", "fileSearchStore")
            url = next((found for name in names if (found := text_of(source.get(name)))), "")
            record = {"groundingChunk": chunk} if support is None else {"groundingChunk": chunk, "groundingSupport": support}
            if url:
                yield CitationPart(url, text_of(source.get("title")), text_of(source.get("text")), *place, without_surrogates(record))


def _citation(entry: JsonObject, places: _Places) -> CitationPart:
    return CitationPart(text_of(entry.get("uri")), text_of(entry.get("title")), "", *places.of(entry), without_surrogates(entry))


def _objects(found: Any) -> list[JsonObject]:
    return [entry for entry in found if is_object(entry)] if is_list(found) else []


def _is_place(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
