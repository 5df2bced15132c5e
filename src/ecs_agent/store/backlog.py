"""What was handed to the writer and may not be stored yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from ecs_agent.store.engine import Frame


class Backlog:
    """Frames in order, as the loop's thread knows of them: those that were written since are taken out when others come.

    Attributes:
        frames: the frames.
        size: their bytes.
    """

    def __init__(self) -> None:
        self.frames: deque[Frame] = deque()
        self.size = 0

    def add(self, frames: Iterable[Frame], committed: int) -> None:
        """Put frames behind, and take those before the position `committed` out."""
        for frame in frames:
            self.frames.append(frame)
            self.size += len(frame.data)
        while self.frames and self.frames[0].end <= committed:
            self.size -= len(self.frames.popleft().data)
