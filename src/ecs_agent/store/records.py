"""Objects of a class with named fields, as data: dataclasses, structs of msgspec, named tuples, and plain classes whose fields are annotated."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from inspect import get_annotations
from typing import Any, Final, NamedTuple, cast, get_type_hints

import msgspec

from ecs_agent.core.component import ABSENT, field_names
from ecs_agent.store.places import unread, unwritten
from ecs_agent.store.value_codec import ValueCodec, kind_of
from ecs_agent.streaming.json_edge import is_object
from ecs_agent.streaming.plain_data import written_key
from ecs_agent.types import JsonObject

_NO_VALUE: Final = {"$absent": True}
"""Stands for a field that was deleted, or never set."""


class RecordField(NamedTuple):
    """A field: its codec, and what makes its value where data has none; None if it must be there."""

    codec: ValueCodec
    default: Callable[[], Any] | None


class RecordForm:
    """Reads and writes all fields of a class's objects.

    An object is made without its `__init__` and `__post_init__` where that can be, so that it is exactly what was written, whatever these would
    make of it.

    Args:
        kind: the class.
        codec_of: the codec of a hint.

    Raises:
        TypeError: objects of this class hold more than fields; the message is the end of a sentence that begins with its name.
    """

    __slots__ = ("_make", "_writes", "fields", "kind")

    def __init__(self, kind: type[Any], codec_of: Callable[[Any], ValueCodec]) -> None:
        self.kind = kind
        self._make = _maker(kind)
        hints = hints_of(kind)
        self.fields: Mapping[str, RecordField] = {
            name: RecordField(codec_of(hints.get(name, Any)), default) for name, default in _defaults(kind).items()
        }
        derived = _derived(kind)
        self._writes = [(name, field.codec.as_is, field.codec.write) for name, field in self.fields.items() if name not in derived]

    def write(self, value: object) -> JsonObject:
        """The data of all fields but those that are derived from others.

        Raises:
            TypeError: one holds what is no data.
        """
        data: JsonObject = {}
        for name, as_is, write in self._writes:
            try:
                held = getattr(value, name)
                data[name] = held if type(held) in as_is else write(held)
            except AttributeError:
                data[name] = _NO_VALUE
            except TypeError as error:
                raise unwritten(error, f".{name}") from None
        return data

    def write_values(self, names: Sequence[str], values: Sequence[object]) -> JsonObject:
        """The data of fields by the values that they had."""
        data: JsonObject = {}
        for name, value in zip(names, values, strict=True):
            codec = self.codec(name)
            data[name] = value if type(value) in codec.as_is else self.write_field(name, value)
        return data

    def write_field(self, name: str, value: object) -> Any:
        """The data of one field."""
        if value is ABSENT:
            return _NO_VALUE
        try:
            return self.codec(name).write(value)
        except TypeError as error:
            raise unwritten(error, f".{name}") from None

    def write_tail(self, name: str, tail: list[Any], otherwise: ValueCodec) -> list[Any]:
        """The data of elements of the list in a field; by `otherwise` where the hint knows of no list."""
        codec = self.codec(name)
        lists = codec if codec.shape == "list" else codec.listed or otherwise
        try:
            return cast("list[Any]", lists.write(tail))
        except TypeError as error:
            raise unwritten(error, f".{name}") from None

    def write_items(self, name: str, items: Mapping[str, Any], otherwise: ValueCodec) -> JsonObject:
        """The data of items of the dictionary in a field; by `otherwise` where the hint knows of no dictionary."""
        at_key = self.codec(name).at_key
        data: JsonObject = {}
        for key, value in items.items():
            try:
                data[written_key(key)] = (otherwise if at_key is None else at_key(key)).write(value)
            except TypeError as error:
                raise unwritten(error, f".{name}[{key!r}]") from None
        return data

    def codec(self, name: str) -> ValueCodec:
        """The codec of a field."""
        field = self.fields.get(name)
        if field is None:
            raise TypeError(f"has no field {name!r}")
        return field.codec

    def read(self, data: Any) -> Any:
        """The object of such data.

        Raises:
            ValueError: it is no such data.
        """
        if not is_object(data):
            raise ValueError(f"is {kind_of(data)}, not the fields of a {self.kind.__name__}")
        if not self.fields.keys() >= data.keys():
            unknown = next(name for name in data if name not in self.fields)
            raise ValueError(
                f"has a field {unknown!r}, which {self.kind.__name__} does not have; register the class with an `upgrade` that says what became of it"
            )
        values: JsonObject = {}
        for name, field in self.fields.items():
            if name not in data:
                if field.default is None:
                    raise ValueError(f"has no field {name!r}, which has no default; register {self.kind.__name__} with an `upgrade` that gives it")
                values[name] = field.default()
            elif data[name] != _NO_VALUE:
                try:
                    values[name] = field.codec.read(data[name])
                except ValueError as error:
                    raise unread(error, f".{name}") from None
        return self._make(values)


def hints_of(kind: type[Any]) -> dict[str, Any]:
    """The hints of a class's fields. Names that cannot be resolved, as those imported for type checkers alone, are `Any`."""
    try:
        return get_type_hints(kind)
    except Exception:  # noqa: BLE001 - likewise
        return _hints_one_by_one(kind)


