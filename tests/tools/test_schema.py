from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import inspect
import types
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from ecs_agent.errors import ToolArgumentsError, ToolDefinitionError
from ecs_agent.tools import tool
from ecs_agent.tools.schema import check_declared, innermost, read_docstring

# Hints


def test_local_types_of_the_defining_function_are_found() -> None:
    @dataclasses.dataclass
    class Local:
        x: int

    @tool
    def use(value: Local, many: list[Local] | None = None) -> None: ...

    assert use.validate({"value": {"x": 1}}) == {"value": Local(1)}


def test_local_types_around_a_class_are_found() -> None:
    Size = Literal["s", "m"]  # noqa: N806

    class Shop:
        @staticmethod
        @tool
        def order(size: Size) -> None: ...

        def send(self, size: Size) -> None: ...

    assert Shop.order.schema.parameters["properties"]["size"]["enum"] == ["s", "m"]
    assert tool(Shop().send).schema.parameters["properties"]["size"]["enum"] == ["s", "m"]


Kind = int


def make_use_of_kind() -> Callable[..., None]:
    def use(value: Kind) -> None: ...

    return use


def test_a_callers_locals_never_stand_in_for_globals() -> None:
    Kind = str  # noqa: N806, F841

    assert tool(make_use_of_kind()).schema.parameters["properties"]["value"]["type"] == "integer"


def test_nor_do_those_of_a_function_of_the_same_name_elsewhere() -> None:
    Kind = str  # noqa: N806, F841
    use = make_use_of_kind()
    elsewhere = types.FunctionType(use.__code__, {"Kind": int})
    elsewhere.__annotations__ = use.__annotations__
    elsewhere.__qualname__ = "test_nor_do_those_of_a_function_of_the_same_name_elsewhere.<locals>.use"

    assert tool(elsewhere).schema.parameters["properties"]["value"]["type"] == "integer"


def test_a_return_hint_need_not_resolve() -> None:
    def use(value: int) -> Nowhere: ...  # type: ignore[name-defined]  # pyright: ignore  # noqa: F821

    assert tool(use).validate({"value": 1}) == {"value": 1}


def test_odd_parameter_names() -> None:
    @tool
    def odd(_x: int, model_config: int, schema: int, copy: int, json: int, title: str) -> None: ...

    properties = odd.schema.parameters["properties"]
    assert list(properties) == ["_x", "model_config", "schema", "copy", "json", "title"]
    assert properties["title"] == {"type": "string"}
    values = {"_x": 1, "model_config": 2, "schema": 3, "copy": 4, "json": 5, "title": "t"}
    assert odd.validate(values) == values


def test_typed_dicts_dataclasses_and_models_nest() -> None:
    class Leg(TypedDict):
        to: str

    class Trip(BaseModel):
        legs: list[Leg]

    @tool
    def plan(trip: Trip, day: dt.date) -> None: ...

    values = plan.validate({"trip": {"legs": [{"to": "Rome"}]}, "day": "2026-01-31"})
    assert values["trip"].legs == [{"to": "Rome"}]
    assert values["day"] == dt.date(2026, 1, 31)


def test_a_hint_that_has_no_schema_is_named() -> None:
    def bad(a: int, b: Callable[[int], int]) -> None: ...

    with pytest.raises(ToolDefinitionError, match="of parameter b has no JSON schema"):
        tool(bad)


def test_defaults_that_json_cannot_hold_stay_with_the_function() -> None:
    nothing: Any = object()

    @tool
    def use(value: Any = nothing, day: dt.date = dt.date(2026, 1, 31)) -> None: ...

    assert use.schema.parameters["properties"] == {"value": {}, "day": {"type": "string", "format": "date", "default": "2026-01-31"}}
    assert use.validate({}) == {}


def test_an_alias_is_the_name_the_model_uses() -> None:
    @tool
    def use(from_: Annotated[str, Field(alias="from")]) -> str:
        """Use.

        Args:
            from_: where it starts
        """
        return from_

    assert list(use.schema.parameters["properties"]) == ["from"]
    assert use(**use.validate({"from": "Rome"})) == "Rome"


def test_innermost_looks_through_partials_methods_and_wrappers() -> None:
    def plain() -> None: ...

    @functools.wraps(plain)
    def outer() -> None: ...

    assert innermost(functools.partial(outer)) is plain
    assert innermost(plain) is plain


# Descriptions


def test_a_description_in_the_hint_comes_first() -> None:
    @tool
    def use(a: Annotated[int, "from the hint"], b: Annotated[int, Field(description="from the field")], c: int, d: int) -> None:
        """Use.

        Args:
            a: from the docstring
            b: from the docstring
            c: from the docstring
        """

    described = {name: shown.get("description") for name, shown in use.schema.parameters["properties"].items()}
    assert described == {"a": "from the hint", "b": "from the field", "c": "from the docstring", "d": None}


GOOGLE = """Look up.

Never guess.

Note:
    Europe only.

Args:
    city: the city
    days (int, optional): how
        many

Returns:
    A sentence.

Example:
    >>> look_up("Rome")
"""
NUMPY = """Look up.

Never guess.

Parameters
----------
city : str
    the city
days : int, optional
    how
    many

Returns
-------
str
    A sentence.
"""
SPHINX = """Look up.

Never guess.

:param city: the city
:param int days: how
    many
:returns: A sentence.
"""


