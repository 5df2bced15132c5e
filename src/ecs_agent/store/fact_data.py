"""Facts as they stand in a frame.

A frame is a JSON array of facts, each an array of its fields in the order of `FactData`. A change is one of

    ["put", tag, version, fields]          a component came, or took another's place
    ["edit", tag, version, edits]          fields of it changed; an edit is one of
        ["set", field, value]                  another value
        ["grow", field, kept, tail]            the first `kept` elements of the list, and `tail` behind them
        ["merge", field, items, gone]          items of a dictionary were set, and keys removed
    ["drop", tag]                          it was removed
    ["none", tag]                          whatever happened to it: components of its type are never written
    ["add", tag, at]                       it took in the items of this burst, `at` on the World's monotonic clock

The bursts of one attempt in a frame stand together, where the first of them stood (`places`); see `ecs_agent.store.segments`.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

ChangeData: TypeAlias = list[Any]
Place: TypeAlias = tuple[int, int, int, int, float]
"""Of one burst in a segment: its pos, seq, count, time and `at`."""


class FactData(msgspec.Struct, frozen=True, array_like=True):
    """A fact, or a burst of `count` facts, as it is stored. `data` is the event's; of a burst, its items; of a segment, those of each burst."""

    pos: int
    count: int
    entity: int | None
    seq: int
    run: int
    turn: int
    attempt: int
    parent: int | None
    kind: str
    type: str
    version: int
    time: int
    data: Any = None
    change: ChangeData | None = None
    places: list[Place] | None = None
