"""JSON schemas as the Messages API takes them for structured answers: closed objects, and none of the words that it refuses."""

from __future__ import annotations

import json
from typing import Any, Final

from ecs_agent.errors import UnsupportedFeatureError
from ecs_agent.streaming.json_edge import is_list, is_object
from ecs_agent.types import JsonObject

_REFUSED: Final = frozenset(
    {
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "maxItems", "uniqueItems",
        "minProperties", "maxProperties", "default", "examples",
    }
)  # fmt: skip
_NAMES: Final = frozenset({"properties", "$defs", "definitions"})
_LITERAL: Final = frozenset({"enum", "const", "required"})


def accepted_schema(schema: Any) -> Any:
    """The same schema without the limits that the API refuses; what they say is said to the model in the description instead.

    Raises:
        UnsupportedFeatureError: an object has free keys, of which a closed one would lose all.
    """
    if is_list(schema):
        return [accepted_schema(item) for item in schema]
    if not is_object(schema):
        return schema
    made: JsonObject = {}
    unsaid: JsonObject = {}
    for name, value in schema.items():
        if name in _NAMES and is_object(value):
            made[name] = {key: accepted_schema(inner) for key, inner in value.items()}  # these keys are names of the user's
        elif name in _REFUSED or (name == "minItems" and value not in (0, 1)):
            unsaid[name] = value
        else:
            made[name] = value if name in _LITERAL else accepted_schema(value)
    if "oneOf" in made and "anyOf" not in made:
        made["anyOf"] = made.pop("oneOf")
    if is_object(made.get("additionalProperties")):
        raise UnsupportedFeatureError("structured answers of the Messages API have no objects with free keys; use a list of key and value, or a tool")
    if made.get("type") == "object" or "properties" in made:
        made["additionalProperties"] = False
    if unsaid:
        said = ", ".join([f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in unsaid.items()])
        made["description"] = f"{made['description']} ({said})" if made.get("description") else f"({said})"
    return made
