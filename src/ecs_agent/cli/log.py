"""`ecs-agent log`: what happened in a world, a line for each fact, or for pieces of an answer that arrived together.

    12    0.000  1:8      TurnStarted                        turn=1
    15    0.412  1:11     StreamDeltaEvent, 3 times          "Hello you"

A line has the position, the seconds since the first fact, the entity and the number of the fact among its own, the type, and the fields.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from ecs_agent.cli.failures import ExitCode
from ecs_agent.cli.json_lines import write_line
from ecs_agent.cli.sanitize import one_line
from ecs_agent.cli.stores import is_of_type, opened
from ecs_agent.cli.terminal import Look, Terminal, standard_output
from ecs_agent.errors import ConfigurationError
from ecs_agent.store.divergence import VERBS
from ecs_agent.store.fact_data import FactData
from ecs_agent.store.recording import Recording
from ecs_agent.streaming.json_edge import is_list, is_object
from ecs_agent.types import JsonObject

LOOK_EVERY: Final = 0.2
"""Seconds between two looks at a store that somebody writes."""

_FAILURES: Final = frozenset({"ErrorComponent", "QuarantineComponent"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which facts are wanted: of one entity, of one type, and between two positions, both included; None for all."""

    entity: int | None = None
    kind: str | None = None
    first: int | None = None
    last: int | None = None

    def has(self, fact: FactData) -> bool:
        """Whether a fact is among them."""
        return (self.entity is None or fact.entity == self.entity) and (self.kind is None or is_of_type(fact, self.kind))


def log(path: str, wanted: Wanted, *, as_json: bool = False, follow: bool = False, color: bool = True) -> int:
    """Show facts; the exit code.

    Args:
        path: of the store.
        wanted: which of them.
        as_json: as JSON, an object a line.
        follow: go on with those that are still being written, until Ctrl-C.
        color: False keeps every escape sequence out.

    Raises:
        ConfigurationError: there is no such store, or the positions make no sense.
        StoreError: it cannot be read.
    """
    if wanted.first is not None and wanted.last is not None and wanted.first > wanted.last:
        raise ConfigurationError(f"--from {wanted.first} lies behind --to {wanted.last}")
    screen = standard_output(color=color)
    with opened(path) as recording:
        start = next((fact.time for fact in recording.facts(0, 1)), 0)
        for fact in _facts(recording, wanted, follow=follow):
            if not wanted.has(fact):
                continue
            if as_json:
                write_line(_line(fact), sys.stdout)
            else:
                _show(fact, start, screen)
    return ExitCode.OK


def _line(fact: FactData) -> JsonObject:
    """A fact with the names of its fields; those of a segment it has none of, as it was taken apart."""
    line = msgspec.structs.asdict(fact)
    del line["places"]
    return line


def _facts(recording: Recording, wanted: Wanted, *, follow: bool) -> Iterator[FactData]:
    end = wanted.first or 0
    last = None if wanted.last is None else wanted.last + 1
    while True:
        for fact in recording.facts(end, last):
            yield fact
            end = fact.pos + fact.count
        if not follow or (last is not None and end >= last):
            return
        time.sleep(LOOK_EVERY)


def _show(fact: FactData, start: int, screen: Terminal) -> None:
    whose = "" if fact.entity is None else f"{fact.entity}:{fact.seq}"
    head = f"{fact.pos:>7} {(fact.time - start) / 1e9:>9.3f}  {whose:<9} {_what(fact):<34} "
    detail = _detail(fact)
    look = Look.ALARM if fact.change is not None and fact.change[0] == "put" and fact.change[1] in _FAILURES else Look.PLAIN
    screen.write(one_line_of(head, detail, screen.width).rstrip() + "\n", look)


def one_line_of(head: str, detail: str, width: int) -> str:
    """A line that fits, its head kept as it is laid out."""
    room = width - len(head)
    return head if room < 2 else head + one_line(detail, room)


def _what(fact: FactData) -> str:
    if fact.type in VERBS and fact.change is not None:
        return one_line(f"{fact.change[1]} {VERBS[fact.type]}")
    return one_line(fact.type if fact.count == 1 else f"{fact.type}, {fact.count} times")


def _detail(fact: FactData) -> str:
    data, change = fact.data, fact.change or [""]
    if fact.type == "StreamDeltaEvent" and is_list(data):
        return _pieces(data)
    if is_object(data):
        return _fields({name: value for name, value in data.items() if name != "entity_id"})
    if change[0] == "put":
        return _fields(change[3])
    return " ".join([_edit(edit) for edit in change[3]]) if change[0] == "edit" else ""


def _pieces(data: list[Any]) -> str:
    """The text of an answer's pieces; what else they hold is named."""
    told: list[str] = []
    for piece in data:
        for name, value in piece.items():
            if name in {"text", "content"}:
                told.append(str(value))
            elif name != "lengths":
                told.append(f" {name}={_short(value)} ")
    return _short("".join(told).strip())


def _fields(fields: JsonObject) -> str:
    return " ".join([f"{name}={_short(value)}" for name, value in fields.items()])


def _edit(edit: list[Any]) -> str:
    operation, name, *told = edit
    if operation == "grow":
        return f"{name}[{told[0]}:]={_short(told[1])}"
    if operation == "merge":
        return f"{name}+={_short(told[0])}" if told[0] else f"{name}-={_short(told[1])}"
    return f"{name}={_short(told[0])}"


def _short(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
