"""An object that is arriving: whatever is cut where, what is shown is true of the whole."""

from __future__ import annotations

import datetime as dt
import json
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from ecs_agent.providers.structured.partial_object import PartialObject, UnfitError


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Street(BaseModel):
    name: str
    number: int | None = None


class Cat(BaseModel):
    kind: Literal["cat"]
    sound: str


class Dog(BaseModel):
    kind: Literal["dog", "wolf"]
    age: float


class City(BaseModel):
    name: str = Field(max_length=40)
    inhabitants: int = Field(ge=0)
    area: float | None = None
    founded: dt.datetime
    color: Color
    streets: list[Street] = []
    twin: City | None = None
    motto: str | None = "none"


class Zoo(BaseModel):
    pets: list[Annotated[Cat | Dog, Field(discriminator="kind")]]
    first: Cat | Dog = Field(discriminator="kind")
    either: Cat | Street
    place: int | str | list[str]
    pair: tuple[int, str]
    numbers: set[int]
    open: bool


class Shelf(BaseModel):
    books: dict[str, list[str]]
    owners: dict[str, Street]
    matrix: list[list[int]]
    model_config = {"strict": True, "alias_generator": lambda name: name.upper()}


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ['"', "\\", "\U0001f600\U0001f600", "a\\u00e9\n", "{[", "```"]
)
streets = st.builds(Street, name=texts, number=st.none() | st.integers(-5, 5))
cats = st.builds(Cat, kind=st.just("cat"), sound=texts)
dogs = st.builds(Dog, kind=st.sampled_from(["dog", "wolf"]), age=st.floats(0, 1e300))
cities = st.recursive(
    st.none(),
    lambda inner: st.builds(
        City,
        name=texts,
        inhabitants=st.integers(0, 10**30),
        area=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        founded=st.datetimes(),
        color=st.sampled_from(Color),
        streets=st.lists(streets, max_size=3),
        twin=inner,
        motto=st.none() | texts,
    ),
    max_leaves=3,
).filter(lambda made: made is not None)
zoos = st.builds(
    Zoo,
    pets=st.lists(cats | dogs, max_size=3),
    first=cats | dogs,
    either=cats | streets,
    place=st.integers() | texts | st.lists(texts, max_size=2),
    pair=st.tuples(st.integers(), texts),
    numbers=st.sets(st.integers(), max_size=3),
    open=st.booleans(),
)
shelves = st.builds(
    Shelf,
    BOOKS=st.dictionaries(texts, st.lists(texts, max_size=2), max_size=2),
    OWNERS=st.dictionaries(texts, streets, max_size=2),
    MATRIX=st.lists(st.lists(st.integers(), max_size=2), max_size=2),
)


@st.composite
def written(draw: st.DrawFn) -> tuple[type[BaseModel], str]:
    """A model and the JSON of an instance, in any of the forms that models write."""
    value: Any = draw(cities | zoos | shelves)
    data = json.loads(value.model_dump_json(by_alias=True))
    text = json.dumps(data, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))
    return type(value), draw(st.sampled_from(["", "\n "])) + text + draw(st.sampled_from(["", "\n"]))


def check_true(shown: Any, whole: Any) -> None:
    """What is shown is the whole, or a part of it."""
    if isinstance(shown, BaseModel) and type(shown) is not type(whole):
        assert isinstance(shown, type(whole))
        assert type(shown).__name__ == f"Partial{type(whole).__name__}"
        for name in type(whole).model_fields:
            if name in shown.model_fields_set:
                check_true(getattr(shown, name), getattr(whole, name))
            else:
                assert getattr(shown, name) is None
    elif isinstance(shown, str) and isinstance(whole, str):
        assert whole.startswith(shown)
    elif isinstance(shown, list):
        assert len(shown) <= len(whole)
        assert shown[:-1] == whole[: len(shown) - 1 if shown else 0]
        for one, other in zip(shown, whole, strict=False):
            check_true(one, other)
    elif isinstance(shown, dict):
        assert list(shown) == list(whole)[: len(shown)]
        for key, one in shown.items():
            check_true(one, whole[key])
    else:
        assert shown == whole


