"""Tool calls while they arrive: fragments are appended, a view of all calls costs nothing until it is read, the end decides what counts.

A call's arguments come as pieces of JSON text. Parsing them at each piece would cost the square of their length, so the log only keeps the
pieces, and a view remembers how many there were when it was made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, cast, overload

from ecs_agent.streaming.partial_json import BracketCounter, parse_object, parse_partial
from ecs_agent.types import FinishReason, JsonObject, ToolCall, ToolCallFragment

_JOIN_AT: Final = 256
"""So many fragments are joined into one per call, which bounds what a long call costs beyond its text."""


class ToolCallLog:
    """The calls of one answer, as their fragments arrive.

    The pieces of a fragment's `name` and `arguments` are appended to what its call has, its `opaque` is merged, and the first `id` stays.
    """

    __slots__ = ("_brackets", "_joined", "_recent")

    def __init__(self) -> None:
        # Both lists are only ever appended to, so that a view is two lists and two lengths; a full `_recent` is replaced, not emptied.
        self._joined: list[ToolCallFragment] = []
        self._recent: list[ToolCallFragment] = []
        self._brackets: dict[int, BracketCounter] = {}

    def __len__(self) -> int:
        """How many calls have begun."""
        return len(self._brackets)

    def append(self, fragment: ToolCallFragment) -> None:
        """Take the next fragment; an index that is new begins a call."""
        brackets = self._brackets.get(fragment.index)
        if brackets is None:
            brackets = self._brackets[fragment.index] = BracketCounter()
        if fragment.arguments:
            brackets.feed(fragment.arguments)
        self._recent.append(fragment)
        if len(self._recent) >= _JOIN_AT:
            self._joined.extend(_texts_as_fragments(_collect(self._recent)))
            self._recent = []

    def is_closed(self, index: int) -> bool:
        """Whether call `index` has arguments whose outermost bracket has closed, so that whatever comes now belongs to another call.

        True for every text that parses as a JSON object, and also for a bracketed text that does not parse. Costs nothing: it was counted
        as the fragments came.
        """
        brackets = self._brackets.get(index)
        return brackets is not None and brackets.closed

    def view(self) -> Sequence[ToolCall]:
        """All calls so far, in the order of their indexes, as they are now; later fragments do not change it.

        A call whose text is already a JSON object has it as `arguments`. Of another one `arguments` holds what can be read so far, and
        `raw_arguments` is its text. The calls are parsed when the view is first read; its length is known without.
        """
        return _CallView(self._joined, self._recent, len(self._brackets))

    def final(self, finish_reason: FinishReason | None, missing_id: Callable[[int], str]) -> tuple[ToolCall, ...]:
        """The calls of an answer that has ended with `finish_reason`; a call without an id gets `missing_id(index)`.

        Only a call without `arguments_error` may be run; `finished_call` has the rules.
        """
        calls = _collect([*self._joined, *self._recent])
        return tuple([finished_call(call.partial(id_if_missing=missing_id), finish_reason) for call in calls])


def finished_call(call: ToolCall, finish_reason: FinishReason | None) -> ToolCall:
    """What becomes of `call` when its answer ends with `finish_reason` (None: the server did not say, or said an unknown word).

    A call with parsed arguments stays as it is. No text at all means `{}` only when the model finished of itself (stop or tool_calls);
    otherwise it was cut off. Any other text is kept raw, with an error that tells the model what to do; such a call is never run.
    """
    if call.raw_arguments is None or call.arguments_error is not None:
        return call
    text = call.raw_arguments
    try:
        arguments = parse_object(text)
    except ValueError as reason:
        if not text.strip() and finish_reason in ("stop", "tool_calls"):
            return ToolCall(call.id, call.name, opaque=call.opaque)
        error = _sentence(str(reason) if text.strip() else "are missing", finish_reason)
        return ToolCall(call.id, call.name, raw_arguments=text, arguments_error=error, opaque=call.opaque)
    return ToolCall(call.id, call.name, arguments, opaque=call.opaque)


def is_whole(call: ToolCall) -> bool:
    """Whether the call's arguments have arrived completely and are a JSON object."""
    return call.raw_arguments is None and call.arguments_error is None


