"""Python values as JSON data by their type hints, and back.

    int, str, …        themselves                        set, tuple       an array
    list               an array, element by element      dict             an object, key by key; `{"$dict": [[key, value], …]}` for other keys
    a dataclass        an object of its fields           a union          what its member is, `{"$of": [name, data]}` where that is not plain
    no hint, Any       see `ecs_agent.streaming.plain_data`

Lists are arrays and dictionaries with string keys are objects wherever they stand, so that what was appended or set can be written alone. A value
that is not what its hint says is written as if there was none, as `{"$any": …}`.
"""

from __future__ import annotations

import enum
import pathlib
import types
import typing
from collections import OrderedDict, defaultdict, deque
from collections import abc as kinds
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, NewType, Required, TypeVar, Union, get_args, get_origin, is_typeddict

from ecs_agent.store.collection_codecs import collection_codec, deque_codec, dict_codec, list_codec, tuple_codec, typed_dict_codec
from ecs_agent.store.json_text import dumps, loads
from ecs_agent.store.message_codecs import message_codecs
from ecs_agent.store.places import write_plain
from ecs_agent.store.records import RecordForm, hints_of, is_record
from ecs_agent.store.scalar_codecs import TEXTS, enum_codec, known_text, literal_codec, scalar_codec, text_codec
from ecs_agent.store.unions import Union as UnionOf
from ecs_agent.store.value_codec import Misfits, ValueCodec, held
from ecs_agent.streaming.json_edge import is_object
from ecs_agent.streaming.plain_data import PlainData

__all__ = ["ValueCodecs", "dumps", "held", "loads"]

_FUNCTION: Final[Any] = kinds.Callable
_STRIPPED: Final = (Annotated, ClassVar, typing.Final, Required, typing.NotRequired)
_SEQUENCES: Final = (kinds.Sequence, kinds.MutableSequence, kinds.Collection, kinds.Iterable, kinds.Reversible, kinds.Container)
_SETS: Final[dict[Any, type]] = {set: set, frozenset: frozenset, kinds.Set: set, kinds.MutableSet: set}
_DICTS: Final[dict[Any, type]] = {
    dict: dict, kinds.Mapping: dict, kinds.MutableMapping: dict, OrderedDict: OrderedDict, defaultdict: defaultdict,
}  # fmt: skip