@given(written())
def test_whatever_is_cut_where_what_is_shown_is_true_of_the_whole(made: tuple[type[BaseModel], str]) -> None:
    model, text = made
    whole = model.model_validate_json(text)
    by_character = PartialObject(model)
    before: Any = None
    for at, char in enumerate(text):
        changed = by_character.feed(char)
        shown = by_character.shown()
        assert changed == (repr(shown) != repr(before))  # nothing new, nothing to show
        before = shown
        if shown is not None:
            check_true(shown, whole)
        if at % 29 == 0:
            in_one = PartialObject(model)
            in_one.feed(text[: at + 1])
            assert in_one.shown() == shown
    for name in model.model_fields:
        assert getattr(before, name) == getattr(whole, name)


@given(written(), st.lists(st.integers(0, 400)))
def test_the_pieces_do_not_matter(made: tuple[type[BaseModel], str], cuts: list[int]) -> None:
    model, text = made
    reader = PartialObject(model)
    ends = [*sorted({cut for cut in cuts if cut < len(text)}), len(text)]
    for a, b in zip([0, *ends], ends, strict=False):
        reader.feed(text[a:b])
    whole = model.model_validate_json(text)
    assert {name: getattr(reader.shown(), name) for name in model.model_fields} == dict(whole)


def reading(model: type[BaseModel], *pieces: str) -> PartialObject:
    reader = PartialObject(model)
    for piece in pieces:
        reader.feed(piece)
    return reader


class TestShowing:
    def test_nothing_before_the_object_begins(self) -> None:
        assert reading(City, " \n").shown() is None

    def test_a_text_as_far_as_it_has_come_a_number_not_before_something_follows_it(self) -> None:
        reader = reading(City, '{"name": "Os')
        assert (reader.shown().name, reader.shown().inhabitants) == ("Os", None)
        assert not reader.feed("")
        assert reader.feed("lo")
        assert not reader.feed('", "inhabitants": 71')
        assert reader.shown().inhabitants is None
        assert not reader.feed("7")
        assert reader.feed(",")
        assert reader.shown().inhabitants == 717
        assert reader.shown().model_fields_set == {"name", "inhabitants"}

    @pytest.mark.parametrize(
        ("piece", "shown"),
        [
            ("a\\", "a"),
            ("a\\u", "a"),
            ("a\\u00e", "a"),
            ("\\ud83d", ""),
            ("\\ud83d\\ude0", ""),
            ("\\ud83d\\ude00", "\U0001f600"),
            ("a\\\\", "a\\"),
            ('\\"', '"'),
            ("\t", "\t"),
        ],
    )
    def test_half_an_escape_waits_for_its_rest(self, piece: str, shown: str) -> None:
        assert reading(Street, f'{{"name": "{piece}').shown().name == shown

    def test_half_a_surrogate_pair_that_a_provider_let_through_is_a_replacement(self) -> None:
        assert reading(Street, '{"name": "a\ud800').shown().name == "a�"

    def test_an_open_model_is_a_partial_one_and_a_closed_one_is_whole(self) -> None:
        shown = reading(City, '{"streets": [{"name": "A"}, {"name": "B').shown()
        assert shown.streets[0] == Street(name="A")
        assert type(shown.streets[0]) is Street
        assert repr(shown) == "PartialCity(streets=[Street(name='A', number=None), PartialStreet(name='B')])"
        assert isinstance(shown.streets[1], Street)

    def test_a_partial_can_be_dumped_without_a_warning(self) -> None:
        shown = reading(City, '{"founded": "2020-01-01T00:00:00", "color": "red", "streets": [{"name": "A').shown()
        assert shown.model_dump_json(exclude_unset=True) == '{"founded":"2020-01-01T00:00:00","color":"red","streets":[{"name":"A"}]}'
        assert shown.model_dump()["name"] is None

    def test_each_is_a_new_one(self) -> None:
        reader = reading(City, '{"streets": [{"name": "A"}')
        before = reader.shown()
        reader.feed(', {"name": "B"}, ')
        assert (len(before.streets), len(reader.shown().streets)) == (1, 2)

    def test_a_key_nobody_knows_is_passed_over_with_all_it_holds(self) -> None:
        shown = reading(Street, '{"x": {"name": "no", "y": [1, {"name": "no"}]}, "z": "no", "name": "yes"').shown()
        assert (shown.name, shown.model_fields_set) == ("yes", {"name"})

    def test_empty_objects_and_lists(self) -> None:
        assert reading(City, "{}").shown().model_fields_set == set()
        assert reading(City, '{"streets": []').shown().streets == []
        assert reading(Zoo, '{"x": {}, "y": [], "pets": [').shown().pets == []

    def test_a_union_waits_for_its_discriminator(self) -> None:
        reader = reading(Zoo, '{"first": {"kin')
        assert reader.shown().first is None
        assert not reader.feed('d": "ca')
        assert reader.feed('t", "sound": "mi')
        assert repr(reader.shown().first) == "PartialCat(kind='cat', sound='mi')"

    @pytest.mark.parametrize(
        "text",
        [
            '{"first": {"sound": "mi',
            '{"first": {"x": [1], "kind": "cat", "sound": "mi',
            '{"either": {"kind": "cat", "sound": "mi',
            '{"first": {"kind": "cow", "sound": "mi',
        ],
    )
    def test_a_union_that_nothing_decides_waits_until_it_is_whole(self, text: str) -> None:
        assert reading(Zoo, text).shown().model_fields_set == set()

    def test_a_fence_is_taken_off(self) -> None:
        reader = PartialObject(Street)
        for char in '\n```json \n {"name": "A"}\n``` \n':
            reader.feed(char)
        assert reader.shown().name == "A"
        assert reading(Street, '```\r\n{"name": "A').shown().name == "A"

    def test_white_space_costs_nothing(self) -> None:
        reader = reading(Street, "{")
        for _ in range(100):
            assert not reader.feed(" " * 1000)
        assert len(reader._tail) == 0


