"""Server-sent events from bytes, by the rules of the WHATWG HTML standard, section 9.2.6 ("Interpreting an event stream").

The rules in plain words:

- A line ends at LF, CR or CRLF and nowhere else; a CRLF may be cut between two reads. One byte order mark at the very start is skipped.
- A blank line dispatches the event, if it has data. The id stays for the events after it.
- `data`, `event`, `id` and `retry` are the fields; one space behind the colon is dropped; a line that begins with a colon is a comment.
- UTF-8 is decoded when a line is whole, so that a cut inside a character does no harm; invalid bytes become U+FFFD.

Two rules are ours. Lines and events are bounded. And an event whose blank line never came counts at the end of the body when its data is
`[DONE]` or a JSON object: real servers forget that line, and half an object cannot pass for a whole one.
"""

from __future__ import annotations

import json
from typing import Final

from msgspec import Struct

from ecs_agent.errors import MalformedResponseError

_BOM: Final = b"\xef\xbb\xbf"
_STRAY_LINES: Final = 16
_STRAY_BYTES: Final = 64 * 1024
_RETRY_DIGITS: Final = 15


class ServerSentEvent(Struct, frozen=True, gc=False):
    """One dispatched event: its type, its data lines joined by newlines, and the last id that the stream has set.

    A struct and no dataclass, because there is one for each delta, and a frozen dataclass would cost as much as all the rest of its decoding.
    """

    event: str = "message"
    data: str = ""
    id: str = ""


class SSEDecoder:
    """Bytes in, events out; the time it takes is linear in the bytes, however they are cut.

    A line, or the data lines of one event, of more than `max_bytes` raise MalformedResponseError. Events that came before it in the same
    call are returned, and the next call raises; from then on every call does. It raises nothing else, anything else is a bug.

    Attributes:
        last_event_id: the id of the last dispatched event, "" when none was set.
        retry: the reconnection time in milliseconds that the server asked for, None when it did not.
        stray: lines that are no field, the first 16 and at most 64 KiB of them: a server that fails often writes its error so.
    """

    __slots__ = (
        "_after_cr",
        "_data",
        "_data_bytes",
        "_event",
        "_failed",
        "_id",
        "_max_bytes",
        "_start",
        "_stray_room",
        "_tail",
        "last_event_id",
        "retry",
        "stray",
    )

    def __init__(self, max_bytes: int = 32 * 1024 * 1024) -> None:
        self._max_bytes = max_bytes
        self._start: bytes | None = b""  # the first bytes, while they may still be a byte order mark
        self._after_cr = False
        self._tail = bytearray()  # the line that has no end yet
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._event = ""
        self._id = ""
        self._failed: str | None = None
        self._stray_room = _STRAY_BYTES
        self.last_event_id = ""
        self.retry: int | None = None
        self.stray: list[str] = []

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Take the next bytes of the body; the events that they complete.

        Raises:
            MalformedResponseError: a line or an event is larger than the limit.
        """
        events: list[ServerSentEvent] = []
        if self._failed is None:
            self._take(data, events)
        if self._failed is not None and not events:
            raise MalformedResponseError(self._failed)
        return events

    def flush(self) -> list[ServerSentEvent]:
        """The body has ended: the event that its last lines hold, if its data is `[DONE]` or a JSON object.

        Raises:
            MalformedResponseError: as `feed`.
        """
        events: list[ServerSentEvent] = []
        if self._failed is None:
            if self._start:
                self._tail += self._start
            self._start = None
            if self._tail:
                self._lines(bytes(self._tail), events)
                self._tail.clear()
            if self._data and _counts_unfinished(b"\n".join(self._data).decode(errors="replace")):
                self._dispatch(events)
            self._data, self._data_bytes, self._event, self._id = [], 0, "", self.last_event_id
        if self._failed is not None:
            raise MalformedResponseError(self._failed)
        return events

    def _take(self, data: bytes, events: list[ServerSentEvent]) -> None:
        if self._start is not None:
            data = self._without_bom(self._start + data)
        if self._after_cr or b"\r" in data:
            data = self._with_plain_newlines(data)
        cut = data.rfind(b"\n") + 1
        if not cut:
            self._tail += data
        elif self._tail:
            self._tail += data[:cut]
            lines = bytes(self._tail)
            self._tail = bytearray(data[cut:])
            self._whole_lines(lines, events)
        else:
            self._tail += data[cut:]
            self._whole_lines(data[:cut], events)
        if len(self._tail) > self._max_bytes:
            self._fail("a line")

    def _without_bom(self, start: bytes) -> bytes:
        if len(start) < len(_BOM) and _BOM.startswith(start):
            self._start = start
            return b""
        self._start = None
        return start.removeprefix(_BOM)

    def _with_plain_newlines(self, data: bytes) -> bytes:
        """CR and CRLF as LF; a CR at the end ends its line at once, so that an LF that begins the next bytes belongs to it."""
        if not data:
            return data
        if self._after_cr:
            data = data.removeprefix(b"\n")
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _whole_lines(self, text: bytes, events: list[ServerSentEvent]) -> None:
        """Split at blank lines first: nearly every event is one data line, and such a block needs no look at its lines."""
        whole, blank, rest = text.rpartition(b"\n\n")
        if blank:
            small = len(whole) <= self._max_bytes
            for block in whole.split(b"\n\n"):
                if small and block[:6] == b"data: " and b"\n" not in block and not self._data and not self._event:
                    self.last_event_id = self._id
                    events.append(ServerSentEvent("message", block[6:].decode("utf-8", "replace"), self._id))
                else:
                    self._lines(block, events)
                    self._dispatch(events)
                    if self._failed is not None:
                        return
        if rest:
            self._lines(rest[:-1], events)

    def _lines(self, text: bytes, events: list[ServerSentEvent]) -> None:
        for line in text.split(b"\n"):
            if self._failed is not None:
                return
            if not line:
                self._dispatch(events)
            elif len(line) > self._max_bytes:
                self._fail("a line")
            else:
                self._field(line)

    def _field(self, line: bytes) -> None:
        name, colon, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if name == b"data":
            self._data.append(value)
            self._data_bytes += len(line)
            if self._data_bytes > self._max_bytes:
                self._fail("an event")
        elif name == b"event":
            self._event = value.decode(errors="replace")
        elif name == b"id":
            if b"\0" not in value:
                self._id = value.decode(errors="replace")
        elif name == b"retry":
            # More digits than a machine's integer are as good as none, and Python refuses to read thousands of them.
            if value.isdigit() and len(value) <= _RETRY_DIGITS:
                self.retry = int(value)
        elif name or not colon:
            self._keep_stray(line)

    def _keep_stray(self, line: bytes) -> None:
        if self._stray_room and len(self.stray) < _STRAY_LINES:
            line = line[: self._stray_room]
            self._stray_room -= len(line)
            self.stray.append(line.decode(errors="replace"))

    def _dispatch(self, events: list[ServerSentEvent]) -> None:
        self.last_event_id = self._id
        if self._data and self._failed is None:
            events.append(ServerSentEvent(self._event or "message", b"\n".join(self._data).decode(errors="replace"), self._id))
            self._data = []
            self._data_bytes = 0
        self._event = ""

    def _fail(self, what: str) -> None:
        self._tail.clear()
        self._data = []
        self._failed = f"The server sent {what} of more than {self._max_bytes} bytes; the answer was given up."


def _counts_unfinished(data: str) -> bool:
    data = data.strip()
    if data == "[DONE]":
        return True
    try:
        return data[:1] == "{" and type(json.loads(data)) is dict
    except (ValueError, RecursionError):
        return False
