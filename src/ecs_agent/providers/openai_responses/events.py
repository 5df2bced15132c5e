"""Events of the OpenAI Responses protocol as they are read from bytes: typed where the protocol is kept, leniently where a server is not.

Two types read the same bytes. `PlainText` fits only an event that is new text and nothing else, so that its fitting is nearly all the checking there
is, done in C for many events at once. `Event` fits everything that is an object; what no fast decoder reads (half a surrogate pair) is read by
`lenient`.
"""

from __future__ import annotations

from operator import lt
from typing import Any, Final, Literal, TypeAlias

import msgspec

from ecs_agent.providers.wire.typed_json import fitting_lines
from ecs_agent.streaming.json_edge import without_surrogates
from ecs_agent.streaming.sse import Run
from ecs_agent.types import JsonObject

TEXT: Final = "response.output_text.delta"
UNNUMBERED: Final = -1
"""The number of the last event, while none had one."""

Key: TypeAlias = str | int | None
"""What tells an item of the output: its id, its place, or nothing, where a server gives neither."""

Nothing: TypeAlias = Literal[""] | tuple[()] | None


class PlainText(msgspec.Struct, gc=False):
    """New text and nothing else. Its noise (`obfuscation`) is passed over."""

    type: Literal["response.output_text.delta"]
    delta: str
    sequence_number: int | None = None
    item_id: str | None = None
    output_index: int | None = None
    logprobs: Nothing = None
    error: None = None
    object: None = None


class Event(msgspec.Struct, gc=False):
    """The fields we read; msgspec skips all others without building them. Values are Any, since servers put anything anywhere."""

    type: Any = None
    sequence_number: Any = None
    item_id: Any = None
    output_index: Any = None
    content_index: Any = None
    summary_index: Any = None
    delta: Any = None
    text: Any = None
    refusal: Any = None
    arguments: Any = None
    item: Any = None
    part: Any = None
    annotation: Any = None
    logprobs: Any = None
    response: Any = None
    error: Any = None
    object: Any = None

    @property
    def number(self) -> int | None:
        """Its place in the stream, None for an event without one."""
        number = self.sequence_number
        return number if isinstance(number, int) and not isinstance(number, bool) and number >= 0 else None


def key_of(item_id: Any, output_index: Any) -> Key:
    """What tells an item: its id, else its place."""
    if isinstance(item_id, str) and item_id:
        return item_id
    return output_index if isinstance(output_index, int) else None


_EVENT: Final = msgspec.json.Decoder(Event)
_PLAIN: Final = msgspec.json.Decoder(PlainText)
_WHOLE_VALUES: Final = ("item", "part", "annotation", "response")
_FIELDS: Final = frozenset(Event.__struct_fields__)


def plain_texts(run: Run, last: int) -> list[PlainText]:
    """The events of a run if every one of them is new text of one item and nothing else, and numbered beyond `last`; none if any is more."""
    events = fitting_lines(_PLAIN, run)
    if len({(event.item_id, event.output_index) for event in events}) > 1:
        return []
    return events if _ascend([event.sequence_number for event in events], last) else []


def _ascend(numbers: list[int | None], last: int) -> bool:
    """Whether numbers rise beyond the last one; events of which none has a number are in order too."""
    known = [number for number in numbers if number is not None]
    if len(known) < len(numbers):
        return not known
    return all(map(lt, [last, *known], known))


def event_of(data: bytes) -> Event | None:
    """The event that these bytes are, None if the fast decoder cannot read them."""
    try:
        return _EVENT.decode(data)
    except (ValueError, RecursionError):
        return None


def lenient(found: JsonObject) -> Event:
    """An event from an object. What is kept of it as it stands has no half surrogate pairs; those of a text may still find their other half."""
    fields = {name: value for name, value in found.items() if name in _FIELDS}
    return Event(**{name: without_surrogates(value) if name in _WHOLE_VALUES else value for name, value in fields.items()})
