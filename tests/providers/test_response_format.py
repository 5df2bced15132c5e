"""Asking for structured answers: the schema is closed as strict servers want it."""

from __future__ import annotations

from pydantic import BaseModel

from ecs_agent.providers import pydantic_to_response_format


class Street(BaseModel):
    name: str
    number: int | None = None
    default: str = "x"


class City(BaseModel):
    streets: list[Street] = []


def test_every_object_requires_all_it_has_and_nothing_else() -> None:
    made = pydantic_to_response_format(City)
    assert (made["type"], made["json_schema"]["name"], made["json_schema"]["strict"]) == ("json_schema", "City", True)
    schema = made["json_schema"]["schema"]
    assert (schema["required"], schema["additionalProperties"]) == (["streets"], False)
    street = schema["$defs"]["Street"]
    assert (street["required"], street["additionalProperties"]) == (["name", "number", "default"], False)
    assert "default" not in street["properties"]["number"]
