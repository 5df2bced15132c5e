"""Python values as JSON data, and back without loss, where no hint says what they are.

JSON's own values stay as they are. The other plain values of Python become an object with one key that begins with "$": `{"$tuple": [1, 2]}`,
`{"$bytes": "aGk="}`, `{"$float": "nan"}`, `{"$int": "0x1…"}` beyond 64 bits. So that no user's key is taken for one of these, a key that begins
with "$" is written with one more, each key for itself: what stands beside it does not change. A dictionary with a key that is not a string is
`{"$dict": [[key, value], …]}`.
"""

from __future__ import annotations

import math
import sys
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Callable, Iterable
from itertools import repeat
from typing import Any, Final

from ecs_agent.streaming.json_edge import is_list, is_object

MAX_DEPTH: Final = 200
"""So deep may values be nested; what is written deeper could not be read again everywhere."""

_LARGE: Final = 2**63
_AS_THEY_ARE: Final = frozenset({str, bool, type(None)})


class PlainData:
    """Values to data and back.

    Args:
        write_other: is asked for what is no plain value of Python: its data, an object with one key that begins with "$". Raises TypeError when
            it has none.
        read_other: is given such a key, without "$", and what stands under it. Raises ValueError when it does not know it.
    """

    __slots__ = ("_read_other", "_write_other")

    def __init__(self, write_other: Callable[[object], Any] | None = None, read_other: Callable[[str, Any], Any] | None = None) -> None:
        self._write_other = write_other or _no_data
        self._read_other = read_other or _unknown_tag

    def write(self, value: object, depth: int = 0) -> Any:
        """The data of a value, which shares nothing with it that can change.

        Raises:
            TypeError: it is, or holds, what is no data; the message says what.
        """
        kind = type(value)
        if kind in _AS_THEY_ARE:
            return value
        if depth > MAX_DEPTH:
            raise TypeError(f"is nested deeper than {MAX_DEPTH} levels, or holds itself")
        write = _WRITE.get(kind)
        return self._write_other(value) if write is None else write(self, value, depth + 1)

    def read(self, data: Any, depth: int = 0) -> Any:
        """The value of such data.

        Raises:
            ValueError: it is not what `write` makes; the message says what is wrong.
        """
        if depth > MAX_DEPTH + 1:
            raise ValueError(f"the data is nested deeper than {MAX_DEPTH} levels")
        if is_list(data):
            return list(map(self.read, data, repeat(depth + 1)))
        if is_object(data):
            return self._object(data, depth + 1)
        return data

    def _object(self, data: dict[str, Any], depth: int) -> Any:
        if len(data) == 1:
            key = next(iter(data))
            if is_tag(key):
                return self._tagged(key[1:], data[key], depth)
        return dict(zip(map(plain_key, data), map(self.read, data.values(), repeat(depth)), strict=True))

    def _tagged(self, tag: str, held: Any, depth: int) -> Any:
        scalar = _SCALARS.get(tag)
        if scalar is not None:
            return scalar(_text(tag, held))
        if tag == "dict":
            pairs = [_pair(item) for item in _items(tag, held)]
            return {self._key(key, depth): self.read(item, depth) for key, item in pairs}
        collect = _COLLECTIONS.get(tag)
        if collect is None:
            return self._read_other(tag, held)
        try:
            return collect(list(map(self.read, _items(tag, held), repeat(depth))))
        except TypeError as error:  # a list in a set
            raise ValueError(f"${tag} holds what cannot stand in it: {error}") from None

    def _key(self, data: Any, depth: int) -> Any:
        key = self.read(data, depth)
        try:
            hash(key)
        except TypeError:
            raise ValueError(f"{type(key).__name__} cannot be a key of a dictionary") from None
        return key


def is_tag(key: str) -> bool:
    """Whether a key of an object says what its value is, and is no user's."""
    return key.startswith("$") and not key.startswith("$$")


def written_key(key: str) -> str:
    """A user's key as it stands in data."""
    return "$" + key if key.startswith("$") else key


