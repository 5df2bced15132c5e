"""What comes beside the text in the OpenAI chat protocol: citations, images, and data that only its server understands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ecs_agent.providers.openai_chat_chunk import Delta
from ecs_agent.streaming.json_edge import is_list, is_object
from ecs_agent.types import CitationPart, ImagePart, JsonObject, OpaquePart

SOURCE: Final = "openai-chat"

_JOINED: Final = ("text", "summary", "data", "thinking", "signature")
_READABLE: Final = ("text", "summary", "thinking")


class OpaqueFields:
    """Fields of a message that have to be sent back with it unchanged: `reasoning_details`, `thinking_blocks`, `extra_content`.

    The entries of the first two come in pieces, which are joined: those of the same index and type or, where there is no index, neighbours of the
    same type until one is signed.
    """

    def __init__(self) -> None:
        self._lists: dict[str, list[JsonObject]] = {}
        self._extra: JsonObject = {}

    def add(self, delta: Delta) -> str:
        """Take a delta's fields; returns the readable text in them, once where both lists have it."""
        described = self._pieces("reasoning_details", delta.reasoning_details)
        thought = self._pieces("thinking_blocks", delta.thinking_blocks)
        if is_object(delta.extra_content):
            self._extra |= delta.extra_content
        return described or thought

    def parts(self) -> tuple[OpaquePart, ...]:
        """All of it as one part, none if there was nothing."""
        data: JsonObject = {**self._lists, **({"extra_content": self._extra} if self._extra else {})}
        return (OpaquePart(SOURCE, data),) if data else ()

    def _pieces(self, field: str, found: Any) -> str:
        readable = ""
        for piece in found if is_list(found) else ():
            if is_object(piece):
                self._take(self._lists.setdefault(field, []), piece)
                readable += "".join([text for name in _READABLE if isinstance(text := piece.get(name), str)])
        return readable

    def _take(self, entries: list[JsonObject], piece: JsonObject) -> None:
        entry = next((known for known in reversed(entries) if _continues(known, piece)), None)
        if entry is None:
            entries.append(dict(piece))
            return
        for name, value in piece.items():
            if name in _JOINED and isinstance(value, str) and isinstance(entry.get(name), str):
                entry[name] += value
            elif value is not None or name not in entry:
                entry[name] = value


def _continues(entry: JsonObject, piece: JsonObject) -> bool:
    if entry.get("type") != piece.get("type"):
        return False
    index = piece.get("index")
    if isinstance(index, int):
        return bool(entry.get("index") == index)
    return "index" not in entry and not entry.get("signature") and "data" not in entry


class Citations:
    """The sources of an answer: annotations that come with the text, and lists that come with every chunk and of which the last counts."""

    def __init__(self) -> None:
        self._annotated: list[CitationPart] = []
        self._listed: list[CitationPart] = []

    def annotated(self, found: Any) -> list[CitationPart]:
        """The new ones among a delta's annotations."""
        new = [part for part in _citations(found) if part not in self._annotated]
        self._annotated += new
        return new

    def listed(self, citations: Any, search_results: Any) -> None:
        """Take the lists of a chunk; the one that says more about its sources is used."""
        self._listed = list(_citations(search_results)) or list(_citations(citations)) or self._listed

    def rest(self) -> list[CitationPart]:
        """What the lists name beyond the annotations."""
        known = {part.url for part in self._annotated}
        return [part for part in self._listed if part.url not in known]


def _citations(found: Any) -> Iterator[CitationPart]:
    for entry in found if is_list(found) else ():
        fields = {"url": entry} if isinstance(entry, str) else entry
        if is_object(fields):
            named = fields.get("url_citation")
            cited = named if is_object(named) else fields
            if isinstance(url := cited.get("url"), str) and url:
                yield CitationPart(
                    url,
                    _text(cited.get("title")),
                    _text(cited.get("content")) or _text(cited.get("snippet")),
                    _position(cited.get("start_index")),
                    _position(cited.get("end_index")),
                    fields,
                )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _position(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def images_of(found: Any) -> list[ImagePart]:
    """Images that the model made."""
    urls = [entry.get("image_url") for entry in (found if is_list(found) else ()) if is_object(entry)]
    return [ImagePart(url=address) for url in urls if isinstance(address := url.get("url") if is_object(url) else url, str) and address]
