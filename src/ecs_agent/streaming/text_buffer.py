"""Text that grows piece by piece: a million pieces cost their text, and not a million small strings or the square of its length."""

from __future__ import annotations

from typing import Final

JOIN_AT: Final = 8192
"""So many pieces are joined at a time."""


class TextBuffer:
    """A text in pieces.

    Attributes:
        pieces: its pieces in order; who appends many of them may append here, and `settle` afterwards.
    """

    __slots__ = ("pieces",)

    def __init__(self, text: str = "") -> None:
        self.pieces: list[str] = [text] if text else []

    def append(self, text: str) -> None:
        """Take the next piece."""
        self.pieces.append(text)
        if len(self.pieces) >= JOIN_AT:
            self.settle()

    def settle(self) -> None:
        """Join the pieces if there are many."""
        if len(self.pieces) >= JOIN_AT:
            self.pieces[:] = ["".join(self.pieces)]

    def __str__(self) -> str:
        return "".join(self.pieces)
