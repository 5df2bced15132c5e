from __future__ import annotations

import asyncio
import dataclasses
import enum
import functools
import inspect
import subprocess
import sys
from typing import Annotated, Any, Literal, assert_type

import pytest
from pydantic import BaseModel, Field

from ecs_agent.errors import ToolArgumentsError, ToolDefinitionError
from ecs_agent.tools import Tool, tool


class Unit(enum.Enum):
    CELSIUS = "c"
    FAHRENHEIT = "f"


@dataclasses.dataclass
class Place:
    city: str
    zone: int = 0


class Station(BaseModel):
    code: str


@tool
def add(a: int, b: int = 2) -> int:
    """Add two numbers."""
    return a + b


@tool(name="get-weather", timeout=5, idempotent=True)
async def weather(city: str, *, unit: Unit = Unit.CELSIUS) -> str:
    """The weather in a city.

    It is asked from the next station.

    Args:
        city: where,
            with the country.
        unit: of the temperature.

    Returns:
        One sentence.
    """
    return f"{city} {unit.value}"


class Desk:
    def __init__(self) -> None:
        self.sold: list[str] = []

    def sell(self, item: str) -> int:
        """Sell an item."""
        self.sold.append(item)
        return len(self.sold)


# Typing


async def test_a_tool_keeps_the_type_of_its_function() -> None:
    assert_type(add(1, b=2), int)
    assert_type(await weather("Paris"), str)
    assert_type(tool(Desk().sell)("pen"), int)
    assert_type(tool(lookup, name="find")("index", "x"), str)


