"""Values whose data is one JSON value: numbers, texts, bytes, enums, moments, paths."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import pathlib
import uuid
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from ecs_agent.store.value_codec import Misfits, ValueCodec
from ecs_agent.streaming.json_edge import is_object
from ecs_agent.streaming.plain_data import read_bytes, write_bytes, write_float, write_int

T = TypeVar("T")

_NUMBER_TAGS: Final[tuple[object, ...]] = ({"$int"}, {"$float"})


def scalar_codec(kind: type, misfits: Misfits) -> ValueCodec | None:
    """The codec of None, bool, int, float or str; None for any other type."""
    if kind is type(None) or kind is bool or kind is str:
        return _as_it_is(kind, misfits)
    if kind is int:
        return _number("int", (int,), misfits)
    if kind is float:
        return _number("float", (float, int), misfits)
    return None


def _as_it_is(kind: type, misfits: Misfits) -> ValueCodec:
    name = "nothing" if kind is type(None) else kind.__name__

    def write(value: Any) -> Any:
        return value if type(value) is kind else misfits.write(value)

    def read(data: Any) -> Any:
        return data if type(data) is kind else misfits.read(data, name)

    return ValueCodec(name, "scalar", lambda value: type(value) is kind, write, read, as_is=frozenset({kind}), by_type=True)


def _number(name: str, kinds: tuple[type, ...], misfits: Misfits) -> ValueCodec:
    """Whole numbers beyond 64 bits, infinities and NaN are tagged, as in `PlainData`. Where a float is hinted, a whole number stays one."""

    def write(value: Any) -> Any:
        if type(value) is int:
            return write_int(value)
        return write_float(value) if type(value) in kinds else misfits.write(value)

    def read(data: Any) -> Any:
        value: Any = misfits.plain.read(data) if is_object(data) and data.keys() in _NUMBER_TAGS else data
        return value if type(value) in kinds else misfits.read(data, name)

    return ValueCodec(name, "scalar", lambda value: type(value) in kinds, write, read, by_type=True)


def text_codec(
    name: str, accepts: Callable[[Any], bool], write_text: Callable[[Any], str], read_text: Callable[[str], Any], misfits: Misfits
) -> ValueCodec:
    """The codec of values that are a text in data.

    Args:
        name: of the type.
        accepts: whether a value is one.
        write_text: the text of such a value.
        read_text: the value of a text; raises ValueError.
        misfits: for all other values.
    """

    def write(value: Any) -> Any:
        return write_text(value) if accepts(value) else misfits.write(value)

    def read(data: Any) -> Any:
        return read_text(data) if type(data) is str else misfits.read(data, f"the text of a {name}")

    return ValueCodec(name, "other", accepts, write, read)


def enum_codec(kind: type[enum.Enum], misfits: Misfits) -> ValueCodec:
    """Members by name; several flags together by number."""

    def accepts(value: Any) -> bool:
        return type(value) is kind

    def write(value: Any) -> Any:
        if type(value) is not kind:
            return misfits.write(value)
        return value.name if value.name in kind.__members__ else write_int(int(value.value))

    def read(data: Any) -> Any:
        if type(data) is str:
            if data in kind.__members__:
                return kind.__members__[data]
            raise ValueError(f"{data!r} is no {kind.__name__}; there are {', '.join(kind.__members__)}")
        if type(data) is int and issubclass(kind, enum.Flag):
            return kind(data)
        return misfits.read(data, f"the name of a {kind.__name__}")

    return ValueCodec(kind.__name__, "other", accepts, write, read)


def literal_codec(values: tuple[Any, ...], misfits: Misfits) -> ValueCodec:
    """Some values of JSON and no others."""
    allowed: list[tuple[type[Any], Any]] = [(type(value), value) for value in values]

    def accepts(value: Any) -> bool:
        return (type(value), value) in allowed

    def write(value: Any) -> Any:
        return value if accepts(value) and type(value) in _PLAIN else misfits.write(value)

    def read(data: Any) -> Any:
        return data if accepts(data) else misfits.read(data, "one of " + ", ".join(map(repr, values)))

    return ValueCodec("Literal", "scalar", accepts, write, read)


_PLAIN: Final = (str, int, bool, type(None))


def _converted(kind: type[T]) -> Callable[[str], T]:
    def read(text: str) -> T:
        try:
            return msgspec.convert(text, kind)
        except msgspec.ValidationError as error:
            raise ValueError(f"is no {kind.__name__}: {error}") from None

    return read


def _read_duration(text: str) -> dt.timedelta:
    try:
        return dt.timedelta(microseconds=int(text.removesuffix("us")))
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no number of microseconds") from None


def _read_decimal(text: str) -> decimal.Decimal:
    try:
        return decimal.Decimal(text)
    except decimal.InvalidOperation:
        raise ValueError(f"{text!r} is no decimal number") from None


def _iso(value: Any) -> str:
    return str(value.isoformat())


TEXTS: Final[dict[type, tuple[Callable[[Any], str], Callable[[str], Any]]]] = {
    bytes: (write_bytes, read_bytes),
    bytearray: (write_bytes, lambda text: bytearray(read_bytes(text))),
    dt.datetime: (_iso, dt.datetime.fromisoformat),
    dt.date: (_iso, dt.date.fromisoformat),
    dt.time: (_iso, dt.time.fromisoformat),
    dt.timedelta: (lambda value: f"{value // dt.timedelta(microseconds=1)}us", _read_duration),
    decimal.Decimal: (str, _read_decimal),
    uuid.UUID: (str, _converted(uuid.UUID)),
    pathlib.PurePosixPath: (str, pathlib.PurePosixPath),
    pathlib.PureWindowsPath: (str, pathlib.PureWindowsPath),
    pathlib.Path: (str, pathlib.Path),
}
"""Types of the standard library that are a text in data."""


def known_text(value: object) -> type | None:
    """Of which of these a value is."""
    kind = type(value)
    return kind if kind in TEXTS else pathlib.Path if isinstance(value, pathlib.Path) else None
