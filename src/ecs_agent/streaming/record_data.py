"""Frozen values with a fixed set of fields as JSON objects, by a table of their fields; fields that are as they begin are left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast

from ecs_agent.streaming.json_edge import is_list, is_object
from ecs_agent.streaming.plain_data import PlainData, read_bytes, write_bytes, write_float, write_int
from ecs_agent.types import JsonObject

T = TypeVar("T")


class Form(NamedTuple):
    """How the value of a field is written and read. Both raise, TypeError and ValueError, the end of a sentence that begins with its name."""

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


class Record(Generic[T]):
    """The data form of a dataclass.

    Args:
        kind: the class.
        forms: one for each field. A field whose default is None may be None.
    """

    __slots__ = ("_fields", "_kind", "_known", "_name", "_values")

    def __init__(self, kind: type[T], /, **forms: Form) -> None:
        fields = dataclasses.fields(kind)  # type: ignore[arg-type]  # T has no bound, since dataclasses have no common base
        self._kind = kind
        self._name = kind.__name__
        self._fields = tuple([(field.name, forms[field.name], *_default(field)) for field in fields])
        self._known = frozenset(forms)
        self._values: Callable[[T], tuple[Any, ...]] = _reader([field.name for field in fields])

    def write(self, value: T) -> JsonObject:
        """The data of `value`.

        Raises:
            TypeError: a field holds what it cannot; the message is a sentence.
        """
        data: JsonObject = {}
        for (name, form, required, default), held in zip(self._fields, self._values(value), strict=True):
            if required or not _is_default(held, default):
                try:
                    data[name] = form.write(held)
                except TypeError as error:
                    raise TypeError(f"{self._name}.{name} {error}") from None
        return data

    def read(self, data: Any) -> T:
        """The value of such data.

        Raises:
            ValueError: it is no such data; the message is a sentence.
        """
        if not is_object(data):
            raise ValueError(f"{self._name} is {_kind_of(data)}, not an object")
        if not self._known.issuperset(data):
            unknown = next(key for key in data if key not in self._known)
            raise ValueError(f"{self._name} has a field {unknown!r}, which is not known")
        given: JsonObject = {}
        for name, form, required, _ in self._fields:
            if name in data:
                try:
                    given[name] = form.read(data[name])
                except ValueError as error:
                    raise ValueError(f"{self._name}.{name} {error}") from None
            elif required:
                raise ValueError(f"{self._name} has no field {name!r}")
        return self._kind(**given)


def _default(field: dataclasses.Field[Any]) -> tuple[bool, Any]:
    """Whether it must be given, and what it is if it is not."""
    if field.default is not dataclasses.MISSING:
        return False, field.default
    if field.default_factory is not dataclasses.MISSING:
        return False, field.default_factory()
    return True, None


def _reader(names: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    read = attrgetter(*names)
    return (lambda value: (read(value),)) if len(names) == 1 else read


def _is_default(held: object, default: object) -> bool:
    return held is default or (type(held) is type(default) and held == default)


def _kind_of(data: object) -> str:
    return "null" if data is None else f"a {type(data).__name__}"


def _refused(value: object, wanted: str) -> str:
    return f"is {_kind_of(value)}, not {wanted}"


def _write_text(value: Any) -> str:
    if type(value) is str:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    raise TypeError(_refused(value, "text"))


def _read_text(data: Any) -> str:
    if type(data) is not str:
        raise ValueError(_refused(data, "text"))
    return data


def _write_whole(value: Any) -> Any:
    if type(value) is not int:
        raise TypeError(_refused(value, "a whole number"))
    return write_int(value)


def _write_number(value: Any) -> Any:
    if type(value) is float:
        return write_float(value)
    return _write_whole(value)


def _read_number(data: Any) -> Any:
    if is_object(data):
        data = PLAIN.read(data)
    if type(data) not in (int, float):
        raise ValueError(_refused(data, "a number"))
    return data


def _read_whole(data: Any) -> Any:
    value = _read_number(data)
    if type(value) is float:
        raise ValueError(_refused(value, "a whole number"))
    return value


def _write_flag(value: Any) -> bool:
    if type(value) is not bool:
        raise TypeError(_refused(value, "true or false"))
    return value


def _read_flag(data: Any) -> bool:
    if type(data) is not bool:
        raise ValueError(_refused(data, "true or false"))
    return data


def _write_bytes(value: Any) -> str:
    if not isinstance(value, bytes):
        raise TypeError(_refused(value, "bytes"))
    return write_bytes(value)


def _read_bytes(data: Any) -> bytes:
    try:
        return read_bytes(_read_text(data))
    except ValueError as error:
        raise ValueError(f"is not read: {error}") from None


def _write_object(value: Any) -> Any:
    if not is_object(value):
        raise TypeError(_refused(value, "an object"))
    try:
        return PLAIN.write(dict(value))
    except TypeError as error:
        raise TypeError(f"holds what cannot be saved: it {error}") from None


def _read_object(data: Any) -> JsonObject:
    try:
        value = PLAIN.read(data) if is_object(data) else data
    except ValueError as error:
        raise ValueError(f"is damaged: {error}") from None
    if not is_object(value):
        raise ValueError(_refused(value, "an object"))
    return value


PLAIN: Final = PlainData()
TEXT: Final = Form(_write_text, _read_text)
WHOLE: Final = Form(_write_whole, _read_whole)
NUMBER: Final = Form(_write_number, _read_number)
FLAG: Final = Form(_write_flag, _read_flag)
BYTES: Final = Form(_write_bytes, _read_bytes)
OBJECT: Final = Form(_write_object, _read_object)


def one_of(*words: str) -> Form:
    """One of some words."""

    def write(value: Any) -> str:
        if value not in words:
            raise TypeError(f"is {value!r}, none of {', '.join(words)}")
        return _write_text(value)

    def read(data: Any) -> str:
        if type(data) is not str or data not in words:
            raise ValueError(f"is {data!r}, none of {', '.join(words)}")
        return data

    return Form(write, read)


def many(form: Form) -> Form:
    """A tuple of such values, as an array."""

    def write(value: Any) -> list[Any]:
        if not isinstance(value, (tuple, list)):
            raise TypeError(_refused(value, "a tuple"))
        return [form.write(item) for item in cast("Sequence[Any]", value)]

    def read(data: Any) -> tuple[Any, ...]:
        if not is_list(data):
            raise ValueError(_refused(data, "a list"))
        return tuple([form.read(item) for item in data])

    return Form(write, read)
