"""A shortcut for the events that nearly all of a stream consists of: those that differ from one before in nothing but their text.

The bytes of an event are a beginning, the text, and an end. Where beginning and end are, byte for byte, those of an event that was decoded as new
text and nothing else, and between them stands the inside of one JSON string, JSON leaves only one reading: the same event with that text. So an
event costs a search for the end of its text and a comparison, and is not decoded.

Servers that put something new into each event (a time, a nonce) are not helped by it; after some attempts it is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec

from ecs_agent.streaming.fold import TextDeltas
from ecs_agent.streaming.sse import Run
from ecs_agent.types import StreamDelta

ATTEMPTS: Final = 4
"""So many templates are learned in vain, one after another, before it is given up."""
_CONTROL: Final = re.compile(rb"[\x00-\x1f]")
_STRING: Final = msgspec.json.Decoder(str)
_PROBE: Final = "a text that no other field holds"


class TextTemplate:
    """Beginning and end of a stream's plain events.

    Args:
        text_field: finds the beginning of the text in an event, up to its opening quote.
        texts_of: the texts of a run's events if all of them are new text and nothing else; that decides whether a template is one.
    """

    __slots__ = ("_attempts", "_beginning", "_end", "_field", "_text_field", "_texts_of")

    def __init__(self, text_field: re.Pattern[bytes], texts_of: Callable[[Run], list[str]]) -> None:
        self._text_field = text_field
        self._texts_of = texts_of
        self._attempts = ATTEMPTS
        self._field = b""
        self._beginning = b""
        self._end = b""

    @property
    def is_given_up(self) -> bool:
        """Whether this server's events are never the same twice."""
        return not self._attempts and not self._end

    def texts(self, blocks: bytes) -> TextDeltas | None:
        """The deltas of whole events, given as their bytes up to the last blank line; None if they are not known to be text and nothing else."""
        if not self._end or not blocks.startswith(self._field):
            return None
        texts, stop = self._read(blocks, len(self._field), b"\n\n" + self._field)
        return texts if stop == len(blocks) else None

    def leading(self, run: Run, start: int) -> tuple[TextDeltas, int]:
        """The deltas of those events of a run, from the one at `start` on, that are known to be text, and where the next event begins."""
        if not self._end:
            return TextDeltas(), start
        texts, stop = self._read(run.lines, start, b"\n")
        return texts, min(stop + 1, len(run.lines)) if stop > start else start

    def _read(self, text: bytes, at: int, between: bytes) -> tuple[TextDeltas, int]:
        """The deltas of the events from `at` on that are known, and where the last of them ends. Only their texts are searched."""
        start, end, joint = at, self._end, self._end + between + self._beginning
        pieces: list[bytes | str] = []
        stop = at
        at += len(self._beginning)
        escape = text.find(b"\\", at)
        goes_on = text.startswith(self._beginning, start)
        while goes_on and (quote := text.find(b'"', at)) >= 0:
            after = quote + len(end)
            goes_on = text.startswith(joint, quote)
            if not goes_on and not (text.startswith(end, quote) and (after == len(text) or text.startswith(between, after))):
                break
            piece: bytes | str | None = text[at:quote]
            if 0 <= escape < quote:
                piece = _unescaped(text[at:quote])
                escape = text.find(b"\\", quote)
            if piece is None:
                break
            pieces.append(piece)
            stop = after
            at = quote + len(joint)
        texts = _deltas(pieces)
        if texts is None:  # no provider sends that, so it is not worth a second look at each event
            self._attempts, self._end = 0, b""
            return TextDeltas(), start
        self._attempts = ATTEMPTS if pieces else self._attempts
        return texts, stop

    def learn(self, run: Run, text: str) -> None:
        """Take the last event of a run as the template; it was decoded as plain, and `text` is its text."""
        if not self._attempts or not text:
            return
        self._attempts -= 1
        line = run.lines[run.lines.rfind(b"\n") + 1 :]
        quoted = text.encode() + b'"'
        start = next((found.end() for found in self._text_field.finditer(line) if line.startswith(quoted, found.end())), None)
        if start is None:  # it was written with escapes
            return
        beginning, end = line[:start], line[start + len(quoted) - 1 :]
        if self._texts_of(Run(beginning + _PROBE.encode() + end, 1, run.field, run.type)) == [_PROBE]:  # else it was the text of something else
            self._field, self._beginning, self._end = run.field, beginning, end
        if not self._attempts:
            self._end = b""


def _unescaped(piece: bytes) -> str | None:
    """A text that was written with escapes; None if it is not valid, as when the quote behind it is one of them."""
    try:
        return _STRING.decode(b'"%b"' % piece)
    except ValueError:
        return None


def _deltas(pieces: list[bytes | str]) -> TextDeltas | None:
    """The pieces as deltas; None if one that was written without escapes is not plain characters."""
    plain = [piece for piece in pieces if isinstance(piece, bytes)]
    if _CONTROL.search(b"".join(plain)) is not None:
        return None
    try:
        texts = b"\n".join(plain).decode().split("\n") if plain else []
    except UnicodeDecodeError:
        return None
    if len(plain) < len(pieces):
        decoded = iter(texts)
        texts = [piece if isinstance(piece, str) else next(decoded) for piece in pieces]
    return TextDeltas([StreamDelta(text) for text in texts if text])