@pytest.mark.parametrize("docstring", [GOOGLE, NUMPY, SPHINX])
def test_docstring_styles(docstring: str) -> None:
    read = read_docstring(docstring, ["city", "days"])
    assert read.parameters == {"city": "the city", "days": "how many"}
    assert read.text.startswith("Look up.\n\nNever guess.")
    assert "sentence" not in read.text
    assert ">>>" not in read.text


def test_notes_stay_with_the_text() -> None:
    assert read_docstring(GOOGLE, ["city"]).text.endswith("Note: Europe only.")


def test_a_single_sphinx_parameter_is_recognised() -> None:
    assert read_docstring("Add.\n\n:param x: the x", ["x"]).parameters == {"x": "the x"}


def test_what_describes_no_parameter_is_dropped() -> None:
    assert read_docstring("Add.\n\nArgs:\n    y: the y", ["x"]).parameters == {}


@given(st.text(alphabet="abc:- \n\tArgsParams()*`'\"", max_size=200))
def test_no_docstring_breaks_a_definition(docstring: str) -> None:
    read = read_docstring(docstring, ["a", "b"])
    assert isinstance(read.text, str)


# Round trip: what fits the schema gets through, unchanged


class Item(TypedDict):
    name: str
    tags: list[str]


@tool
def everything(
    number: int,
    text: str,
    ratio: float,
    on: bool,
    choice: Literal["a", "b"],
    items: list[Item],
    table: dict[str, int],
    maybe: str | None = None,
) -> None: ...


SIMPLE: dict[str, st.SearchStrategy[Any]] = {
    "integer": st.integers(-(2**63), 2**63 - 1),
    "number": st.floats(allow_nan=False, allow_infinity=False),
    "string": st.text(max_size=20),
    "boolean": st.booleans(),
    "null": st.none(),
}


def values_of(schema: dict[str, Any], definitions: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that fit a JSON schema, as far as the tool above uses the language."""
    if "$ref" in schema:
        return values_of(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of([values_of(each, definitions) for each in schema["anyOf"]])
    match schema["type"]:
        case "array":
            return st.lists(values_of(schema["items"], definitions), max_size=3)
        case "object" if "properties" not in schema:
            return st.dictionaries(st.text(max_size=5), values_of(schema["additionalProperties"], definitions), max_size=3)
        case "object":
            required = set(schema.get("required", ()))
            fields = {name: values_of(each, definitions) for name, each in schema["properties"].items()}
            return st.fixed_dictionaries(
                {name: field for name, field in fields.items() if name in required},
                optional={name: field for name, field in fields.items() if name not in required},
            )
        case simple:
            return SIMPLE[simple]


@given(st.data())
def test_arguments_that_fit_the_schema_get_through_unchanged(data: st.DataObject) -> None:
    schema = everything.schema.parameters
    arguments = data.draw(values_of(schema, schema["$defs"]))
    assert everything.validate(arguments) == arguments
    check_declared(arguments, schema)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["number", "text", "ratio", "on", "choice", "items", "table", "maybe", "other"]), json_values))
def test_any_json_is_accepted_or_refused_but_never_breaks(arguments: dict[str, Any]) -> None:
    try:
        values = everything.validate(arguments)
    except ToolArgumentsError:
        return
    inspect.signature(everything).bind(**values)


# Hand-written schemas

DECLARED = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "ratio": {"type": "number"},
        "unit": {"type": ["string", "null"], "enum": ["c", "f", None]},
        "free": {},
        "odd": {"type": "decimal"},
        "whatever": True,
    },
    "required": ["city"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "extra", [{"days": 3}, {"days": 3.0}, {"ratio": 1}, {"unit": None}, {"unit": "c"}, {"free": [1]}, {"odd": "1.0"}, {"whatever": 1}]
)
def test_arguments_that_fit_a_declared_schema(extra: dict[str, Any]) -> None:
    check_declared({"city": "Rome", **extra}, DECLARED)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "city is missing"),
        ({"city": 3}, "city should be string, not 3"),
        ({"city": "Rome", "days": "3"}, "days should be integer, not '3'"),
        ({"city": "Rome", "days": True}, "days should be integer, not True"),
        ({"city": "Rome", "days": 3.5}, "days should be integer, not 3.5"),
        ({"city": "Rome", "ratio": False}, "ratio should be number, not False"),
        ({"city": "Rome", "unit": "k"}, "unit should be one of 'c', 'f', None, not 'k'"),
        ({"city": "Rome", "zip": 1}, "zip is unknown (arguments of this tool: city, days"),
    ],
)
def test_arguments_that_do_not_fit_a_declared_schema(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(ToolArgumentsError) as caught:
        check_declared(arguments, DECLARED)
    assert problem in str(caught.value)


def test_a_declared_schema_may_be_open_or_empty() -> None:
    check_declared({"anything": 1}, {})
    check_declared({"anything": 1}, {"type": "object", "properties": {"city": {}}})
