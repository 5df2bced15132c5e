"""Components and events as data, each under the tag and the version of its type. Classes are never looked up by a name out of data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NoReturn, TypeAlias, cast

from ecs_agent.components import ToolRegistryComponent
from ecs_agent.core.component import field_names
from ecs_agent.errors import StoreFormatError, UnsavableError
from ecs_agent.store.any_value import AnyValues
from ecs_agent.store.live_objects import live_objects, tool_at
from ecs_agent.store.places import DamagedDataError, NoDataError
from ecs_agent.store.records import RecordForm, is_record
from ecs_agent.store.references import References
from ecs_agent.store.shipped import COMPONENTS, EVENTS, VALUES
from ecs_agent.store.unknown import UnknownComponent, UnknownEvent, unknown_type
from ecs_agent.store.values import ValueCodecs
from ecs_agent.streaming.json_edge import is_object
from ecs_agent.streaming.plain_data import written_key
from ecs_agent.tools.tool import Tool
from ecs_agent.types import JsonObject

Upgrade: TypeAlias = Callable[[int, JsonObject], JsonObject]
"""Is given the version of stored fields and the fields, and returns the fields of the version that is registered."""


@dataclass(frozen=True, slots=True)
class Registration:
    """A type whose objects are read back as such.

    Attributes:
        kind: a dataclass, a struct of msgspec or a named tuple: a component, an event, or a value that stands where anything may.
        tag: its name in data, None for the name of the class.
        version: of its fields, counted up when these change in a way that defaults do not mend; None for the class's own `version`, or 1.
        upgrade: makes this version's fields of an older one's.
        transient: it is never written, and so never read.
    """

    kind: type[Any]
    tag: str | None = None
    version: int | None = None
    upgrade: Upgrade | None = None
    transient: bool = False


@dataclass(frozen=True, slots=True)
class _Known:
    kind: type[Any]
    tag: str
    version: int
    upgrade: Upgrade | None = None
    transient: bool = False


class Codecs:
    """Writes components and events as data and reads them back.

    Those of this package are known. A component of another type is written as well, under its class's name, and read back as what it was in the
    process that wrote it; in another one it is an `UnknownComponent` until its type is registered.

    Args:
        components: types of your own, or their registrations.
        references: of providers and tools.

    Attributes:
        references: the same.
        unknown: the tags met in data that nobody registered.
    """

    def __init__(self, components: Iterable[type | Registration] = (), *, references: References | None = None) -> None:
        self.references = references if references is not None else References()
        self.unknown: list[str] = []
        self._by_kind: dict[type, _Known] = {}
        self._by_tag: dict[str, _Known] = {}
        self._unknown: dict[tuple[str, int], type[UnknownComponent]] = {}
        plain = AnyValues(self._write_value, self._read_value).plain
        self._values = ValueCodecs(plain, live_objects(self.references, plain), tool_at(self.references, plain), self.references.headers)
        for kind in (*COMPONENTS, *EVENTS, *VALUES):
            self.register(kind)
        for each in components:
            given = each if isinstance(each, Registration) else Registration(each)
            self.register(given.kind, tag=given.tag, version=given.version, upgrade=given.upgrade, transient=given.transient)

    def register(
        self, kind: type[Any], *, tag: str | None = None, version: int | None = None, upgrade: Upgrade | None = None, transient: bool = False
    ) -> None:
        """Make a type known; see `Registration`. The last registration of a type counts.

        Raises:
            ValueError: another type has the tag, or the version is less than 1.
        """
        known = _Known(kind, tag or kind.__name__, _version_of(kind) if version is None else version, upgrade, transient)
        if known.version < 1:
            raise ValueError(f"the version of {kind.__name__} is {known.version}; versions begin with 1")
        other = self._by_tag.get(known.tag)
        if other is not None and other.kind is not kind:
            raise ValueError(f"there is a type with the tag {known.tag!r} already; register {_full_name(kind)} under another: tag='…'")
        before = self._by_kind.get(kind)
        if before is not None:
            del self._by_tag[before.tag]
        self._by_kind[kind] = self._by_tag[known.tag] = known

    def apart(self) -> Codecs:
        """Others that know the same types, and have names of their own for providers and tools."""
        return Codecs([Registration(each.kind, each.tag, each.version, each.upgrade, each.transient) for each in self._by_kind.values()])

    def is_transient(self, kind: type[Any]) -> bool:
        """Whether components of a type are never written."""
        known = self._by_kind.get(kind)
        return known is not None and known.transient

    # Writing

    def tag_of(self, kind: type[Any]) -> tuple[str, int]:
        """The tag and the version of a type; a component's or an event's.

        Raises:
            UnsavableError: another type that is not registered either has the same name.
        """
        known = self._by_kind.get(kind)
        if known is not None:
            return known.tag, known.version
        if issubclass(kind, UnknownComponent):
            return kind.tag, kind.version
        return self._met(kind)

    def _met(self, kind: type[Any]) -> tuple[str, int]:
        """Know a type by the name of its class from now on."""
        tag = kind.__name__
        other = self._by_tag.get(tag)
        if other is not None:
            raise UnsavableError(f"{_full_name(kind)} and {_full_name(other.kind)} have one name; register one of them under another tag")
        self._by_kind[kind] = self._by_tag[tag] = known = _Known(kind, tag, _version_of(kind))
        return tag, known.version

    def encode_component(self, component: object) -> tuple[str, int, JsonObject]:
        """Tag, version and fields of a component as it is now.

        Raises:
            UnsavableError: it holds what is no data; the message says where, and what to do.
        """
        kind = type(component)
        tag, version = self.tag_of(kind)
        if isinstance(component, UnknownComponent):
            return tag, version, component.fields
        return tag, version, self._fields(kind, lambda form: form.write(component))

    def fields_data(self, kind: type[Any], names: Sequence[str], values: Sequence[object]) -> JsonObject:
        """Fields of a component of a type, by the values that they had.

        Raises:
            UnsavableError: one is no data.
        """
        if issubclass(kind, UnknownComponent):
            return cast("JsonObject", values[0])
        return self._fields(kind, lambda form: form.write_values(names, values))

    def field_data(self, kind: type[Any], name: str, value: object) -> Any:
        """One field.

        Raises:
            UnsavableError: it is no data.
        """
        return self._written(kind, lambda form: form.write_field(name, value))

    def tail_data(self, kind: type[Any], name: str, tail: list[Any]) -> list[Any]:
        """Elements at the end of a list, each as it stands in the data of the whole list.

        Raises:
            UnsavableError: one is no data.
        """
        return cast("list[Any]", self._written(kind, lambda form: form.write_tail(name, tail, self._values.any_list)))

    def items_data(self, kind: type[Any], name: str, items: Mapping[str, Any]) -> JsonObject:
        """Items of a dictionary, each as it stands in the data of the whole; the keys too, as `key_data` has them.

        Raises:
            UnsavableError: one is no data.
        """
        return self._fields(kind, lambda form: form.write_items(name, items, self._values.any))

    @staticmethod
    def key_data(key: str) -> str:
        """A key of a dictionary as it stands in data."""
        return written_key(key)

    def encode_event(self, payload: object) -> tuple[str, Any]:
        """Tag and data of an event.

        Raises:
            UnsavableError: it holds what is no data.
        """
        if isinstance(payload, UnknownEvent):
            return payload.tag, payload.data
        kind = type(payload)
        if kind in _PLAIN_EVENTS:
            return kind.__name__, self._plainly(payload)
        tag, _ = self.tag_of(kind)
        codec = self._values.codec(kind)
        if codec.shape != "any":
            return tag, self._guarded(kind, lambda: codec.write(payload))
        return tag, self._written(kind, lambda form: form.write(payload))

    def _fields(self, kind: type[Any], write: Callable[[RecordForm], JsonObject]) -> JsonObject:
        fields: JsonObject = self._written(kind, write)
        return fields

    def _plainly(self, payload: object) -> Any:
        return self._guarded(type(payload), lambda: self._values.any.write(payload))

    def _written(self, kind: type[Any], write: Callable[[RecordForm], Any]) -> Any:
        if issubclass(kind, UnknownComponent):
            raise UnsavableError(f"a component {kind.tag} is of a type that is not registered, so its fields cannot be changed; register it")
        return self._guarded(kind, lambda: write(self._form(kind)))

    def _form(self, kind: type[Any]) -> RecordForm:
        return self._values.form(kind)

    def _guarded(self, kind: type[Any], write: Callable[[], Any]) -> Any:
        try:
            return write()
        except NoDataError as error:
            raise UnsavableError(f"{kind.__name__}{error.place} {error.reason}") from None
        except TypeError as error:
            raise UnsavableError(f"{kind.__name__} cannot be saved: {error}") from None
        except RecursionError:
            raise UnsavableError(f"{kind.__name__} holds what is nested too deep, or holds itself") from None

    # Reading

    def decode_component(self, tag: str, version: int, fields: JsonObject) -> object:
        """The component of such data; an `UnknownComponent` when nobody registered the tag.

        Raises:
            StoreFormatError: the data is damaged, or of a newer version.
        """
        known = self._by_tag.get(tag)
        if known is None:
            return self._unknown_component(tag, version, fields)
        component = self._read(known, version, fields)
        if isinstance(component, ToolRegistryComponent):
            _tell_own_schemas(component)
        return component

    def _unknown_component(self, tag: Any, version: Any, fields: Any) -> UnknownComponent:
        if not isinstance(tag, str) or type(version) is not int or not is_object(fields):
            raise StoreFormatError(f"a component {tag!r} of version {version!r} is damaged")
        if tag not in self.unknown:
            self.unknown.append(tag)
        kind = self._unknown.get((tag, version))
        if kind is None:
            kind = self._unknown[tag, version] = unknown_type(tag, version)
        return kind(fields)

    def decode_event(self, tag: str, version: int, data: Any) -> object:
        """The event of such data; an `UnknownEvent` when nobody registered the tag.

        Raises:
            StoreFormatError: the data is damaged, or of a newer version.
        """
        known = self._by_tag.get(tag)
        if known is not None:
            return self._read(known, version, data)
        if tag in _PLAIN_NAMES:
            return _reading(tag, lambda: self._values.any.read(data))
        return UnknownEvent(tag, version, data)

    def _read(self, known: _Known, version: int, data: Any) -> object:
        if type(version) is not int or version < 1:
            raise StoreFormatError(f"{known.tag} has the version {version!r}, which is none")
        if version > known.version:
            raise StoreFormatError(f"{known.tag} was saved in version {version}, this program knows version {known.version}; update it")
        if version < known.version and known.upgrade is not None:
            data = _upgraded(known, known.upgrade, version, data)
        codec = self._values.codec(known.kind)
        if codec.shape != "any":
            return _reading(known.tag, lambda: codec.read(data))
        return _reading(known.tag, lambda: self._values.form(known.kind).read(data))

    # What stands where anything may

    def _write_value(self, value: object) -> Any:
        known = self._by_kind.get(type(value))
        if known is None or known.transient:
            _refuse(value)
        codec = self._values.codec(known.kind)
        return {"$value": [known.tag, known.version, codec.write(value)]}

    def _read_value(self, tag: str, version: int, data: Any) -> object:
        known = self._by_tag.get(tag)
        if known is None:
            raise DamagedDataError(f"holds a value of the type {tag!r}, which nobody registered; give it with components=[…]")
        return self._read(known, version, data)


_PLAIN_EVENTS: Final = frozenset({str, int, float, bool, list, tuple, dict, set, frozenset, bytes, type(None)})
_PLAIN_NAMES: Final = frozenset({kind.__name__ for kind in _PLAIN_EVENTS})


def _refuse(value: object) -> NoReturn:
    kind = type(value)
    if is_record(kind):
        raise TypeError(f"is a {kind.__name__}, which is not registered; name its type when the store is opened: components=[{kind.__name__}]")
    raise TypeError(f"is a {kind.__name__}, which is no data; keep what it is made from, or a name to find it by")


def _upgraded(known: _Known, upgrade: Upgrade, version: int, data: Any) -> Any:
    if not is_object(data):
        raise StoreFormatError(f"{known.tag} is damaged: its fields are no object")
    try:
        return upgrade(version, dict(data))
    except Exception as error:
        raise StoreFormatError(f"the upgrade of {known.tag} from version {version} failed: {type(error).__name__}: {error}") from error


def _reading(tag: str, read: Callable[[], object]) -> object:
    try:
        return read()
    except DamagedDataError as error:
        raise StoreFormatError(f"the saved {tag}{error.place} {error.reason}") from error
    except (ValueError, TypeError, OverflowError) as error:
        raise StoreFormatError(f"the saved {tag} is damaged: {error}") from error
    except RecursionError:
        raise StoreFormatError(f"the saved {tag} is nested too deep") from None


def _version_of(kind: Any) -> int:
    version = getattr(kind, "version", 1)  # of the class; that of a field is its default
    return version if type(version) is int and "version" not in field_names(kind) else 1


def _full_name(kind: type[Any]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _tell_own_schemas(registry: ToolRegistryComponent) -> None:
    """A tool of today tells today's schema, whatever it was when the world was saved."""
    for name, handler in registry.handlers.items():
        if isinstance(handler, Tool) and name in registry.tools:
            registry.tools[name] = replace(handler.schema, name=registry.tools[name].name)
