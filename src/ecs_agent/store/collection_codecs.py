"""Values that hold others: lists, tuples, sets, queues, dictionaries."""

from __future__ import annotations

import sys
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from ecs_agent.store.places import unread, unwritten
from ecs_agent.store.value_codec import Misfits, ValueCodec, is_a, kind_of, read_items, write_items
from ecs_agent.streaming.json_edge import is_list, is_object
from ecs_agent.streaming.plain_data import plain_key, written_key

_ONLY_TEXT: Final = frozenset({str})
_FACTORIES: Final[dict[object, type[Any]]] = {kind: kind for kind in (list, dict, set, int, float, str, bool, tuple, frozenset, deque)}


def list_codec(element: ValueCodec, is_sequence: bool, misfits: Misfits) -> ValueCodec:
    """A list as an array; where any sequence may stand, a tuple as `{"$tuple": […]}`."""

    def accepts(value: Any) -> bool:
        return is_a(value, list) or (is_sequence and is_a(value, tuple))

    def write(value: Any) -> Any:
        if is_a(value, list):
            return write_items(element.write, value) if value else []
        return {"$tuple": write_items(element.write, value)} if is_sequence and is_a(value, tuple) else misfits.write(value)

    def read(data: Any) -> Any:
        if is_list(data):
            return read_items(element.read, data)
        if is_sequence and is_object(data) and data.keys() == {"$tuple"} and is_list(data["$tuple"]):
            return tuple(read_items(element.read, data["$tuple"]))
        return misfits.read(data, "a list")

    return ValueCodec("list", "list", accepts, write, read)


def collection_codec(kind: type, element: ValueCodec, misfits: Misfits) -> ValueCodec:
    """A tuple of any length, a set or a frozenset, as an array."""
    is_set = kind is not tuple

    def accepts(value: Any) -> bool:
        return type(value) is kind

    def write(value: Any) -> Any:
        if not accepts(value):
            return misfits.write(value)
        data = write_items(element.write, value)
        return sorted(data, key=repr) if is_set else data  # the order of a set differs from process to process

    def read(data: Any) -> Any:
        if not is_list(data):
            return misfits.read(data, f"a {kind.__name__}")
        try:
            return kind(read_items(element.read, data))
        except TypeError as error:
            raise ValueError(f"holds what cannot stand in a {kind.__name__}: {error}") from None

    return ValueCodec(kind.__name__, "other", accepts, write, read)


def tuple_codec(elements: list[ValueCodec], misfits: Misfits) -> ValueCodec:
    """A tuple of so many, each with a hint of its own."""

    def accepts(value: Any) -> bool:
        return is_a(value, tuple) and len(value) == len(elements)

    def write(value: Any) -> Any:
        if not accepts(value):
            return misfits.write(value)
        left = iter(elements)
        return write_items(lambda item: next(left).write(item), value)

    def read(data: Any) -> Any:
        if not is_list(data):
            return misfits.read(data, "a tuple")
        if len(data) != len(elements):
            raise ValueError(f"has {len(data)} elements, not {len(elements)}")
        left = iter(elements)
        return tuple(read_items(lambda item: next(left).read(item), data))

    return ValueCodec("tuple", "other", accepts, write, read)


def deque_codec(element: ValueCodec, misfits: Misfits) -> ValueCodec:
    """A queue as an array; one with a length as `{"$deque": [length, …]}`."""

    def accepts(value: Any) -> bool:
        return type(value) is deque

    def write(value: Any) -> Any:
        if not accepts(value):
            return misfits.write(value)
        data = write_items(element.write, value)
        return data if value.maxlen is None else {"$deque": [value.maxlen, *data]}

    def read(data: Any) -> Any:
        if is_list(data):
            return deque(read_items(element.read, data))
        if is_object(data) and data.keys() == {"$deque"} and is_list(data["$deque"]) and data["$deque"]:
            length, *rest = data["$deque"]
            if type(length) is int and 0 <= length <= sys.maxsize:
                return deque(read_items(element.read, rest), length)
        return misfits.read(data, "a deque")

    return ValueCodec("deque", "other", accepts, write, read)


