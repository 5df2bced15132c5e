"""What a contestant is asked in a scenario, and what it tells. It imports nothing but the standard library: it also runs in the peers' environments.

A contestant is a module with an async context manager `connect(scene)` that sets its client up as its documentation shows. The client keeps one
conversation, in the history that it has of its own, or in none.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

QUESTION = "What is the weather in Paris?"
NEXT = "And tomorrow?"
TOOL, ABOUT = "weather", "The weather in a city."
SCHEMA = {
    "type": "function",
    "function": {
        "name": TOOL,
        "description": ABOUT,
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
WHOLE, CANCELLED = "whole", "cancelled"


@dataclass(frozen=True, slots=True)
class Scene:
    """What is asked.

    Args:
        base_url: of the model server.
        tool: the model has the tool.
        retry: answers that break off are to be asked for again, in the way that the documentation names.
        cancel_after: the answer is to be cancelled after so many deltas.
        usage_so_far: the server tells the usage so far in each chunk, for those who want to know it.
    """

    base_url: str
    tool: bool = False
    retry: bool = False
    cancel_after: int | None = None
    usage_so_far: bool = False


@dataclass(slots=True)
class Screen:
    """What somebody has before their eyes who is shown the answer as it arrives; `shown` are the pieces that were not taken back."""

    cancel_after: int | None = None
    shown: list[str] = field(default_factory=list[str])
    taken_back: int = 0

    def take(self, text: str) -> bool:
        """Show a piece, if it is one; return whether it is time to cancel."""
        if text:
            self.shown.append(text)
        return bool(text) and len(self.shown) == self.cancel_after

    def take_back(self) -> None:
        """Remove what was shown of this answer."""
        self.taken_back += len(self.shown)
        self.shown.clear()


@dataclass(frozen=True, slots=True)
class Entry:
    """A message of a history; `marked` says that it is no whole answer, `calls` are the arguments of its calls as they stand there."""

    role: str
    text: str
    marked: bool = False
    calls: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Used:
    """Tokens that are accounted for the question, in all its attempts; None if it is said that they are not known."""

    tokens: int | None
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What a contestant tells after a question.

    Args:
        ended: "whole", "cancelled", or the name of the error.
        shown: the text on the screen in the end.
        taken_back: how many pieces had been shown and were removed.
        history: None where it has none of its own.
        used: None where it accounts nothing.
        runs: the cities for which the tool was called; None where it calls no tools itself.
    """

    ended: str
    shown: str
    taken_back: int
    history: list[Entry] | None
    used: Used | None
    runs: list[str] | None


class Client(Protocol):
    """One conversation.

    Attributes:
        runs: the cities for which its tool was called; None where it calls no tools itself.
    """

    runs: list[str] | None

    async def ask(self, question: str, screen: Screen) -> str:
        """Ask, show the answer as it arrives, and return `WHOLE` or `CANCELLED`; what fails raises."""
        ...

    async def history(self) -> list[Entry] | None:
        """What it remembers; None where that is left to the caller."""
        ...

    def used(self) -> Used | None:
        """What the last question has cost; None where nothing is accounted."""
        ...


class Contestant(Protocol):
    """The module of a contestant."""

    def connect(self, scene: Scene) -> AbstractAsyncContextManager[Client]:
        """Set the client up."""
        ...
