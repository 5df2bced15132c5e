"""Script: what a model says, as data. `FakeProvider` plays it in the process, the loopback server of `ecs_agent.testing` over sockets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from ecs_agent.streaming.tool_calls import ToolCallLog
from ecs_agent.types import (
    AudioPart,
    CitationPart,
    CompletionResult,
    FilePart,
    FinishReason,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    RefusalPart,
    StreamDelta,
    TextPart,
    ToolCall,
    ToolCallFragment,
    Usage,
)

Step: TypeAlias = str | Part | Usage | float | Exception
"""A step of an answer: a text, a part of a message, a usage report, a pause in seconds, or an exception that breaks the answer off there.

Text, reasoning, refusals and tool calls stream in pieces, other parts come whole. Invalid arguments of a call are its `raw_arguments`.
"""


@dataclass(frozen=True, slots=True)
class Script:
    """One scripted answer: its reasoning, then its text, its tool calls, and its `steps`, which may come in any order.

    Without a `finish_reason` it ends with "tool_calls" if there are calls, else with "stop". With `error` it breaks off after `fail_after`
    deltas, or before its final one if there are fewer. An exception that comes first is raised by `complete()`, a later one by the iteration.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: Sequence[ToolCall] = ()
    usage: Usage | None = None
    finish_reason: FinishReason | None = None
    error: Exception | None = None
    fail_after: int = 0
    steps: Sequence[Step] = ()

    @property
    def in_order(self) -> list[Step]:
        """All steps, those of the simple fields among them."""
        thought: list[Step] = [ReasoningPart(self.reasoning)] if self.reasoning else []
        said: list[Step] = [self.text] if self.text else []
        told: list[Step] = [self.usage] if self.usage is not None else []
        return [*thought, *said, *self.tool_calls, *self.steps, *told]

    @property
    def finish(self) -> FinishReason:
        """Why it ends; calls are never "stop"."""
        calls = any(isinstance(step, ToolCall) for step in self.in_order)
        return "tool_calls" if calls and self.finish_reason in (None, "stop") else self.finish_reason or "stop"


Answer: TypeAlias = str | CompletionResult | Exception | Script | Sequence[Step]
"""What a script may be given as: a text, a whole result, an error raised before anything is said, a `Script`, or just its steps."""

Piece: TypeAlias = Literal["character", "word", "chunk"] | int
"""What a delta holds: a character, a word, a chunk (a few words), or so many characters."""

Move: TypeAlias = StreamDelta | Usage | float | Exception
"""What happens next when a script is played."""

_WORD = re.compile(r"\s*\S+\s*|\s+")
_CHUNK = re.compile(r"\s*(?:\S+\s*){1,4}|\s+")


def script_of(answer: Answer, messages: Sequence[Message] = ()) -> Script:
    """The script that an answer stands for; the usage of a plain text is estimated from its length and that of the messages.

    Raises:
        TypeError: it is nothing that can be played.
    """
    match answer:
        case Script():
            script = answer
        case Exception():
            script = Script(error=answer)
        case CompletionResult(message=message):
            script = Script(usage=answer.usage, finish_reason=answer.finish_reason, steps=message.parts)
        case str():
            said = sum(len(message.content) for message in messages)
            tokens = (max(1, said // 4), max(1, len(answer) // 4))
            script = Script(answer, usage=Usage(*tokens, sum(tokens), estimated=True))
        case Sequence() if not isinstance(answer, bytes | bytearray):
            script = Script(steps=answer)
        case _:
            raise TypeError(f"a scripted answer is a text, a CompletionResult, a Script, its steps or an exception, not {_kind(answer)}")
    for step in script.in_order:
        _check(step)
    return script


def _check(step: object) -> None:
    if isinstance(step, bool) or not isinstance(step, (str, *get_args(Part), Usage, float, int, Exception)):
        raise TypeError(f"a step of a script is a text, a part, a Usage, seconds or an exception, not {_kind(step)}")
    if isinstance(step, float | int) and not step >= 0:
        raise ValueError(f"a pause of {step} s cannot be made; give seconds from 0 on")


def _kind(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__


def check_piece(by: Piece) -> Piece:
    """The same.

    Raises:
        ValueError: it names no way to cut a text.
    """
    if (isinstance(by, str) and by not in ("character", "word", "chunk")) or (isinstance(by, int) and by < 1):
        raise ValueError(f"by is {by!r}; it must be 'character', 'word', 'chunk' or a number of characters")
    return by


def pieces(text: str, by: Piece) -> Iterator[str]:
    """The text, cut."""
    if isinstance(by, int) or by == "character":
        size = by if isinstance(by, int) else 1
        yield from (text[at : at + size] for at in range(0, len(text), size))
    else:
        yield from (_WORD if by == "word" else _CHUNK).findall(text)


def moves(script: Script, by: Piece) -> Iterator[Move]:
    """Play a script: deltas, pauses and usage reports, up to the final delta (with the last usage) or an exception."""
    given = 0
    for move in _undisturbed(script, by):
        if script.error is not None and (given >= script.fail_after or (isinstance(move, StreamDelta) and move.final)):
            yield script.error
            return
        yield move
        if isinstance(move, Exception):
            return
        given += isinstance(move, StreamDelta)


def _undisturbed(script: Script, by: Piece) -> Iterator[Move]:
    log = ToolCallLog()
    usage: Usage | None = None
    for step in script.in_order:
        match step:
            case str() | TextPart():
                yield from (StreamDelta(piece) for piece in pieces(step if isinstance(step, str) else step.text, by))
            case ReasoningPart(text=text, opaque=None):
                yield from (StreamDelta(reasoning=piece) for piece in pieces(text, by))
            case RefusalPart(text=text):
                yield from (StreamDelta(refusal=piece) for piece in pieces(text, by))
            case ToolCall():
                yield from _call(step, log, by)
            case Usage():
                usage = step
                yield step
            case ReasoningPart() | ImagePart() | FilePart() | AudioPart() | CitationPart() | OpaquePart():
                yield StreamDelta(parts=(step,))
            case _:
                yield step
    finish = script.finish
    calls = log.final(finish, "call_{}".format) or None
    yield StreamDelta(tool_calls=calls, finish_reason=finish, raw_finish_reason=finish, usage=usage, final=True)


def _call(call: ToolCall, log: ToolCallLog, by: Piece) -> Iterator[StreamDelta]:
    text = call.raw_arguments if call.raw_arguments is not None else json.dumps(call.arguments, ensure_ascii=False)
    index = len(log)
    head = ToolCallFragment(index, call.id or None, call.name, opaque=call.opaque)
    for fragment in (head, *(ToolCallFragment(index, arguments=piece) for piece in pieces(text, by))):
        log.append(fragment)
        yield StreamDelta(tool_calls=log.view(), tool_fragments=(fragment,))
