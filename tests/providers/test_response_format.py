"""Asking for structured answers: the schema is closed as strict servers want it, or sent as it is to those that do not."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import pytest
from pydantic import BaseModel, create_model

from ecs_agent.errors import UnsupportedFeatureError
from ecs_agent.providers import pydantic_to_response_format, response_format_of
from ecs_agent.providers.structured.response_format import is_model, wire_name

T = TypeVar("T")


class Street(BaseModel):
    name: str
    number: int | None = None
    default: str = "x"


class City(BaseModel):
    streets: list[Street] = []


class Tags(BaseModel):
    tags: dict[str, int]


class Page(BaseModel, Generic[T]):
    items: list[T]


def test_every_object_requires_all_it_has_and_nothing_else() -> None:
    made = pydantic_to_response_format(City)
    assert (made["type"], made["json_schema"]["name"], made["json_schema"]["strict"]) == ("json_schema", "City", True)
    schema = made["json_schema"]["schema"]
    assert (schema["required"], schema["additionalProperties"]) == (["streets"], False)
    street = schema["$defs"]["Street"]
    assert (street["required"], street["additionalProperties"]) == (["name", "number", "default"], False)
    assert "default" not in street["properties"]["number"]


def test_a_dict_with_free_keys_is_refused_and_not_an_empty_object() -> None:
    with pytest.raises(UnsupportedFeatureError, match=r"^Tags\.tags: a dict with free keys cannot be made strict; use a list of key and value$"):
        pydantic_to_response_format(Tags)
    with pytest.raises(UnsupportedFeatureError):
        response_format_of(Tags, strict=True)


def test_who_does_not_need_closed_schemas_gets_the_original_where_it_cannot_be_closed() -> None:
    assert response_format_of(Tags, strict=False) == {
        "type": "json_schema",
        "json_schema": {"name": "Tags", "schema": Tags.model_json_schema(), "strict": False},
    }
    assert response_format_of(City, strict=False) == response_format_of(City, strict=True) == pydantic_to_response_format(City)


def test_a_wire_object_stays_as_it_is() -> None:
    wire = {"type": "json_object"}
    assert response_format_of(wire, strict=True) is wire


@pytest.mark.parametrize(("wrong", "named"), [("json", "a str"), (int, "the class int"), (City(), "a City")])
def test_anything_else_is_named(wrong: Any, named: str) -> None:
    with pytest.raises(TypeError, match=f"^response_format is {named}; give a pydantic class or a wire object"):
        response_format_of(wrong, strict=True)


def test_a_class_is_told_from_what_is_none() -> None:
    assert is_model(City)
    assert not is_model(City())
    assert not is_model(int)
    assert not is_model(list[int])


def test_a_name_is_one_that_servers_take() -> None:
    assert wire_name(Page[int]) == "Page_int"
    assert wire_name(create_model("Größe" * 20)) == ("Gr_e" + "Gr_e" * 20)[:64].rstrip("_")
    assert wire_name(create_model("Ω")) == "answer"