def _hints_one_by_one(kind: type[Any]) -> dict[str, Any]:
    hints: dict[str, Any] = {}
    for each in reversed(kind.__mro__):
        for name, hint in get_annotations(each).items():
            alone = type(each.__name__, (), {"__annotations__": {name: hint}, "__module__": each.__module__})
            try:
                hints[name] = get_type_hints(alone)[name]
            except Exception:  # noqa: BLE001 - a hint may be any expression, and raise anything
                hints[name] = Any
    return hints


def is_record(kind: type[Any]) -> bool:
    """Whether a class has named fields: a dataclass, a struct or a named tuple."""
    return is_named_tuple(kind) or issubclass(kind, msgspec.Struct) or dataclasses.is_dataclass(kind)


def is_named_tuple(kind: type[Any]) -> bool:
    """Whether a class is a named tuple."""
    return hasattr(kind, "_fields") and issubclass(kind, tuple)


def _defaults(kind: type[Any]) -> dict[str, Callable[[], Any] | None]:
    if dataclasses.is_dataclass(kind):
        return {field.name: _default(field.default, field.default_factory, dataclasses.MISSING) for field in dataclasses.fields(kind)}
    if issubclass(kind, msgspec.Struct):
        fields = msgspec.structs.fields(kind)
        return {field.name: _default(field.default, field.default_factory, msgspec.NODEFAULT) for field in fields}
    if is_named_tuple(kind):
        named = cast("Any", kind)
        return {name: _default(named._field_defaults.get(name, dataclasses.MISSING), None, dataclasses.MISSING) for name in named._fields}
    return {name: _default(getattr(kind, name, dataclasses.MISSING), None, dataclasses.MISSING) for name in _annotated(kind)}


def _derived(kind: type[Any]) -> frozenset[str]:
    """The fields that follow from others, and may hold what is no data: they are not written."""
    fields = dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()
    return frozenset([field.name for field in fields if field.metadata.get("derived")])


def _annotated(kind: Any) -> tuple[str, ...]:
    return field_names(kind)


def _default(value: Any, factory: Any, missing: object) -> Callable[[], Any] | None:
    if value is not missing:
        return lambda: value
    return None if factory is missing or factory is None else factory


def _maker(kind: type[Any]) -> Callable[[JsonObject], Any]:
    if issubclass(kind, msgspec.Struct):
        return lambda values: _constructed(kind, values)
    if is_named_tuple(kind):
        return lambda values: _constructed(kind, values)
    try:
        object.__new__(kind)
    except TypeError:
        raise TypeError(f"{kind.__name__} is more than its fields, as it inherits from a built-in type; hold that in a field") from None
    if not dataclasses.is_dataclass(kind) and not _annotated(kind) and kind.__init__ is not object.__init__:
        raise TypeError(f"{kind.__name__} is no dataclass, so it is not known what it holds; make it one")
    return lambda values: _restored(kind, values)


def _constructed(kind: type[Any], values: JsonObject) -> Any:
    try:
        return kind(**values)
    except Exception as error:  # noqa: BLE001 - a foreign __post_init__ may raise anything
        raise ValueError(f"is no {kind.__name__}: {error}") from None


def _restored(kind: type[Any], values: JsonObject) -> Any:
    restored: Any = object.__new__(kind)
    for name, value in values.items():
        object.__setattr__(restored, name, value)
    return restored
