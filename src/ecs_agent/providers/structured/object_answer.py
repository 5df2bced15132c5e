"""An answer that is to be an object: where its text stands, in the answer or in the arguments of a call, and what to say when it does not fit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from ecs_agent.providers.structured.partial_object import PartialObject
from ecs_agent.providers.structured.response_format import wire_name
from ecs_agent.types import CompletionResult, Message, Part, StreamDelta, ToolCall

if TYPE_CHECKING:
    from pydantic import BaseModel


class ObjectAnswer:
    """One answer, as it arrives.

    Args:
        model: the class of the object.
        mode: where its text stands.
        number: of the answer; no other answer of the conversation has it.
    """

    def __init__(self, model: type[BaseModel], mode: Literal["json", "tool"], number: int) -> None:
        self._read = PartialObject(model)
        self._mode = mode
        self._tool = wire_name(model)
        self._id = f"object_{number}"  # of a call that comes without one
        self._index: int | None = None  # of the first call, which is the one
        self._arguments: list[str] = []

    @property
    def nothing(self) -> str | None:
        """What an answer without the object lacks, where that is no text."""
        return f"does not call the tool {self._tool!r}" if self._mode == "tool" else None

    def take(self, deltas: Sequence[StreamDelta]) -> bool:
        """Take what arrived at once; whether there is something new to show.

        Raises:
            UnfitError: this cannot become the object any more.
        """
        text = "".join([self._arguments_in(delta) if self._mode == "tool" else delta.content or "" for delta in deltas])
        return bool(text) and self._read.feed(text)

    def _arguments_in(self, delta: StreamDelta) -> str:
        found = ""
        for fragment in delta.tool_fragments:
            if self._index is None:
                self._index = fragment.index
            if fragment.index == self._index:
                self._id = fragment.id or self._id
                found += fragment.arguments
        self._arguments.append(found)
        return found

    def shown(self) -> Any:
        """The object as far as it has arrived; None before it begins."""
        return self._read.shown()

    def text_of(self, result: CompletionResult) -> str:
        """The whole text of the object; "" when there is none."""
        if self._mode == "json":
            return result.message.content
        if text := "".join(self._arguments):
            return text
        call = next(iter(result.message.tool_calls or ()), None)  # it came as a whole
        if call is None:
            return ""
        return call.raw_arguments if call.raw_arguments is not None else json.dumps(call.arguments, ensure_ascii=False)

    def repair(self, result: CompletionResult, problems: Sequence[str]) -> list[Message]:
        """What to append to the conversation so that the model mends its answer. A call is answered by a result, as it must be."""
        words = f"This is not the object that was asked for: {'; '.join(problems)}. Give the whole object again, corrected, and nothing else."
        said = self._said(result)
        calls = [part for part in said if isinstance(part, ToolCall)]
        answered = [Message("tool", words, tool_call_id=call.id, is_error=True) for call in calls] or [Message("user", words)]
        return [Message("assistant", parts=said), *answered] if said else answered

    def _said(self, result: CompletionResult) -> list[Part]:
        """What the model said, with a call that was ended in the middle."""
        said: list[Part] = [replace(part, id=part.id or self._id) if isinstance(part, ToolCall) else part for part in result.message.parts]
        text = "".join(self._arguments)
        if text and not any(isinstance(part, ToolCall) for part in said):
            error = "The answer was ended here, since a value does not fit."
            said.append(ToolCall(self._id, self._tool, raw_arguments=text, arguments_error=error))
        return said
