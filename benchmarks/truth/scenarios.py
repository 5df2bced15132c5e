"""What goes wrong: the answers of the model server, and what is asked about each. The first question goes wrong, the next one is answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.truth.judge import (
    Question,
    accounts_all_attempts,
    accounts_what_was_told,
    claims_no_usage,
    holds_the_partial,
    holds_the_whole,
    is_an_error,
    is_released,
    is_shown_once,
    is_valid,
    never_runs_half,
    shows_what_it_holds,
)
from benchmarks.truth.scene import NEXT, TOOL
from ecs_agent.testing import Received, Reply, chat_reply, chunk
from ecs_agent.types import JsonObject, Usage

WORDS = [f"{word} " for word in ["It", "is", "sunny", "and", "dry", "in", "Paris", "today,", "with", "a", "light", "wind", "from", "the", "west."]]
CUT = 10
"""Deltas after which an answer of words breaks off."""
PARTIAL, ANSWER = "".join(WORDS[:CUT]), "".join(WORDS)
BEFORE_CALL = "Let me look. "
HALF = '{"city": "Par'
BEGINNING = chunk({"role": "assistant", "content": ""})
FAILURE = b'data: {"error": {"message": "The server is overloaded.", "type": "server_error", "param": null, "code": "overloaded"}}\n\n'
TOLD = 20
"""Tokens that a server has told of an answer before it breaks off."""


def asks_next(request: Received) -> bool:
    """Whether a request asks the question after the one that went wrong."""
    return NEXT in str(request.body["messages"][-1].get("content"))


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing that goes wrong.

    Args:
        name: in the results.
        title: on the page.
        what: what happens, and what is right.
        replies: to the first question, one a request; the last is repeated.
        questions: what is asked about it.
        partial: what of the answer arrives.
        told: the tokens that the server tells of it.
        tool, retry, cancel_after, usage_so_far: as in `Scene`.
    """

    name: str
    title: str
    what: str
    replies: Sequence[Reply]
    questions: Sequence[Question]
    partial: str = PARTIAL
    told: int = 0
    tool: bool = False
    retry: bool = False
    cancel_after: int | None = None
    usage_so_far: bool = False

    def answers(self) -> Callable[[Received], Reply]:
        """What its server answers to each request: the next question, and what a tool has said, always get an answer, a beginning the rest of it."""
        replies = iter(self.replies)
        last = self.replies[-1]

        def reply(request: Received) -> Reply:
            message: JsonObject = request.body["messages"][-1]
            if message.get("role") == "assistant" and message.get("content") == PARTIAL:
                return _whole(WORDS[CUT:])
            if asks_next(request) or message.get("role") != "user":
                return chat_reply("Rain.")
            return next(replies, last)

        return reply


def _said(words: Sequence[str], *rest: bytes, end: str = "eof", pause: float = 0.0, usage: bool = False) -> Reply:
    """Words as deltas, each with the usage so far where the server tells it, and what follows them."""
    pieces: list[bytes | float] = [BEGINNING]
    for number, word in enumerate(words, 1):
        pieces += [chunk({"content": word}, usage=Usage(10, number, 10 + number) if usage else None), pause]
    return Reply([piece for piece in [*pieces, *rest] if piece], end=end)  # type: ignore[arg-type]  # one of its words


def _whole(words: Sequence[str]) -> Reply:
    usage = Usage(10, len(words), 10 + len(words))
    return _said(words, chunk(finish="stop"), chunk(usage=usage), b"data: [DONE]\n\n")


def _call(arguments: str) -> bytes:
    head = {"index": 0, "id": "call_1", "type": "function", "function": {"name": TOOL, "arguments": ""}}
    pieces = [chunk({"tool_calls": [head]})]
    pieces += [chunk({"tool_calls": [{"index": 0, "function": {"arguments": character}}]}) for character in arguments]
    return b"".join(pieces)


AFTER = (holds_the_partial, shows_what_it_holds, is_valid, claims_no_usage)
"""What is asked after every answer that stays incomplete."""
SCENARIOS = (
    Scenario(
        "cut",
        "The stream is cut",
        f"After {CUT} deltas the body ends, cleanly, without a finish reason and without `[DONE]`. Nobody may take that for a whole answer.",
        [_said(WORDS[:CUT])],
        (is_an_error, *AFTER),
    ),
    Scenario(
        "reset",
        "The connection is reset",
        f"After {CUT} deltas the connection is aborted.",
        [_said(WORDS[:CUT], end="reset")],
        (is_an_error, *AFTER),
    ),
    Scenario(
        "error",
        "An error comes in the middle",
        f"After {CUT} deltas the server sends an error object; the status was 200.",
        [_said(WORDS[:CUT], FAILURE)],
        (is_an_error, *AFTER),
    ),
    Scenario(
        "cancel",
        "The user cancels",
        f"After {CUT} deltas the answer is cancelled, in the way that the documentation names; the server has not ended it.",
        [_said(WORDS[:CUT], pause=0.002, end="stall")],
        (is_released, *AFTER),
        cancel_after=CUT,
    ),
    Scenario(
        "call",
        "The stream is cut in a tool call",
        f"After some text the body ends in the middle of a call's arguments: `{HALF}`. Half a call must not run.",
        [_said([BEFORE_CALL], _call(HALF))],
        (is_an_error, never_runs_half, holds_the_partial, shows_what_it_holds, is_valid),
        partial=BEFORE_CALL,
        tool=True,
    ),
    Scenario(
        "length",
        "A tool call hits the length limit",
        f"The same, and the server says so: the finish reason is `length`, then comes `[DONE]`. The arguments are still `{HALF}`.",
        [_said([BEFORE_CALL], _call(HALF), chunk(finish="length"), b"data: [DONE]\n\n")],
        (never_runs_half, is_valid),
        partial=BEFORE_CALL,
        tool=True,
    ),
    Scenario(
        "retry",
        "It is asked again",
        f"After {CUT} deltas the connection is aborted; the next request gets the whole answer, or the rest, if it asks for that. Whatever "
        "the documentation names for answers that break off is switched on.",
        [_said(WORDS[:CUT], end="reset"), _whole(WORDS)],
        (is_shown_once, holds_the_whole, shows_what_it_holds, is_valid, accounts_all_attempts),
        told=25,
        retry=True,
    ),
    Scenario(
        "usage",
        "What a broken answer has cost",
        f"A server tells the usage so far in each chunk. After {CUT} deltas, when it has told {TOLD} tokens, the connection is aborted.",
        [_said(WORDS[:CUT], usage=True, end="reset")],
        (is_an_error, accounts_what_was_told),
        told=TOLD,
        usage_so_far=True,
    ),
)