def problems(model: type[BaseModel], text: str) -> list[str]:
    reader = PartialObject(model)
    with pytest.raises(UnfitError) as caught:
        for char in text:
            reader.feed(char)
    assert str(caught.value) == "; ".join(caught.value.problems)
    return caught.value.problems


class TestUnfit:
    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ('{"inhabitants": -1,', "inhabitants should be greater than or equal to 0"),
            ('{"inhabitants": tru ', "it is not valid JSON at inhabitants"),
            (f'{{"name": "{"a" * 41}"', "name: String should have at most 40 characters"),
            ('{"founded": "yesterday"', None),
            ('{"color": "green"', "color should be 'red' or 'blue'"),
            ('{"streets": [{"name": "A"}, {"name": 1,', "streets[1].name should be a valid string"),
            ('{"streets": [{"number": 1}', "streets[0].name is missing"),
            ('{"streets": {}', "streets should be a valid array"),
            ('{"twin": {"twin": {"inhabitants": "x"', None),
        ],
    )
    def test_a_value_that_does_not_fit_is_told_when_it_closes(self, text: str, problem: str | None) -> None:
        (found,) = problems(City, text)
        if problem is not None:
            assert found == problem
        with pytest.raises(UnfitError):
            reading(City, text)
        reading(City, text[:-1])  # not before

    def test_where_a_value_stands_is_told_in_full(self) -> None:
        (found,) = problems(City, '{"twin": {"twin": {"inhabitants": "x"')
        assert found.startswith("twin.twin.inhabitants should be a valid integer")

    @pytest.mark.parametrize(
        "text",
        [
            "{,",
            "{1",
            '{"a" 1',
            '{"name"}',
            '{"name": ,',
            '{"name": "a" "',
            '{"name": "\\x',
            '{"name": "\\ud83dx',
            '{"streets": [,',
            '{"streets": [}',
            '{"streets": []]',
            '{"name": "a",}',
            '{"x": [1,]',
            '{"name": "a"]',
            '{"first": {"kind": tru,',
        ],
    )
    def test_what_is_no_json_is_told_at_once(self, text: str) -> None:
        (found,) = problems(Zoo if "first" in text else City, text)
        assert found.startswith("it is not valid JSON")
        with pytest.raises(ValueError):
            json.loads(text + '"}]}')

    def test_where_it_is_no_json_is_told(self) -> None:
        assert problems(City, '{"streets": [{"name" 1') == ["it is not valid JSON at streets[0].name"]

    @pytest.mark.parametrize("text", ["Here it is: {", "[", "```json {", "``{", '"a"', "1"])
    def test_other_text_before_the_object(self, text: str) -> None:
        assert problems(City, text) == ["it is no JSON object; give the object alone, without other text"]

    @pytest.mark.parametrize("text", ["{} and more", "{}{", "{}]", "{}\n```x"])
    def test_other_text_behind_the_object(self, text: str) -> None:
        assert problems(City, text) == ["there is text behind the JSON object; give the object alone"]
