"""Strict schemas: what servers take, made of what pydantic says; what cannot be closed is refused by name."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import AnyUrl, BaseModel, Field, RootModel, create_model

from ecs_agent.errors import UnsupportedFeatureError
from ecs_agent.providers.structured.strict_schema import BOUNDS, said_in_words, strict_schema
from ecs_agent.types import JsonObject

ALLOWED = {
    *(
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "anyOf",
        "enum",
        "const",
        "$ref",
        "$defs",
        "description",
        "pattern",
        "format",
    ),
    *BOUNDS,
}


class Color(Enum):
    RED = "red"
    ONE = 1


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(9, ge=0, le=9)


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str | None = None


class Node(BaseModel):
    value: int
    children: list[Node] = []
    next: Annotated[Node | None, Field(description="the one behind it")] = None


class Told(BaseModel):
    node: Annotated[Node, Field(description="the first one")]
    cat: Annotated[Cat, Field(description="the cat")]


def closed(model: type[BaseModel]) -> JsonObject:
    return strict_schema(model.model_json_schema(), model.__name__)


def of(hint: Any, **field: Any) -> Any:
    """The closed schema of a field."""
    model = create_model("M", x=(hint, Field(**field)))
    return closed(model)["properties"]["x"]


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (str, {"type": "string"}),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (list[float], {"type": "array", "items": {"type": "number"}}),
        (set[int], {"type": "array", "items": {"type": "integer"}, "description": "uniqueItems: true"}),
        (dt.datetime, {"type": "string", "format": "date-time"}),
        (uuid.UUID, {"type": "string", "format": "uuid"}),
        (AnyUrl, {"type": "string", "description": "minLength: 1, format: uri"}),
        (bytes, {"type": "string", "description": "format: binary"}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Literal["a", 1, True], {"type": ["string", "integer", "boolean"], "enum": ["a", 1, True]}),
        (Literal["a"], {"type": "string", "const": "a"}),
        (Annotated[int, Field(gt=0, le=5, multiple_of=2)], {"type": "integer", "exclusiveMinimum": 0, "maximum": 5, "multipleOf": 2}),
        (Annotated[str, Field(max_length=3, description="short")], {"type": "string", "description": "short (maxLength: 3)"}),
        (Annotated[str, Field(pattern="^a(?:b)$")], {"type": "string", "pattern": "^a(?:b)$"}),
        (Annotated[str, Field(json_schema_extra={"pattern": "^(?!a)"})], {"type": "string", "description": "pattern: ^(?!a)"}),
        (Annotated[list[int], Field(min_length=1, max_length=2)], {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 2}),
        (tuple[int, int], {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}),
        (
            tuple[int, str, int],
            {
                "type": "array",
                "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
                "minItems": 3,
                "maxItems": 3,
                "description": "in this order: integer, string, integer",
            },
        ),
        (
            Annotated[tuple[int, str], Field(description="a pair")],
            {
                "type": "array",
                "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
                "minItems": 2,
                "maxItems": 2,
                "description": "a pair (in this order: integer, string)",
            },
        ),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
    ],
    ids=str,
)
def test_a_field_is_closed(hint: Any, schema: JsonObject) -> None:
    assert of(hint) == schema


def test_a_default_a_title_and_an_example_are_no_rules() -> None:
    assert of(int, default=3, title="T", examples=[1, 2], deprecated=True) == {"type": "integer", "description": "examples: [1, 2]"}


def test_a_union_with_a_discriminator_is_any_of_its_models() -> None:
    class Owner(BaseModel):
        pet: Cat | Dog = Field(discriminator="kind", description="a pet")

    made = closed(Owner)
    assert made["properties"]["pet"] == {"description": "a pet", "anyOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]}
    assert made["$defs"]["Cat"]["required"] == ["kind", "lives"]
    assert made["$defs"]["Cat"]["additionalProperties"] is False


def test_an_enum_of_several_types_has_them() -> None:
    model = create_model("M", color=(Color, ...))
    assert closed(model)["$defs"]["Color"] == {"type": ["string", "integer"], "enum": ["red", 1]}


def test_a_model_that_holds_itself_is_at_the_root_what_it_refers_to() -> None:
    made = closed(Node)
    assert (made["type"], made["required"], made["additionalProperties"]) == ("object", ["value", "children", "next"], False)
    assert made["$defs"]["Node"]["properties"]["children"] == {"type": "array", "items": {"$ref": "#/$defs/Node"}}


def test_nothing_stands_beside_a_reference() -> None:
    made = closed(Told)
    assert made["properties"]["node"] == {"$ref": "#/$defs/Node"}  # it holds itself, so it cannot be written out
    assert made["properties"]["cat"] == {**made["$defs"]["Cat"], "description": "the cat"}


def test_one_schema_of_all_is_itself() -> None:
    schema = {"type": "object", "properties": {"a": {"allOf": [{"type": "string"}], "description": "d"}}}
    assert strict_schema(schema, "M")["properties"]["a"] == {"type": "string", "description": "d"}


def test_a_model_that_takes_more_is_asked_for_what_it_names() -> None:
    made = closed(create_model("M", __config__={"extra": "allow"}, a=(int, ...)))
    assert made == {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}


def test_a_model_without_fields_is_an_empty_object() -> None:
    assert closed(create_model("M")) == {"type": "object", "properties": {}, "required": [], "additionalProperties": False}


class Inner(BaseModel):
    tags: dict[str, int]


class Outer(BaseModel):
    inner: list[Inner]


Named = dict[Literal["a"], int]
FREE = "a dict with free keys cannot be made strict; use a list of key and value"
ANY = "a value of any type cannot be made strict; give it a type"


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (create_model("City", tags=(dict[str, int], ...)), f"City.tags: {FREE}"),
        (create_model("City", tags=(Named, ...)), f"City.tags: {FREE}"),
        (create_model("City", tags=(dict, ...)), f"City.tags: {FREE}"),
        (create_model("City", tags=(list[dict[str, str]] | None, None)), f"City.tags: {FREE}"),
        (Outer, f"Inner.tags: {FREE}"),
        (create_model("City", x=(Any, ...)), f"City.x: {ANY}"),
        (create_model("City", x=(object, None)), f"City.x: {ANY}"),
        (create_model("City", x=(list[Any], ...)), "City.x: a list of anything cannot be made strict; say what its items are, as in list[str]"),
        (create_model("City", x=(list, ...)), "City.x: a list of anything cannot be made strict; say what its items are, as in list[str]"),
        (RootModel[list[int]], "RootModel[list[int]]: the root of a structured answer must be an object; make it a field of a model"),
        (RootModel[Cat | Dog], "RootModel[Union[Cat, Dog]]: the root of a structured answer must be an object; make it a field of a model"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_closed_is_refused_by_the_name_of_the_field(model: type[BaseModel], sentence: str) -> None:
    with pytest.raises(UnsupportedFeatureError) as caught:
        closed(model)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        ({"not": {"type": "string"}}, "M.a: strict schemas have no 'not'; leave it to a validator of the model"),
        ({"allOf": [{"type": "string"}, {"minLength": 1}]}, "M.a: strict schemas have no 'allOf'; leave it to a validator of the model"),
        ({"$ref": "#/$defs/Gone", "description": "d"}, "M.a: #/$defs/Gone is not in the schema; let pydantic make the schema"),
        (True, f"M.a: {ANY}"),
        ({"type": "object", "properties": {"b": {"type": "string"}}, "patternProperties": {"^c": {"type": "string"}}}, f"M.a: {FREE}"),
        ({"const": {}}, f"M.a: {ANY}"),
        (
            {"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "string"}},
            "M.a: a tuple without a fixed length cannot be made strict; use a model with a field for each place",
        ),
    ],
)
def test_a_schema_of_ones_own_is_held_to_the_same(schema: Any, sentence: str) -> None:
    with pytest.raises(UnsupportedFeatureError) as caught:
        strict_schema({"type": "object", "properties": {"a": schema}}, "M")
    assert str(caught.value) == sentence


class Everything(BaseModel):
    """All at once."""

    pet: Cat | Dog = Field(discriminator="kind")
    node: Node
    color: Color
    price: decimal.Decimal
    pair: tuple[int, Cat]
    day: dt.date = dt.date(2020, 1, 1)
    title: str = Field("x", max_length=3)
    properties: list[str] = []


def test_what_is_made_holds_nothing_that_servers_refuse() -> None:
    def check(schema: Any) -> None:
        assert isinstance(schema, dict)
        assert set(schema) <= ALLOWED
        assert set(schema) & {"type", "anyOf", "$ref"}
        if "$ref" in schema:
            assert list(schema) == ["$ref"]
        if schema.get("type") == "object":
            assert (schema["required"], schema["additionalProperties"]) == (list(schema["properties"]), False)
        for inner in [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values(), *schema.get("anyOf", ())]:
            check(inner)
        if "items" in schema:
            check(schema["items"])

    for model in (Everything, Node, Told):
        check(closed(model))
    assert list(closed(Everything)["properties"]) == list(Everything.model_fields)


def test_what_a_server_does_not_take_can_be_said_in_words() -> None:
    class Bounded(BaseModel):
        minimum: Annotated[int, Field(ge=1, description="how many")]
        rest: list[Annotated[int, Field(le=3)]]
        choice: Literal["maximum"]

    schema = said_in_words(closed(Bounded), BOUNDS)
    assert schema["properties"] == {
        "minimum": {"type": "integer", "description": "how many (minimum: 1)"},
        "rest": {"type": "array", "items": {"type": "integer", "description": "maximum: 3"}},
        "choice": {"type": "string", "const": "maximum"},
    }
    assert said_in_words({"enum": [{"minimum": 1}], "anyOf": [True]}, BOUNDS) == {"enum": [{"minimum": 1}], "anyOf": [True]}
