"""Keys in an answer, covered with asterisks of the same length, so that its pieces stay what they were.

An answer comes in pieces, and a key that a model repeats is cut anywhere. So the pieces are looked at together, after the end. Only what is a key
beyond doubt is covered, since a replay is to be the answer as it was: one of the given secrets, or a known beginning of keys with a digit in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from ecs_agent.streaming.json_edge import is_list, is_object
from ecs_agent.types import JsonObject

_KEYS: Final = r"\b(?:sk|pk|gsk|xai)[-_](?=[A-Za-z_\-]*[0-9])[A-Za-z0-9_\-]{16,}|\bAIza[A-Za-z0-9_\-]{30,}|(?<=[Bb]earer )[A-Za-z0-9._~+/=\-]{16,}"
_TEXTS: Final = ("content", "reasoning", "refusal")


class Mask:
    """Covers keys.

    Args:
        secrets: what is secret beside what looks like a key.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        words = [re.escape(secret) for secret in sorted(secrets, key=len, reverse=True) if secret]
        self._keys = re.compile("|".join([*words, _KEYS]))

    def text(self, text: str) -> str:
        """The text, as long as it was."""
        return self._keys.sub(lambda found: "*" * len(found[0]), text)

    def texts(self, pieces: Sequence[str]) -> Sequence[str]:
        """Texts that belong together, each as long as it was."""
        whole = "".join(pieces)
        covered = self.text(whole)
        if covered == whole:
            return pieces
        return list(_cut(covered, map(len, pieces)))

    def chunks(self, body: Sequence[bytes]) -> Sequence[bytes]:
        """The pieces of a body, each as long as it was."""
        return [text.encode("latin-1") for text in self.texts([piece.decode("latin-1") for piece in body])]

    def value(self, data: Any) -> Any:
        """All texts in data."""
        if isinstance(data, str):
            return self.text(data)
        if is_list(data):
            return [self.value(item) for item in data]
        return {name: self.value(item) for name, item in data.items()} if is_object(data) else data

    def deltas(self, reads: Sequence[list[JsonObject]]) -> None:
        """The texts in the data of an answer's deltas, changed in place."""
        places: dict[object, list[tuple[JsonObject, str]]] = {}
        for delta in [delta for read in reads for delta in read]:
            for kind, holder, name in _places(delta):
                places.setdefault(kind, []).append((holder, name))
            for name in ("tool_calls", "parts"):
                if name in delta:
                    delta[name] = self.value(delta[name])
        for found in places.values():
            texts = [holder[name] for holder, name in found]
            for (holder, name), text in zip(found, self.texts(texts), strict=True):
                holder[name] = text


def _places(delta: JsonObject) -> Iterator[tuple[object, JsonObject, str]]:
    """Where in a delta's data a text stands, and with which others it belongs."""
    if "text" in delta:
        yield "content", delta, "text"
    for name in _TEXTS:
        if delta.get(name):
            yield name, delta, name
    for fragment in delta.get("tool_fragments", ()):
        if fragment.get("arguments"):
            yield fragment["index"], fragment, "arguments"


def _cut(text: str, lengths: Iterable[int]) -> Iterator[str]:
    at = 0
    for length in lengths:
        yield text[at : at + length]
        at += length
