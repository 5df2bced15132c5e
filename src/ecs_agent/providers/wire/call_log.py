"""The tool calls of one answer as a decoder reads them: numbered in the order in which they began, their texts whole, their ids distinct."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ecs_agent.providers.wire.surrogates import Surrogates
from ecs_agent.streaming.json_edge import without_surrogates
from ecs_agent.streaming.tool_calls import ToolCallLog
from ecs_agent.types import FinishReason, JsonObject, ToolCall, ToolCallFragment


class CallLog:
    """The calls of one answer. Which call a piece belongs to is the protocol's business.

    Args:
        call_id: makes an id for a call that came without one, from its number.
    """

    def __init__(self, call_id: Callable[[int], str]) -> None:
        self._call_id = call_id
        self._log = ToolCallLog()
        self._surrogates = Surrogates()
        self._begun = 0

    def __len__(self) -> int:
        return self._begun

    def begin(self, call_id: str | None = None, name: str | None = None, arguments: str = "", opaque: JsonObject | None = None) -> ToolCallFragment:
        """Take the first piece of a new call; its number is the fragment's `index`."""
        self._begun += 1
        return self.add(self._begun - 1, arguments, call_id=call_id, name=name, opaque=opaque)

    def add(
        self, number: int, arguments: str, *, call_id: str | None = None, name: str | None = None, opaque: JsonObject | None = None
    ) -> ToolCallFragment:
        """Take a further piece of a call."""
        text = self._surrogates.whole(number, arguments)
        fragment = ToolCallFragment(number, _whole(call_id), _whole(name), text, opaque)
        self._log.append(fragment)
        return fragment

    def is_closed(self, number: int) -> bool:
        """Whether a call's arguments are a closed JSON text."""
        return self._log.is_closed(number)

    def rest(self) -> tuple[ToolCallFragment, ...]:
        """The halves of surrogate pairs that never became whole, replaced."""
        left = [ToolCallFragment(number, arguments=half) for number in range(self._begun) if (half := self._surrogates.rest_of(number))]
        for fragment in left:
            self._log.append(fragment)
        return tuple(left)

    def view(self) -> Sequence[ToolCall]:
        """All calls so far."""
        return self._log.view()

    def final(self, finish: FinishReason | None) -> Sequence[ToolCall] | None:
        """The complete calls, their ids distinct; None when there are none."""
        calls: list[ToolCall] = []
        taken: set[str] = set()
        for number, call in enumerate(self._log.final(finish, self._call_id)):
            call_id, more = call.id, number
            while call_id in taken:
                call_id, more = f"{call.id}_{more}", more + 1
            calls.append(replace(call, id=call_id) if call_id != call.id else call)
            taken.add(call_id)
        return calls or None


def _whole(text: str | None) -> str | None:
    return without_surrogates(text) if text else None
