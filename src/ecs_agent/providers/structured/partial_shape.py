"""Shapes: how the values of a pydantic model are shown while their JSON arrives.

A model, a list (`list[X]`) and a dict with text keys are shown while they are open, with what they hold so far; a text (`str`) as far as it has come.
Everything else, numbers, dates, enums, tuples and sets among it, is shown when its JSON is complete. Of a union the member counts that the first
character decides: among several models that is the one whose discriminator comes first in the object; where nothing decides, it waits.

What a model reads in its own way, by validators that stand before or around pydantic's, is not known before it is whole: such a field is shown when
its object is complete, and all fields of a model that reads itself so.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from copy import copy
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Protocol, Union, cast, get_args, get_origin

from ecs_agent.types import JsonObject

if TYPE_CHECKING:
    from pydantic import BaseModel, ConfigDict
    from pydantic.fields import FieldInfo

_COUNTS: Final = frozenset(
    {
        "allow_inf_nan",
        "arbitrary_types_allowed",
        "coerce_numbers_to_str",
        "regex_engine",
        "str_max_length",
        "str_min_length",
        "str_strip_whitespace",
        "str_to_lower",
        "str_to_upper",
        "strict",
        "use_enum_values",
        "val_json_bytes",
        "val_temporal_unit",
    }
)
"""What of a model's configuration says how a value is read."""


class Shape:
    """A place for a value: its hint, with all that a model says about it."""

    def __init__(self, hint: Any, config: Mapping[str, Any], field: FieldInfo | None = None) -> None:
        self._hint = hint
        self._config = config
        self._field = field
        self._check: type[BaseModel] | None = None

    def value(self, text: str) -> object:
        """The value of a complete JSON text.

        Raises:
            ValidationError: it does not fit; its paths begin with "value".
        """
        if self._check is None:
            self._check = _check_of(self._hint, self._config, self._field)
        return getattr(self._check.model_validate_json(f'{{"value":{text}}}'), "value")  # noqa: B009 - made just now

    @cached_property
    def members(self) -> list[Any]:
        """What the value may be, None aside."""
        return _members(self._hint)

    @cached_property
    def is_text(self) -> bool:
        """Whether any text may stand here, so that an open one can be shown."""
        return str in self.members

    @cached_property
    def items(self) -> Shape | None:
        """The shape of the items, where an open list can be shown."""
        lists = [member for member in self.members if get_origin(member) is list]
        return Shape(get_args(lists[0])[0], self._config) if len(lists) == 1 else None

    @cached_property
    def fields(self) -> Fields | None:
        """What is known of the fields, where an open object can be shown."""
        found: list[Fields] = []
        models: list[type[BaseModel]] = []
        for member in self.members:
            if get_origin(member) is dict and get_args(member)[0] is str:
                found.append(Entries(Shape(get_args(member)[1], self._config)))
            elif is_streamed(member):
                models.append(member)
        if len(models) == 1 and not found:
            return partial_of(models[0])
        tag = _discriminator(self._hint, self._field)
        return Variants(tag, models) if tag and models and not found else found[0] if len(found) == 1 and not models else None


class Fields(Protocol):
    """The fields of an object that is open."""

    def at(self, key: str) -> tuple[str, Shape] | None:
        """The field's name and its shape; None where what stands there is not shown."""
        ...

    def shown(self, values: JsonObject) -> object:
        """The object with what has arrived, None where that is not shown; a new one each time."""
        ...


class Entries:
    """Those of a dict, which all have one shape."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    def at(self, key: str) -> tuple[str, Shape]:
        """Every key."""
        return key, self._shape

    def shown(self, values: JsonObject) -> JsonObject:
        """A dict."""
        return dict(values)


class Variants:
    """Those of a union, until its discriminator has come: then they are a model's."""

    def __init__(self, tag: str, models: Sequence[type[BaseModel]]) -> None:
        self._tag = tag
        self._models = models

    def at(self, key: str) -> None:  # noqa: ARG002 - whatever it is
        """Nothing is known yet."""
        return

    def shown(self, values: JsonObject) -> None:  # noqa: ARG002 - there are none
        """Nothing."""
        return

    def chosen(self, key: str, value: object) -> PartialFields | None:
        """The fields of the model whose discriminator says this; None where none does, or another key came first."""
        for model in self._models:
            field = model.model_fields.get(self._tag)
            if field is not None and key in _keys(self._tag, field, model) and value in _values(field.annotation):
                return partial_of(model)
        return None


class PartialFields:
    """Those of a model. It is shown as an instance of a class derived from it.

    Args:
        model: whose fields.
    """

    def __init__(self, model: type[BaseModel]) -> None:
        config = {name: value for name, value in model.model_config.items() if name in _COUNTS}
        own_way = _read_in_its_own_way(model)
        self._places = {
            key: (name, Shape(field.annotation, config, field))
            for name, field in model.model_fields.items()
            if name not in own_way
            for key in _keys(name, field, model)
        }
        self._blank = dict.fromkeys(model.model_fields)
        self._model = partial_model(model)

    def at(self, key: str) -> tuple[str, Shape] | None:
        """The field of this key."""
        return self._places.get(key)

    def shown(self, values: JsonObject) -> BaseModel:
        """An instance made without validation: what has not arrived is None, and not in `model_fields_set`."""
        made = self._model.__new__(self._model)
        put = object.__setattr__  # as `model_construct` does, but without `model_post_init`, which may need what has not arrived
        put(made, "__dict__", self._blank | values)
        put(made, "__pydantic_fields_set__", set(values))
        put(made, "__pydantic_extra__", {} if self._model.model_config.get("extra") == "allow" else None)
        put(made, "__pydantic_private__", None)
        return made