def plain_key(key: str) -> str:
    """The user's key of one in data."""
    if not key.startswith("$"):
        return key
    if is_tag(key):
        raise ValueError(f"the key {key!r} stands where none with a single $ can stand")
    return key[1:]


def _no_data(value: object) -> Any:
    raise TypeError(f"is a {type(value).__name__}, which is no data")


def _unknown_tag(tag: str, _held: object) -> Any:
    raise ValueError(f"there is no kind of value ${tag}")


def _text(tag: str, held: Any) -> str:
    if isinstance(held, str):
        return held
    raise ValueError(f"${tag} holds no text")


def _items(tag: str, held: Any) -> list[Any]:
    if not is_list(held):
        raise ValueError(f"${tag} holds no list")
    return held


def _pair(item: Any) -> list[Any]:
    if not is_list(item) or len(item) != 2:
        raise ValueError("$dict holds what is no pair of a key and a value")
    return item


def write_int(value: int) -> Any:
    """A whole number as data; beyond 64 bits, where other readers of JSON lose digits, as hexadecimal text."""
    return value if -_LARGE <= value < _LARGE else {"$int": hex(value)}


def write_float(value: float) -> Any:
    """A number as data; JSON has no infinity and no NaN."""
    return value if math.isfinite(value) else {"$float": repr(value)}


def write_bytes(value: bytes | bytearray) -> str:
    """Bytes as text, in base 64."""
    return b64encode(value).decode("ascii")


def read_bytes(text: str) -> bytes:
    """The bytes of such a text.

    Raises:
        ValueError: it is none.
    """
    try:
        return b64decode(text, validate=True)
    except ValueError:
        raise ValueError("bytes are not written in base 64") from None


def _int(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        raise ValueError(f"{text!r} is no whole number in hexadecimal") from None


def _float(text: str) -> float:
    if text not in ("nan", "inf", "-inf"):
        raise ValueError(f"{text!r} is none of nan, inf and -inf")
    return float(text)


def _write_object(plain: PlainData, value: dict[Any, Any], depth: int) -> Any:
    if _ONLY_TEXT.issuperset(map(type, value)):
        return dict(zip(map(written_key, value), map(plain.write, value.values(), repeat(depth)), strict=True))
    return {"$dict": [[plain.write(key, depth), plain.write(item, depth)] for key, item in value.items()]}


def _write_items(plain: PlainData, value: Iterable[Any], depth: int) -> list[Any]:
    return list(map(plain.write, value, repeat(depth)))  # no comprehension, which would be one more level of the stack


def _write_set(tag: str) -> Callable[[PlainData, Any, int], Any]:
    # In an order of their own, since that of a set differs from process to process.
    return lambda plain, value, depth: {tag: sorted(_write_items(plain, value, depth), key=repr)}


_ONLY_TEXT: Final = frozenset({str})
_WRITE: Final[dict[type, Callable[[PlainData, Any, int], Any]]] = {
    int: lambda _plain, value, _depth: write_int(value),
    float: lambda _plain, value, _depth: write_float(value),
    list: _write_items,
    dict: _write_object,
    tuple: lambda plain, value, depth: {"$tuple": _write_items(plain, value, depth)},
    set: _write_set("$set"),
    frozenset: _write_set("$frozenset"),
    bytes: lambda _plain, value, _depth: {"$bytes": write_bytes(value)},
    bytearray: lambda _plain, value, _depth: {"$bytearray": write_bytes(value)},
    deque: lambda plain, value, depth: {"$deque": [value.maxlen, *_write_items(plain, value, depth)]},
}


def _deque(items: list[Any]) -> deque[Any]:
    if not items or not (items[0] is None or (type(items[0]) is int and 0 <= items[0] <= sys.maxsize)):
        raise ValueError("$deque does not begin with its length")
    return deque(items[1:], maxlen=items[0])


_SCALARS: Final[dict[str, Callable[[str], Any]]] = {
    "int": _int,
    "float": _float,
    "bytes": read_bytes,
    "bytearray": lambda text: bytearray(read_bytes(text)),
}
_COLLECTIONS: Final[dict[str, Callable[[list[Any]], Any]]] = {"tuple": tuple, "set": set, "frozenset": frozenset, "deque": _deque}