def dict_codec(kind: type, key: ValueCodec, at_key: Callable[[str], ValueCodec], factory: object, misfits: Misfits) -> ValueCodec:
    """A dictionary: an object, each key for itself, if all keys are strings; else `{"$dict": [[key, value], …]}`.

    Args:
        kind: dict, or a subclass of it of the standard library.
        key: of the keys that are no strings.
        at_key: of the value under a key.
        factory: the type of the values, which makes those of a `defaultdict`.
        misfits: for other values.
    """
    kinds = {dict, kind}

    def write(held: Any) -> Any:
        if type(held) not in kinds:
            return misfits.write(held)
        if _ONLY_TEXT.issuperset(map(type, held)):
            return _write_object(held, at_key)
        return {"$dict": [[key.write(each), _write_at(each, at_key(str(each)), item)] for each, item in held.items()]}

    def read(data: Any) -> Any:
        if not is_object(data) or data.keys() == {"$any"}:
            return misfits.read(data, "a dictionary")
        if data.keys() == {"$dict"}:
            items = [(_key(key, pair[0]), at_key(str(pair[0])).read(pair[1])) for pair in _pairs(data["$dict"])]
        else:
            items = [(plain_key(each), _read_at(each, at_key(each), item)) for each, item in data.items()]
        return made(items)

    def made(items: list[tuple[Any, Any]]) -> Any:
        if kind is defaultdict:
            return defaultdict(_FACTORIES.get(factory), items)
        return OrderedDict(items) if kind is OrderedDict else dict(items)

    return ValueCodec("dict", "dict", lambda held: type(held) in kinds, write, read, None, at_key)


def typed_dict_codec(
    name: str,
    fields: Mapping[str, ValueCodec],
    rest: ValueCodec,
    read_headers: Callable[[list[str]], dict[str, str] | None] | None,
    misfits: Misfits,
) -> ValueCodec:
    """A dictionary whose keys each have a hint of their own. `extra_headers`, where keys to other doors stand, are written as their names alone.

    Args:
        name: of the type.
        fields: by key.
        rest: of keys that have no hint.
        read_headers: the headers with such names; None drops them.
        misfits: for other values.
    """
    headers = _headers_codec(read_headers, misfits)

    def at_key(key: str) -> ValueCodec:
        return headers if key == "extra_headers" and key in fields else fields.get(key, rest)

    def accepts(value: Any) -> bool:
        return is_a(value, dict) and _ONLY_TEXT.issuperset(map(type, value))

    def write(value: Any) -> Any:
        return _write_object(value, at_key) if accepts(value) else misfits.write(value)

    def read(data: Any) -> Any:
        if not is_object(data) or data.keys() == {"$any"}:
            return misfits.read(data, f"a {name}")
        items = [(plain_key(key), _read_at(key, at_key(plain_key(key)), item)) for key, item in data.items()]
        return {key: item for key, item in items if item is not _DROPPED}

    return ValueCodec(name, "dict", accepts, write, read, None, at_key)


_DROPPED: Final = object()


def _headers_codec(read_headers: Callable[[list[str]], dict[str, str] | None] | None, misfits: Misfits) -> ValueCodec:
    def write(value: Any) -> Any:
        if value is None:
            return None
        if not hasattr(value, "keys"):
            raise TypeError(f"is {kind_of(value)}, not a mapping of headers")
        return {"$withheld": [str(name) for name in value]}

    def read(data: Any) -> Any:
        if data is None:
            return None
        if not is_object(data) or data.keys() != {"$withheld"} or not is_list(data["$withheld"]):
            return misfits.read(data, "the names of headers")
        found = None if read_headers is None else read_headers([str(name) for name in data["$withheld"]])
        return _DROPPED if found is None else found

    return ValueCodec("headers", "other", lambda _: True, write, read)


def _write_object(value: dict[str, Any], at_key: Callable[[str], ValueCodec]) -> dict[str, Any]:
    return {written_key(key): _write_at(key, at_key(key), item) for key, item in value.items()}


def _write_at(key: object, codec: ValueCodec, value: object) -> Any:
    try:
        return codec.write(value)
    except TypeError as error:
        raise unwritten(error, f"[{key!r}]") from None


def _read_at(key: object, codec: ValueCodec, data: object) -> Any:
    try:
        return codec.read(data)
    except ValueError as error:
        raise unread(error, f"[{key!r}]") from None


def _pairs(data: Any) -> list[list[Any]]:
    if not is_list(data):
        raise ValueError("$dict holds no list")
    for pair in data:
        if not is_list(pair) or len(pair) != 2:
            raise ValueError("$dict holds what is no pair of a key and a value")
    return data


def _key(codec: ValueCodec, data: Any) -> Any:
    key = codec.read(data)
    try:
        hash(key)
    except TypeError:
        raise ValueError(f"{kind_of(key)} cannot be a key of a dictionary") from None
    return key
