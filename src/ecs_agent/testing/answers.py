"""What a scripted server was asked, and what it answers next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ecs_agent.providers.script import Answer, Piece, check_piece, script_of
from ecs_agent.streaming.json_edge import is_object
from ecs_agent.testing.fault_plan import FaultPlan
from ecs_agent.testing.reply import Reply
from ecs_agent.testing.script_reply import scripted_reply
from ecs_agent.testing.wires import family_of


@dataclass(slots=True)
class Received:
    """A request that came in; `closed` is set when its client is gone or has its whole answer."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    cut_off: bool = False


ServerAnswer: TypeAlias = Reply | Answer | Callable[[Received], Reply | Answer]
"""What a scripted server may be given: an HTTP response as it is, what `FakeProvider` takes, or a function from the request to either."""


class Answers:
    """The answers of a server, one a request; the last one is repeated.

    Args:
        answers: at least one.
        by: what an event of a script holds, as in `FakeProvider`.
        delay: seconds after each event of a script.
    """

    def __init__(self, answers: Sequence[ServerAnswer], by: Piece, delay: float) -> None:
        if isinstance(answers, str):
            raise TypeError("the answers are one string; give a list of answers: ['…']")
        if not answers:
            raise ValueError("a server without answers cannot serve; give at least one")
        for answer in answers:
            if not callable(answer) and not isinstance(answer, Reply):
                script_of(answer)
        self._answers = list(answers)
        self._plan = FaultPlan(by=check_piece(by), pause=delay)
        self._given = 0

    def next(self, request: Received) -> Reply:
        """The response to a request; a script is told in the request's protocol, and streamed if it asks for it."""
        found = self._answers[min(self._given, len(self._answers) - 1)]
        self._given += 1
        answer = found(request) if callable(found) else found
        if isinstance(answer, Reply):
            return answer
        asked = is_object(request.body) and bool(request.body.get("stream"))
        return scripted_reply(answer, self._plan, stream=asked or ":stream" in request.path, wire=family_of(request.path))