def _sentence(reason: str, finish_reason: FinishReason | None) -> str:
    if finish_reason == "length":
        return (
            f"The tool was not run: the answer reached its length limit before the arguments were complete (they {reason}). "
            "Call it again with shorter arguments, or divide the work over several calls."
        )
    return f"The tool was not run: its arguments must be one complete JSON object, but they {reason}. Call it again with corrected arguments."


@dataclass(slots=True)
class _Collected:
    """The fragments of one call, gathered."""

    index: int
    id: str | None = None
    name: str = ""
    pieces: list[str] = field(default_factory=list[str])
    opaque: JsonObject | None = None

    def take(self, fragment: ToolCallFragment) -> None:
        self.id = self.id or fragment.id
        if fragment.name:
            self.name += fragment.name
        if fragment.arguments:
            self.pieces.append(fragment.arguments)
        if fragment.opaque is not None:
            self.opaque = fragment.opaque if self.opaque is None else self.opaque | fragment.opaque

    def partial(self, id_if_missing: Callable[[int], str]) -> ToolCall:
        """The call with its text unparsed."""
        return ToolCall(self.id or id_if_missing(self.index), self.name, raw_arguments="".join(self.pieces), opaque=self.opaque)


def _collect(fragments: Iterable[ToolCallFragment]) -> list[_Collected]:
    calls: dict[int, _Collected] = {}
    for fragment in fragments:
        call = calls.get(fragment.index)
        if call is None:
            call = calls[fragment.index] = _Collected(fragment.index)
        call.take(fragment)
    return [calls[index] for index in sorted(calls)]


def _texts_as_fragments(calls: list[_Collected]) -> list[ToolCallFragment]:
    return [ToolCallFragment(call.index, call.id, call.name or None, "".join(call.pieces), call.opaque) for call in calls]


class _CallView(Sequence[ToolCall]):
    """What `ToolCallLog.view` returns. Equal to any list or tuple of the same calls."""

    __slots__ = ("_calls", "_joined", "_joined_length", "_length", "_recent", "_recent_length")

    def __init__(self, joined: list[ToolCallFragment], recent: list[ToolCallFragment], length: int) -> None:
        self._joined = joined
        self._recent = recent
        self._joined_length = len(joined)
        self._recent_length = len(recent)
        self._length = length
        self._calls: tuple[ToolCall, ...] | None = None

    def _read(self) -> tuple[ToolCall, ...]:
        if self._calls is None:
            collected = _collect([*self._joined[: self._joined_length], *self._recent[: self._recent_length]])
            self._calls = tuple([_read_so_far(call.partial(id_if_missing=_no_id)) for call in collected])
            self._joined = self._recent = []  # the fragments are no longer needed; hold on to nothing
        return self._calls

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> ToolCall: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[ToolCall, ...]: ...
    def __getitem__(self, index: int | slice) -> ToolCall | tuple[ToolCall, ...]:
        return self._read()[index]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, _CallView):
            return self._read() == other._read()
        if isinstance(other, list | tuple):
            return self._read() == tuple(cast("Sequence[object]", other))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # arguments are dicts: calls cannot be hashed

    def __repr__(self) -> str:
        return repr(list(self._read()))


def _no_id(_index: int) -> str:
    return ""


def _read_so_far(call: ToolCall) -> ToolCall:
    text = call.raw_arguments or ""
    if text.rstrip().endswith("}"):
        try:
            return ToolCall(call.id, call.name, parse_object(text), opaque=call.opaque)
        except ValueError:
            pass  # the bracket belonged to something inside; read it as what it is, a beginning
    return ToolCall(call.id, call.name, parse_partial(text), raw_arguments=text, opaque=call.opaque)
