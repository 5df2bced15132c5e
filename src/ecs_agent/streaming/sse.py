"""Server-sent events from bytes, by the rules of the WHATWG HTML standard, section 9.2.6 ("Interpreting an event stream").

The rules in plain words:

- A line ends at LF, CR or CRLF and nowhere else; a CRLF may be cut between two reads. One byte order mark at the very start is skipped.
- A blank line dispatches the event, if it has data. The id stays for the events after it.
- `data`, `event`, `id` and `retry` are the fields; one space behind the colon is dropped; a line that begins with a colon is a comment.
- UTF-8 is decoded when a line is whole, so that a cut inside a character does no harm; invalid bytes become U+FFFD.

Two rules are ours. Lines and events are bounded. And an event whose blank line never came counts at the end of the body when its data is
`[DONE]` or a JSON object: real servers forget that line, and half an object cannot pass for a whole one.

Nearly every event of a model's answer is one `data` line that holds a JSON object, perhaps behind an `event` line that names its type. Such events
are handed to codecs in *runs*, undecoded and all at once (`feed_runs`), so that a delta costs little more than its bytes; `feed` makes single
events of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Final, TypeAlias

from msgspec import Struct

from ecs_agent.errors import MalformedResponseError
from ecs_agent.streaming.fold import TextDeltas

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


class Run(Struct, frozen=True, gc=False):
    """Consecutive events of one type that are one `data` line each, with data that begins with `{` and ends with `}`, while no id is set.

    `lines` holds their data, one a line, not decoded: so a line feed in it never stands inside a JSON value. `events` is how many they are,
    `field` what stands before each one's data: the field's name as the server writes it, with the line before it if that names the type.
    """

    lines: bytes
    events: int
    field: bytes = b"data: "
    type: str = "message"

    def line_at(self, start: int) -> bytes:
        """The line that begins there."""
        end = self.lines.find(b"\n", start)
        return self.lines[start:end] if end >= 0 else self.lines[start:]


class StrayLine(Struct, frozen=True, gc=False):
    """A line that is no field of the protocol."""

    text: str


Item: TypeAlias = Run | ServerSentEvent | StrayLine | TextDeltas
"""What `feed_runs` returns, in the order of the body; deltas only if the decoder was given a way to recognise them."""


class SSEDecoder:
    """Bytes in, events out; the time it takes is linear in the bytes, however they are cut.

    A line, or the data lines of one event, of more than `max_bytes` raise MalformedResponseError. Events that came before it in the same
    call are returned, and the next call raises; from then on every call does. It raises nothing else, anything else is a bug.

    Args:
        max_bytes: how large a line, and the data of an event, may be.
        texts: recognises whole events (their bytes up to the last blank line) that are new text and nothing else, at a glance; for `feed_runs` alone.

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
        "_is_between_events",
        "_max_bytes",
        "_start",
        "_stray_room",
        "_tail",
        "_texts",
        "last_event_id",
        "retry",
        "stray",
    )

    def __init__(self, max_bytes: int = 32 * 1024 * 1024, texts: Callable[[bytes], TextDeltas | None] | None = None) -> None:
        self._max_bytes = max_bytes
        self._texts = texts
        self._start: bytes | None = b""  # the first bytes, while they may still be a byte order mark
        self._after_cr = False
        self._tail = bytearray()  # the line that has no end yet
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._event = ""
        self._id = ""
        self._failed: str | None = None
        self._is_between_events = False  # whether the next bytes begin an event about which nothing is known yet
        self._stray_room = _STRAY_BYTES
        self.last_event_id = ""
        self.retry: int | None = None
        self.stray: list[str] = []

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Take the next bytes of the body; the events that they complete.

        Raises:
            MalformedResponseError: a line or an event is larger than the limit.
        """
        return list(_events(self.feed_runs(data)))

    def flush(self) -> list[ServerSentEvent]:
        """The body has ended: the event that its last lines hold, if its data is `[DONE]` or a JSON object.

        Raises:
            MalformedResponseError: as `feed`.
        """
        return list(_events(self.flush_runs()))

    def feed_runs(self, data: bytes) -> list[Item]:
        """As `feed`, with plain events in runs, and with the stray lines where they stand.

        Raises:
            MalformedResponseError: a line or an event is larger than the limit.
        """
        if self._is_between_events and data.endswith((b"}\n\n", b"}\r\n\r\n")):
            plain = _without_crlf(data) if b"\r" in data else data
            if b"\r" not in plain and (known := self._recognised(plain[:-2])) is not None:
                return [known]
        items: list[Item] = []
        if self._failed is None:
            self._take(data, items)
            self._is_between_events = self._start is None and not self._tail and not self._after_cr and self._is_clean(b"")
        if self._failed is not None and not items:
            raise MalformedResponseError(self._failed)
        return items

    def flush_runs(self) -> list[Item]:
        """As `flush`, with the stray lines.

        Raises:
            MalformedResponseError: as `feed`.
        """
        items: list[Item] = []
        if self._failed is None:
            if self._start:
                self._tail += self._start
            self._start = None
            if self._tail:
                self._line(bytes(self._tail), items)
                self._tail.clear()
            if self._data and _counts_unfinished(b"\n".join(self._data).decode(errors="replace")):
                self._dispatch(items)
            self._data, self._data_bytes, self._event, self._id = [], 0, "", self.last_event_id
        if self._failed is not None:
            raise MalformedResponseError(self._failed)
        return items

    def _take(self, data: bytes, items: list[Item]) -> None:
        if self._start is not None:
            data = self._without_bom(self._start + data)
        if self._after_cr or b"\r" in data:
            data = self._with_plain_newlines(data)
        end = data.rfind(b"\n") + 1
        if not end:
            self._tail += data
        else:
            if self._tail:
                end += len(self._tail)
                self._tail += data
                data = bytes(self._tail)
            self._tail = bytearray(data[end:])
            self._whole_lines(data, end, items)
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
        return _without_crlf(data).replace(b"\r", b"\n")

    def _whole_lines(self, text: bytes, end: int, items: list[Item]) -> None:
        """The lines up to `end`: all whole events as one run if they allow it, else event by event; then the lines of the event that is not whole."""
        blank = text.rfind(b"\n\n", 0, end)
        if blank >= 0:
            blocks = text[:blank]
            known = self._recognised(blocks)
            if known is not None:
                items.append(known)
            else:
                self._blocks(blocks, items)
        begun = blank + 2 if blank >= 0 else 0
        if begun < end:
            self._lines(text[begun : end - 1], items)

    def _recognised(self, blocks: bytes, *, alone: bool = True) -> Run | TextDeltas | None:
        """All these events as one item, if they can be one and nothing that came before has a say in them.

        Who recognises texts knows of everything that was handed out; so it is asked only while nothing waits to be.
        """
        if not self._is_clean(blocks):
            return None
        texts = self._texts(blocks) if self._texts is not None and alone else None
        return texts if texts is not None else _as_run(blocks)

    def _blocks(self, blocks: bytes, items: list[Item]) -> None:
        """Event by event; neighbours that are plain still make a run. Often only the first or the last of them is not."""
        first, _, others = blocks.partition(b"\n\n")
        if others and not self._is_clean(blocks):
            self._blocks(first, items)
            blocks = others
        most, _, last = blocks.rpartition(b"\n\n")
        known = self._recognised(most, alone=not items) if most else None
        if known is not None:
            items.append(known)
            blocks = last
        plain: list[Run] = []
        for block in blocks.split(b"\n\n"):
            run = _as_run(block) if self._is_clean(block) else None
            if run is not None:
                plain.append(run)
                continue
            _add_runs(plain, items)
            self._lines(block, items)
            self._dispatch(items)
        _add_runs(plain, items)

    def _is_clean(self, blocks: bytes) -> bool:
        """Whether nothing that came before has a say in these events, and no limit."""
        return not (self._data or self._event or self._id or self.last_event_id or self._failed is not None or len(blocks) > self._max_bytes)

    def _lines(self, text: bytes, items: list[Item]) -> None:
        for line in text.split(b"\n"):
            if line:
                self._line(line, items)
            else:
                self._dispatch(items)

    def _line(self, line: bytes, items: list[Item]) -> None:
        if self._failed is None:
            if len(line) > self._max_bytes:
                self._fail("a line")
            else:
                self._field(line, items)

    def _field(self, line: bytes, items: list[Item]) -> None:
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
            self._keep_stray(line, items)

    def _keep_stray(self, line: bytes, items: list[Item]) -> None:
        if self._stray_room and len(self.stray) < _STRAY_LINES:
            line = line[: self._stray_room]
            self._stray_room -= len(line)
            text = line.decode(errors="replace")
            self.stray.append(text)
            items.append(StrayLine(text))

    def _dispatch(self, items: list[Item]) -> None:
        """The blank line of an event has come: hand it out if it has data."""
        self.last_event_id = self._id
        if self._data and self._failed is None:
            items.append(ServerSentEvent(self._event or "message", b"\n".join(self._data).decode(errors="replace"), self._id))
            self._data = []
            self._data_bytes = 0
        self._event = ""

    def _fail(self, what: str) -> None:
        self._tail.clear()
        self._data = []
        self._failed = f"The server sent {what} of more than {self._max_bytes} bytes; the answer was given up."


def _without_crlf(data: bytes) -> bytes:
    """CRLF as LF; splitting and joining takes half the time of `replace` with two bytes."""
    return b"\n".join(data.split(b"\r\n"))


def _as_run(blocks: bytes) -> Run | None:
    named = blocks.find(b"\n") + 1 if blocks.startswith(b"event:") else 0
    start = blocks[:named] + (b"data: {" if blocks[named + 5 : named + 6] == b" " else b"data:{")
    if not (blocks.startswith(start) and blocks.endswith(b"}")):
        return None
    lines = blocks.replace(b"}\n\n" + start, b"}\n{")
    joints = (len(blocks) - len(lines)) // len(start)
    lines = lines[len(start) - 1 :]
    return Run(lines, joints + 1, start[:-1], _type_in(blocks[:named])) if lines.count(b"\n") == joints else None


def _type_in(line: bytes) -> str:
    """The type that an `event` line names, its line feed included; "message" if there is none."""
    return line[6:-1].removeprefix(b" ").decode(errors="replace") or "message"


def _add_runs(plain: list[Run], items: list[Item]) -> None:
    """Neighbours of one type are one run."""
    for _, group in groupby(plain, key=lambda run: run.field):
        runs = list(group)
        items.append(Run(b"\n".join([run.lines for run in runs]), len(runs), runs[0].field, runs[0].type))
    plain.clear()


def _events(items: list[Item]) -> Iterator[ServerSentEvent]:
    for item in items:
        if isinstance(item, Run):
            yield from (ServerSentEvent(item.type, line.decode("utf-8", "replace")) for line in item.lines.split(b"\n"))
        elif isinstance(item, ServerSentEvent):
            yield item


def _counts_unfinished(data: str) -> bool:
    data = data.strip()
    if data == "[DONE]":
        return True
    try:
        return data[:1] == "{" and type(json.loads(data)) is dict
    except (ValueError, RecursionError):
        return False
