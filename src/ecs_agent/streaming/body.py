"""What a body is, told by its first character: servers label error objects and pages as streams, and streams as JSON."""

from __future__ import annotations

from typing import Final

_BLANK: Final = b" \t\r\n\xef\xbb\xbf"
_WHOLE: Final = b"{[<"
_UNDECIDED: Final = 4096
"""So many blanks are waited out; then it is read as a stream, which knows what to do with them."""
_STREAM: Final = b":deir"  # a comment, data, event, id, retry


class BodyBeginning:
    """Keeps a body as long as it may be one JSON value or a page, and says what of it is to be read as a stream of events.

    A body that begins with `{`, `[` or `<` may be whole. If it is labelled as JSON it is; else it is read as a stream as well, since a server may
    write an error as a bare line and go on. What is labelled as JSON is a stream only if it begins as one.

    Args:
        content_type: of the response.

    Attributes:
        is_json: whether it is labelled as JSON.
        whole: the body so far, None once it is known to be a stream.
    """

    __slots__ = ("_begun", "is_json", "whole")

    def __init__(self, content_type: str) -> None:
        self.is_json = content_type.partition(";")[0].strip().lower().endswith("json")
        self._begun = False
        self.whole: bytearray | None = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; those that are to be read as a stream."""
        if self.whole is None:
            return data
        if not self._begun and not self.whole:
            data = data.lstrip(b"\r\n")  # blank lines mean nothing there, and some servers send them while nothing has happened
        self.whole += data
        if self._begun:
            return b"" if self.is_json else data
        first = self.whole.lstrip(_BLANK)[:1]
        if not first and len(self.whole) < _UNDECIDED:
            return b""
        self._begun = True
        body = bytes(self.whole)
        if not first or first in _STREAM or (first not in _WHOLE and not self.is_json):
            self.whole = None
        return b"" if self.whole is not None and self.is_json else body
