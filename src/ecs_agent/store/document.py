"""A world as one JSON document: for exports, for tests, and for looking at. It holds data and names, never a secret and never a class."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, cast

from ecs_agent.core import World
from ecs_agent.core.checkpoint import Checkpoint, SavedRow
from ecs_agent.core.row import Row
from ecs_agent.errors import StoreFormatError
from ecs_agent.store.atomic_file import read_file, write_file
from ecs_agent.store.codecs import Codecs
from ecs_agent.store.json_text import dumps, loads
from ecs_agent.types import EntityId, JsonObject

FORMAT: Final = "ecs-agent world"
VERSION: Final = 1

_NUMBERS: Final = ("spawned", "seq", "sent", "run", "turn", "attempt")


def world_data(world: World, codecs: Codecs) -> JsonObject:
    """A world as it is now, between two facts.

    Raises:
        UnsavableError: a component holds what is no data.
    """
    state = world.state
    return {
        "format": FORMAT,
        "version": VERSION,
        "pos": state.log.next_pos,
        "seed": state.seed,
        "roots": state.roots,
        "next_id": state.ids.upcoming,
        "sent": state.sent,
        "entities": [entity_data(row, codecs) for row in state.rows.values()],
    }


def entity_data(row: Row, codecs: Codecs) -> JsonObject:
    """One entity as it is now."""
    label = row.label
    return {
        "id": row.id,
        "place": row.place,
        "spawned": row.spawned,
        "seq": row.seq,
        "sent": row.sent,
        "run": label.run,
        "turn": label.turn,
        "attempt": label.attempt,
        "components": components_data(row, codecs),
    }


def components_data(row: Row, codecs: Codecs) -> JsonObject:
    """An entity's components by tag, but for those that are never written."""
    held: JsonObject = {}
    for kind, component in row.components.items():
        if not codecs.is_transient(kind):
            tag, version, fields = codecs.encode_component(component)
            held[tag] = {"version": version, "fields": fields}
    return held


def checkpoint_of(document: object, codecs: Codecs) -> Checkpoint:
    """What a world is made from.

    Raises:
        StoreFormatError: this is no such document, a damaged one, or one of a newer version.
    """
    if not isinstance(document, dict) or cast("JsonObject", document).get("format") != FORMAT:
        raise StoreFormatError(f'this is no saved world: its "format" should be "{FORMAT}"')
    data = cast("JsonObject", document)
    if not isinstance(data.get("version"), int) or data["version"] > VERSION:
        raise StoreFormatError(f"this world was saved in format {data.get('version')!r}, this version of ecs_agent reads up to {VERSION}; update it")
    try:
        rows = tuple([_row(entity, codecs) for entity in data["entities"]])
        numbers = [_number(data, name) for name in ("pos", "roots", "next_id", "sent")]
        seed = data["seed"]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise StoreFormatError(f"this saved world is damaged: {type(error).__name__}: {error}") from error
    if not isinstance(seed, str) or len({row.id for row in rows}) < len(rows):
        raise StoreFormatError("this saved world is damaged: its seed is no text, or two entities have the same id")
    pos, roots, next_id, sent = numbers
    return Checkpoint(pos, seed, roots, max([next_id, *[row.id + 1 for row in rows]]), sent, rows)


def _row(data: JsonObject, codecs: Codecs) -> SavedRow:
    codecs.references.used_by(_number(data, "id"))
    components = tuple([codecs.decode_component(tag, held["version"], held["fields"]) for tag, held in data["components"].items()])
    spawned, seq, sent, run, turn, attempt = [_number(data, name) for name in _NUMBERS]
    return SavedRow(EntityId(_number(data, "id")), str(data["place"]), spawned, seq, sent, run, turn, attempt, components)


def _number(data: JsonObject, name: str) -> int:
    value: Any = data[name]
    if type(value) is not int or value < 0:
        raise ValueError(f"{name} is {value!r}, it should be a number from 0 on")
    return value


def write_document(document: JsonObject, path: str | Path) -> None:
    """Write a document as a JSON file: whole, or not at all.

    Raises:
        JournalError: it could not be written; what stood there before still does.
    """
    write_file(Path(path), dumps(document))


def read_document(path: str | Path) -> object:
    """Read a JSON file.

    Raises:
        StoreFormatError: it is none.
        FileNotFoundError: there is no such file.
    """
    return loads(read_file(Path(path)))
