"""Values that may be of several types: their data says of which, by its looks or by a name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ecs_agent.store.places import unread
from ecs_agent.store.value_codec import Misfits, ValueCodec, kind_of
from ecs_agent.streaming.json_edge import is_list, is_object


class Union:
    """The members of a union.

    JSON's own values, a list and a dictionary are told by their looks. Any other member is `{"$of": [name, data]}`: a name of a closed set, never
    of a class that data could choose. Only when it is the one member beside None it stands bare.

    Args:
        members: without one for `Any`, which would take all.
        misfits: for values of none of them.
    """

    __slots__ = ("_bare", "_dict", "_list", "_misfits", "_name", "_named", "_plain", "_scalars", "_writes")

    def __init__(self, members: list[ValueCodec], misfits: Misfits) -> None:
        self._misfits = misfits
        self._writes: dict[type, Callable[[Any], Any]] = {}  # by types that were met, where the type alone decides
        self._name = " or ".join([member.name for member in members])
        self._scalars = [member for member in members if member.shape == "scalar"]
        self._list = next((member for member in members if member.shape == "list"), None)
        self._dict = next((member for member in members if member.shape == "dict"), None)
        self._plain = [*self._scalars, *[member for member in (self._list, self._dict) if member is not None]]
        self._named: dict[str, ValueCodec] = {}
        for member in members:
            if member not in self._plain:
                self._named[member.name if member.name not in self._named else f"{member.name}#{len(self._named) + 1}"] = member
        self._bare = next(iter(self._named.values())) if len(self._named) == 1 and all(each.name == "nothing" for each in self._plain) else None

    def codec(self) -> ValueCodec:
        """The codec of them all."""
        at_key = None if self._dict is None else self._dict.at_key
        as_is = frozenset[type]().union(*[member.as_is for member in self._scalars])
        by_type = all(member.by_type for member in [*self._plain, *self._named.values()])
        return ValueCodec(self._name, "other", self._accepts, self._write, self._read, self._list, at_key, as_is, by_type)

    def _accepts(self, value: Any) -> bool:
        return any(member.accepts(value) for member in [*self._plain, *self._named.values()])

    def _write(self, value: object) -> Any:
        kind = type(value)
        write = self._writes.get(kind)
        if write is None:
            write, is_for_all = self._writer(value)
            if is_for_all:
                self._writes[kind] = write
        return write(value)

    def _writer(self, value: Any) -> tuple[Callable[[Any], Any], bool]:
        """Who writes a value, and whether it writes all values of its type."""
        by_type = True
        for member in self._plain:
            by_type = by_type and member.by_type
            if member.accepts(value):
                return member.write, by_type
        for name, member in self._named.items():
            by_type = by_type and member.by_type
            if member.accepts(value):
                return (member.write if member is self._bare else partial(_named, name, member.write)), by_type
        return self._misfits.write, False

    def _read(self, data: Any) -> Any:
        if self._bare is not None and data is not None:
            return self._bare.read(data)
        if is_object(data):
            return self._read_object(data)
        if is_list(data) and self._list is not None:
            return self._list.read(data)
        for member in self._scalars:
            if member.accepts(data):
                return member.read(data)
        raise ValueError(f"is {kind_of(data)}, not {self._name}")

    def _read_object(self, data: dict[str, Any]) -> Any:
        keys = data.keys()
        if keys == {"$of"}:
            return self._read_named(data["$of"])
        if keys in ({"$int"}, {"$float"}):
            number = self._misfits.plain.read(data)
            if any(member.accepts(number) for member in self._scalars):
                return number
        elif keys == {"$tuple"} and self._list is not None:
            return self._list.read(data)
        elif keys != {"$any"} and self._dict is not None:
            return self._dict.read(data)
        return self._misfits.read(data, self._name)

    def _read_named(self, data: Any) -> Any:
        if not is_list(data) or len(data) != 2 or not isinstance(data[0], str):
            raise ValueError("$of holds no name and value")
        member = self._named.get(data[0])
        if member is None:
            raise ValueError(f"is a {data[0]}, not {self._name}")
        try:
            return member.read(data[1])
        except ValueError as error:
            raise unread(error, "") from None


def _named(name: str, write: Callable[[Any], Any], value: Any) -> Any:
    return {"$of": [name, write(value)]}
