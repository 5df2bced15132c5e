"""A shortcut for the events that nearly all of a stream consists of: those that differ from one before in nothing but their text.

The bytes of an event are a beginning, the text, and an end. Where beginning and end are, byte for byte, those of an event that was decoded as new
text and nothing else, and between them stands no quote, no backslash and no control character, JSON leaves only one reading: the same event with
that text. So an event costs a search for the end of its text and a comparison, and is not decoded.

Servers that put something new into each event (a time, a nonce) are not helped by it; after some attempts it is left alone.
"""

from __future__ import annotations

import re
from typing import Final

from ecs_agent.providers.openai_chat_chunk import plain_chunks
from ecs_agent.streaming.fold import TextDeltas
from ecs_agent.streaming.sse import Run
from ecs_agent.types import StreamDelta

ATTEMPTS: Final = 4
"""So many templates are learned in vain, one after another, before it is given up."""
_ENDS_THE_TEXT: Final = re.compile(rb'["\\\x00-\x1f]')
_PROBE: Final = "a text that no other field holds"


class TextTemplate:
    """Beginning and end of a stream's plain events."""

    __slots__ = ("_attempts", "_beginning", "_end", "_field")

    def __init__(self) -> None:
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
        pieces, stop = self._pieces(blocks, len(self._field), b"\n\n" + self._field)
        return _deltas(pieces) if stop == len(blocks) else None

    def leading(self, run: Run, start: int) -> tuple[TextDeltas, int]:
        """The deltas of those events of a run, from the one at `start` on, that are known to be text, and where the next event begins."""
        if not self._end:
            return TextDeltas(), start
        pieces, stop = self._pieces(run.lines, start, b"\n")
        deltas = _deltas(pieces)
        return (deltas, min(stop + 1, len(run.lines))) if pieces and deltas is not None else (TextDeltas(), start)

    def _pieces(self, text: bytes, at: int, between: bytes) -> tuple[list[bytes], int]:
        """What stands between beginnings and ends, and where the last of these events ends. Only the texts themselves are searched."""
        beginning, end = self._beginning, self._end
        joint = end + between + beginning
        pieces: list[bytes] = []
        stop = at
        if not text.startswith(beginning, at):
            return pieces, stop
        at += len(beginning)
        while (quote := text.find(b'"', at)) >= 0:
            if text.startswith(joint, quote):
                pieces.append(text[at:quote])
                stop = quote + len(end)
                at = quote + len(joint)
                continue
            after = quote + len(end)
            if text.startswith(end, quote) and (after == len(text) or text.startswith(between, after)):
                pieces.append(text[at:quote])
                stop = after
            break
        self._attempts = ATTEMPTS if pieces else self._attempts
        return pieces, stop

    def learn(self, run: Run, text: str) -> None:
        """Take the last event of a run as the template; it was decoded as plain, and `text` is its text."""
        if not self._attempts or not text:
            return
        self._attempts -= 1
        line = run.lines[run.lines.rfind(b"\n") + 1 :]
        found = re.search(rb'"content"\s*:\s*"(' + re.escape(text.encode()) + rb')"', line)
        if found is None:  # it was written with escapes
            return
        beginning, end = line[: found.start(1)], line[found.end(1) :]
        probe = plain_chunks(Run(beginning + _PROBE.encode() + end, 1))
        if probe and probe[0].choices[0].delta.content == _PROBE:  # else that was the content of something else
            self._field, self._beginning, self._end = run.field, beginning, end
        if not self._attempts:
            self._end = b""


def _deltas(pieces: list[bytes]) -> TextDeltas | None:
    """The pieces as deltas, None if any is more than plain characters."""
    if _ENDS_THE_TEXT.search(b"".join(pieces)) is not None:
        return None
    try:
        texts = b"\n".join(pieces).decode().split("\n")
    except UnicodeDecodeError:
        return None
    return TextDeltas([StreamDelta(text) for text in texts if text])
