"""The laws of a streamed answer, and the error that names the one that was broken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum, unique

from ecs_agent.errors import EcsAgentError, ProviderError
from ecs_agent.streaming.fold import fold
from ecs_agent.streaming.json_edge import is_object
from ecs_agent.streaming.tool_calls import ToolCallLog
from ecs_agent.types import CompletionResult, Message, ReasoningPart, RefusalPart, StreamDelta, TextPart, ToolCall


@unique
class Law(StrEnum):
    """What holds for every stream of every provider."""

    COMPLETE = "an answer that nothing disturbs reaches its final delta"
    ONE_FINAL = "a whole answer has exactly one final delta, its last; a broken one has none"
    FINISH = "the finish reason and the usage of the result stand on the final delta"
    TEXT = "the text of the deltas, joined, is the text of the result"
    FOLD = "the fold of the deltas is the result"
    CUMULATIVE = "a delta's tool_calls are all calls so far, and later ones only add to them"
    ARGUMENTS = "a finished call has an id, and either parsed arguments or an error and the raw text"
    MARKED = "the result of a stream that did not end is marked as interrupted, that of a whole one is not"
    TYPED = "a provider raises nothing but this package's errors"
    PARTIAL = "an error in a stream carries what had arrived"
    WHOLE = "the whole answer agrees with the streamed one"
    ENDED = "a stream that has ended or was closed stays ended, and may be closed again"
    NO_TASK = "a stream that has ended or was left leaves no task behind"
    RELEASED = "a stream that has ended or was left releases its connection"
    AT_ONCE = "closing or cancelling a stream ends whoever waits for it, at once"
    STRUCTURED = "response_format cannot be streamed, and is refused before anything is sent"
    FAULT = "a client reports a fault as what it is, with what had arrived"
    REQUEST = "a request is what its API takes: every call has its result, and nobody's replay data is sent to another"
    SECRETS = "a key is sent to its server and appears nowhere else"


class BrokenLawError(AssertionError):
    """A provider broke a law.

    Attributes:
        law: which one.
        difference: how.
    """

    def __init__(self, law: Law, difference: str, *notes: str) -> None:
        super().__init__("\n  ".join([f"broken law {law.name}: {law}", difference, *notes]))
        self.law = law
        self.difference = difference


def check_typed(error: Exception) -> None:
    """Errors that reach the user are ours."""
    if not isinstance(error, EcsAgentError):
        raise BrokenLawError(Law.TYPED, f"{type(error).__name__} was raised: {error}") from error


def check_deltas(deltas: Sequence[StreamDelta], result: CompletionResult, *, ended: bool) -> None:
    """Hold deltas that were handed out against the stream's result.

    Args:
        deltas: in order.
        result: what the stream says of them.
        ended: whether the stream came to its end without an error.
    """
    finals = [place for place, delta in enumerate(deltas) if delta.final]
    if finals != ([len(deltas) - 1] if ended else []):
        words = [place for place, delta in enumerate(deltas) if delta.finish_reason is not None]
        raise BrokenLawError(Law.ONE_FINAL, f"of {len(deltas)} deltas these are final: {finals} (finish reasons stand on {words})")
    if result.message.interrupted == ended:
        raise BrokenLawError(Law.MARKED, f"the result says interrupted={result.message.interrupted}")
    _check_finish(deltas, result)
    _check_text(deltas, result.message)
    _check_fold(deltas, result)
    _check_cumulative(deltas)
    if ended:
        check_calls(result.message.tool_calls or [])


def _check_finish(deltas: Sequence[StreamDelta], result: CompletionResult) -> None:
    early = [place for place, delta in enumerate(deltas) if delta.finish_reason is not None and not delta.final]
    if early:
        raise BrokenLawError(Law.FINISH, f"deltas {early} have a finish reason and are not final")
    if deltas and deltas[-1].final and (deltas[-1].finish_reason, deltas[-1].usage) != (result.finish_reason, result.usage):
        told = f"{deltas[-1].finish_reason!r} and {deltas[-1].usage}"
        raise BrokenLawError(Law.FINISH, f"the final delta says {told}, the result {result.finish_reason!r} and {result.usage}")


def _check_text(deltas: Sequence[StreamDelta], message: Message) -> None:
    for name, field, kind in (("content", "content", TextPart), ("reasoning", "reasoning", ReasoningPart), ("refusal", "refusal", RefusalPart)):
        joined = ""
        for delta in deltas:
            joined += getattr(delta, field) or ""
            joined += "".join(part.text for part in delta.parts if isinstance(part, kind))
        if joined != getattr(message, name):
            raise BrokenLawError(Law.TEXT, f"the {name} of the deltas is {joined!r}, that of the result {getattr(message, name)!r}")


def _check_fold(deltas: Sequence[StreamDelta], result: CompletionResult) -> None:
    folded = fold(deltas)
    if folded != replace(result, timing=None):
        raise BrokenLawError(Law.FOLD, f"the deltas fold to {folded}, the result is {result}")


def _check_cumulative(deltas: Sequence[StreamDelta]) -> None:
    log = ToolCallLog()
    before: Sequence[ToolCall] = ()
    for place, delta in enumerate(deltas):
        for fragment in delta.tool_fragments:
            log.append(fragment)
        if delta.tool_calls is None:
            continue
        now = tuple(delta.tool_calls)
        if len(now) < len(before) or not all(_continues(old, new) for old, new in zip(before, now, strict=False)):
            raise BrokenLawError(Law.CUMULATIVE, f"delta {place} has the calls {list(now)}, before it there were {list(before)}")
        if len(log) and not delta.final and now != tuple(log.view()):
            raise BrokenLawError(Law.CUMULATIVE, f"delta {place} has the calls {list(now)}, the fragments up to it are {list(log.view())}")
        before = now


def _continues(old: ToolCall, new: ToolCall) -> bool:
    """Whether a call is an earlier one with more of it."""
    same = (not old.id or new.id.startswith(old.id)) and new.name.startswith(old.name)
    if old.raw_arguments is None:
        return same and (new.raw_arguments is not None or new.arguments == old.arguments)  # `{}` may go on to be `{}}`
    return same and (new.raw_arguments is None or new.raw_arguments.startswith(old.raw_arguments))


def check_calls(calls: Sequence[ToolCall]) -> None:
    """Calls of an answer that has ended."""
    ids = [call.id for call in calls]
    if not all(ids) or len(set(ids)) != len(ids):
        raise BrokenLawError(Law.ARGUMENTS, f"the calls have the ids {ids}; each needs one of its own")
    for call in calls:
        parsed = call.arguments_error is None and call.raw_arguments is None
        kept = call.arguments_error is not None and call.raw_arguments is not None and not call.arguments
        if not is_object(call.arguments) or not (parsed or kept):
            raise BrokenLawError(Law.ARGUMENTS, f"{call} is neither")


def check_error(error: ProviderError, deltas: Sequence[StreamDelta]) -> None:
    """An error that came from the iteration, after these deltas."""
    if error.partial is None:
        raise BrokenLawError(Law.PARTIAL, f"{type(error).__name__} has no partial result; {len(deltas)} deltas had arrived: {error}")
    check_deltas(deltas, error.partial, ended=False)
