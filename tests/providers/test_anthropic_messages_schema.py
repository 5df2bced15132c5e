"""Schemas of structured answers as the Messages API takes them."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_agent.errors import UnsupportedFeatureError
from ecs_agent.providers.anthropic_messages.schema import accepted_schema


@pytest.mark.parametrize(
    ("schema", "sent"),
    [
        ({"type": "string"}, {"type": "string"}),
        ({"type": "object", "properties": {"a": {"type": "integer"}}}, {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False}),
        ({"properties": {}, "additionalProperties": True}, {"properties": {}, "additionalProperties": False}),
        ({"type": "integer", "minimum": 1, "maximum": 9}, {"type": "integer", "description": "(minimum: 1, maximum: 9)"}),
        ({"type": "string", "maxLength": 3, "description": "A name."}, {"type": "string", "description": "A name. (maxLength: 3)"}),
        ({"type": "array", "items": {"type": "number", "multipleOf": 2}, "minItems": 1}, {"type": "array", "items": {"type": "number", "description": "(multipleOf: 2)"}, "minItems": 1}),
        ({"type": "object", "maxProperties": 2}, {"type": "object", "additionalProperties": False, "description": "(maxProperties: 2)"}),
        ({"type": "array", "minItems": 0}, {"type": "array", "minItems": 0}),
        ({"type": "array", "minItems": 3}, {"type": "array", "description": "(minItems: 3)"}),
        ({"oneOf": [{"type": "null"}, {"type": "object", "properties": {}}]}, {"anyOf": [{"type": "null"}, {"type": "object", "properties": {}, "additionalProperties": False}]}),
        ({"oneOf": [{"type": "null"}], "anyOf": [{"type": "string"}]}, {"oneOf": [{"type": "null"}], "anyOf": [{"type": "string"}]}),
        ({"enum": ["minimum", {"minimum": 1}], "default": "é"}, {"enum": ["minimum", {"minimum": 1}], "description": '(default: "é")'}),
        ({"$defs": {"minimum": {"type": "string", "minLength": 1}}, "$ref": "#/$defs/minimum"}, {"$defs": {"minimum": {"type": "string", "description": "(minLength: 1)"}}, "$ref": "#/$defs/minimum"}),
        ({"type": "object", "properties": {"maximum": {"type": "string"}}, "required": ["maximum"]}, {"type": "object", "properties": {"maximum": {"type": "string"}}, "required": ["maximum"], "additionalProperties": False}),
    ],
)  # fmt: skip
def test_objects_are_closed_and_refused_limits_are_said_in_words(schema: Any, sent: Any) -> None:
    assert accepted_schema(schema) == sent
    assert accepted_schema(sent) == sent


def test_free_keys_are_refused_as_a_closed_object_would_lose_them() -> None:
    words = "structured answers of the Messages API have no objects with free keys; use a list of key and value, or a tool"
    with pytest.raises(UnsupportedFeatureError, match=f"^{words}$"):
        accepted_schema({"type": "object", "properties": {"tags": {"type": "object", "additionalProperties": {"type": "integer"}}}})
