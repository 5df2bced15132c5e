"""Going on with an answer that broke off: whether that can be done, what is sent for it, and what of its continuation is no news.

Pure. A provider that goes on behind an assistant's message is sent the partial answer as the last one; another is asked in words. Models that are
asked in words like to begin again from the start, so an exact echo of the partial answer is dropped before anybody sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from ecs_agent.components import StreamStateComponent
from ecs_agent.providers.capabilities import capabilities_of
from ecs_agent.types import CitationPart, Message, ReasoningPart, StreamDelta, TextPart

GO_ON: Final = (
    "Your answer was cut off. Go on exactly behind its last character, in the middle of the word if it ends there. "
    "Repeat nothing of it, and say nothing about the interruption."
)
"""What a provider is asked that cannot go on behind an assistant's message."""

ECHO_FROM: Final = 16
"""A partial answer that is shorter may well be said twice on purpose."""


def is_continuable(state: StreamStateComponent) -> bool:
    """Whether an answer can be gone on with: it is text, in which it broke off, perhaps with reasoning before it; no call, refusal or opaque data."""
    if any(delta.tool_fragments or delta.tool_calls for delta in state.deltas):
        return False
    message = state.result().message
    if not message.content.strip() or not all(isinstance(part, (TextPart, ReasoningPart, CitationPart)) for part in message.parts):
        return False
    return not isinstance(message.parts[-1], ReasoningPart)


def continuation(partial: Message, provider: object) -> list[Message] | None:
    """What stands behind the conversation in a request to go on with a partial answer; None if the provider cannot do that."""
    can = capabilities_of(provider)
    said = Message("assistant", partial.content)
    if can.prefill:
        return [said]
    return [said, Message("user", GO_ON)] if can.continuation else None


class EchoGuard:
    """Holds the beginning of a continuation back as long as it repeats the partial answer. A whole repetition is dropped, anything else let through.

    Args:
        said: the partial answer.
    """

    __slots__ = ("_at", "_held", "_said", "is_done")

    def __init__(self, said: str) -> None:
        self._said = said
        self._at = 0
        self._held: list[StreamDelta] = []
        self.is_done = len(said) < ECHO_FROM

    def take(self, deltas: Sequence[StreamDelta]) -> list[StreamDelta]:
        """The next pieces; what of them, and of those held, may be seen now."""
        shown: list[StreamDelta] = []
        for delta in deltas:
            if self.is_done or not (delta.content or self._held):
                shown.append(delta)
            else:
                self._held.append(delta)
                if delta.content and self._is_decided_by(delta.content):
                    shown += self.rest()
        return shown

    def rest(self) -> list[StreamDelta]:
        """What is held, when nothing more comes or all is clear."""
        held, self._held = self._held, []
        self.is_done = True
        return held

    def _is_decided_by(self, text: str) -> bool:
        """Whether it is clear, with this text, that all so far is an echo (it is dropped then), or that it is none."""
        left = len(self._said) - self._at
        if len(text) < left:
            repeats = self._said.startswith(text, self._at)
            self._at += len(text)
            return not repeats
        if text.startswith(self._said[self._at :]):
            self._drop_echo(text[left:])
        return True

    def _drop_echo(self, rest: str) -> None:
        """All held text is an echo, but for the end of the last one; what came beside the text is not."""
        last = len(self._held) - 1
        news = [replace(delta, content=rest or None if place == last else None) for place, delta in enumerate(self._held)]
        self._held = [delta for delta in news if delta != StreamDelta()]
