"""Text that grows piece by piece: a million pieces cost their text, and not a million small strings or the square of its length."""

from __future__ import annotations

from typing import Final

JOIN_AT: Final = 8192
"""So many pieces are joined at a time."""


class TextBuffer:
    """A text in pieces; true when there are any."""

    __slots__ = ("_pieces",)

    def __init__(self) -> None:
        self._pieces: list[str] = []

    def append(self, text: str) -> None:
        """Take the next piece."""
        self._pieces.append(text)
        if len(self._pieces) >= JOIN_AT:
            self._join()

    def extend(self, texts: list[str]) -> None:
        """Take the next pieces."""
        self._pieces += texts
        if len(self._pieces) >= JOIN_AT:
            self._join()

    def _join(self) -> None:
        self._pieces[:] = ["".join(self._pieces)]

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def __str__(self) -> str:
        return "".join(self._pieces)
