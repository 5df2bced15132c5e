"""Which call a fragment belongs to. Servers disagree on index and id, so this is decided by what stands in the fragment:

(a) An id that differs from the one in its index's slot opens a new call.
(b) An id that is empty or missing continues; where nothing can be continued and nothing is said, nothing is opened.
(c) Without an index a new id opens a call, else the last one continues. So does a fragment of a new index that has neither id nor name.
(d) A name, while the slot's arguments are already a closed JSON object, opens a new call.
(e) A repeated name is ignored; a piece of a name is appended only while there are no arguments and the fragment has no id.
(f) Arguments that are null are ignored, an object is written as JSON, a string is appended.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from ecs_agent.providers.openai_chat.parts import SOURCE
from ecs_agent.providers.wire.call_log import CallLog
from ecs_agent.streaming.json_edge import is_list, is_object, without_surrogates
from ecs_agent.types import JsonObject, ToolCallFragment

_KNOWN = frozenset({"index", "id", "type", "function"})


@dataclass(slots=True)
class _Slot:
    number: int
    id: str | None = None
    name: str = ""
    has_arguments: bool = False
    extra: JsonObject = field(default_factory=dict[str, Any])


class CallSlots:
    """Takes the calls of one answer apart.

    Args:
        log: where their pieces go.
    """

    def __init__(self, log: CallLog) -> None:
        self.log = log
        self._slots: list[_Slot] = []
        self._by_index: dict[int, _Slot] = {}
        self._by_id: dict[str, _Slot] = {}

    def add(self, found: Any) -> tuple[ToolCallFragment, ...]:
        """Take the `tool_calls` of one delta; what is no object in it, and what says nothing, is left out."""
        pieces: list[Any] = found if is_list(found) else [found]
        made = [self._one(piece) for piece in pieces if is_object(piece)]
        return tuple([fragment for fragment in made if fragment is not None])

    def _one(self, piece: JsonObject) -> ToolCallFragment | None:
        function = piece.get("function")
        fields = function if is_object(function) else {}
        call_id, name = _text(piece.get("id")), _text(fields.get("name"))
        arguments = _arguments(fields.get("arguments"))
        index = _index(piece.get("index"))
        if not (self._slots or call_id or name or arguments):
            return None
        slot = self._slot(index, call_id, name, arguments)
        extra = {key: without_surrogates(value) for key, value in piece.items() if key not in _KNOWN and value is not None}
        slot.extra |= extra
        opaque = {SOURCE: dict(slot.extra)} if extra else None
        new_id, new_name = self._new_id(slot, call_id), self._new_name(slot, name, call_id)
        slot.has_arguments = slot.has_arguments or bool(arguments)
        if slot.number == len(self.log):
            return self.log.begin(new_id, new_name, arguments, opaque)
        return self.log.add(slot.number, arguments, call_id=new_id, name=new_name, opaque=opaque)

    def _slot(self, index: int | None, call_id: str | None, name: str | None, arguments: str) -> _Slot:
        slot = self._by_index.get(index) if index is not None else self._without_index(call_id)
        if slot is None and call_id is None and name is None and self._slots:
            slot = self._slots[-1]
        if slot is None or self._opens_new(slot, call_id, name, arguments):
            slot = _Slot(len(self._slots))
            self._slots.append(slot)
        if index is not None:
            self._by_index[index] = slot
        return slot

    def _without_index(self, call_id: str | None) -> _Slot | None:
        if call_id is not None:
            return self._by_id.get(call_id)
        return self._slots[-1] if self._slots else None

    def _opens_new(self, slot: _Slot, call_id: str | None, name: str | None, arguments: str) -> bool:
        if call_id is not None and slot.id is not None:
            return call_id != slot.id
        repeats = name == slot.name and not arguments
        return name is not None and not repeats and self.log.is_closed(slot.number)

    def _new_id(self, slot: _Slot, call_id: str | None) -> str | None:
        if slot.id is not None or call_id is None:
            return None
        slot.id = call_id
        self._by_id.setdefault(call_id, slot)
        return call_id

    def _new_name(self, slot: _Slot, name: str | None, call_id: str | None) -> str | None:
        if name is None or (slot.name and (slot.has_arguments or call_id is not None or name == slot.name)):
            return None
        slot.name += name
        return name


def _index(value: Any) -> int | None:
    return int(value) if isinstance(value, int) or (isinstance(value, float) and value.is_integer()) else None


def _text(value: Any) -> str | None:
    return without_surrogates(value) if isinstance(value, str) and value else None


def _arguments(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