@lru_cache(maxsize=256)
def partial_of(model: type[BaseModel]) -> PartialFields:
    """The fields of a model, made once."""
    return PartialFields(model)


def partial_model(model: type[BaseModel]) -> type[BaseModel]:
    """A class derived from a model whose fields hold anything, and which shows only what has arrived."""
    from pydantic import create_model  # noqa: PLC0415 - heavy

    def __repr_args__(self: BaseModel) -> list[tuple[str, object]]:  # noqa: N807 - pydantic asks for it
        return [(name, value) for name, value in self.__dict__.items() if name in self.model_fields_set]

    made: Any = create_model(f"Partial{model.__name__}", __base__=model, __module__=model.__module__, **_loosened(model))
    made.__repr_args__ = __repr_args__
    return made  # type: ignore[no-any-return]  # a class that was made at run time


def _loosened(model: type[BaseModel]) -> Any:
    fields: dict[str, tuple[Any, FieldInfo]] = {}
    for name, field in model.model_fields.items():
        own = copy(field)
        own.default, own.default_factory, own.metadata, own.discriminator = None, None, [], None
        fields[name] = (Any, own)
    return fields


def is_streamed(kind: Any) -> bool:
    """Whether this is a model, with fields that can be shown one by one."""
    from pydantic import BaseModel, RootModel  # noqa: PLC0415 - heavy

    return isinstance(kind, type) and issubclass(kind, BaseModel) and not issubclass(kind, RootModel)


def _read_in_its_own_way(model: type[BaseModel]) -> set[str]:
    """The fields whose JSON may be something else than their hint says: a validator stands before the one of pydantic, or around it."""
    from pydantic import BaseModel  # noqa: PLC0415 - heavy

    found = model.__pydantic_decorators__
    own_schema = getattr(model.__get_pydantic_core_schema__, "__func__", None) is not getattr(
        BaseModel.__get_pydantic_core_schema__, "__func__", None
    )
    if own_schema or found.root_validators or found.validators or any(each.info.mode != "after" for each in found.model_validators.values()):
        return set(model.model_fields)
    fields = {name for each in found.field_validators.values() if each.info.mode != "after" for name in each.info.fields}
    return set(model.model_fields) if "*" in fields else fields


def _check_of(hint: Any, config: Mapping[str, Any], field: FieldInfo | None) -> type[BaseModel]:
    """A model of one field, which reads a value as the field does."""
    from pydantic import Field, create_model  # noqa: PLC0415 - heavy

    own = copy(field) if field is not None else Field()
    own.alias = own.validation_alias = own.serialization_alias = None
    own.alias_priority = None
    fields: Any = {"value": (hint, own)}
    return create_model("Value", __config__=cast("ConfigDict", dict(config)), **fields)


def _members(hint: Any) -> list[Any]:
    origin = get_origin(hint)
    if origin is Annotated or _is_alias(hint):
        return _members(hint.__value__ if _is_alias(hint) else get_args(hint)[0])
    if origin is Union or origin is types.UnionType:
        return [member for each in get_args(hint) for member in _members(each)]
    return [] if hint is type(None) else [hint]


def _is_alias(hint: Any) -> bool:
    return type(hint).__name__ == "TypeAliasType"  # of `typing` from Python 3.12 on, else of `typing_extensions`


def _discriminator(hint: Any, field: FieldInfo | None) -> str | None:
    """The name of the field that tells the members of a union apart."""
    from pydantic.fields import FieldInfo  # noqa: PLC0415 - heavy

    found = [field] if field is not None else []
    if get_origin(hint) is Annotated:
        found += [extra for extra in get_args(hint)[1:] if isinstance(extra, FieldInfo)]
    return next((each.discriminator for each in found if isinstance(each.discriminator, str)), None)


def _values(hint: Any) -> tuple[Any, ...]:
    """The values of a `Literal`, and those that its enum members have."""
    given = get_args(hint) if get_origin(hint) is Literal else ()
    return (*given, *[getattr(value, "value", value) for value in given])


def _keys(name: str, field: FieldInfo, model: type[BaseModel]) -> list[str]:
    """The JSON keys of a field."""
    from pydantic import AliasChoices  # noqa: PLC0415 - heavy

    alias, config = field.validation_alias, model.model_config
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    by_alias = config.get("validate_by_alias", True)
    by_name = alias is None or not by_alias or config.get("populate_by_name") or config.get("validate_by_name")
    return [*([choice for choice in choices if isinstance(choice, str)] if by_alias else []), *([name] if by_name else [])]
