"""Shapes: by which key a field comes, and what of it can be shown before it is whole."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    BaseModel,
    Field,
    PrivateAttr,
    RootModel,
    computed_field,
    field_validator,
    model_validator,
)
from pydantic_core import core_schema
from typing_extensions import TypeAliasType

from ecs_agent.providers.structured.partial_object import PartialObject, UnfitError
from ecs_agent.providers.structured.partial_shape import is_streamed


def shown(model: type[BaseModel], text: str) -> Any:
    reader = PartialObject(model)
    reader.feed(text)
    return reader.shown()


class Renamed(BaseModel):
    a: str = Field(alias="A")
    b: str = Field(validation_alias=AliasChoices("B", AliasPath("x", 0), "bb"))
    c: str = Field(validation_alias=AliasPath("x", 1))


@pytest.mark.parametrize(
    ("text", "arrived"),
    [
        ('{"A": "1"', {"a": "1"}),
        ('{"a": "1"', {}),
        ('{"B": "1"', {"b": "1"}),
        ('{"bb": "1"', {"b": "1"}),
        ('{"b": "1"', {}),
        ('{"c": "1"', {}),
        ('{"x": ["1"', {}),
    ],
)
def test_a_field_comes_by_its_alias(text: str, arrived: dict[str, str]) -> None:
    assert shown(Renamed, text).model_dump(exclude_unset=True) == arrived


def test_and_by_its_name_where_that_is_allowed() -> None:
    class Both(BaseModel):
        a: str = Field(alias="A")
        model_config = {"validate_by_name": True}

    class Name(BaseModel):
        a: str = Field(alias="A")
        model_config = {"validate_by_name": True, "validate_by_alias": False}

    assert (shown(Both, '{"a": "1"').a, shown(Both, '{"A": "1"').a) == ("1", "1")
    assert (shown(Name, '{"a": "1"').a, shown(Name, '{"A": "1"').a) == ("1", None)


def test_a_configuration_counts_for_each_field() -> None:
    class Strict(BaseModel):
        n: int | None = None
        s: str = ""
        model_config = {"strict": True, "str_strip_whitespace": True, "title": "T", "extra": "forbid", "frozen": True}

    assert shown(Strict, '{"s": " a "').s == "a"
    with pytest.raises(UnfitError):
        shown(Strict, '{"n": "1"')


class Before(BaseModel):
    km: int
    name: str

    @field_validator("km", mode="before")
    @classmethod
    def without_unit(cls, value: Any) -> Any:
        return value.removesuffix(" km") if isinstance(value, str) else value


class Around(BaseModel):
    name: str

    @model_validator(mode="before")
    @classmethod
    def from_title(cls, value: Any) -> Any:
        return {"name": value["title"]} if "title" in value else {"name": str(value["name"])}


class Every(BaseModel):
    name: str

    @field_validator("*", mode="wrap")
    @classmethod
    def as_text(cls, value: Any, handler: Any) -> Any:
        return handler(str(value))


class Own(BaseModel):
    name: str

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(lambda value: {"name": str(value["name"])}, handler(source))


class Holder(BaseModel):
    before: Before
    around: Around
    every: Every
    own: Own


def test_what_a_model_reads_in_its_own_way_is_neither_shown_nor_judged_before_its_object_is_whole() -> None:
    text = '{"before": {"km": "5 km", "name": "a"}, "around": {"title": "b"}, "every": {"name": 1}, "own": {"name": 2}}'
    whole = Holder.model_validate_json(text)
    reader = PartialObject(Holder)
    for char in text:
        reader.feed(char)
    assert dict(reader.shown()) == dict(whole)
    assert shown(Before, '{"km": "5 km", "name": "a"').model_dump(exclude_unset=True) == {"name": "a"}
    for model in (Around, Every, Own):
        assert shown(model, '{"name": 1, ').model_fields_set == set()


def test_validators_behind_pydantics_count_when_the_object_closes() -> None:
    class Loud(BaseModel):
        name: Annotated[str, AfterValidator(str.upper)]
        other: str = ""

        @field_validator("other")
        @classmethod
        def loud(cls, value: str) -> str:
            return value.upper()

        @model_validator(mode="after")
        def same(self) -> Loud:
            if self.name != self.other:
                raise ValueError("they differ")
            return self

    class Pair(BaseModel):
        loud: Loud

    assert repr(shown(Pair, '{"loud": {"name": "a", "other": "a"').loud) == "PartialLoud(name='A', other='a')"
    assert shown(Pair, '{"loud": {"name": "a", "other": "a"}').loud == Loud(name="A", other="A")
    with pytest.raises(UnfitError) as caught:
        shown(Pair, '{"loud": {"name": "a", "other": "b"}')
    assert caught.value.problems == ["loud: Value error, they differ"]


def test_what_a_model_adds_does_not_break_a_partial() -> None:
    class Rich(BaseModel):
        n: int
        m: int = 5
        _hidden: int = PrivateAttr(3)
        model_config = {"extra": "allow"}

        @computed_field  # type: ignore[prop-decorator]
        @property
        def double(self) -> int:
            return self.n * 2

        def model_post_init(self, context: Any, /) -> None:
            self._hidden = self.n + 1

    made = shown(Rich, '{"x": 1, ')
    assert (repr(made), made.n, made.m) == ("PartialRich()", None, None)
    assert repr(shown(Rich, '{"n": 1, ')) == "PartialRich(n=1)"


def test_an_alias_of_a_type_is_that_type() -> None:
    Words = TypeAliasType("Words", list[str])  # noqa: N806

    class Aliased(BaseModel):
        words: Words | None

    Aliased.model_rebuild(_types_namespace={"Words": Words})
    assert shown(Aliased, '{"words": ["a').words == ["a"]


def test_other_containers_wait() -> None:
    class Waiting(BaseModel):
        pair: tuple[str, str]
        keys: dict[int, str]
        two: list[str] | list[int]
        mixed: dict[str, int] | Renamed

    assert shown(Waiting, '{"pair": ["a"').model_fields_set == set()
    assert shown(Waiting, '{"keys": {"1": "a"').model_fields_set == set()
    assert shown(Waiting, '{"two": ["a"').model_fields_set == set()
    assert shown(Waiting, '{"mixed": {"A": 1').model_fields_set == set()
    assert shown(Waiting, '{"keys": {"1": "a"}').keys == {1: "a"}


def test_a_discriminator_may_have_an_alias() -> None:
    class A(BaseModel):
        kind: Literal["a"] = Field(alias="type")
        text: str

    class B(BaseModel):
        kind: Literal["b"] = Field(alias="type")

    class Either(BaseModel):
        one: A | B = Field(discriminator="kind")

    assert repr(shown(Either, '{"one": {"type": "a", "text": "x').one) == "PartialA(kind='a', text='x')"


def test_only_a_model_with_fields_is_streamed() -> None:
    assert is_streamed(Renamed)
    assert not is_streamed(RootModel[list[int]])
    assert not is_streamed(Renamed.model_construct())
    assert not is_streamed(int)
