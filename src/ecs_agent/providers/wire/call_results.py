"""Which result belongs to which call, in any conversation: a truncated one, one that broke off, one that another family made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from ecs_agent.types import Message, ToolCall

CallPlace: TypeAlias = tuple[int, int]
"""Of a call: the message's position in the conversation, and the part's in the message."""

NO_RESULT: Final = "There is no result: the tool was not run, or what it gave was lost."
"""What a model is told in place of a result that is missing, without which servers refuse the call."""


def results_of_calls(messages: Sequence[Message]) -> dict[CallPlace, int | None]:
    """The position of the message that answers each call, the first behind it with its id; None if there is none.

    An id that is used again, as by servers that number the calls of each answer anew, means the newer call; within one message the calls are
    answered in their order. A result without an id answers the oldest open call of its name.
    """
    results: dict[CallPlace, int | None] = {}
    waiting: dict[CallPlace, ToolCall] = {}
    for at, message in enumerate(messages):
        if message.role == "assistant":
            calls = {(at, place): part for place, part in enumerate(message.parts) if isinstance(part, ToolCall)}
            results |= dict.fromkeys(calls)
            again = {call.id for call in calls.values()}  # such an id means the newer call
            waiting = {place: call for place, call in waiting.items() if call.id not in again} | calls
        elif message.role == "tool":
            answered = next((place for place, call in waiting.items() if _answers(message, call)), None)
            if answered is not None:
                del waiting[answered]
                results[answered] = at
    return results


def answered_calls(messages: Sequence[Message], at: int, results: Mapping[CallPlace, int | None]) -> Iterator[tuple[int, ToolCall, Message | None]]:
    """The calls of one message in their order, each with its place and its result."""
    for place, part in enumerate(messages[at].parts):
        if isinstance(part, ToolCall) and (at, place) in results:
            found = results[at, place]
            yield place, part, messages[found] if found is not None else None


def orphan_text(message: Message) -> str:
    """How a result is told whose call is not there any more, which servers refuse as one."""
    return f"(The result of an earlier call of a tool: {message.content})"


def _answers(message: Message, call: ToolCall) -> bool:
    return message.tool_call_id == call.id if message.tool_call_id is not None else message.name == call.name
