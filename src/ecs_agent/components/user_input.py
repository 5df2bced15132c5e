"""That an agent waits for a person."""

from __future__ import annotations

from dataclasses import dataclass

from ecs_agent.core.component import AwaitsInput


@dataclass(slots=True)
class UserInputComponent(AwaitsInput):
    """A person is asked `prompt`. `requested` says that the question was put; `answer` is what they said, until it stands in the conversation.

    Add it to have the agent wait; `answer_input` answers, and the component goes.
    """

    prompt: str = ""
    requested: bool = False
    answer: str | None = None
