"""Text that grows piece by piece: a million pieces cost their text, and not a million small strings or the square of its length."""

from __future__ import annotations

from typing import Final

JOIN_AT: Final = 8192
"""So many pieces are joined at a time."""


class TextBuffer:
    """A text in pieces; true when there are any."""

    __slots__ = ("_blocks", "_recent")

    def __init__(self) -> None:
        self._blocks: list[str] = []
        self._recent: list[str] = []

    def append(self, text: str) -> None:
        """Take the next piece."""
        self._recent.append(text)
        if len(self._recent) >= JOIN_AT:
            self._join()

    def extend(self, texts: list[str]) -> None:
        """Take the next pieces."""
        self._recent += texts
        if len(self._recent) >= JOIN_AT:
            self._join()

    def _join(self) -> None:
        self._blocks.append("".join(self._recent))
        self._recent.clear()

    def __bool__(self) -> bool:
        return bool(self._blocks or self._recent)

    def __str__(self) -> str:
        return "".join([*self._blocks, *self._recent])
