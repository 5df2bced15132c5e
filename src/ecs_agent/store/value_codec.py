"""What writes and reads the values of one type hint."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ecs_agent.store.places import unread, unwritten, write_plain
from ecs_agent.streaming.json_edge import is_object
from ecs_agent.streaming.plain_data import PlainData

Shape: TypeAlias = Literal["scalar", "list", "dict", "other", "any"]
"""What the data of a value looks like: itself, an array, an object with a user's keys, anything else; "any" is data of which no hint tells more."""


@dataclass(frozen=True, slots=True)
class ValueCodec:
    """Writes and reads the values of one hint.

    Attributes:
        name: what it is called among the members of a union.
        shape: what its data looks like.
        accepts: whether a value is one of the hint's, as far as its type says.
        write: raises TypeError, `NoDataError` where it can say where.
        read: raises ValueError likewise.
        listed: the one that writes and reads lists, if it is a union with one.
        at_key: of what a dictionary holds under a key.
        as_is: types whose values are their own data, so that nobody need be asked for it.
        by_type: `accepts` looks at the type alone.
    """

    name: str
    shape: Shape
    accepts: Callable[[Any], bool]
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]
    listed: ValueCodec | None = None
    at_key: Callable[[str], ValueCodec] | None = None
    as_is: frozenset[type] = frozenset()
    by_type: bool = False


class Misfits:
    """Values that are not what their hint says: nobody checks hints, and what is there is kept. They are `{"$any": …}`.

    Args:
        plain: how they are written.
    """

    __slots__ = ("plain",)

    def __init__(self, plain: PlainData) -> None:
        self.plain = plain

    def write(self, value: object) -> Any:
        """The data of a value that is none of its hint."""
        return {"$any": write_plain(self.plain, value)}

    def read(self, data: Any, wanted: str) -> Any:
        """The value of data that is none of its hint's.

        Raises:
            ValueError: it is no misfit either.
        """
        if is_object(data) and data.keys() == {"$any"}:
            return self.plain.read(data["$any"])
        raise ValueError(f"is {kind_of(data)}, not {wanted}")


def held(data: Any) -> Any:
    """The array or object that a list or dictionary is in data, also where its hint says that it is something else."""
    return data["$any"] if is_object(data) and data.keys() == {"$any"} else data


def is_a(value: Any, kind: type) -> bool:
    """Whether a value is of exactly that type; whatever else a subclass of it holds would be lost."""
    return type(value) is kind


def kind_of(data: object) -> str:
    """How a message calls a value."""
    return "nothing" if data is None else f"a {type(data).__name__}"


def write_items(write: Callable[[Any], Any], values: Iterable[Any]) -> list[Any]:
    """The data of several values; an error says which."""
    data: list[Any] = []
    for value in values:
        try:
            data.append(write(value))
        except TypeError as error:
            raise unwritten(error, f"[{len(data)}]") from None
    return data


def read_items(read: Callable[[Any], Any], data: Iterable[Any]) -> list[Any]:
    """The values of several pieces of data; an error says which."""
    values: list[Any] = []
    for each in data:
        try:
            values.append(read(each))
        except ValueError as error:
            raise unread(error, f"[{len(values)}]") from None
    return values
