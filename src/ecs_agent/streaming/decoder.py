"""What every wire protocol's decoder looks like from outside: bytes go in, deltas come out, nothing waits and nothing is raised.

A decoder's life is three phases:

    OPEN ──finish seen──▶ TAIL ──usage, [DONE], eof, cut──▶ ENDED
      └────────────error, cut, or an end without a finish────▶ ENDED (with `error`)

In TAIL the answer is complete, but its final delta is held back, because many servers send the usage after the finish. A cut there is a
success whose usage is unknown; a cut in OPEN never is.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Protocol

from ecs_agent.errors import ProviderError
from ecs_agent.types import StreamDelta


class DecoderPhase(Enum):
    """Where in its life a decoder is."""

    OPEN = auto()
    TAIL = auto()
    ENDED = auto()


class StreamDecoder(Protocol):
    """One answer's decoder.

    The deltas a call returns come before the `error` that the same call set, so that the result does not depend on how the bytes were cut.
    `error.partial` is left None: whoever folds the deltas knows what had arrived. After ENDED every call returns an empty list.
    """

    @property
    def phase(self) -> DecoderPhase:
        """Where the answer stands."""
        ...

    @property
    def error(self) -> ProviderError | None:
        """Why the answer failed; None while it has not."""
        ...

    def feed(self, data: bytes) -> list[StreamDelta]:
        """Take the next bytes of the body."""
        ...

    def eof(self) -> list[StreamDelta]:
        """The body ended cleanly."""
        ...

    def cut(self) -> list[StreamDelta]:
        """The connection was lost, or the tail took too long."""
        ...
