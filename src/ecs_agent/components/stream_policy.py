"""What becomes of an answer that does not arrive: one that drops, one that is late, and one that a restart or a fork found half said."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from ecs_agent.providers.protocol import ProviderLike

OnDrop: TypeAlias = Literal["raise", "retry", "continue"]
OnRestore: TypeAlias = Literal["continue", "restart", "interrupted"]

MAX_BACKOFF = 30.0
"""Seconds that a policy waits at most by itself; a server may ask for longer."""


@dataclass(slots=True)
class StreamPolicy:
    """What an agent does when an answer drops: when the stream breaks, or is late, or the model cannot be asked just now.

    Whether an error is a drop, `ecs_agent.systems.stream_policy.is_dropped` says: those are that another try can mend, and never a wrong key, a
    wrong request, a content filter or an empty account. Usage of every attempt is counted, and limits hold across all of them.

    Attributes:
        on_drop: "raise" keeps what had arrived and fails. "retry" takes it back and asks once more. "continue" has the next one asked go on where
            it broke off, where that can be done (the partial is text, and the provider can), and asks once more where it cannot.
        max_attempts: how often one turn may be asked, the first time included. Then it is as with "raise".
        backoff: seconds before the second attempt, doubled from one to the next, at most 30; what the server asks for counts, if it is longer
            and the same is asked again.
        fallbacks: whom to ask after the first, second, … drop of a turn; the last one stays. Each with its own model.
        first_delta_timeout: seconds until the first piece of an attempt.
        gap_timeout: seconds between two pieces.
        total_timeout: seconds for one attempt.
        on_restore: what becomes of an answer that was arriving when the program ended: "continue" it, "restart" it, or keep it as "interrupted",
            with the agent at rest.
    """

    on_drop: OnDrop = "raise"
    max_attempts: int = 3
    backoff: float = 0.5
    fallbacks: tuple[ProviderLike, ...] = ()
    first_delta_timeout: float | None = None
    gap_timeout: float | None = None
    total_timeout: float | None = None
    on_restore: OnRestore = "restart"

    def __post_init__(self) -> None:
        for name, words in (("on_drop", get_args(OnDrop)), ("on_restore", get_args(OnRestore))):
            if getattr(self, name) not in words:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(map(repr, words))}")
        if not self.max_attempts >= 1:
            raise ValueError(f"max_attempts is {self.max_attempts}; it counts the first attempt, so it must be at least 1")
        if not 0 <= self.backoff < math.inf:
            raise ValueError(f"backoff is {self.backoff}; give seconds from 0 on")
        for name in ("first_delta_timeout", "gap_timeout", "total_timeout"):
            limit = getattr(self, name)
            if limit is not None and not 0 < limit < math.inf:
                raise ValueError(f"{name} is {limit}; give seconds above 0, or None for no limit")
        self.fallbacks = tuple(self.fallbacks)
        for provider in self.fallbacks:
            if not hasattr(provider, "complete"):
                raise TypeError(f"a fallback is a {type(provider).__name__}, which has no complete(); give providers")

    @property
    def has_limits(self) -> bool:
        """Whether it limits how long an answer may take."""
        return not (self.first_delta_timeout is self.gap_timeout is self.total_timeout is None)


NO_POLICY = StreamPolicy()
"""That of an agent without the component. Nobody changes it."""
