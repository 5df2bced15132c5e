"""Half surrogate pairs, which JSON can write and no encoding can carry: joined where a pair was cut, replaced where one half is alone."""

from __future__ import annotations

from collections.abc import Hashable


class Surrogates:
    """Half surrogate pairs: a pair that was cut between two deltas is joined, half of one alone becomes U+FFFD."""

    def __init__(self) -> None:
        self._held: dict[Hashable, str] = {}

    @property
    def active(self) -> bool:
        """Whether a first half waits for its second."""
        return bool(self._held)

    def whole(self, channel: Hashable, text: str) -> str:
        """The text as far as it is whole."""
        if not text or (text.isascii() and not self._held):
            return text
        text = self._held.pop(channel, "") + text
        if "\ud800" <= text[-1] <= "\udbff":
            self._held[channel], text = text[-1], text[:-1]
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def rest_of(self, channel: Hashable) -> str:
        """What never became whole in a channel, replaced."""
        return "\ufffd" if self._held.pop(channel, "") else ""
