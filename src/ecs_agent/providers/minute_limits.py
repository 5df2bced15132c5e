"""MinuteLimits: so many requests, and so many tokens, within any 60 seconds. Pure: it knows no time but what it is told."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

MINUTE: Final = 60.0


class MinuteLimits:
    """What counts within the last minute, and what may be added to it.

    A request's tokens are a guess when it starts. When the real number is known, what was guessed too much is free again, and what it was too
    little counts from then on, since that is when it was used.

    Args:
        requests: how many may start within a minute; None for no limit.
        tokens: how many they may have; None for no limit. A request of more than that has a minute for itself.

    Raises:
        ValueError: a limit is less than one.
        TypeError: it is no whole number.
    """

    __slots__ = ("_guesses", "_requests", "_tokens")

    def __init__(self, requests: int | None = None, tokens: int | None = None) -> None:
        self._requests = _Window(requests, "requests") if requests is not None else None
        self._tokens = _Window(tokens, "tokens") if tokens is not None else None
        self._guesses: dict[int, int] = {}

    def opens_at(self, tokens: int, now: float) -> float:
        """When a request of so many tokens may start; now at the earliest."""
        requests_at = self._requests.opens_at(1, now) if self._requests is not None else now
        return max(requests_at, self._tokens.opens_at(tokens, now)) if self._tokens is not None else requests_at

    def start(self, turn: int, tokens: int, now: float) -> None:
        """A request starts.

        Args:
            turn: its number, from 1 on.
            tokens: a guess.
            now: seconds.
        """
        if self._requests is not None:
            self._requests.put(turn, 1, now)
        if self._tokens is not None:
            self._guesses[turn] = tokens
            self._tokens.put(turn, tokens, now)

    def settle(self, turn: int, tokens: int, now: float) -> None:
        """This is what a request really had; said once."""
        guess = self._guesses.pop(turn, None)
        if self._tokens is None or guess is None:
            return
        self._tokens.lower(turn, tokens)
        if tokens > guess:
            self._tokens.put(-turn, tokens - guess, now)

    def take_back(self, turn: int) -> None:
        """A request that was to start did not."""
        self._guesses.pop(turn, None)
        for window in (self._requests, self._tokens):
            if window is not None:
                window.lower(turn, 0)

    def forget_after(self, now: float) -> None:
        """Forget what lies in the future: it is of another clock."""
        for window in (self._requests, self._tokens):
            if window is not None:
                window.forget_after(now)

    def which(self, tokens: int, now: float) -> str | None:
        """The limit that keeps a request of so many tokens from starting, for a sentence; None if none does."""
        if self._requests is not None and self._requests.opens_at(1, now) > now:
            return str(self._requests)
        return str(self._tokens) if self._tokens is not None and self._tokens.opens_at(tokens, now) > now else None


class _Window:
    """Amounts by when they were added; those of the last minute count."""

    __slots__ = ("_amounts", "_limit", "_sum", "_unit")

    def __init__(self, limit: int, unit: str) -> None:
        self._limit = check_count(f"{unit}_per_minute", limit)
        self._unit = unit
        self._amounts: OrderedDict[int, tuple[float, int]] = OrderedDict()
        self._sum = 0

    def __str__(self) -> str:
        return f"our own limit of {self._limit} {self._unit} a minute ({self._unit}_per_minute)"

    def opens_at(self, amount: int, now: float) -> float:
        self._forget_before(now)
        too_much = self._sum + min(amount, self._limit) - self._limit
        at, held = now, iter(self._amounts.values())
        while too_much > 0:
            since, freed = next(held)
            at = since + MINUTE
            too_much -= freed
        return at

    def put(self, key: int, amount: int, now: float) -> None:
        self._amounts[key] = (now, amount)
        self._sum += amount

    def lower(self, key: int, amount: int) -> None:
        """Let an amount be no more than this; nothing of it is left in the window if it is 0."""
        since, held = self._amounts.get(key, (0.0, 0))
        if amount < held:
            self._sum -= held - amount
            self._amounts[key] = (since, amount)
            if not amount:
                del self._amounts[key]

    def _forget_before(self, now: float) -> None:
        while self._amounts and next(iter(self._amounts.values()))[0] + MINUTE <= now:
            self._sum -= self._amounts.popitem(last=False)[1][1]

    def forget_after(self, now: float) -> None:
        while self._amounts and next(reversed(self._amounts.values()))[0] > now:
            self._sum -= self._amounts.popitem()[1][1]


def check_count(name: str, limit: object) -> int:
    """A limit that is a number of things.

    Raises:
        TypeError: it is no whole number.
        ValueError: it is less than one.
    """
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise TypeError(f"{name} is a {type(limit).__name__}; give a whole number, or None for no limit")
    if limit < 1:
        raise ValueError(f"{name} is {limit}; give at least 1, or None for no limit")
    return limit
