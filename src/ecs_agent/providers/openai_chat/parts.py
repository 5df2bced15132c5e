"""What comes beside the text in the OpenAI chat protocol: citations, images, and data that only its server understands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ecs_agent.providers.openai_chat.chunk import Delta
from ecs_agent.providers.openai_chat.fields import THOUGHTS
from ecs_agent.streaming.json_edge import is_list, is_object, without_surrogates
from ecs_agent.streaming.text_buffer import TextBuffer
from ecs_agent.types import CitationPart, ImagePart, JsonObject, OpaquePart

SOURCE: Final = "openai-chat"
CONTENT_PARTS: Final = "content_parts"
"""Under this name of an `OpaquePart` stand parts that belong into the message's content, before its text."""

_JOINED: Final = ("text", "summary", "data", "thinking", "signature")
_READABLE: Final = ("text", "summary", "thinking")
_TEXT_ONLY: Final = ("type", *_READABLE)


def holds_opaque(delta: Delta) -> bool:
    """Whether a delta may hold anything for `OpaqueFields`."""
    fields = (delta.reasoning_details, delta.thinking_blocks, delta.extra_content, delta.encrypted_content, delta.reasoning_opaque)
    return any(fields) or is_list(delta.content)


class OpaqueFields:
    """Fields of a message that have to be sent back with it unchanged.

    They are `reasoning_details`, `thinking_blocks`, `extra_content`, `encrypted_content`, `reasoning_opaque`, and thoughts among the parts of the
    content that hold more than text.
    """

    def __init__(self) -> None:
        self._lists = {"reasoning_details": _Entries(), "thinking_blocks": _Entries(), CONTENT_PARTS: _Entries()}
        self._texts = {"encrypted_content": TextBuffer(), "reasoning_opaque": TextBuffer()}
        self._extra: JsonObject = {}

    def add(self, delta: Delta) -> str:
        """Take a delta's fields; returns the readable text in them, once where two lists have it."""
        described = self._lists["reasoning_details"].add(delta.reasoning_details)
        thought = self._lists["thinking_blocks"].add(delta.thinking_blocks)
        if is_list(delta.content):
            self._lists[CONTENT_PARTS].add([part for part in delta.content if is_object(part) and str(part.get("type")) in THOUGHTS])
        for name, value in (("encrypted_content", delta.encrypted_content), ("reasoning_opaque", delta.reasoning_opaque)):
            if isinstance(value, str):
                self._texts[name].append(value)
        if is_object(delta.extra_content):
            self._extra |= delta.extra_content
        return described or thought

    def parts(self) -> tuple[OpaquePart, ...]:
        """All of it as one part, none if there was nothing."""
        kept = {name: entries for name, entries in self._lists.items() if name != CONTENT_PARTS or entries.tell_more_than_text}
        data: JsonObject = {name: whole for name, entries in kept.items() if (whole := entries.whole())}
        data |= {name: str(text) for name, text in self._texts.items() if text}
        if self._extra:
            data["extra_content"] = self._extra
        return (OpaquePart(SOURCE, without_surrogates(data)),) if data else ()


class _Entries:
    """Entries that come in pieces: pieces of one type and index belong together or, without an index, neighbours of one type until one is signed."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._indexed: dict[tuple[str, int], _Entry] = {}

    def add(self, found: Any) -> str:
        """Take the next pieces; returns the readable text in them."""
        readable = ""
        for piece in found if is_list(found) else ():
            if is_object(piece):
                self._of(piece).take(piece)
                readable += "".join([text for name in _READABLE if isinstance(text := piece.get(name), str)])
        return readable

    @property
    def tell_more_than_text(self) -> bool:
        """Whether any of them holds more than a type and readable text."""
        return any(entry.tells_more_than_text for entry in self._entries)

    def whole(self) -> list[JsonObject]:
        """The entries as far as they have come."""
        return [entry.whole() for entry in self._entries]

    def _of(self, piece: JsonObject) -> _Entry:
        kind, index = str(piece.get("type")), piece.get("index")
        if isinstance(index, int):
            entry = self._indexed.get((kind, index))
        else:
            entry = self._entries[-1] if self._entries and not self._entries[-1].is_closed else None
        if entry is None or not entry.goes_on_with(piece):
            entry = _Entry(kind)
            self._entries.append(entry)
            if isinstance(index, int):
                self._indexed[kind, index] = entry
        return entry


class _Entry:
    """One entry: texts are joined, lists of pieces likewise, of everything else the last value counts."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._fields: JsonObject = {}
        self._texts: dict[str, TextBuffer] = {}
        self._lists: dict[str, _Entries] = {}

    @property
    def tells_more_than_text(self) -> bool:
        """Whether it holds anything beside its type and readable text."""
        beside = any(self._fields.get(name) is not None for name in self._fields if name not in _TEXT_ONLY)
        return beside or any(name not in _TEXT_ONLY for name in self._texts) or any(entries.tell_more_than_text for entries in self._lists.values())

    @property
    def is_closed(self) -> bool:
        """Whether no piece without an index can belong to it any more."""
        return "index" in self._fields or "data" in self._texts or "signature" in self._texts

    def goes_on_with(self, piece: JsonObject) -> bool:
        """Whether a piece may belong to it: it is of the same type, and has no other id."""
        mine, its = self._fields.get("id"), piece.get("id")
        return self._kind == str(piece.get("type")) and (not mine or not its or mine == its)

    def take(self, piece: JsonObject) -> None:
        """Take the next piece."""
        for name, value in piece.items():
            if name in _JOINED and isinstance(value, str):
                self._texts.setdefault(name, TextBuffer()).append(value)
                self._fields.setdefault(name)
            elif is_list(value) and any(is_object(item) for item in value):
                self._lists.setdefault(name, _Entries()).add(value)
                self._fields.setdefault(name)
            elif value is not None or name not in self._fields:
                self._fields[name] = value

    def whole(self) -> JsonObject:
        """The entry as far as it has come."""
        texts = {name: str(text) for name, text in self._texts.items()}
        return self._fields | texts | {name: entries.whole() for name, entries in self._lists.items()}


class Citations:
    """The sources of an answer: annotations that come with the text, and lists that come with every chunk and of which the last counts."""

    def __init__(self) -> None:
        self._annotated: set[tuple[str, str, str, int | None, int | None]] = set()
        self._listed: list[CitationPart] = []

    def annotated(self, found: Any) -> list[CitationPart]:
        """The new ones among a delta's annotations."""
        new: list[CitationPart] = []
        for part in _citations(found):
            said = (part.url, part.title, part.quote, part.start, part.end)
            if said not in self._annotated:
                self._annotated.add(said)
                new.append(part)
        return new

    def listed(self, citations: Any, search_results: Any) -> None:
        """Take the lists of a chunk; the one that says more about its sources is used."""
        self._listed = list(_citations(search_results)) or list(_citations(citations)) or self._listed

    def rest(self) -> list[CitationPart]:
        """What the lists name beyond the annotations."""
        known = {url for url, *_ in self._annotated}
        return [part for part in self._listed if part.url not in known]


def _citations(found: Any) -> Iterator[CitationPart]:
    for entry in without_surrogates(found) if is_list(found) else ():
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
    urls = [entry.get("image_url") for entry in (without_surrogates(found) if is_list(found) else ()) if is_object(entry)]
    return [ImagePart(url=address) for url in urls if isinstance(address := url.get("url") if is_object(url) else url, str) and address]
