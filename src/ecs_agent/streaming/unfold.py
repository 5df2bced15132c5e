"""The way back from a whole answer to deltas, as few as keep the order of its parts."""

from __future__ import annotations

from ecs_agent.types import CompletionResult, Part, ReasoningPart, RefusalPart, StreamDelta, TextPart, ToolCall

_REASONING, _TEXT, _REFUSAL, _OTHER, _CALL = range(5)
"""What stands in a delta, in the order in which the fold takes it."""


def unfold(result: CompletionResult) -> list[StreamDelta]:
    """The deltas whose fold is this answer.

    Its parts are then the same, if they are as a fold has them: texts of one kind that follow each other become one, and calls stand together.
    """
    deltas: list[StreamDelta] = []
    calls: list[ToolCall] = []
    for parts in _groups(result.message.parts) or [[]]:
        calls = [*calls, *[part for part in parts if isinstance(part, ToolCall)]]
        deltas.append(_delta(parts, calls))
    last = deltas[-1]
    last.finish_reason = result.finish_reason or ("tool_calls" if calls else "stop")
    last.raw_finish_reason = result.raw_finish_reason
    last.usage = result.usage
    last.logprobs = result.logprobs
    last.final = True
    return deltas


def _groups(parts: tuple[Part, ...]) -> list[list[Part]]:
    """The parts, cut wherever one delta could not keep their order."""
    groups: list[list[Part]] = []
    before = _CALL + 1
    for part in parts:
        kind = _kind(part)
        if kind < before or (kind == before and kind < _OTHER):
            groups.append([])
        groups[-1].append(part)
        before = kind
    return groups


def _kind(part: Part) -> int:
    match part:
        case ReasoningPart(opaque=None):
            return _REASONING
        case TextPart():
            return _TEXT
        case RefusalPart():
            return _REFUSAL
        case ToolCall():
            return _CALL
        case _:
            return _OTHER


def _delta(parts: list[Part], calls: list[ToolCall]) -> StreamDelta:
    texts = {kind: part.text for part in parts if isinstance(part, TextPart | ReasoningPart | RefusalPart) and (kind := _kind(part)) < _OTHER}
    return StreamDelta(
        content=texts.get(_TEXT),
        reasoning=texts.get(_REASONING),
        refusal=texts.get(_REFUSAL),
        tool_calls=calls or None,
        parts=tuple([part for part in parts if _kind(part) == _OTHER]),
    )