def code_that_type_checkers_must_refuse() -> None:
    _: int = add(1, b="2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    add("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    add(1, c=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    add.name = "x"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


# What a tool is


def test_a_tool_is_called_like_its_function() -> None:
    assert add(1) == 3
    assert add(1, b=5) == 6
    assert asyncio.run(weather("Paris", unit=Unit.FAHRENHEIT)) == "Paris f"
    assert inspect.signature(add) == inspect.signature(add.function)
    assert add.__name__ == "add"


def test_a_tool_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        add.timeout = 3  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def test_names_descriptions_and_options() -> None:
    assert (add.name, add.description, add.timeout, add.idempotent, add.is_async) == ("add", "Add two numbers.", None, False, False)
    assert (weather.name, weather.timeout, weather.idempotent, weather.is_async) == ("get-weather", 5, True, True)
    assert weather.description == "The weather in a city.\n\nIt is asked from the next station."
    assert weather.module == add.module == __name__
    assert tool(add.function, name="plus", description="Sum.").schema.description == "Sum."


def test_the_schema_comes_from_hints_defaults_and_docstring() -> None:
    schema = weather.schema.parameters
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["city"]
    assert schema["properties"]["city"] == {"type": "string", "description": "where, with the country."}
    assert schema["properties"]["unit"] == {"$ref": "#/$defs/Unit", "description": "of the temperature.", "default": "c"}
    assert schema["$defs"]["Unit"]["enum"] == ["c", "f"]


def test_a_tool_without_parameters() -> None:
    @tool
    def now() -> str:
        return "noon"

    assert now.schema.parameters == {"type": "object", "properties": {}, "additionalProperties": False}
    assert now.description == ""
    assert now.validate({}) == {}


# Validation


def test_arguments_become_python_values() -> None:
    @tool
    def move(
        place: Place, station: Station, mode: Literal["fast", "slow"], when: list[int] | None = None, far: Annotated[int, Field(ge=0)] = 0
    ) -> None: ...

    values = move.validate({"place": {"city": "Rome"}, "station": {"code": "x"}, "mode": "fast", "when": ["1", 2.0]})
    assert values == {"place": Place("Rome"), "station": Station(code="x"), "mode": "fast", "when": [1, 2]}


def test_missing_arguments_are_left_to_the_function() -> None:
    assert add.validate({"a": 1}) == {"a": 1}
    assert weather.validate({"city": "Rome", "unit": "f"}) == {"city": "Rome", "unit": Unit.FAHRENHEIT}


@pytest.mark.parametrize("value", ["3", 3, 3.0])
def test_conversions_that_lose_nothing(value: object) -> None:
    assert add.validate({"a": value}) == {"a": 3}


@pytest.mark.parametrize("value", ["three", 3.5, "", None, [3], "nan"])
def test_conversions_that_would_lose_something_are_refused(value: object) -> None:
    with pytest.raises(ToolArgumentsError, match="a should be a valid integer"):
        add.validate({"a": value})


def test_a_number_is_no_text_and_nan_is_no_number() -> None:
    @tool
    def note(text: str, weight: float) -> None: ...

    with pytest.raises(ToolArgumentsError, match="text should be a valid string, not 3; weight should be a finite number"):
        note.validate({"text": 3, "weight": "inf"})


def test_every_problem_is_listed_so_that_a_model_can_mend_its_call() -> None:
    with pytest.raises(ToolArgumentsError) as caught:
        add.validate({"b": "two", "c": 1})
    assert str(caught.value) == (
        "The arguments of add do not fit: a is missing; b should be a valid integer, unable to parse string as an integer, not 'two'; "
        "c is unknown (arguments of this tool: a, b)."
    )


def test_problems_are_located_and_bounded() -> None:
    @tool
    def go(places: list[Place]) -> None: ...

    with pytest.raises(ToolArgumentsError, match=r"places\[0\]\.zone should be .*; places\[1\]\.size is unknown"):
        go.validate({"places": [{"city": "Rome", "zone": "x"}, {"city": "Oslo", "size": 1}]})
    with pytest.raises(ToolArgumentsError, match="and 12 more") as caught:
        go.validate({"places": [1] * 20})
    assert len(str(caught.value)) < 2000
    with pytest.raises(ToolArgumentsError, match="5000 values do not fit"):
        go.validate({"places": [1] * 5000})


def test_size_and_depth_are_capped_before_validation() -> None:
    @tool
    def keep(data: Any) -> None: ...

    nested: Any = 1
    for _ in range(63):
        nested = [nested]
    assert keep.validate({"data": nested}) == {"data": nested}
    with pytest.raises(ToolArgumentsError, match="deeper than 64"):
        keep.validate({"data": [nested]})
    with pytest.raises(ToolArgumentsError, match="longer than the 1048576 bytes"):
        keep.validate({"data": "x" * 1024 * 1024})
    with pytest.raises(ToolArgumentsError, match="longer than the 100 bytes"):
        keep.validate({"data": [[]] * 60}, max_bytes=100)
    looped: list[Any] = []
    looped += [looped, looped]
    with pytest.raises(ToolArgumentsError):
        keep.validate({"data": looped}, max_bytes=1000)


@pytest.mark.parametrize("arguments", [[], "x", None, {"data": object()}, {"data": "\ud800"}])
def test_what_is_no_json_object_is_refused(arguments: Any) -> None:
    @tool
    def keep(data: Any) -> None: ...

    with pytest.raises(ToolArgumentsError, match="JSON"):
        keep.validate(arguments)


# What can be a tool


def test_bound_methods_act_on_their_instance() -> None:
    desk = Desk()
    sell = tool(desk.sell)
    assert list(sell.schema.parameters["properties"]) == ["item"]
    assert sell("pen") == 1
    assert desk.sold == ["pen"]


def test_partials_hide_what_they_fix() -> None:
    search = functools.partial(lookup, "index", limit=3)
    made = tool(search)
    assert (made.name, list(made.schema.parameters["properties"])) == ("lookup", ["term"])
    assert made(term="x") == "index x 3"
    with pytest.raises(ToolArgumentsError, match="limit is unknown"):
        made.validate({"term": "x", "limit": 1000})


def lookup(index: str, term: str, limit: int = 1) -> str:
    """Look a term up."""
    return f"{index} {term} {limit}"


def test_decorated_functions_and_objects_with_call() -> None:
    @functools.wraps(lookup)
    def wrapped(*args: Any, **kwargs: Any) -> str:
        return lookup(*args, **kwargs)

    class Echo:
        async def __call__(self, text: str) -> str:
            """Say it again."""
            return text

    assert list(tool(wrapped).schema.parameters["properties"]) == ["index", "term", "limit"]
    echo = tool(Echo())
    assert (echo.name, echo.description, echo.is_async) == ("Echo", "Say it again.", True)


def test_static_methods() -> None:
    class Shop:
        @tool
        @staticmethod
        def price(item: str) -> int:
            return len(item)

        @staticmethod
        @tool
        def cost(item: str) -> int:
            return len(item)

    assert (Shop.price("pen"), Shop().price("pen"), Shop.price.name) == (3, 3, "price")
    assert Shop().cost("pen") == 3


# What cannot, and how to mend it


def refused(function: Any, *says: str, **options: Any) -> None:
    with pytest.raises(ToolDefinitionError) as caught:
        tool(function, **options)
    for words in says:
        assert words in str(caught.value)


def no_hint(a, b: int): ...  # type: ignore[no-untyped-def]
def rest(a: int, *more: int) -> None: ...
def keywords(**options: int) -> None: ...
def positional(a: int, /) -> None: ...
def unknown_type(a: Elsewhere) -> None: ...  # type: ignore[name-defined]  # pyright: ignore  # noqa: F821
def no_schema(a: int, b: asyncio.Lock) -> None: ...
def false_none(a: int, b: int = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013
def field_default(a: int = Field(ge=3)) -> None: ...
def yields(a: int):  # type: ignore[no-untyped-def]
    yield a


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (no_hint, ["no_hint", "parameter a has no type hint", "a: str"]),
        (rest, ["rest", "*more"]),
        (keywords, ["keywords", "**options"]),
        (positional, ["positional", "a is positional-only", "remove the /"]),
        (unknown_type, ["unknown_type", "Elsewhere", "parameter a", "import"]),
        (no_schema, ["no_schema", "parameter b", "JSON types"]),
        (false_none, ["false_none", "parameter b", "add | None"]),
        (field_default, ["field_default", "default of a", "Annotated"]),
        (yields, ["yields", "return them as a list"]),
        (Desk.sell, ["sell", "self", "tool(instance.sell)"]),
        (Desk, ["Desk", "give a function"]),
        (3, ["3", "give a function"]),
        (len, ["len", "positional-only"]),
        (max, ["max", "signature", "wrap it"]),
        (add, ["add is a tool already", "add.function"]),
    ],
)
def test_a_function_that_cannot_be_a_tool_says_why_where_it_is_defined(function: Any, says: list[str]) -> None:
    refused(function, *says)


@pytest.mark.parametrize("name", ["", "a b", "ä", "x" * 65, "a.b", "ok\n"])
def test_bad_names(name: str) -> None:
    refused(lookup, "1 to 64 letters", name=name)


def test_lambdas_need_a_name_and_hints() -> None:
    refused(lambda x: x, "'<lambda>'", "name=")
    refused(lambda x: x, "no type hint", name="identity")


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan")])
def test_bad_timeouts(timeout: float) -> None:
    refused(lookup, "positive number of seconds", timeout=timeout)


def test_a_definition_error_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        tool(no_hint)


# Cost


def test_importing_the_room_loads_neither_pydantic_nor_griffe() -> None:
    code = "import sys, ecs_agent.tools, ecs_agent.logging; print({'pydantic', 'pydantic_core', 'griffe'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_front_door_is_sorted_and_complete() -> None:
    import ecs_agent.tools as room

    assert room.__all__ == sorted(room.__all__)
    assert all(hasattr(room, name) for name in room.__all__)
    assert room.Tool is Tool