class ValueCodecs:
    """The codecs of hints, each made when it is first asked for.

    Args:
        plain: writes and reads what no hint describes.
        special: codecs of hints that are given, such as those of live objects.
        tool_at: the codec of a function under a key of a dictionary; None for no difference.
        read_headers: what becomes of the names of headers that were written without their values; None drops them.
    """

    def __init__(
        self,
        plain: PlainData,
        special: Mapping[Any, ValueCodec] = types.MappingProxyType({}),
        tool_at: Callable[[str], ValueCodec] | None = None,
        read_headers: Callable[[list[str]], dict[str, str] | None] | None = None,
    ) -> None:
        self.misfits = Misfits(plain)
        self.any = ValueCodec("Any", "any", lambda _: True, lambda value: write_plain(plain, value), plain.read)
        self.any_list = list_codec(self.any, False, self.misfits)
        self._tool_at = tool_at
        self._codecs: dict[Any, ValueCodec] = {**message_codecs(self.misfits), **special}
        self._forms: dict[type, RecordForm] = {}
        self._read_headers = read_headers

    def codec(self, hint: Any) -> ValueCodec:
        """The codec of a hint."""
        try:
            known = self._codecs.get(hint)
        except TypeError:  # a hint that cannot be hashed, as a Literal of a list
            return self._made(hint)
        if known is None:
            known = self._codecs[hint] = self._made(hint)
        return known

    def form(self, kind: type) -> RecordForm:
        """The fields of a class.

        Raises:
            TypeError: its objects are more than fields.
        """
        form = self._forms.get(kind)
        if form is None:
            form = self._forms[kind] = RecordForm(kind, self.codec)
        return form

    def _made(self, hint: Any) -> ValueCodec:
        origin = get_origin(hint)
        if hint is None:
            return self.codec(type(None))
        if origin in _STRIPPED:
            return self.codec(get_args(hint)[0])
        if isinstance(hint, NewType):
            return self.codec(hint.__supertype__)
        if isinstance(hint, TypeVar):
            return self.codec(hint.__bound__ or Any)
        if origin is Literal:
            return literal_codec(get_args(hint), self.misfits)
        if origin is Union or origin is types.UnionType:
            return self._union(get_args(hint))
        if origin is _FUNCTION:
            return self.codec(_FUNCTION)
        return self._collection(hint if origin is None else origin, get_args(hint)) or self._class(hint if origin is None else origin)

    def _union(self, members: tuple[Any, ...]) -> ValueCodec:
        """Lists of different things in one union are one list of them all, as an array does not say which of them it is; so with dictionaries."""
        lists = [member for member in members if get_origin(member) is list]
        dicts = [member for member in members if get_origin(member) is dict]
        others = [member for member in members if member not in lists and member not in dicts]
        if lists:
            others.append(list[Union[tuple(get_args(each)[0] for each in lists)]])  # type: ignore[misc]  # noqa: UP007 - made at run time
        if dicts:
            keys, values = (Union[tuple(get_args(each)[at] for each in dicts)] for at in (0, 1))  # noqa: UP007 - likewise
            others.append(dict[keys, values])  # type: ignore[valid-type]
        codecs = [self.codec(member) for member in others]
        return self.any if any(codec.shape == "any" for codec in codecs) else UnionOf(codecs, self.misfits).codec()

    def _collection(self, kind: Any, arguments: tuple[Any, ...]) -> ValueCodec | None:
        first = self.codec(arguments[0]) if arguments and kind is not tuple else self.any
        if kind is list:
            return list_codec(first, False, self.misfits)
        if kind in _SEQUENCES:
            return list_codec(first, True, self.misfits)
        if kind is tuple:
            if not arguments or (len(arguments) == 2 and arguments[1] is ...):
                return collection_codec(tuple, self.codec(arguments[0]) if arguments else self.any, self.misfits)
            return tuple_codec([self.codec(each) for each in arguments], self.misfits)
        if kind in _SETS:
            return collection_codec(_SETS[kind], first, self.misfits)
        if kind is deque:
            return deque_codec(first, self.misfits)
        if kind in _DICTS:
            return self._dictionary(_DICTS[kind], first, arguments[1] if arguments else Any)
        return None

    def _dictionary(self, kind: type, key: ValueCodec, value_hint: Any) -> ValueCodec:
        origin = get_origin(value_hint) or value_hint
        value = self.codec(value_hint)

        def at_key(_key: str) -> ValueCodec:
            return value

        by_key = at_key if origin is not _FUNCTION or self._tool_at is None else self._tool_at
        return dict_codec(kind, key, by_key, origin, self.misfits)

    def _class(self, kind: Any) -> ValueCodec:
        if is_typeddict(kind):
            fields = {name: self.codec(hint) for name, hint in hints_of(kind).items()}
            return typed_dict_codec(kind.__name__, fields, self.any, self._read_headers, self.misfits)
        return self._type(kind) if isinstance(kind, type) else self.any

    def _type(self, kind: type[Any]) -> ValueCodec:
        scalar = scalar_codec(kind, self.misfits)
        if scalar is not None:
            return scalar
        if kind in TEXTS or issubclass(kind, pathlib.Path):
            known = kind if kind in TEXTS else pathlib.Path
            return text_codec(kind.__name__, lambda value: known_text(value) is known, *TEXTS[known], self.misfits)
        if issubclass(kind, enum.Enum):
            return enum_codec(kind, self.misfits)
        return self._record(kind) if is_record(kind) else self.any

    def _record(self, kind: Any) -> ValueCodec:
        """The fields are looked at when they are needed, as a class may hold objects of its own kind."""

        def write(value: Any) -> Any:
            return self.form(kind).write(value) if type(value) is kind else self.misfits.write(value)

        def read(data: Any) -> Any:
            return self.misfits.read(data, kind.__name__) if is_object(data) and data.keys() == {"$any"} else self.form(kind).read(data)

        return ValueCodec(kind.__name__, "other", lambda value: type(value) is kind, write, read, by_type=True)
