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

ATTEMPTS: Final = 16
"""So many templates are learned in vain, one after another, before it is given up."""
_ENDS_THE_TEXT: Final = re.compile(rb'["\\\x00-\x1f]')
_PROBE: Final = "a text that no other field holds"


class TextTemplate:
    """Beginning and end of a stream's plain events."""

    __slots__ = ("_attempts", "_beginning", "_end", "_joint")

    def __init__(self) -> None:
        self._attempts = ATTEMPTS
        self._beginning = b""
        self._end = b""
        self._joint = b""

    def texts(self, blocks: bytes) -> TextDeltas | None:
        """The deltas of whole events, given as their bytes up to the last blank line; None if they are not known to be text and nothing else."""
        pieces = self._pieces(blocks)
        if not pieces or _ENDS_THE_TEXT.search(b"".join(pieces)) is not None:
            return None
        try:
            texts = b"\n".join(pieces).decode().split("\n")
        except UnicodeDecodeError:
            return None
        self._attempts = ATTEMPTS
        return TextDeltas([StreamDelta(text) for text in texts if text])

    def _pieces(self, blocks: bytes) -> list[bytes]:
        """What stands between the beginnings and the ends, none if anything else stands anywhere. Only the texts themselves are searched."""
        end, joint = self._end, self._joint
        if not joint or not blocks.startswith(self._beginning):
            return []
        pieces: list[bytes] = []
        at, last = len(self._beginning), len(blocks) - len(end)
        while (quote := blocks.find(b'"', at)) >= 0:
            pieces.append(blocks[at:quote])
            if blocks.startswith(joint, quote):
                at = quote + len(joint)
            else:
                return pieces if quote == last and blocks.endswith(end) else []
        return []

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
        probe = plain_chunks(Run(beginning + _PROBE.encode() + end, 1, run.field))
        if probe and probe[0].choices[0].delta.content == _PROBE:  # else that was the content of something else
            self._beginning, self._end = run.field + beginning, end
            self._joint = end + b"\n\n" + self._beginning
        if not self._attempts:
            self._joint = b""
