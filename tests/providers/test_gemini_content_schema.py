"""Schemas as the Gemini API takes them: what it does not read is said in words, references stand alone, and every object can end."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from ecs_agent.providers.gemini_content.schema import accepted_schema
from ecs_agent.providers.structured.response_format import response_format_of


@pytest.mark.parametrize(
    ("schema", "sent"),
    [
        ({"type": "string"}, {"type": "string"}),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, {"type": "object", "additionalProperties": {"type": "integer"}}),
        ({"type": "integer", "minimum": 1, "exclusiveMaximum": 9}, {"type": "integer", "minimum": 1, "description": "exclusiveMaximum: 9"}),
        ({"type": "string", "pattern": "a+", "description": "A name."}, {"type": "string", "description": "A name. (pattern: a+)"}),
        ({"const": "a", "type": "string"}, {"enum": ["a"], "type": "string"}),
        ({"const": 2, "type": "integer"}, {"enum": [2], "type": "integer"}),
        ({"const": True, "type": "boolean"}, {"const": True, "type": "boolean"}),
        ({"const": {"const": 1}}, {"const": {"const": 1}}),
        ({"type": "array", "items": {"const": "a"}}, {"type": "array", "items": {"enum": ["a"]}}),
        ({"enum": ["const", {"const": 1}]}, {"enum": ["const", {"const": 1}]}),
        ({"$ref": "#/$defs/A"}, {"$ref": "#/$defs/A"}),
        ({"$ref": "#/$defs/A", "$anchor": "a"}, {"$ref": "#/$defs/A", "$anchor": "a"}),
        ({"$ref": "#/$defs/A", "description": "x", "$anchor": "a"}, {"description": "x", "$anchor": "a", "anyOf": [{"$ref": "#/$defs/A"}]}),
        ({"type": "array", "prefixItems": [{"const": "a"}, True]}, {"type": "array", "prefixItems": [{"enum": ["a"]}, True]}),
        ({"properties": {"const": {"type": "string"}, "$ref": {"const": 1}}}, {"properties": {"const": {"type": "string"}, "$ref": {"enum": [1]}}}),
    ],
)
def test_the_words_of_the_api(schema: Any, sent: Any) -> None:
    assert accepted_schema(schema) == sent
    assert accepted_schema(sent) == sent


class Person(BaseModel):
    name: str
    friends: list[Person]
    best: Person | None
    town: Town


class Town(BaseModel):
    name: str
    mayor: Person | None
    twin: Other


class Other(BaseModel):
    name: str


def test_nothing_is_required_that_leads_back_to_its_own_object() -> None:
    sent = accepted_schema(response_format_of(Person, strict=False)["json_schema"]["schema"])
    assert {name: found["required"] for name, found in sent["$defs"].items()} == {"Person": ["name"], "Town": ["name", "twin"], "Other": ["name"]}
    assert sent["required"] == ["name", "friends", "best", "town"]


def test_definitions_that_are_no_objects_stay() -> None:
    schema = {"$defs": {"A": True, "B": {"enum": ["b"]}, "C": {"properties": {"c": {"$ref": "#/$defs/C"}}}, "D": {"properties": {}, "required": []}}}
    assert accepted_schema(schema) == schema
