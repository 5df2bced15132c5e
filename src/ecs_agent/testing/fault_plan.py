"""FaultPlan: what goes wrong with one answer on its way, as data. Its repr makes it again, and a seed draws one."""

from __future__ import annotations

import random
from dataclasses import dataclass, fields
from enum import Enum
from typing import Final, Literal, Self

from ecs_agent.errors import ErrorKind
from ecs_agent.providers.script import Piece, check_piece

_WORDS: Final = {
    "end": ("eof", "reset", "stall"),
    "call_index": ("given", "same", "missing"),
    "call_ids": ("given", "missing", "empty"),
    "usage": ("after_finish", "with_finish", "every_chunk", "missing"),
    "comments": ("none", "between", "inside"),
    "line_end": ("\n", "\r\n"),
    "split": ("events", "one", "bytes", "characters", "random"),
}
"""What the fields of a plan may say; a misspelt one would be a healthy server, and its test could not fail."""


@dataclass(frozen=True, slots=True, repr=False)
class FaultPlan:
    """What a server, the network and the reader do to a scripted answer; a plan without arguments is a healthy server.

    Every field is one fault, and they combine. Places are counted in deltas of the answer (text, reasoning, refusal, pieces of tool calls);
    one that lies beyond the last delta is right before the finish. Times are in seconds.

    Attributes:
        seed: where random splits come from; also that of `random()`.
        by: what a delta holds, as in `FakeProvider`.
        refuse: no answer but this error: an HTTP status of 400 and more, a page, or a connection that is aborted.
        cut_after: the body stops after so many deltas.
        cut_at_byte: the body stops after so many bytes, if it is longer.
        end: how it stops, and how a body ends that nothing cut: cleanly, by a reset, or by silence.
        fail_after: after so many deltas comes an error object, although the status was 200.
        fail_with: which error that is.
        call_index: how tool calls are numbered: as they should be, all with the same number, or not at all.
        call_ids: whether tool calls have ids, none, or empty ones. Ids stay where without them nobody could tell two calls apart.
        usage: where the usage stands.
        finish: whether the server says the finish reason.
        done: whether the server says `[DONE]`.
        comments: keep-alive comments between events, or right before an event's data.
        line_end: what ends a line.
        split: how the bytes are cut into reads: an event a read, all in one, byte by byte, inside every character of several bytes, at random.
        pause: the server's pause after each event.
        consumer_pause: the reader's pause after each delta.
    """

    seed: int = 0
    by: Piece = "word"
    refuse: ErrorKind | None = None
    cut_after: int | None = None
    cut_at_byte: int | None = None
    end: Literal["eof", "reset", "stall"] = "eof"
    fail_after: int | None = None
    fail_with: ErrorKind = ErrorKind.SERVER
    call_index: Literal["given", "same", "missing"] = "given"
    call_ids: Literal["given", "missing", "empty"] = "given"
    usage: Literal["after_finish", "with_finish", "every_chunk", "missing"] = "after_finish"
    finish: bool = True
    done: bool = True
    comments: Literal["none", "between", "inside"] = "none"
    line_end: Literal["\n", "\r\n"] = "\n"
    split: Literal["events", "one", "bytes", "characters", "random"] = "events"
    pause: float = 0.0
    consumer_pause: float = 0.0

    def __post_init__(self) -> None:
        check_piece(self.by)
        for name, words in _WORDS.items():
            if getattr(self, name) not in words:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(map(repr, words))}")
        for name in ("refuse", "fail_with"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, ErrorKind):
                raise TypeError(f"{name} is {value!r}; give a member of ErrorKind")
        for name in ("cut_after", "cut_at_byte", "fail_after", "pause", "consumer_pause"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name} is {value}; nothing happens before the beginning, so give 0 or more")

    def __repr__(self) -> str:
        """Only what differs from a healthy server."""
        given = [(field.name, getattr(self, field.name)) for field in fields(self) if getattr(self, field.name) != field.default]
        return f"{type(self).__name__}({', '.join(f'{name}={_written(value)}' for name, value in given)})"

    @classmethod
    def random(cls, seed: int) -> Self:
        """Draw a plan. Its pauses are short, so that it also serves over real sockets.

        About half of all plans end the answer early; all of them mix the harmless faults.
        """
        draw = random.Random(seed)  # noqa: S311 - a plan, not a secret
        fatal = draw.choice(("", "", "", "", "cut_after", "cut_at_byte", "fail_after", "refuse"))
        return cls(
            seed=seed,
            by=draw.choice(("character", "word", "chunk", draw.randint(2, 40))),
            refuse=draw.choice(tuple(ErrorKind)) if fatal == "refuse" else None,
            cut_after=draw.randint(0, draw.choice((3, 60))) if fatal == "cut_after" else None,
            cut_at_byte=draw.randint(0, draw.choice((400, 4000, 20_000))) if fatal == "cut_at_byte" else None,
            end=draw.choice(("eof", "reset", "stall")),
            fail_after=draw.randint(0, draw.choice((3, 60))) if fatal == "fail_after" else None,
            fail_with=draw.choice(tuple(ErrorKind)) if fatal == "fail_after" else ErrorKind.SERVER,
            call_index=draw.choice(("given", "given", "same", "missing")),
            call_ids=draw.choice(("given", "given", "missing", "empty")),
            usage=draw.choice(("after_finish", "with_finish", "every_chunk", "missing")),
            finish=draw.random() < 0.9,
            done=draw.random() < 0.8,
            comments=draw.choice(("none", "between", "inside")),
            line_end=draw.choice(("\n", "\n", "\r\n")),
            split=draw.choice(("events", "one", "bytes", "characters", "random")),
            pause=draw.choice((0.0, 0.0, 0.002)),
            consumer_pause=draw.choice((0.0, 0.0, 0.0, 0.002)),
        )


def _written(value: object) -> str:
    """The value as code; the repr of an enum's member is none."""
    return f"{type(value).__name__}.{value.name}" if isinstance(value, Enum) else repr(value)
